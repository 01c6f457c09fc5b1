"""docs/reliability.md is made of the table and the figures, and says of every fault whether it was measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults import figures, report
from tests.faults.figures import Figures
from tests.faults.history import judge
from tests.faults.table import FAULTS, Fault
from tests.faults.test_history import GOOD

if TYPE_CHECKING:
    from pathlib import Path

PAGE = report.PAGE.read_text("utf-8")


def test_the_faults_are_f1_to_f21() -> None:
    assert [each.number for each in FAULTS] == [f"F{number}" for number in range(1, 22)]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda each: each.number)
def test_the_page_shows_every_fault_with_what_it_proves(fault: Fault) -> None:
    assert f"\n| [{fault.number}](#" in PAGE
    assert f"\n### {fault.number}: {fault.title}\n" in PAGE
    assert fault.proves in PAGE


def test_the_page_owns_to_no_loss() -> None:
    rows = [line.split("|")[1:-1] for line in PAGE.splitlines() if line.startswith("| [F")]
    assert {row[5].strip() for row in rows} <= {"0", ""}


def test_the_last_figures_of_a_case_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROSSDOCK_TEST_FIGURES", str(tmp_path))
    figures.note(Figures("F1", "10 kills", accepted=1, received=0, lost=1))
    figures.note(figures.of("F1", "10 kills", judge(GOOD), bound=3, orphans=1.23456), GOOD)
    figures.note(Figures("F14", "50 at once", more={"answered_202": 50}))
    page = report.page(report.read(tmp_path))
    assert "| 10 kills | 2 | 2 | 0 | 0 | 0 / 3 | 0 | 0.00 |" in page
    assert "- 10 kills: orphans 1.235\n" in page
    assert "- 50 at once: answered 202 50\n" in page
    assert page.count("not measured yet") == 19
    assert (tmp_path / "F1-10-kills.jsonl").is_file()


def test_without_a_folder_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CROSSDOCK_TEST_FIGURES", raising=False)
    monkeypatch.chdir(tmp_path)
    figures.note(Figures("F1", "10 kills"))
    assert list(tmp_path.iterdir()) == []
