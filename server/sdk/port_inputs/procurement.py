"""Inputs for suppliers, buying, and planning what is made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from server.sdk.port_inputs.stage import Inputs, Stage


def _new(stage: Stage) -> str:
    """Return a product that nobody else counts, makes or buys."""
    made = stage.world.call("products.upsert", external_id="P7", name="Product P7", price="8.00", cost="3.00")
    return str(made["product_id"])


def _supplier(stage: Stage) -> dict[str, Any]:
    given = {"external_id": "SUP-2", "name": "Mill and Daughters", "product_ids": [stage.bought, _new(stage)]}
    return {"supplier_id": stage.world.call("suppliers.upsert", **given)["supplier_id"]}


def _asked(stage: Stage, **more: Any) -> dict[str, Any]:
    return {"items": [stage.some(4)], "reason": "it runs low", "needed_by": "2027-02-01", **more}


def _requisition(stage: Stage) -> dict[str, Any]:
    made = stage.world.call("procurement.create_requisition", **_asked(stage))
    return {"requisition_id": made["requisition_id"]}


def _ordered(stage: Stage) -> dict[str, Any]:
    items = [{**stage.some(4), "unit_price": "10.50"}]
    made = stage.world.call("procurement.create_purchase_order", **_supplier(stage), items=items)
    return {"purchase_order_id": made["purchase_order_id"]}


INPUTS: Inputs = {
    "boms.upsert": lambda stage: {
        "product_id": _new(stage),
        "components": [stage.some(3), {"product_id": stage.made, "quantity": 1}],
        "makes": 2,
    },
    "inventory.stock_analytics": lambda _stage: {"days": 7},
    "inventory.update_stock_levels": lambda stage: {"levels": [{"product_id": _new(stage), "on_hand": 12}]},
    "procurement.cancel_purchase_order": _ordered,
    "procurement.cancel_requisition": _requisition,
    "procurement.create_purchase_order": lambda stage: {**_supplier(stage), "items": [stage.some(4)]},
    "procurement.create_requisition": lambda stage: _asked(stage, **stage.production()),
    "procurement.receive_stock": lambda stage: {**_ordered(stage), "items": [stage.some(1)]},
    "production.find_waiting": lambda _stage: {"limit": 2},
    "production.schedule": lambda stage: stage.production(due_date="2027-02-01"),
    "suppliers.get": _supplier,
    "suppliers.search": lambda stage: {"product_id": stage.bought, "text": "mill", "limit": 2},
    "suppliers.upsert": lambda stage: {
        "external_id": "SUP-9",
        "name": "New",
        "email": "buy@example.com",
        "phone": "+77010000001",
        "lead_time_days": 5,
        "product_ids": [stage.bought],
    },
}
