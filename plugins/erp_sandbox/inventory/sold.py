"""What the stock has to know of orders and products: asked of the sales modules, which keep them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plugins.erp_sandbox.records import NOTHING, Record, refused
from plugins.erp_sandbox.sales import orders
from plugins.erp_sandbox.sales.pricing import products_of
from server.sdk.ports.inventory import PRODUCT_NOT_STOCKED
from server.sdk.ports.orders import ORDER_STATUS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from decimal import Decimal

    from plugins.erp_sandbox.desk import Desk

_TO_COME = frozenset({"pending", "confirmed", "in_production", "ready"})


def lock_order(desk: Desk, order_id: str) -> None:
    """Let nothing else happen to an order, if there is one, and to what hangs on it."""
    if order_id in orders.those(desk, [order_id]):
        orders.find(desk, order_id, lock=True)


def is_to_come(desk: Desk, order_id: str) -> bool:
    """Return whether there is such an order that may still be delivered."""
    order = orders.those(desk, [order_id]).get(order_id)
    return order is not None and order["status"] in _TO_COME


def order_to_come(desk: Desk, order_id: str) -> Record:
    """Return an order, locked, that may be reserved, picked and shipped.

    Raises:
        Permanent: ORDER_UNKNOWN, ORDER_STATUS.

    """
    order = orders.find(desk, order_id, lock=True)
    status = order["status"]
    if status not in _TO_COME:
        raise refused(ORDER_STATUS, f"an order that is {status} is not delivered", order_id=order_id, status=status)
    return order


def goods_of(desk: Desk, order_id: str) -> dict[str, Decimal]:
    """Return what of an order lies in stock: quantities by product."""
    lines = orders.items(desk, order_id)
    known = products_of(desk, (line["product_id"] for line in lines))
    goods: dict[str, Decimal] = {}
    for line in lines:
        product_id = line["product_id"]
        if known[product_id]["kind"] == "goods":
            goods[product_id] = goods.get(product_id, NOTHING) + line["quantity"]
    return goods


def stocked(desk: Desk, product_ids: Iterable[str]) -> dict[str, Record]:
    """Return products that all lie in stock.

    Raises:
        Permanent: PRODUCT_UNKNOWN, PRODUCT_NOT_STOCKED.

    """
    found = products_of(desk, product_ids)
    for each, product in found.items():
        if product["kind"] != "goods":
            raise refused(PRODUCT_NOT_STOCKED, "a service does not lie in stock", product_id=each)
    return found
