"""The flows and syncs that come with the product: they pass their check without a warning, and each passes its own tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.authoring.check import CheckResult, check_path
from server.authoring.testing import test as run_tests
from server.documents.catalog import FixedCatalog
from server.integrations.plugins import discover
from server.integrations.spec import plugin_facts

FOLDER = Path(__file__).parents[2] / "definitions" / "flows"
FLOWS = {
    "deal-won",
    "order-fulfilment",
    "production-planning",
    "quality-control",
    "payment-received",
    "task-assignment",
    "deal-prediction",
    "order-cancelled",
    "materials-arrived",
    "stock-low",
    "employee-onboarded",
}


@pytest.fixture(scope="module")
def catalog() -> FixedCatalog:
    return FixedCatalog(plugins=plugin_facts(discover()))


@pytest.fixture(scope="module")
def checked(catalog: FixedCatalog) -> CheckResult:
    return check_path(FOLDER, catalog)


def test_they_pass_their_check_without_a_warning(checked: CheckResult) -> None:
    assert list(checked.findings) == []
    assert {each.name for each in checked.documents if each.kind == "Flow"} >= FLOWS


def test_each_of_them_has_tests_and_passes_them(checked: CheckResult, catalog: FixedCatalog) -> None:
    report = run_tests(checked.documents, catalog)
    assert report.failed == ()
    for each in checked.documents:
        if each.kind in ("Flow", "SyncJob"):
            assert each.body.get("tests"), f"{each.kind}/{each.name} has no tests"
