"""What the stock has to know of orders and products: asked of the sales modules, which keep them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plugins.erp_sandbox import records
from plugins.erp_sandbox.records import NOTHING, Record, refused
from plugins.erp_sandbox.sales.tables import LINES, ORDERS, PRODUCTS
from server.sdk.ports.inventory import PRODUCT_NOT_STOCKED
from server.sdk.ports.orders import ORDER_STATUS, ORDER_UNKNOWN
from server.sdk.ports.products import PRODUCT_UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Iterable
    from decimal import Decimal

    from plugins.erp_sandbox.desk import Desk

_TO_COME = frozenset({"pending", "confirmed", "in_production", "ready"})


def find_order(desk: Desk, order_id: str, *, lock: bool = False) -> Record | None:
    """Return an order, if there is one; with `lock` nothing else happens to it and to what hangs on it meanwhile."""
    return records.one(desk, ORDERS, lock=lock, order_id=order_id)


def order_to_come(desk: Desk, order_id: str) -> Record:
    """Return an order, locked, that may be reserved, picked and shipped.

    Raises:
        Permanent: ORDER_UNKNOWN, ORDER_STATUS.

    """
    order = find_order(desk, order_id, lock=True)
    if order is None:
        raise refused(ORDER_UNKNOWN, "there is no such order", order_id=order_id)
    status = order["status"]
    if status not in _TO_COME:
        raise refused(ORDER_STATUS, f"an order that is {status} is not delivered", order_id=order_id, status=status)
    return order


def goods_of(desk: Desk, order_id: str) -> dict[str, Decimal]:
    """Return what of an order lies in stock: quantities by product."""
    lines = records.many(desk, LINES, LINES.c.owner_id == order_id)
    known = records.by_id(desk, PRODUCTS, "product_id", (line["product_id"] for line in lines))
    goods: dict[str, Decimal] = {}
    for line in lines:
        product_id = line["product_id"]
        if known[product_id]["kind"] == "goods":
            goods[product_id] = goods.get(product_id, NOTHING) + line["quantity"]
    return goods


def set_order_status(desk: Desk, order: Record, status: str) -> None:
    """Say how far a locked order is."""
    records.change(desk, ORDERS, order, status=status)


def products(desk: Desk, product_ids: Iterable[str]) -> dict[str, Record]:
    """Return products by their ids.

    Raises:
        Permanent: PRODUCT_UNKNOWN.

    """
    wanted = sorted(set(product_ids))
    found = records.by_id(desk, PRODUCTS, "product_id", wanted)
    for each in wanted:
        if each not in found:
            raise refused(PRODUCT_UNKNOWN, "there is no such product", product_id=each)
    return found


def stocked(desk: Desk, product_ids: Iterable[str]) -> dict[str, Record]:
    """Return products that all lie in stock.

    Raises:
        Permanent: PRODUCT_UNKNOWN, PRODUCT_NOT_STOCKED.

    """
    found = products(desk, product_ids)
    for each, product in found.items():
        if product["kind"] != "goods":
            raise refused(PRODUCT_NOT_STOCKED, "a service does not lie in stock", product_id=each)
    return found
