"""Goods that were made for an order and lie in stock are kept for it: nobody else can reserve them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plugins.erp_sandbox import records
from plugins.erp_sandbox.inventory.tables import KEPT_GOODS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal

    from plugins.erp_sandbox.desk import Desk


def for_order(desk: Desk, order_id: str) -> dict[str, Decimal]:
    """Return what is kept for an order: quantities by product, also those of which nothing is left."""
    found = records.many(desk, KEPT_GOODS, KEPT_GOODS.c.order_id == order_id)
    return {each["product_id"]: each["quantity"] for each in found}


def put(desk: Desk, order_id: str, quantities: Mapping[str, Decimal]) -> None:
    """Say how much is kept for a locked order from now on; what is not named stays."""
    for product_id, quantity in sorted(quantities.items()):
        there = records.one(desk, KEPT_GOODS, order_id=order_id, product_id=product_id)
        if there is not None:
            records.change(desk, KEPT_GOODS, there, quantity=quantity)
        elif quantity:
            whose = {"company": desk.company, "order_id": order_id, "product_id": product_id}
            records.add(desk, KEPT_GOODS, {**whose, "quantity": quantity})
