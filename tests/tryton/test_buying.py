"""What is bought and planned on a real Tryton, case by case: what comes in parts, what is refused, and what is taken back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from server.kernel.errors import CrossdockError
from server.sdk.port_inputs.stage import NOBODY

if TYPE_CHECKING:
    from server.sdk.port_inputs.stage import Stage, World

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]


def refusal(world: World, operation: str, **given: Any) -> tuple[str, dict[str, Any]]:
    with pytest.raises(CrossdockError) as refused:
        world.call(operation, **given)
    return refused.value.code, dict(refused.value.details)


def new_product(world: World, name: str, on_hand: float = 0) -> str:
    made = world.call("products.upsert", external_id=name, name=name, price="9.00", cost="4.00")["product_id"]
    world.call("inventory.update_stock_levels", levels=[{"product_id": made, "on_hand": on_hand}])
    return str(made)


def on_hand(world: World, product_id: str) -> float:
    [found] = world.call("inventory.stock_report", product_ids=[product_id])["products"]
    return float(found["on_hand"])


def test_what_comes_in_parts_is_received_in_parts_and_no_more(stage: Stage) -> None:
    call, nail, screw = stage.world.call, new_product(stage.world, "NAIL"), new_product(stage.world, "SCREW")
    supplier = call("suppliers.upsert", external_id="SUP-3", name="Iron", product_ids=[nail])["supplier_id"]
    items = [{"product_id": nail, "quantity": 10}, {"product_id": screw, "quantity": 2, "unit_price": "0.5"}]
    assert refusal(stage.world, "procurement.create_purchase_order", items=items)[0] == "SUPPLIER_UNKNOWN"
    order = call("procurement.create_purchase_order", items=items, supplier_id=supplier, expected_date="2027-03-01")
    assert (order["status"], order["total"], order["expected_date"]) == ("ordered", "41.00", "2027-03-01")
    this = {"purchase_order_id": order["purchase_order_id"]}

    some = call("procurement.receive_stock", **this, items=[{"product_id": nail, "quantity": 4}])
    assert (some["status"], [each["received"] for each in some["items"]]) == ("partly_received", [4, 0])
    assert on_hand(stage.world, nail) == 4
    too_much = [{"product_id": nail, "quantity": 7}]
    assert refusal(stage.world, "procurement.receive_stock", **this, items=too_much)[0] == "RECEIPT_TOO_MUCH"
    refused = refusal(stage.world, "procurement.cancel_purchase_order", **this)
    assert (refused[0], refused[1]["status"]) == ("PURCHASE_STATUS", "partly_received")

    assert call("procurement.receive_stock", **this)["status"] == "received"
    assert (on_hand(stage.world, nail), on_hand(stage.world, screw)) == (10, 2)
    assert refusal(stage.world, "procurement.receive_stock", **this)[1]["status"] == "received"
    assert refusal(stage.world, "procurement.cancel_purchase_order", **this)[1]["status"] == "received"


def test_nothing_comes_of_a_cancelled_purchase(stage: Stage) -> None:
    call, glue = stage.world.call, new_product(stage.world, "GLUE")
    call("suppliers.upsert", external_id="SUP-4", name="Sticky", product_ids=[glue])
    order = call("procurement.create_purchase_order", items=[{"product_id": glue, "quantity": 3}])
    this = {"purchase_order_id": order["purchase_order_id"]}
    assert call("procurement.cancel_purchase_order", **this)["change"] == "updated"
    assert refusal(stage.world, "procurement.receive_stock", **this)[1]["status"] == "cancelled"
    assert on_hand(stage.world, glue) == 0


def test_suppliers_are_found_by_what_they_sell(stage: Stage) -> None:
    call, bolt = stage.world.call, new_product(stage.world, "BOLT")
    names = ["Bolts B", "Bolts A", "Bolts C"]
    ids = [
        call("suppliers.upsert", external_id=each, name=each, product_ids=[bolt], lead_time_days=2)["supplier_id"]
        for each in names
    ]
    first = call("suppliers.search", product_id=bolt, limit=2)
    rest = call("suppliers.search", product_id=bolt, limit=2, cursor=first["next"])
    assert [each["supplier_id"] for each in first["suppliers"] + rest["suppliers"]] == ids
    assert rest["next"] is None
    changed = call("suppliers.upsert", external_id="Bolts B", name="Bolts B", product_ids=[], email="b@example.com")
    assert (changed["product_ids"], changed["lead_time_days"], changed["change"]) == ([], 2, "updated")
    assert call("suppliers.upsert", external_id="Bolts B", name="Bolts B")["change"] == "none"
    left = [each["name"] for each in call("suppliers.search", product_id=bolt)["suppliers"]]
    assert left == ["Bolts A", "Bolts C"]
    assert [each["name"] for each in call("suppliers.search", text="bolts")["suppliers"]] == names


def test_a_requisition_is_ordered_over_there(stage: Stage) -> None:
    asked = stage.world.call("procurement.create_requisition", items=[stage.some(2)], reason="it runs low")
    assert (asked["status"], asked["reason"], asked["production_order_id"]) == ("open", "it runs low", None)
    given = {"requisition_id": asked["requisition_id"]}
    refused = refusal(stage.world, "procurement.create_purchase_order", **given)
    assert (refused[0], refused[1]["field"]) == ("NOT_SUPPORTED_HERE", "requisition_id")
    assert refusal(stage.world, "procurement.create_requisition", items=[{"product_id": NOBODY, "quantity": 1}])[0] == (
        "PRODUCT_UNKNOWN"
    )


def test_a_product_is_no_material_of_itself(stage: Stage) -> None:
    call, upper, lower = stage.world.call, new_product(stage.world, "UPPER"), new_product(stage.world, "LOWER")
    call("boms.upsert", product_id=upper, components=[{"product_id": lower, "quantity": 2}])
    below = [{"product_id": upper, "quantity": 1}]
    code, details = refusal(stage.world, "boms.upsert", product_id=lower, components=below)
    assert (code, details["cycle"]) == ("BOM_CYCLE", [lower, upper, lower])
    made = call("boms.upsert", product_id=upper, components=[{"product_id": lower, "quantity": 3}], makes=2)
    assert made["change"] == "updated"
    needs = call("boms.calculate_requirements", product_id=upper, quantity=4)
    assert needs["materials"] == [{"product_id": lower, "quantity": 6}]


def test_a_production_is_planned_waits_and_goes_on(stage: Stage) -> None:
    call, frame, pipe = stage.world.call, new_product(stage.world, "FRAME"), new_product(stage.world, "PIPE", 4)
    call("boms.upsert", product_id=frame, components=[{"product_id": pipe, "quantity": 2}])
    made = call("production.create_order", product_id=frame, quantity=3, due_date="2027-01-15")
    this = {"production_order_id": made["production_order_id"]}
    assert made["status"] == "planned"
    planned = call("production.schedule", **this, not_before="2027-01-20")
    assert (planned["status"], planned["scheduled_start"], planned["is_late"]) == ("planned", "2027-01-20", True)
    assert refusal(stage.world, "production.update_status", **this, status="scheduled")[0] == "MATERIALS_SHORT"
    assert call("production.update_status", **this, status="waiting_materials")["status"] == "waiting_materials"
    waiting = call("production.find_waiting", product_id=pipe)["production_orders"]
    assert [each["production_order_id"] for each in waiting] == [made["production_order_id"]]
    call("inventory.add_stock", product_id=pipe, quantity=2)
    assert call("production.schedule", **this)["status"] == "scheduled"
    assert call("production.schedule", **this, not_before="2027-02-01")["scheduled_start"] == "2027-02-01"
    assert not call("production.find_waiting", product_id=pipe)["production_orders"]
    assert call("inventory.check_stock", items=[{"product_id": pipe, "quantity": 1}])["unavailable"]
    assert call("production.update_status", **this, status="planned")["status"] == "planned"
    assert call("inventory.check_stock", items=[{"product_id": pipe, "quantity": 6}])["all_available"]
    assert call("production.update_status", **this, status="in_progress")["status"] == "in_progress"
    assert refusal(stage.world, "production.schedule", **this)[1]["status"] == "in_progress"
    assert refusal(stage.world, "production.update_status", **this, status="on_hold")[0] == "PRODUCTION_STATUS"


def test_what_is_counted_is_not_less_than_what_is_reserved(stage: Stage) -> None:
    call, lamp = stage.world.call, new_product(stage.world, "LAMP", 5)
    order = call("orders.create", customer_id=stage.customer, items=[{"product_id": lamp, "quantity": 3}])
    call("inventory.reserve_stock", order_id=order["order_id"])
    levels = [{"product_id": lamp, "on_hand": 2}]
    assert refusal(stage.world, "inventory.update_stock_levels", levels=levels)[0] == "STOCK_SHORT"
    [counted] = call("inventory.update_stock_levels", levels=[{"product_id": lamp, "on_hand": 4}])["levels"]
    assert (counted["on_hand"], counted["available"], counted["change"]) == (4, 1, "updated")
    [same] = call("inventory.update_stock_levels", levels=[{"product_id": lamp, "on_hand": 4}])["levels"]
    assert same["change"] == "none"
    points = [{"product_id": lamp, "reorder_point": 2}]
    assert refusal(stage.world, "inventory.update_stock_levels", levels=points)[1]["field"] == "reorder_point"


def test_what_went_in_and_out_is_summed_up(stage: Stage) -> None:
    before = stage.world.call("inventory.stock_analytics", days=2)
    rope = new_product(stage.world, "ROPE", 9)
    stage.world.call("inventory.adjust_stock", product_id=rope, change=-4, reason="frayed")
    after = stage.world.call("inventory.stock_analytics", days=2)
    changed = {name: after[name] - before[name] for name in ("products", "on_hand", "moved_in", "moved_out")}
    assert changed == {"products": 1, "on_hand": 5, "moved_in": 9, "moved_out": 4}
