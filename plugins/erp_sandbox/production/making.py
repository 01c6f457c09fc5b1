"""What production takes from the stock and puts into it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plugins.erp_sandbox import records
from plugins.erp_sandbox.inventory import reservations, sold, stock
from plugins.erp_sandbox.inventory.stock import Change, Why
from plugins.erp_sandbox.production import orders
from plugins.erp_sandbox.production.orders import STATUS
from plugins.erp_sandbox.production.tables import PRODUCTION_MATERIALS, PRODUCTION_ORDERS
from plugins.erp_sandbox.records import NOTHING, Record, number, parts, refused
from plugins.erp_sandbox.tables import PART
from server.sdk.ports.production import MATERIALS_SHORT, PRODUCTION_TOO_MUCH

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal

    from plugins.erp_sandbox.desk import Desk


def waiting(order: Record) -> Decimal:
    """Return how much is made and neither in stock nor rejected."""
    rest: Decimal = order["produced"] - order["stocked"] - order["rejected"]
    return rest


def complete(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Make a batch, take in what waits; what is completed stays so."""
    order = orders.locked(desk, given["production_order_id"])
    if order["status"] == "completed" and "quantity" not in given:
        return {**orders.shown(desk, order), "change": "none"}
    status = STATUS.after(order["status"], "make")
    rest = order["quantity"] - order["produced"]
    made = parts(given["quantity"]) if "quantity" in given else rest
    if made > rest:
        raise refused(PRODUCTION_TOO_MUCH, "more would be made than was ordered", rest=number(rest))
    taken = waiting(order) + made if given.get("into_stock", True) else NOTHING
    if not made and not taken:
        return {**orders.shown(desk, order), "change": "none"}
    changes = {each: Change(-quantity) for each, quantity in _used(desk, order, made).items()}
    if taken:
        changes[order["product_id"]] = _into_stock(desk, order, taken)
    stock.change(desk, changes, Why("produced", orders.subject(order), short=MATERIALS_SHORT))
    after = records.change(
        desk,
        PRODUCTION_ORDERS,
        order,
        status=status,
        produced=order["produced"] + made,
        stocked=order["stocked"] + taken,
    )
    if made:
        data = orders.told(after, quantity=number(made), in_stock=bool(taken))
        desk.emit("production.batch.completed", orders.subject(after), data)
    settled = _settled(desk, after)
    return {**orders.shown(desk, settled), "change": "updated"}


def add_stock(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Put goods into stock; of a production order what waits of it, and no more."""
    product_id, quantity = given["product_id"], parts(given["quantity"])
    sold.stocked(desk, [product_id])
    why = Why("added", reason=given.get("reason"))
    order = None
    if given.get("production_order_id") is not None:
        order = orders.locked(desk, given["production_order_id"])
        if order["product_id"] != product_id:
            raise orders.unknown(given["production_order_id"])
        quantity = min(quantity, waiting(order))
        why = Why("produced", orders.subject(order), given.get("reason"))
    change = Change(quantity) if order is None else _into_stock(desk, order, quantity)
    after = stock.change(desk, {product_id: change}, why)
    if order is not None and quantity:
        _settled(desk, records.change(desk, PRODUCTION_ORDERS, order, stocked=order["stocked"] + quantity))
    return {**after[product_id].shown(), "added": number(quantity), "change": "updated" if quantity else "none"}


def reject(desk: Desk, production_order_id: str, quantity: Decimal, action: str) -> None:
    """Take bad goods out of what a production order has made: first of what waits, then of the stock.

    `scrap` makes the order do without them; for `rework` and `remake` they are to be made again, with new materials for `remake`.

    Raises:
        Permanent: STOCK_SHORT, PRODUCTION_UNKNOWN, PRODUCTION_STATUS, PRODUCTION_TOO_MUCH.

    """
    order = orders.locked(desk, production_order_id)
    status = STATUS.after(order["status"], "reject")
    from_stock = max(quantity - waiting(order), NOTHING)
    if from_stock > order["stocked"]:
        raise refused(PRODUCTION_TOO_MUCH, "more is bad than was made", produced=number(order["produced"]))
    change = _out_of_stock(desk, order, from_stock)
    stock.change(desk, {order["product_id"]: change}, Why("rejected", orders.subject(order)))
    values = {"stocked": order["stocked"] - from_stock}
    if action == "scrap":
        values["rejected"] = order["rejected"] + quantity
    else:
        values["produced"] = order["produced"] - quantity
    if action == "remake":
        _forget_use(desk, order, values["produced"])
    after = records.change(desk, PRODUCTION_ORDERS, order, status=status, **values)
    _settled(desk, after, was=order["status"])


def _into_stock(desk: Desk, order: Record, quantity: Decimal) -> Change:
    """Return the change by what was made: what an order waits for is kept for it."""
    if order["order_id"] is None:
        return Change(quantity)
    return Change(quantity, reservations.keep(desk, order["order_id"], order["product_id"], quantity))


def _out_of_stock(desk: Desk, order: Record, quantity: Decimal) -> Change:
    if order["order_id"] is None:
        return Change(-quantity)
    return Change(-quantity, -reservations.give_up(desk, order["order_id"], order["product_id"], quantity))


def _settled(desk: Desk, order: Record, was: str | None = None) -> Record:
    """Say that all is made, or that all is done; return the order as it is then."""
    if order["produced"] < order["quantity"]:
        return order
    done = not waiting(order)
    after = STATUS.after(order["status"], "finish" if done else "inspect")
    first = done and order["completed_at"] is None
    order = records.change(
        desk, PRODUCTION_ORDERS, order, status=after, completed_at=desk.now if first else order["completed_at"]
    )
    if not done or was == "completed":
        return order
    orders.free_days(desk, order)
    if first:  # who counts the orders that are completed counts none twice
        data = orders.told(order, quantity=number(order["quantity"]))
        desk.emit("production.order.completed", orders.subject(order), data)
    if order["order_id"] is not None and orders.all_complete(desk, order)["all_complete"]:
        desk.emit("order.ready.for.fulfillment", f"order/{order['order_id']}", {"order_id": order["order_id"]})
    return order


def _share(order: Record, material: Record, produced: Decimal) -> Decimal:
    """Return how much of a material so much takes: all of it for all, so that what is rounded comes out even in the end."""
    share: Decimal = (material["quantity"] * produced / order["quantity"]).quantize(PART)
    return share


def _used(desk: Desk, order: Record, made: Decimal) -> dict[str, Decimal]:
    """Note that a batch uses up its materials; return what leaves the stock."""
    taken = {}
    for material in orders.materials_of(desk, order["production_order_id"]):
        used = max(_share(order, material, order["produced"] + made), material["used"])
        if used > material["used"]:
            taken[material["product_id"]] = used - material["used"]
            records.change(desk, PRODUCTION_MATERIALS, material, used=used)
    return taken


def _forget_use(desk: Desk, order: Record, produced: Decimal) -> None:
    for material in orders.materials_of(desk, order["production_order_id"]):
        lost = _share(order, material, order["produced"]) - _share(order, material, produced)
        records.change(desk, PRODUCTION_MATERIALS, material, used=max(material["used"] - lost, NOTHING))
