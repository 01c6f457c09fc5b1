"""A small company whose stock is tested: a customer, products, orders."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.erp.calling import call

if TYPE_CHECKING:
    from server.sdk import Context


def product(context: Context, name: str, on_hand: float = 0, **more: Any) -> str:
    """Make a product with so much of it in stock; return its id."""
    made = call(context, "products.upsert", external_id=name, name=name, price="10.00", cost="4.00", **more)
    if on_hand:
        call(context, "inventory.add_stock", product_id=made["product_id"], quantity=on_hand)
    return str(made["product_id"])


def order(context: Context, **items: float) -> str:
    """Make an order of quantities by product id; return its id."""
    customer = call(context, "customers.upsert", external_id="C-1", name="ACME")["customer_id"]
    wanted = [{"product_id": each, "quantity": quantity} for each, quantity in items.items()]
    return str(call(context, "orders.create", customer_id=customer, items=wanted)["order_id"])


def stock(context: Context, product_id: str) -> tuple[float, float]:
    """Return what is on hand and what is reserved."""
    [found] = call(context, "inventory.stock_report", product_ids=[product_id])["products"]
    return found["on_hand"], found["reserved"]


def shipped(context: Context, order_id: str) -> dict[str, str]:
    """Reserve, pick, pack and ship; return the ids."""
    call(context, "inventory.reserve_stock", order_id=order_id)
    picking_id = call(context, "warehouse.create_picking", order_id=order_id)["picking_id"]
    packing_id = call(context, "warehouse.create_packing", picking_id=picking_id)["packing_id"]
    made = call(context, "logistics.create_shipment", order_id=order_id, packing_id=packing_id)
    return {"picking_id": picking_id, "packing_id": packing_id, "shipment_id": made["shipment_id"]}
