"""Inputs for stock, picking, shipping and production."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from server.sdk.port_inputs.stage import Inputs

INPUTS: Inputs = {
    "boms.calculate_requirements": lambda stage: {"product_id": stage.made, "quantity": 2},
    "inventory.add_stock": lambda stage: stage.some(),
    "inventory.adjust_stock": lambda stage: {"product_id": stage.bought, "change": -1, "reason": "broken"},
    "inventory.check_materials": lambda stage: stage.production(),
    "inventory.check_stock": lambda stage: {"items": [stage.some(), {"product_id": stage.made, "quantity": 1}]},
    "inventory.release_stock": lambda stage: stage.order("reserve"),
    "inventory.reserve_stock": lambda stage: stage.order(),
    "inventory.stock_report": lambda _stage: {"limit": 2},
    "logistics.cancel_shipment": lambda stage: stage.order("ship", "shipment_id"),
    "logistics.create_shipment": lambda stage: stage.order("pack", "order_id", "packing_id"),
    "logistics.delivery_update": lambda stage: {**stage.order("ship", "shipment_id"), "status": "delivered"},
    "logistics.track": lambda stage: stage.order("ship", "shipment_id"),
    "production.cancel_order": lambda stage: stage.production(),
    "production.check_all_complete": lambda stage: stage.begun(),
    "production.complete": lambda stage: stage.production(),
    "production.create_order": lambda stage: {**stage.order(), **stage.some()},
    "production.get_order": lambda stage: stage.production(),
    "production.update_status": lambda stage: {**stage.production(), "status": "in_progress"},
    "warehouse.cancel_packing": lambda stage: stage.order("pack", "packing_id"),
    "warehouse.cancel_picking": lambda stage: stage.order("pick", "picking_id"),
    "warehouse.create_packing": lambda stage: stage.order("pick", "picking_id"),
    "warehouse.create_picking": lambda stage: stage.order("reserve"),
}
