"""docs/benchmarks.md says what was measured, and nothing else."""

from __future__ import annotations

import json

import pytest

from tests.benchmarks import report
from tests.benchmarks.measuring import quantiles
from tests.benchmarks.targets import TARGETS, Target

DATA = json.loads(report.FIGURES.read_text("utf-8"))


def test_the_page_is_made_of_the_raw_data():
    assert report.PAGE.read_text("utf-8") == report.page(DATA), "run `python tests/benchmarks/report.py`"


@pytest.mark.parametrize(
    ("least", "figure", "holds"), [(True, 0.6, True), (True, 0.59, False), (False, 0.6, True), (False, 0.61, False)]
)
def test_a_figure_on_its_bound_is_good_enough(least, figure, holds):
    target = Target("it", "some", "deep.er", 0.6, least=least)
    assert target.figure({"deep": {"er": figure}}) == figure
    assert target.holds(figure) == holds


def test_what_was_not_measured_is_named_and_has_no_row():
    page = report.page({**DATA, "measures": {}})
    assert "Not measured: backlog, " in page
    assert "met |" not in page
    assert TARGETS[0].words not in page


def test_a_measurement_without_its_figure_has_missed():
    entry = {"command": "c", "commit": "c", "at": "t", "load": 0.0, "figures": {"first_ms": None}}
    assert "none | **missed**" in report.page({**DATA, "measures": {"neighbour": entry}})


def test_quantiles_are_measured_values_and_nothing_of_nothing():
    assert quantiles([each / 1000 for each in range(101)]) == {"p50": 50.0, "p95": 95.0, "p99": 99.0, "max": 100.0}
    assert quantiles([]) == {}
