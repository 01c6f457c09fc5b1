"""What is reserved for orders. One reservation an order; each of its changes is made with the order locked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, update

from plugins.erp_sandbox import records
from plugins.erp_sandbox.inventory import kept, sold, stock
from plugins.erp_sandbox.inventory.stock import Change, Why
from plugins.erp_sandbox.inventory.tables import RESERVATIONS, RESERVED_GOODS
from plugins.erp_sandbox.records import NOTHING, Record, number, refused
from plugins.erp_sandbox.sales import orders
from plugins.erp_sandbox.transitions import Transitions
from server.sdk.ports.inventory import STOCK_BOUND, STOCK_RESERVED
from server.sdk.ports.warehouse import NOTHING_RESERVED, RESERVATION_STALE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal

    from plugins.erp_sandbox.desk import Desk

MOVES: Mapping[str, Mapping[str, str]] = {
    "reserve": {"none": "held", "released": "held"},
    "release": {"held": "released", "none": "none", "released": "released"},
    "pick": {"held": "picking"},
    "put back": {"picking": "held"},
    "ship": {"picking": "shipped"},
    "take back": {"shipped": "picking"},
}
_FREE = frozenset({"none", "released"})
_RESERVING = Transitions("reservation", STOCK_RESERVED, MOVES)
_RELEASING = Transitions("reservation", STOCK_BOUND, MOVES)
_PICKING = Transitions("reservation", NOTHING_RESERVED, MOVES)


def status_of(desk: Desk, order_id: str) -> str:
    """Return how far the reservation of an order is, `none` where there is none."""
    found = records.one(desk, RESERVATIONS, order_id=order_id)
    return "none" if found is None else str(found["status"])


def goods_of(desk: Desk, order_id: str) -> dict[str, Decimal]:
    """Return what is reserved for an order: quantities by product."""
    goods = records.many(desk, RESERVED_GOODS, RESERVED_GOODS.c.order_id == order_id)
    return {each["product_id"]: each["quantity"] for each in goods}


def shown_goods(goods: Mapping[str, Decimal]) -> list[Record]:
    """Return goods as the ports have them."""
    return [{"product_id": product_id, "quantity": number(quantity)} for product_id, quantity in sorted(goods.items())]


def reserve(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Reserve all the goods of an order, or none; what was made for it is its already."""
    order_id = given["order_id"]
    sold.order_to_come(desk, order_id)
    before = status_of(desk, order_id)
    after = _RESERVING.after(before, "reserve")
    goods, had = sold.goods_of(desk, order_id), kept.for_order(desk, order_id)
    made = {each: min(had.get(each, NOTHING), goods.get(each, NOTHING)) for each in {*goods, *had}}
    changes = {each: Change(reserved=goods.get(each, NOTHING) - had.get(each, NOTHING)) for each in made}
    stock.change(desk, changes, Why("reserved", f"order/{order_id}"))
    kept.put(desk, order_id, made)
    whose = {"company": desk.company, "order_id": order_id}
    if before == "none":
        records.add(desk, RESERVATIONS, {**whose, "status": after, "updated_at": desk.now})
    else:
        _set(desk, order_id, after)
    reserved = [{**whose, "product_id": each, "quantity": goods[each], "made": made[each]} for each in goods]
    records.add(desk, RESERVED_GOODS, *reserved)
    return {"order_id": order_id, "status": after, "change": "created", "items": shown_goods(goods)}


def release(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Give back what is held; what never was, or was given back already, is fine. What was made for the order stays its."""
    order_id = given["order_id"]
    sold.lock_order(desk, order_id)
    before = status_of(desk, order_id)
    after = _RELEASING.after(before, "release")
    goods = goods_of(desk, order_id) if after != before else {}
    if after != before:
        made = _made(desk, order_id)
        changes = {each: Change(reserved=made[each] - quantity) for each, quantity in goods.items()}
        stock.change(desk, changes, Why("released", f"order/{order_id}"))
        this = (RESERVED_GOODS.c.company == desk.company, RESERVED_GOODS.c.order_id == order_id)
        desk.connection.execute(delete(RESERVED_GOODS).where(*this))
        _set(desk, order_id, after)
    freed = not sold.is_to_come(desk, order_id) and _let_go(desk, order_id)
    change = "updated" if freed or after != before else "none"
    return {"order_id": order_id, "status": after, "change": change, "items": shown_goods(goods)}


def cancel_order(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Cancel an order, as the sales module does; what was made for it is for anybody then. What is held for it waits for its release."""
    answer = orders.cancel(desk, given)
    if answer["change"] != "none" and status_of(desk, given["order_id"]) in _FREE:
        _let_go(desk, given["order_id"])
    return answer


def keep(desk: Desk, order_id: str, product_id: str, quantity: Decimal) -> Decimal:
    """Keep goods that were made for an order, as far as it lacks them; return how much of them is reserved by that."""
    sold.lock_order(desk, order_id)
    if not sold.is_to_come(desk, order_id) or status_of(desk, order_id) not in _FREE:
        return NOTHING
    has = kept.for_order(desk, order_id).get(product_id, NOTHING)
    more = max(min(quantity, sold.goods_of(desk, order_id).get(product_id, NOTHING) - has), NOTHING)
    kept.put(desk, order_id, {product_id: has + more})
    return more


def give_up(desk: Desk, order_id: str, product_id: str, quantity: Decimal) -> Decimal:
    """Keep less for an order, of what is not reserved yet; return how much less."""
    sold.lock_order(desk, order_id)
    if status_of(desk, order_id) not in _FREE:
        return NOTHING
    has = kept.for_order(desk, order_id).get(product_id, NOTHING)
    less = min(has, quantity)
    kept.put(desk, order_id, {product_id: has - less})
    return less


def _let_go(desk: Desk, order_id: str) -> bool:
    """Let anybody have what was made for an order; return whether there was something."""
    had = kept.for_order(desk, order_id)
    changes = {each: Change(reserved=-quantity) for each, quantity in had.items()}
    stock.change(desk, changes, Why("released", f"order/{order_id}"))
    kept.put(desk, order_id, dict.fromkeys(had, NOTHING))
    return any(had.values())


def _made(desk: Desk, order_id: str) -> dict[str, Decimal]:
    goods = records.many(desk, RESERVED_GOODS, RESERVED_GOODS.c.order_id == order_id)
    return {each["product_id"]: each["made"] for each in goods}


def pick(desk: Desk, order_id: str) -> dict[str, Decimal]:
    """Bind what is held for a locked order to a picking; return what it is.

    Raises:
        Permanent: NOTHING_RESERVED, RESERVATION_STALE.

    """
    after = _PICKING.after(status_of(desk, order_id), "pick")
    goods = goods_of(desk, order_id)
    if goods != sold.goods_of(desk, order_id):
        raise refused(RESERVATION_STALE, "the order's items have changed since they were reserved", order_id=order_id)
    _set(desk, order_id, after)
    return goods


def put_back(desk: Desk, order_id: str) -> None:
    """Unbind what was picked for a locked order; it stays held."""
    _set(desk, order_id, _PICKING.after(status_of(desk, order_id), "put back"))


def ship(desk: Desk, order_id: str, reference: str) -> None:
    """Let what was picked for a locked order leave the stock."""
    _leave(desk, order_id, "ship", Why("shipped", reference), -1)


def take_back(desk: Desk, order_id: str, reference: str) -> None:
    """Let what was shipped for a locked order be in stock, reserved and picked again."""
    _leave(desk, order_id, "take back", Why("taken_back", reference), 1)


def come_back(desk: Desk, order_id: str, reference: str) -> None:
    """Let what was shipped for a locked order be in stock again, for anybody."""
    changes = {product_id: Change(on_hand=quantity) for product_id, quantity in goods_of(desk, order_id).items()}
    stock.change(desk, changes, Why("returned", reference))


def _leave(desk: Desk, order_id: str, verb: str, why: Why, sign: int) -> None:
    after = _PICKING.after(status_of(desk, order_id), verb)
    goods = goods_of(desk, order_id)
    stock.change(desk, {each: Change(quantity * sign, quantity * sign) for each, quantity in goods.items()}, why)
    had = kept.for_order(desk, order_id)
    kept.put(desk, order_id, {each: had[each] + made * sign for each, made in _made(desk, order_id).items() if made})
    _set(desk, order_id, after)


def _set(desk: Desk, order_id: str, status: str) -> None:
    this = (RESERVATIONS.c.company == desk.company, RESERVATIONS.c.order_id == order_id)
    desk.connection.execute(update(RESERVATIONS).where(*this).values(status=status, updated_at=desk.now))
