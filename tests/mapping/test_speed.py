"""What a mapping costs, beside the same written by hand: a ratio, since machines differ."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from types import ModuleType

MOST_TIMES_BY_HAND = 14  # 100 µs where the mapping by hand takes 7


def benchmark() -> ModuleType:
    file = Path(__file__).parents[1] / "benchmarks" / "mapping.py"
    spec = importlib.util.spec_from_file_location("benchmarks_mapping", file)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.serial
def test_a_mapping_of_21_fields_and_10_lines_stays_within_its_figure() -> None:
    figures = benchmark().measure()
    assert figures["compiled, budgets on"] < MOST_TIMES_BY_HAND * figures["by hand"], figures
