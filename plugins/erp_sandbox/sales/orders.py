"""Orders: taken, made of deals and quotes, changed, moved on and cancelled."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete

from plugins.erp_sandbox.records import add, by_id, change, many, one, paged, refused, shown, stamped
from plugins.erp_sandbox.sales import customers, deals, pricing, quotes
from plugins.erp_sandbox.sales.tables import LINES, ORDERS
from plugins.erp_sandbox.transitions import Transitions
from server.sdk.ports.orders import (
    DEAL_NOT_WON,
    ORDER_CONFLICT,
    ORDER_EXISTS,
    ORDER_STATUS,
    ORDER_UNKNOWN,
    QUOTE_NOT_ACCEPTED,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from plugins.erp_sandbox.desk import Desk
    from plugins.erp_sandbox.records import Record

_BEFORE_PRODUCTION = {"draft", "pending", "confirmed"}
_BEFORE_SHIPMENT = {*_BEFORE_PRODUCTION, "in_production", "ready"}


def _all(before: Iterable[str], after: str) -> dict[str, str]:
    return dict.fromkeys(before, after)


MOVES = Transitions(
    "order",
    ORDER_STATUS,
    {
        "pending": _all(("draft", "pending"), "pending"),
        "confirmed": _all(_BEFORE_PRODUCTION, "confirmed"),
        "in_production": _all((*_BEFORE_PRODUCTION, "in_production"), "in_production"),
        "ready": _all(_BEFORE_SHIPMENT, "ready"),
        "shipped": _all((*_BEFORE_SHIPMENT - {"draft"}, "shipped"), "shipped"),
        "delivered": _all(("shipped", "delivered"), "delivered"),
        "take back": {"shipped": "ready"},
        "cancel": _all((*_BEFORE_SHIPMENT, "cancelled"), "cancelled"),
        "invoice": {each: each for each in (*_BEFORE_SHIPMENT - {"draft"}, "shipped", "delivered")},
        "change its items": {each: each for each in ("draft", "pending")},
        "change": {each: each for each in _BEFORE_SHIPMENT},
    },
)
"""What may follow upon what; a verb that is a status asks for it. To take a shipment back is not for an update: the goods come with it."""


def show(desk: Desk, *orders: Record) -> list[Record]:
    """Return orders as the port has them."""
    lines = pricing.kept(desk, (each["order_id"] for each in orders))
    return [_shown(each, lines[each["order_id"]]) for each in orders]


def _shown(order: Record, lines: Iterable[Record]) -> Record:
    return {**shown(ORDERS, order, "shipped_after"), "items": pricing.shown_lines(lines)}


def find(desk: Desk, order_id: str, *, lock: bool = False) -> Record:
    """Return an order; with `lock` nobody else changes it meanwhile.

    Raises:
        Permanent: ORDER_UNKNOWN.

    """
    order = one(desk, ORDERS, lock=lock, order_id=order_id)
    if order is None:
        raise refused(ORDER_UNKNOWN, "there is no such order", order_id=order_id)
    return order


def those(desk: Desk, ids: Iterable[str]) -> dict[str, Record]:
    """Return the orders that there are of these, by id."""
    return by_id(desk, ORDERS, "order_id", ids)


def items(desk: Desk, order_id: str) -> list[Record]:
    """Return the lines of an order: `product_id`, `name`, `quantity` (Decimal), prices and taxes."""
    return pricing.kept(desk, [order_id])[order_id]


def get(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Answer `orders.get`."""
    return show(desk, find(desk, given["order_id"]))[0]


def search(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Answer `orders.search`."""
    where = [ORDERS.c[name] == given[name] for name in ("customer_id", "status") if name in given]
    found, following = paged(desk, ORDERS, given, *where, by=("updated_at", "order_id"))
    return {"orders": show(desk, *found), "next": following}


def create(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Answer `orders.create`; the external id of a cancelled order goes on to the next, as after an undo."""
    customers.get(desk, {"customer_id": given["customer_id"]})
    there = one(desk, ORDERS, lock=True, external_id=given["external_id"]) if "external_id" in given else None
    if there is not None and there["status"] != "cancelled":
        raise refused(ORDER_CONFLICT, "another order has this external id", external_id=given["external_id"])
    if there is not None:
        change(desk, ORDERS, there, external_id=None)
    lines = pricing.lines_of(desk, given["items"])
    return _made(desk, given, lines, customer_id=given["customer_id"], external_id=given.get("external_id"))


def create_from_deal(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Answer `orders.create_from_deal`: the lock of the deal lets one of many callers make its order."""
    deal = deals.find(desk, lock=True, deal_id=given["deal_id"])
    if deal["status"] != "won":
        raise refused(DEAL_NOT_WON, f"the deal is {deal['status']}", status=deal["status"])
    _none_yet(desk, deal_id=deal["deal_id"])
    lines = pricing.without_owner(pricing.kept(desk, [deal["deal_id"]])[deal["deal_id"]])
    return _made(desk, given, lines, customer_id=deal["customer_id"], deal_id=deal["deal_id"])


def create_from_quote(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Answer `orders.create_from_quote`: what is offered of one deal is ordered once, by which of its quotes or without one."""
    deal_id = quotes.find(desk, given["quote_id"])["deal_id"]
    if deal_id is not None:
        deals.find(desk, lock=True, deal_id=deal_id)
    quote = quotes.find(desk, given["quote_id"], lock=True)
    if quote["status"] != "accepted":
        raise refused(QUOTE_NOT_ACCEPTED, f"the quote is {quote['status']}", status=quote["status"])
    _none_yet(desk, **({"quote_id": quote["quote_id"]} if deal_id is None else {"deal_id": deal_id}))
    lines = pricing.without_owner(pricing.kept(desk, [quote["quote_id"]])[quote["quote_id"]])
    named = {"quote_id": quote["quote_id"], "deal_id": deal_id}
    return _made(desk, given, lines, customer_id=quote["customer_id"], **named)


def _none_yet(desk: Desk, **of: str) -> None:
    ((name, value),) = of.items()
    alive = many(desk, ORDERS, ORDERS.c[name] == value, ORDERS.c.status != "cancelled", most=1)
    if alive:
        order_id = alive[0]["order_id"]
        raise refused(ORDER_EXISTS, f"order {order_id} has been made of it", order_id=order_id)


def _made(desk: Desk, given: Mapping[str, Any], lines: list[Record], **named: Any) -> Record:
    today = desk.now.date()
    order = stamped(
        desk,
        {
            "order_id": desk.new_id("ord"),
            **dict.fromkeys(("external_id", "deal_id", "quote_id", "shipped_at", "shipped_after")),
            **named,
            "status": given.get("status", "pending"),
            "priority": given.get("priority", "normal"),
            "payment_status": "unpaid",
            "note": given.get("note"),
            "delivery_date": given.get("delivery_date") or _delivery(desk, lines),
            "ordered_on": today.isoformat(),
            **pricing.totals(lines),
        },
    )
    add(desk, ORDERS, order)
    pricing.keep(desk, order["order_id"], lines)
    answer = _shown(order, lines)
    desk.emit("order.created", f"order/{order['order_id']}", answer)
    return {**answer, "change": "created"}


def _delivery(desk: Desk, lines: Iterable[Record]) -> str:
    """Return the day on which the slowest product can be there."""
    known = pricing.products_of(desk, (line["product_id"] for line in lines))
    days = max(product["lead_time_days"] for product in known.values())
    return (desk.now.date() + timedelta(days=days)).isoformat()


def update(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Answer `orders.update`."""
    order = find(desk, given["order_id"], lock=True)
    wanted = {name: given[name] for name in ("delivery_date", "note") if name in given}
    if any(order[name] != value for name, value in wanted.items()):
        MOVES.after(order["status"], "change")
    if "items" in given:
        wanted |= _replaced(desk, order, given["items"])
    if "status" in given:
        wanted |= _moved(desk, order, given["status"])
    return _told(desk, order, wanted)


def _replaced(desk: Desk, order: Record, wanted: list[Mapping[str, Any]]) -> Record:
    lines = pricing.lines_of(desk, wanted)
    if lines == pricing.without_owner(items(desk, order["order_id"])):
        return {}
    MOVES.after(order["status"], "change its items")
    mine = (LINES.c.company == desk.company, LINES.c.owner_id == order["order_id"])
    desk.connection.execute(delete(LINES).where(*mine))
    pricing.keep(desk, order["order_id"], lines)
    # the lines are a part of the order, even where their sum is the same
    return {**pricing.totals(lines), "revision": order["revision"] + 1}


def _moved(desk: Desk, order: Record, verb: str) -> Record:
    status = MOVES.after(order["status"], verb)
    moved: Record = {"status": status}
    if status == "shipped" != order["status"]:
        moved |= {"shipped_at": desk.now, "shipped_after": int((desk.now - order["created_at"]).total_seconds())}
    elif status == "ready" and order["status"] == "shipped":
        moved |= {"shipped_at": None, "shipped_after": None}
    return moved


def _told(desk: Desk, order: Record, wanted: Mapping[str, Any]) -> Record:
    after = change(desk, ORDERS, order, **wanted)
    answer = show(desk, after)[0]
    if after is order:
        return {**answer, "change": "none"}
    desk.emit("order.updated", f"order/{order['order_id']}", answer)
    return {**answer, "change": "updated"}


def move(desk: Desk, order_id: str, verb: str) -> Record:
    """Move an order on, for the modules that see it happen (`in_production`, `ready`, `shipped`, `delivered`, `take back`); return it.

    Raises:
        Permanent: ORDER_UNKNOWN, ORDER_STATUS.

    """
    order = find(desk, order_id, lock=True)
    return _told(desk, order, _moved(desk, order, verb))


def set_payment_status(desk: Desk, order: Record, status: str) -> Record:
    """Say how far a locked order is paid."""
    return _told(desk, order, {"payment_status": status})


def set_priority(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Answer `orders.set_priority`."""
    order = find(desk, given["order_id"], lock=True)
    if order["priority"] != given["priority"]:
        MOVES.after(order["status"], "change")
    answer = _told(desk, order, {"priority": given["priority"]})
    return {name: answer[name] for name in ("order_id", "priority", "change")}


def cancel(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Answer `orders.cancel`: what never was or is cancelled is left alone."""
    order = one(desk, ORDERS, lock=True, order_id=given["order_id"])
    if order is None:
        return {"order_id": given["order_id"], "status": None, "change": "none"}
    status = MOVES.after(order["status"], "cancel")
    if status != order["status"]:
        after = change(desk, ORDERS, order, status=status)
        reason = {"reason": given["reason"]} if "reason" in given else {}
        desk.emit("order.cancelled", f"order/{order['order_id']}", {**show(desk, after)[0], **reason})
    return {
        "order_id": order["order_id"],
        "status": status,
        "change": "none" if status == order["status"] else "updated",
    }
