"""Figures of orders in a span of days, for reports. Drafts and cancelled ones do not count."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from plugins.erp_sandbox.records import cents, number
from plugins.erp_sandbox.sales.days import on_days, span
from plugins.erp_sandbox.sales.history import real
from plugins.erp_sandbox.sales.tables import LINES, ORDERS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from plugins.erp_sandbox.desk import Desk
    from plugins.erp_sandbox.records import Record

_NOTHING = Decimal("0.00")


def orders(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Return how many orders there were, their worth without tax, and the hours from each to its shipment."""
    column = ORDERS.c
    count, net, shipped, seconds = desk.connection.execute(
        select(
            func.count(), func.sum(column.net), func.count(column.shipped_after), func.sum(column.shipped_after)
        ).where(*real(desk), *on_days(column.ordered_on, given))
    ).one()
    revenue = net or _NOTHING
    return {
        "orders_processed": count,
        "revenue": f"{revenue:.2f}",
        "average_order_value": f"{cents(revenue / count) if count else _NOTHING:.2f}",
        "orders_shipped": shipped,
        "fulfilment_hours": round(float(seconds) / shipped / 3600, 4) if shipped else None,
    }


def sales(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Answer `reports.sales`."""
    by, column = given["by"], ORDERS.c
    source: Any = ORDERS
    net, much = func.sum(column.net), None
    if by == "product":
        source = LINES.join(ORDERS, (LINES.c.company == column.company) & (LINES.c.owner_id == column.order_id))
        net, much = func.sum(LINES.c.net), func.sum(LINES.c.quantity)
    keys = {
        "day": column.ordered_on,
        "month": func.substr(column.ordered_on, 1, 7),
        "product": LINES.c.product_id,
        "customer": column.customer_id,
    }
    key, counted = keys[by], func.count(column.order_id.distinct())
    order = [key] if by in ("day", "month") else [net.desc(), key]
    query = select(key, counted, net, *(() if much is None else (much,))).select_from(source)
    query = query.where(*real(desk), *on_days(column.ordered_on, given)).group_by(key)
    rows = []
    for name, count, sum_, *more in desk.connection.execute(query.order_by(*order).limit(int(given.get("limit", 100)))):
        row = {"key": name, "orders": count, "net": f"{sum_:.2f}"}
        rows.append({**row, "quantity": number(more[0])} if more else row)
    return {**span(given), "rows": rows}
