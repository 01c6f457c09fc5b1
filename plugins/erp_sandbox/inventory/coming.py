"""What is ordered from suppliers and has not come: a part of what there is to say of a product that runs low."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from plugins.erp_sandbox.records import NOTHING
from plugins.erp_sandbox.tables import METADATA

if TYPE_CHECKING:
    from plugins.erp_sandbox.desk import Desk


def of(desk: Desk, product_id: str) -> Decimal:
    """Return how much of a product is still to come."""
    # The purchases stand above the stock and import it, so their tables are known here by name only.
    items, orders = METADATA.tables["purchase_order_items"], METADATA.tables["purchase_orders"]
    mine = (items.c.company == desk.company, items.c.product_id == product_id, items.c.received < items.c.quantity)
    same = (orders.c.company == items.c.company, orders.c.purchase_order_id == items.c.purchase_order_id)
    query = select(func.sum(items.c.quantity - items.c.received)).where(*mine, *same, orders.c.status != "cancelled")
    return Decimal(desk.connection.execute(query).scalar_one() or NOTHING)
