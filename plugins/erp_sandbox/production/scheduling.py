"""Days of production: so much a day in all, the first free days first, no weekends. Nobody is moved to make room."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from plugins.erp_sandbox import records
from plugins.erp_sandbox.production import orders
from plugins.erp_sandbox.production.boms import stand_in_line
from plugins.erp_sandbox.production.tables import PRODUCTION_DAYS, PRODUCTION_ORDERS
from plugins.erp_sandbox.records import NOTHING, Record, parts, refused
from server.sdk.ports.production import CAPACITY_SHORT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal

    from plugins.erp_sandbox.desk import Desk

_A_DAY = 1000
_AHEAD = 366
_LINE = 7310005
_SATURDAY = 5


def planned(quantity: Decimal, start: date, busy: Mapping[date, Decimal], capacity: Decimal) -> dict[date, Decimal]:
    """Spread a quantity over the first free days from `start`.

    Raises:
        Permanent: CAPACITY_SHORT.

    """
    days: dict[date, Decimal] = {}
    rest = quantity
    for ahead in range(min(_AHEAD, (date.max - start).days + 1)):
        day = start + timedelta(days=ahead)
        free = capacity - busy.get(day, NOTHING)
        if day.weekday() < _SATURDAY and free > 0:
            days[day] = min(rest, free)
            rest -= days[day]
        if not rest:
            return days
    raise refused(CAPACITY_SHORT, "there is no room for it within a year")


def schedule(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Give a production order its days; one at a time, so that no day is given twice."""
    order = orders.locked(desk, given["production_order_id"])
    status = orders.STATUS.after(order["status"], "scheduled")
    tomorrow = desk.now.date() + timedelta(days=1)
    start = max(date.fromisoformat(given["not_before"]), tomorrow) if "not_before" in given else tomorrow
    stand_in_line(desk, _LINE)
    orders.free_days(desk, order)
    capacity = parts(given.get("capacity_per_day", _A_DAY))
    days = planned(order["quantity"] - order["produced"], start, _busy(desk, start), capacity)
    whose = {"company": desk.company, "production_order_id": order["production_order_id"]}
    records.add(desk, PRODUCTION_DAYS, *({**whose, "day": str(day), "quantity": part} for day, part in days.items()))
    first, last = str(min(days)), str(max(days))
    after = records.change(desk, PRODUCTION_ORDERS, order, status=status, scheduled_start=first, scheduled_end=last)
    desk.emit(
        "production.order.scheduled",
        orders.subject(after),
        orders.told(after, scheduled_start=first, scheduled_end=last),
    )
    is_late = after["due_date"] is not None and last > after["due_date"]
    return {**orders.shown(desk, after), "is_late": is_late, "change": "none" if after == order else "updated"}


def _busy(desk: Desk, start: date) -> dict[date, Decimal]:
    column = PRODUCTION_DAYS.c
    query = select(column.day, func.sum(column.quantity)).where(
        column.company == desk.company, column.day >= str(start)
    )
    return {date.fromisoformat(day): taken for day, taken in desk.connection.execute(query.group_by(column.day))}
