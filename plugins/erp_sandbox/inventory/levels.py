"""Stock is counted, corrected and looked at."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import case, func, select

from plugins.erp_sandbox.inventory import sold, stock
from plugins.erp_sandbox.inventory.stock import Change, Why
from plugins.erp_sandbox.inventory.tables import STOCK, STOCK_MOVES
from plugins.erp_sandbox.records import NOTHING, Record, number, parts, values_of
from plugins.erp_sandbox.sales.pricing import products_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from decimal import Decimal

    from plugins.erp_sandbox.desk import Desk

_DAYS = 30
_MOST_MOVED = 10


def summed(items: Iterable[Mapping[str, Any]]) -> dict[str, Decimal]:
    """Return quantities by product, in the order in which the products come first."""
    asked: dict[str, Decimal] = {}
    for item in items:
        asked[item["product_id"]] = asked.get(item["product_id"], NOTHING) + parts(item["quantity"])
    return asked


def checked(desk: Desk, asked: Mapping[str, Decimal]) -> Record:
    """Say of each product whether so much of it is available."""
    kinds = products_of(desk, asked)
    levels = stock.levels(desk, asked)
    there, lacking = [], []
    for product_id, quantity in asked.items():
        available = quantity if kinds[product_id]["kind"] == "service" else levels[product_id].available
        line = {"product_id": product_id, "quantity": number(quantity), "available": number(available)}
        if available >= quantity:
            there.append(line)
        else:
            lacking.append({**line, "missing": number(quantity - available)})
    return {"available": there, "unavailable": lacking, "all_available": not lacking}


def check(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Check the items of an input."""
    return checked(desk, summed(given["items"]))


def adjust(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Put right what is on hand by a difference."""
    product_id = given["product_id"]
    sold.stocked(desk, [product_id])
    change = Change(parts(given["change"]))
    after = stock.change(desk, {product_id: change}, Why("adjusted", reason=given["reason"]))
    return {**after[product_id].shown(), "change": "updated"}


def update(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Set what was counted, and when and how much is ordered anew. Of a product that is named twice the last word counts."""
    wanted = {each["product_id"]: each for each in given["levels"]}
    sold.stocked(desk, wanted)
    before = stock.locked(desk, wanted)
    for product_id, each in sorted(wanted.items()):
        points = {
            name: None if each[name] is None else parts(each[name])
            for name in ("reorder_point", "reorder_quantity")
            if name in each
        }
        if any(getattr(before[product_id], name) != value for name, value in points.items()):
            stock.set_points(desk, before[product_id], points)
    counted = {
        product_id: Change(parts(each["on_hand"]) - before[product_id].on_hand)
        for product_id, each in wanted.items()
        if "on_hand" in each
    }
    stock.change(desk, counted, Why("counted", reason=given.get("reason")), tells_low=False)
    after = stock.levels(desk, wanted)
    for product_id, level in sorted(after.items()):
        stock.tell_low(desk, before[product_id], level)
    change = {each: "none" if after[each] == before[each] else "updated" for each in after}
    return {"levels": [{**after[each].shown(), "change": change[each]} for each in wanted]}


def report(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Return a page of the stock."""
    limit = int(given.get("limit", 50))
    query = select(STOCK).where(STOCK.c.company == desk.company)
    if "product_ids" in given:
        query = query.where(STOCK.c.product_id.in_(given["product_ids"]))
    if given.get("low_only"):
        query = query.where(STOCK.c.on_hand - STOCK.c.reserved <= STOCK.c.reorder_point)
    if "cursor" in given:
        query = query.where(STOCK.c.product_id > given["cursor"])
    found = desk.connection.execute(query.order_by(STOCK.c.product_id).limit(limit + 1)).all()
    following = found[limit - 1].product_id if len(found) > limit else None
    return {"products": [stock.level_of(values_of(row)).shown() for row in found[:limit]], "next": following}


def analytics(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Sum up the stock and its moves of some days."""
    days = int(given.get("days", _DAYS))
    low = case((STOCK.c.on_hand - STOCK.c.reserved <= STOCK.c.reorder_point, 1), else_=0)
    sums = (func.sum(STOCK.c.on_hand), func.sum(STOCK.c.reserved), func.count(), func.sum(low))
    on_hand, reserved, products, few = desk.connection.execute(
        select(*sums).where(STOCK.c.company == desk.company)
    ).one()
    moved = _moved(desk, days)
    going_in = sum((up for up, _ in moved.values()), NOTHING)
    going_out = sum((down for _, down in moved.values()), NOTHING)
    most = sorted((each for each in moved if moved[each][1]), key=lambda each: (-moved[each][1], each))[:_MOST_MOVED]
    return {
        "days": days,
        "products": products,
        "low": int(few or 0),
        "on_hand": number(on_hand or NOTHING),
        "reserved": number(reserved or NOTHING),
        "moved_in": number(going_in),
        "moved_out": number(going_out),
        "turnover": float(round(going_out / on_hand, 4)) if on_hand else 0,
        "most_moved": [{"product_id": each, "moved_out": number(moved[each][1])} for each in most],
    }


def _moved(desk: Desk, days: int) -> dict[str, tuple[Decimal, Decimal]]:
    column = STOCK_MOVES.c
    nothing = NOTHING
    up = func.sum(case((column.quantity > nothing, column.quantity), else_=nothing))
    down = func.sum(case((column.quantity < nothing, -column.quantity), else_=nothing))
    query = select(column.product_id, up, down).where(
        column.company == desk.company, column.at >= desk.now - timedelta(days=days)
    )
    return {
        product_id: (a or NOTHING, b or NOTHING)
        for product_id, a, b in desk.connection.execute(query.group_by(column.product_id))
    }
