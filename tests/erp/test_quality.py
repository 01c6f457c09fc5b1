"""Inspections: what they find, and what becomes of what failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.erp.calling import call, refusal, told
from tests.erp.stocking import order, product, stock
from tests.erp.test_production import bom, make

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

    from server.sdk import Context


@pytest.fixture
def engine(small_engine: Engine) -> Engine:
    """SQLite is enough here: `test_stock_together.py` has all of it on PostgreSQL."""
    return small_engine


POINTS = [
    {"name": "width", "kind": "automated", "minimum": 9.5, "maximum": 10.5},
    {"name": "looks", "kind": "manual"},
]


def batch(
    context: Context, *, into_stock: bool, quantity: float = 5, order_id: str | None = None
) -> tuple[str, str, str]:
    """Make a batch of 5 gears of 2 steel each, and begin its inspection."""
    gear, steel = product(context, "gear"), product(context, "steel", 100)
    bom(context, gear, **{steel: 2})
    made = make(context, gear, 5, order_id=order_id)
    call(context, "production.complete", production_order_id=made, into_stock=into_stock)
    begun = {"product_id": gear, "quantity": quantity, "production_order_id": made}
    return gear, made, str(call(context, "quality.create_inspection", begun)["inspection_id"])


def failed(context: Context, inspection: str, action: str) -> dict[str, Any]:
    checked = call(context, "quality.automated_checks", inspection_id=inspection, measurements={"quantity": 0})
    assert (checked["passed"], checked["status"]) == (False, "failed")
    return call(context, "quality.handle_failure", inspection_id=inspection, action=action)


def test_an_inspection_passes_when_every_point_has(context: Context) -> None:
    gear = product(context, "gear")
    call(context, "quality.set_checkpoints", product_id=gear, checkpoints=POINTS)
    assert len(call(context, "quality.get_checkpoints", product_id=gear)["checkpoints"]) == 2
    made = call(context, "quality.create_inspection", product_id=gear, quantity=1)["inspection_id"]
    checked = call(context, "quality.automated_checks", inspection_id=made, measurements={"width": 10})
    assert (checked["passed"], checked["status"]) == (None, "open")
    unknown = {"inspection_id": made, "passed": True, "checkpoint": "smell"}
    assert refusal(context, "quality.record_result", unknown).code == "CHECKPOINT_UNKNOWN"
    done = call(context, "quality.record_result", inspection_id=made, passed=True, checkpoint="looks")
    assert (done["passed"], done["status"]) == (True, "passed")
    [event] = told(context, "inspection.completed")
    assert (event.subject, event.data["passed"]) == (f"inspection/{made}", True)
    for operation, more in (("automated_checks", {}), ("record_result", {"passed": True})):
        assert refusal(context, f"quality.{operation}", inspection_id=made, **more).code == "INSPECTION_STATUS"
    assert refusal(context, "quality.handle_failure", inspection_id=made, action="scrap").code == "INSPECTION_STATUS"
    assert refusal(context, "quality.automated_checks", inspection_id="x").code == "INSPECTION_UNKNOWN"


@pytest.mark.parametrize("measured", [{"width": 9.4}, {"width": 10.6}, {}], ids=["little", "much", "not measured"])
def test_what_is_out_of_bounds_or_not_measured_fails(context: Context, measured: dict[str, float]) -> None:
    gear = product(context, "gear", 5)
    call(context, "quality.set_checkpoints", product_id=gear, checkpoints=POINTS)
    made = call(context, "quality.create_inspection", product_id=gear, quantity=2)["inspection_id"]
    assert not call(context, "quality.automated_checks", inspection_id=made, measurements=measured)["passed"]
    assert (
        refusal(context, "quality.handle_failure", inspection_id=made, action="rework").code == "INSPECTION_OF_NO_ORDER"
    )
    call(context, "quality.handle_failure", inspection_id=made, action="scrap")
    assert stock(context, gear) == (3, 0)


def test_a_batch_that_passes_is_taken_in(context: Context) -> None:
    gear, made, inspection = batch(context, into_stock=False)
    assert call(context, "quality.automated_checks", inspection_id=inspection)["passed"]
    call(context, "inventory.add_stock", product_id=gear, quantity=5, production_order_id=made)
    assert call(context, "production.complete", production_order_id=made)["status"] == "completed"
    assert stock(context, gear) == (5, 0)


@pytest.mark.parametrize("into_stock", [False, True])
@pytest.mark.parametrize(("action", "steel"), [("rework", 90), ("remake", 80)])
def test_what_failed_is_made_again(context: Context, action: str, steel: int, into_stock: bool) -> None:
    sold = order(context, **{product(context, "gear"): 5})
    gear, made, inspection = batch(context, into_stock=into_stock, order_id=sold)
    handled = failed(context, inspection, action)
    assert (handled["status"], handled["production_order_id"]) == ("handled", made)
    order_now = call(context, "production.get_order", production_order_id=made)
    assert (order_now["status"], order_now["produced"], order_now["stocked"]) == ("in_progress", 0, 0)
    assert not call(context, "production.check_all_complete", order_id=sold)["all_complete"]
    call(context, "production.complete", production_order_id=made)
    assert len(told(context, "production.order.completed")) == 1, "who counts those that are completed counts it once"
    assert len(told(context, "order.ready.for.fulfillment")) == 1 + into_stock
    assert stock(context, gear) == (5, 5), "kept for the order"
    assert stock(context, product(context, "steel")) == (steel, 0)


def test_what_is_scrapped_lacks_in_the_end(context: Context) -> None:
    gear, made, inspection = batch(context, into_stock=False, quantity=2)
    failed(context, inspection, "scrap")
    assert call(context, "production.get_order", production_order_id=made)["status"] == "inspection"
    done = call(context, "production.complete", production_order_id=made)
    assert (done["status"], done["stocked"], done["rejected"]) == ("completed", 3, 2)
    assert stock(context, gear) == (3, 0)


def test_what_is_promised_to_somebody_is_not_taken_away(context: Context) -> None:
    gear, _, inspection = batch(context, into_stock=True)
    call(context, "inventory.reserve_stock", order_id=order(context, **{gear: 4}))
    call(context, "quality.record_result", inspection_id=inspection, passed=False)
    assert refusal(context, "quality.handle_failure", inspection_id=inspection, action="scrap").code == "STOCK_SHORT"


def test_no_more_is_inspected_than_is_made(context: Context) -> None:
    gear, made, _ = batch(context, into_stock=True)
    more = {"product_id": gear, "quantity": 5.5, "production_order_id": made}
    assert refusal(context, "quality.create_inspection", more).code == "INSPECTION_TOO_MUCH"
    assert (
        refusal(context, "quality.create_inspection", {**more, "production_order_id": "x"}).code == "PRODUCTION_UNKNOWN"
    )


def test_a_machine_is_looked_after(context: Context) -> None:
    made = call(
        context, "maintenance.create_work_order", equipment="press 3", description="It squeaks", priority="high"
    )
    assert (made["status"], made["priority"]) == ("open", "high")
