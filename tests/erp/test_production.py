"""Bills of materials over levels, and production orders from their plan to the stock."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugins.erp_sandbox.production.boms import Graph
from plugins.erp_sandbox.production.orders import STATUS
from plugins.erp_sandbox.production.scheduling import planned
from server.sdk import Permanent
from server.sdk.ports.production import PRODUCTION_STATUSES
from tests.erp.calling import call, refusal, told
from tests.erp.stocking import order, product, shipped, stock

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

    from server.sdk import Context


@pytest.fixture
def engine(small_engine: Engine) -> Engine:
    """SQLite is enough here: `test_stock_together.py` has all of it on PostgreSQL."""
    return small_engine


def bom(context: Context, of: str, makes: float = 1, **components: float) -> dict[str, Any]:
    parts = [{"product_id": each, "quantity": quantity} for each, quantity in components.items()]
    return call(context, "boms.upsert", product_id=of, components=parts, makes=makes)


def bike(context: Context) -> tuple[str, str, str]:
    """A bike takes 2 wheels and 4 bolts; two wheels take 3 of rubber and 8 bolts."""
    made, wheel = product(context, "bike"), product(context, "wheel")
    rubber, bolt = product(context, "rubber", 30), product(context, "bolt", 120)
    bom(context, made, **{wheel: 2, bolt: 4})
    bom(context, wheel, makes=2, **{rubber: 3, bolt: 8})
    return made, rubber, bolt


def make(context: Context, product_id: str, quantity: float = 1, **more: Any) -> str:
    made = call(context, "production.create_order", product_id=product_id, quantity=quantity, **more)
    return str(made["production_order_id"])


def test_requirements_go_down_all_levels(context: Context) -> None:
    made, rubber, bolt = bike(context)
    found = call(context, "boms.calculate_requirements", product_id=made, quantity=10)
    materials = {each["product_id"]: each["quantity"] for each in found["materials"]}
    assert materials == {rubber: 30, bolt: 120}
    assert [(each["level"], each["made"]) for each in found["components"]] == [(1, True), (2, False), (2, False)]
    checked = call(context, "inventory.check_materials", materials=found["materials"])
    assert checked["all_available"]
    assert refusal(context, "boms.calculate_requirements", product_id=bolt).code == "BOM_UNKNOWN"


def test_a_product_is_no_material_of_itself(context: Context) -> None:
    made, rubber, _ = bike(context)
    refused = refusal(context, "boms.upsert", product_id=rubber, components=[{"product_id": made, "quantity": 1}])
    assert refused.code == "BOM_CYCLE"
    assert refused.details["cycle"][0] == refused.details["cycle"][-1]
    own = [{"product_id": made, "quantity": 1}]
    assert refusal(context, "boms.upsert", product_id=made, components=own).code == "BOM_CYCLE"
    assert call(context, "boms.calculate_requirements", product_id=made)["materials"], "nothing of it was kept"


def test_a_bill_is_replaced_and_said_again_it_stays(context: Context) -> None:
    a, b, c = (product(context, each) for each in "abc")
    assert bom(context, a, **{b: 1})["change"] == "created"
    assert bom(context, a, **{b: 1})["change"] == "none"
    assert bom(context, a, **{c: 2})["change"] == "updated"
    [part] = call(context, "boms.calculate_requirements", product_id=a, quantity=1.5)["materials"]
    assert part == {"product_id": c, "quantity": 3}


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 20), st.data())
def test_what_is_exploded_is_the_sum_over_all_ways(size: int, data: st.DataObject) -> None:
    edges = {
        str(n): {str(m): Decimal(data.draw(st.integers(1, 3))) for m in range(n + 1, size) if data.draw(st.booleans())}
        for n in range(min(size, 7))
    }
    graph = Graph({each: below for each, below in edges.items() if below})

    def ways(of: str, to: str) -> Decimal:
        if of == to:
            return Decimal(1)
        return sum((share * ways(each, to) for each, share in graph.components.get(of, {}).items()), Decimal(0))

    for each, (amount, _) in graph.exploded("0", Decimal(1)).items():
        assert amount == ways("0", each)


def test_bills_that_stand_too_deep_are_refused() -> None:
    graph = Graph({str(n): {str(n + 1): Decimal(1)} for n in range(30)})
    with pytest.raises(Permanent) as refused:
        graph.order("0")
    assert refused.value.code == "BOM_TOO_DEEP"
    assert len(graph.order("10")) == 21


ALLOWED = {
    "planned": "planned scheduled waiting_materials on_hold",
    "scheduled": "planned scheduled waiting_materials on_hold",
    "waiting_materials": "planned scheduled waiting_materials on_hold in_progress",
    "on_hold": "planned scheduled waiting_materials on_hold in_progress",
    "in_progress": "planned scheduled waiting_materials on_hold in_progress",
    "make": "planned scheduled waiting_materials in_progress inspection",
    "inspect": "in_progress inspection",
    "finish": "in_progress inspection",
    "reject": "waiting_materials on_hold in_progress inspection completed",
    "cancel": "planned scheduled waiting_materials on_hold in_progress cancelled",
}


@pytest.mark.parametrize("status", PRODUCTION_STATUSES)
def test_every_transition_is_in_the_table_or_refused(status: str) -> None:
    assert set(STATUS.moves) == set(ALLOWED)
    for verb, froms in ALLOWED.items():
        if status in froms.split():
            assert STATUS.after(status, verb) in PRODUCTION_STATUSES
            continue
        with pytest.raises(Permanent) as refused:
            STATUS.after(status, verb)
        assert refused.value.code == "PRODUCTION_STATUS"


def test_what_is_completed_is_in_stock_and_its_materials_are_not(context: Context) -> None:
    made, rubber, bolt = bike(context)
    sold = order(context, **{made: 4})
    first, second = (make(context, made, 2, order_id=sold) for _ in range(2))
    batch = call(context, "production.complete", production_order_id=first, quantity=0.5)
    assert (batch["status"], batch["produced"], stock(context, made)) == ("in_progress", 0.5, (0.5, 0.5))
    assert (
        refusal(context, "production.complete", production_order_id=first, quantity=1.6).code == "PRODUCTION_TOO_MUCH"
    )
    assert call(context, "production.complete", production_order_id=first)["status"] == "completed"
    assert call(context, "production.complete", production_order_id=first)["change"] == "none"
    assert (stock(context, made), stock(context, rubber), stock(context, bolt)) == ((2, 2), (24, 0), (96, 0))
    assert [each.data["quantity"] for each in told(context, "production.batch.completed")] == [0.5, 1.5]
    assert told(context, "order.ready.for.fulfillment") == []
    found = call(context, "production.check_all_complete", order_id=sold)
    assert (found["all_complete"], found["completed"], found["open"]) == (False, 1, [second])
    call(context, "production.complete", production_order_id=second)
    completed = told(context, "production.order.completed")
    assert [(each.data["production_order_id"], each.data["order_id"]) for each in completed] == [
        (first, sold),
        (second, sold),
    ]
    [ready] = told(context, "order.ready.for.fulfillment")
    assert (ready.subject, ready.data) == (f"order/{sold}", {"order_id": sold})
    assert call(context, "production.check_all_complete", order_id=sold)["all_complete"]


def test_without_materials_nothing_is_made(context: Context) -> None:
    made, rubber, _ = bike(context)
    big = make(context, made, 11)
    short = refusal(context, "production.complete", production_order_id=big)
    assert short.code == "MATERIALS_SHORT"
    assert {each["missing"] for each in short.details["missing"]} == {3, 12}
    waiting = call(context, "production.update_status", production_order_id=big, status="waiting_materials")
    assert waiting["change"] == "updated"
    again = call(context, "production.update_status", production_order_id=big, status="waiting_materials")
    assert again["change"] == "none"
    [event] = told(context, "production.waiting.materials")
    assert {each["product_id"]: each["missing"] for each in event.data["missing"]}[rubber] == 3
    checked = call(context, "inventory.check_materials", production_order_id=big)
    assert not checked["all_available"]


def test_what_waits_is_found_by_the_materials_that_it_still_takes(context: Context) -> None:
    made, rubber, bolt = bike(context)
    other = product(context, "door", 5)
    bom(context, other, **{bolt: 1})
    orders = sorted(make(context, each) for each in (made, other, made))
    for each in orders:
        call(context, "production.update_status", production_order_id=each, status="waiting_materials")
    make(context, made)

    def waiting(**given: Any) -> tuple[list[str], str | None]:
        found = call(context, "production.find_waiting", **given)
        return [each["production_order_id"] for each in found["production_orders"]], found["next"]

    assert waiting() == (orders, None)
    assert waiting(limit=2) == (orders[:2], orders[1])
    assert waiting(limit=2, cursor=orders[1]) == (orders[2:], None)
    assert waiting(product_id=bolt) == (orders, None)
    assert len(waiting(product_id=rubber)[0]) == 2
    call(context, "production.complete", production_order_id=waiting(product_id=rubber)[0][0])
    assert len(waiting(product_id=rubber)[0]) == 1
    rival = replace(context, config={"company": "second"})
    assert call(rival, "production.find_waiting", product_id=bolt)["production_orders"] == []


def test_what_waits_for_its_inspection_is_not_in_stock_until_it_is_taken_in_once(context: Context) -> None:
    gear = product(context, "gear")
    made = make(context, gear, 5)
    done = call(context, "production.complete", production_order_id=made, into_stock=False)
    assert (done["status"], done["produced"], done["stocked"]) == ("inspection", 5, 0)
    taken = {"product_id": gear, "production_order_id": made}
    assert call(context, "inventory.add_stock", taken, quantity=3)["added"] == 3
    assert call(context, "inventory.add_stock", taken, quantity=3)["added"] == 2
    assert call(context, "inventory.add_stock", taken, quantity=3)["change"] == "none"
    assert stock(context, gear) == (5, 0)
    assert len(told(context, "production.order.completed")) == 1
    assert call(context, "production.complete", production_order_id=made)["change"] == "none"
    wrong = {"product_id": product(context, "other"), "production_order_id": made}
    assert refusal(context, "inventory.add_stock", wrong, quantity=1).code == "PRODUCTION_UNKNOWN"


def test_what_is_not_begun_can_be_cancelled_and_what_is_made_cannot(context: Context) -> None:
    gear = product(context, "gear")
    first, second = make(context, gear, 2), make(context, gear, 2)
    assert call(context, "production.cancel_order", production_order_id="never")["change"] == "none"
    assert call(context, "production.cancel_order", production_order_id=first)["change"] == "updated"
    assert call(context, "production.cancel_order", production_order_id=first)["change"] == "none"
    assert refusal(context, "production.complete", production_order_id=first).code == "PRODUCTION_STATUS"
    call(context, "production.complete", production_order_id=second, quantity=1)
    assert refusal(context, "production.cancel_order", production_order_id=second).code == "PRODUCTION_STATUS"
    assert refusal(context, "production.complete", production_order_id="x").code == "PRODUCTION_UNKNOWN"
    unknown = {"product_id": gear, "quantity": 1, "order_id": "x"}
    assert refusal(context, "production.create_order", unknown).code == "ORDER_UNKNOWN"


def test_days_are_filled_from_the_first_free_one_and_given_back(context: Context) -> None:
    gear = product(context, "gear")
    first, second = make(context, gear, 25), make(context, gear, 10, due_date="2026-01-05")
    room = {"capacity_per_day": 10}
    # 1 January 2026 is a Thursday
    done = call(context, "production.schedule", production_order_id=first, **room)
    assert (done["scheduled_start"], done["scheduled_end"], done["is_late"]) == ("2026-01-02", "2026-01-06", False)
    late = call(context, "production.schedule", production_order_id=second, **room)
    assert (late["scheduled_start"], late["scheduled_end"], late["is_late"]) == ("2026-01-06", "2026-01-07", True)
    call(context, "production.update_status", production_order_id=first, status="planned")
    early = call(context, "production.schedule", production_order_id=second, **room)
    assert (early["scheduled_start"], early["is_late"]) == ("2026-01-02", False)
    huge = make(context, gear, 1_000_000)
    assert refusal(context, "production.schedule", production_order_id=huge, **room).code == "CAPACITY_SHORT"


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 200), st.dictionaries(st.integers(0, 40), st.integers(0, 12)), st.integers(1, 10))
def test_a_plan_holds_all_of_it_and_no_day_more_than_it_can(quantity: int, busy: dict[int, int], capacity: int) -> None:
    start = date(2026, 1, 1)
    taken = {date.fromordinal(start.toordinal() + day): Decimal(much) for day, much in busy.items()}
    days = planned(Decimal(quantity), start, taken, Decimal(capacity))
    assert sum(days.values()) == quantity
    for day, much in days.items():
        assert day.weekday() < 5
        assert much + taken.get(day, 0) <= capacity


def short_of(context: Context, product_id: str, quantity: float, **more: Any) -> str:
    """Make an order, and all that it takes; return the order."""
    sold = order(context, **{product_id: quantity})
    call(context, "production.complete", production_order_id=make(context, product_id, quantity, order_id=sold), **more)
    return sold


def test_what_is_made_for_an_order_is_for_nobody_else(context: Context) -> None:
    gear = product(context, "gear")
    sold, other = short_of(context, gear, 5), order(context, **{gear: 1})
    assert stock(context, gear) == (5, 5)
    assert refusal(context, "inventory.reserve_stock", order_id=other).code == "STOCK_SHORT"
    for _ in range(2):
        call(context, "inventory.reserve_stock", order_id=sold)
        assert stock(context, gear) == (5, 5)
        call(context, "inventory.release_stock", order_id=sold)
        assert stock(context, gear) == (5, 5)
    done = shipped(context, sold)
    assert stock(context, gear) == (0, 0)
    call(context, "logistics.cancel_shipment", shipment_id=done["shipment_id"])
    call(context, "warehouse.cancel_packing", packing_id=done["packing_id"])
    call(context, "warehouse.cancel_picking", picking_id=done["picking_id"])
    call(context, "inventory.release_stock", order_id=sold)
    assert stock(context, gear) == (5, 5)
    call(context, "orders.cancel", order_id=sold)
    call(context, "orders.cancel", order_id=sold)
    assert stock(context, gear) == (5, 0)
    call(context, "inventory.reserve_stock", order_id=other)


def test_what_is_held_for_an_order_that_is_cancelled_is_free_with_its_release(context: Context) -> None:
    gear = product(context, "gear", 2)
    sold = order(context, **{gear: 5})
    call(context, "production.complete", production_order_id=make(context, gear, 3, order_id=sold))
    assert stock(context, gear) == (5, 3), "what lay there is anybody's until it is reserved"
    call(context, "inventory.reserve_stock", order_id=sold)
    call(context, "orders.cancel", order_id=sold)
    assert stock(context, gear) == (5, 5)
    call(context, "inventory.release_stock", order_id=sold)
    assert stock(context, gear) == (5, 0)


def test_no_more_is_kept_than_the_order_wants(context: Context) -> None:
    gear = product(context, "gear")
    sold = short_of(context, gear, 5)
    call(context, "production.complete", production_order_id=make(context, gear, 2, order_id=sold))
    assert stock(context, gear) == (7, 5)
    call(context, "orders.update", order_id=sold, items=[{"product_id": gear, "quantity": 1}])
    call(context, "inventory.reserve_stock", order_id=sold)
    assert stock(context, gear) == (7, 1)
    call(context, "production.complete", production_order_id=make(context, gear, 2, order_id=sold))
    assert stock(context, gear) == (9, 1), "it has what it wants"


def test_what_was_made_for_an_order_that_went_another_way_is_free_with_a_release(context: Context) -> None:
    gear = product(context, "gear")
    sold = short_of(context, gear, 5)
    call(context, "orders.update", order_id=sold, status="shipped")
    for change in ("updated", "none"):
        assert call(context, "inventory.release_stock", order_id=sold)["change"] == change
    assert stock(context, gear) == (5, 0)


def test_what_takes_more_materials_than_an_answer_can_name_is_not_ordered_at_all(context: Context) -> None:
    groups = []
    for group in range(6):
        leaves = [product(context, f"{group}-{number}") for number in range(99)]
        groups.append(product(context, f"group-{group}"))
        parts = [{"product_id": each, "quantity": 1} for each in leaves]
        call(context, "boms.upsert", product_id=groups[-1], components=parts)
    top = product(context, "top")
    call(context, "boms.upsert", product_id=top, components=[{"product_id": each, "quantity": 1} for each in groups])
    assert len(call(context, "boms.calculate_requirements", product_id=top)["materials"]) == 594
    assert refusal(context, "production.create_order", product_id=top, quantity=1).code == "PRODUCTION_TOO_MUCH"
    assert told(context, "production.order.created") == []
