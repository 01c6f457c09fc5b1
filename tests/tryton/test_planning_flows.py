"""The flows that plan production and buy what runs low, word for word, on a real Tryton."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from server.sdk.port_inputs.stage import Stage, World
    from tests.tryton.company import Company

FLOWS = ("production-planning", "materials-arrived", "stock-low")


@pytest.fixture
def wood(erp: World) -> str:
    given = {"external_id": "OAK", "name": "Oak", "price": "3.00", "cost": "1.50"}
    oak = str(erp.call("products.upsert", **given)["product_id"])
    erp.call("suppliers.upsert", external_id="SUP-OAK", name="Oak and Sons", lead_time_days=3, product_ids=[oak])
    erp.call("inventory.update_stock_levels", levels=[{"product_id": oak, "on_hand": 5}])
    return oak


def order_table(erp: World, wood: str, number: int) -> dict[str, Any]:
    table = erp.call("products.upsert", external_id="TABLE", name="Table", price="90.00")["product_id"]
    erp.call("boms.upsert", product_id=table, components=[{"product_id": wood, "quantity": 4}])
    made = erp.call("production.create_order", product_id=table, quantity=number)
    return {name: made[name] for name in ("production_order_id", "product_id", "quantity")}


@pytest.mark.timeout(300)
def test_what_lacks_materials_waits_until_they_have_come(company: Company, stage: Stage, wood: str) -> None:
    erp = stage.world
    order = order_table(erp, wood, 3)
    table = order["production_order_id"]
    company.tell("production.order.created", f"production_order/{table}", **order)
    assert company.run("production-planning", "completed").output == {"scheduled": False, "requirements": 1}
    assert erp.call("production.get_order", production_order_id=table)["status"] == "waiting_materials"

    data = {"product_id": wood, "available": 5, "reorder_point": 6, "reorder_quantity": 7}
    company.tell("inventory.stock.low", f"product/{wood}", **data)
    bought = company.run("stock-low", "completed").output["purchase_order_id"]
    came = erp.call("procurement.receive_stock", purchase_order_id=bought)
    assert [(each["received"], each["unit_price"]) for each in came["items"]] == [(7, "1.50")]
    assert came["supplier_id"] == erp.call("suppliers.get", external_id="SUP-OAK")["supplier_id"]

    company.tell("stock.updated", f"product/{wood}", product_id=wood, available=12, kind="received")
    company.run("materials-arrived", "completed")
    planned = erp.call("production.get_order", production_order_id=table)
    assert planned["status"] == "scheduled"
    assert planned["scheduled_start"] is not None
    erp.call("production.complete", production_order_id=table)
    assert erp.call("inventory.check_stock", items=[{"product_id": wood, "quantity": 1}])["unavailable"]
