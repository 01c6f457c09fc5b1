"""What customers have ordered: their history, what they like, what they are worth; and sums of orders for reports."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from plugins.erp_sandbox.records import add, cents, change, moment, number, one, paged
from plugins.erp_sandbox.sales import customers
from plugins.erp_sandbox.sales.days import on_days
from plugins.erp_sandbox.sales.tables import LINES, METRICS, ORDERS
from plugins.erp_sandbox.tables import CUSTOMERS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import ColumnElement

    from plugins.erp_sandbox.desk import Desk
    from plugins.erp_sandbox.records import Record

_NOTHING = Decimal("0.00")


def real(desk: Desk) -> list[ColumnElement[bool]]:
    """Return the conditions for orders that count: no drafts, none that are cancelled."""
    return [ORDERS.c.company == desk.company, ORDERS.c.status.not_in(("draft", "cancelled"))]


def _sums(desk: Desk, customer_id: str) -> Record:
    column = ORDERS.c
    first, last, count, net = desk.connection.execute(
        select(func.min(column.created_at), func.max(column.created_at), func.count(), func.sum(column.net)).where(
            *real(desk), column.customer_id == customer_id
        )
    ).one()
    revenue = net or _NOTHING
    average = cents(revenue / count) if count else _NOTHING
    return {"orders": count, "revenue": revenue, "average_order_value": average, "last_order_at": last, "first": first}


def _shown(customer_id: str, sums: Mapping[str, Any]) -> Record:
    last = sums["last_order_at"]
    return {
        "customer_id": customer_id,
        "orders": sums["orders"],
        "revenue": f"{sums['revenue']:.2f}",
        "average_order_value": f"{sums['average_order_value']:.2f}",
        "last_order_at": None if last is None else moment(last),
    }


def update_metrics(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Answer `customers.update_metrics`; the lock of the customer lets one count at a time."""
    customer = customers.get(desk, {"customer_id": given["customer_id"]}, lock=True)
    sums = _sums(desk, customer.customer_id)
    sums.pop("first")
    there = one(desk, METRICS, customer_id=customer.customer_id)
    if there is None:
        add(desk, METRICS, {"company": desk.company, "customer_id": customer.customer_id, **sums})
        return {**_shown(customer.customer_id, sums), "change": "created"}
    after = change(desk, METRICS, there, **sums)
    return {**_shown(customer.customer_id, after), "change": "none" if after is there else "updated"}


def order_history(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Answer `customers.order_history`."""
    customer = customers.get(desk, {"customer_id": given["customer_id"]})
    mine = ORDERS.c.customer_id == customer.customer_id
    found, following = paged(desk, ORDERS, given, mine, by=("created_at", "order_id"), newest_first=True)
    lines = [
        {
            "order_id": each["order_id"],
            "status": each["status"],
            "total": f"{each['total']:.2f}",
            "created_at": moment(each["created_at"]),
        }
        for each in found
    ]
    return {"customer_id": customer.customer_id, "orders": lines, "next": following}


def preferences(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Answer `customers.preferences`."""
    customer = customers.get(desk, {"customer_id": given["customer_id"]})
    joined = LINES.join(ORDERS, (LINES.c.company == ORDERS.c.company) & (LINES.c.owner_id == ORDERS.c.order_id))
    quantity, orders = func.sum(LINES.c.quantity), func.count(LINES.c.owner_id.distinct())
    query = (
        select(LINES.c.product_id, func.max(LINES.c.name).label("name"), quantity, orders)
        .select_from(joined)
        .where(*real(desk), ORDERS.c.customer_id == customer.customer_id)
        .group_by(LINES.c.product_id)
        .order_by(orders.desc(), quantity.desc(), LINES.c.product_id)
        .limit(int(given.get("limit", 10)))
    )
    liked = [
        {"product_id": product_id, "name": name, "quantity": number(much), "orders": count}
        for product_id, name, much, count in desk.connection.execute(query)
    ]
    return {"customer_id": customer.customer_id, "products": liked}


def analytics(desk: Desk, customer_id: str) -> Record:
    """Return how a customer orders; what is open is the books' part."""
    sums = _sums(desk, customer_id)
    cancelled = desk.connection.execute(
        select(func.count()).where(
            ORDERS.c.company == desk.company, ORDERS.c.customer_id == customer_id, ORDERS.c.status == "cancelled"
        )
    ).scalar_one()
    between = None
    if sums["orders"] > 1:
        days = (sums["last_order_at"] - sums["first"]).total_seconds() / 86400
        between = round(days / (sums["orders"] - 1), 2)
    return {
        **_shown(customer_id, sums),
        "first_order_at": None if sums["first"] is None else moment(sums["first"]),
        "cancelled_orders": int(cancelled),
        "days_between_orders": between,
    }


def report(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Answer `customers.report`."""
    mine = CUSTOMERS.c.company == desk.company
    counted = select(CUSTOMERS.c.state, func.count(), func.sum(CUSTOMERS.c.balance)).where(mine)
    states = {row[0]: row for row in desk.connection.execute(counted.group_by(CUSTOMERS.c.state))}
    revenue, orders = func.sum(ORDERS.c.net), func.count()
    joined = ORDERS.join(
        CUSTOMERS, (ORDERS.c.company == CUSTOMERS.c.company) & (ORDERS.c.customer_id == CUSTOMERS.c.customer_id)
    )
    best = (
        select(CUSTOMERS.c.customer_id, CUSTOMERS.c.name, orders, revenue)
        .select_from(joined)
        .where(*real(desk), *on_days(ORDERS.c.ordered_on, given))
        .group_by(CUSTOMERS.c.customer_id, CUSTOMERS.c.name)
        .order_by(revenue.desc(), CUSTOMERS.c.customer_id)
        .limit(int(given.get("limit", 10)))
    )
    return {
        "active": states["active"][1] if "active" in states else 0,
        "archived": states["archived"][1] if "archived" in states else 0,
        "balance": f"{sum((row[2] for row in states.values()), _NOTHING):.2f}",
        "best": [
            {"customer_id": customer_id, "name": name, "orders": count, "revenue": f"{net:.2f}"}
            for customer_id, name, count, net in desk.connection.execute(best)
        ],
    }
