"""What the books and orders say: figures of a span of days, and whether a customer may owe more."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from plugins.erp_sandbox.finance.tables import INVOICES
from plugins.erp_sandbox.sales import customers, deals, figures, history
from plugins.erp_sandbox.sales.days import span

if TYPE_CHECKING:
    from collections.abc import Mapping

    from plugins.erp_sandbox.desk import Desk
    from plugins.erp_sandbox.records import Record

_NOTHING = Decimal("0.00")
_AGES = (("days_1_30", 30), ("days_31_60", 60), ("days_61_90", 90))


def check_credit(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Answer `customers.check_credit_limit`."""
    customer = customers.get(desk, {"customer_id": given["customer_id"]})
    after = customer.balance + Decimal(given.get("amount", "0"))
    limited = customer.credit_limit > 0
    beyond = max(after - customer.credit_limit, _NOTHING) if limited else _NOTHING
    return {
        "customer_id": customer.customer_id,
        "allowed": beyond == 0,
        "credit_limit": f"{customer.credit_limit:.2f}" if limited else None,
        "balance": f"{customer.balance:.2f}",
        "available": f"{max(customer.credit_limit - customer.balance, _NOTHING):.2f}" if limited else None,
        "exceeded_by": f"{beyond:.2f}",
    }


def analytics(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Answer `customers.analytics`."""
    customer = customers.get(desk, {"customer_id": given["customer_id"]})
    today = desk.now.date().isoformat()
    mine = INVOICES.c.customer_id == customer.customer_id
    return {
        **history.analytics(desk, customer.customer_id),
        "open_amount": f"{_open(desk, mine):.2f}",
        "overdue_amount": f"{_open(desk, mine, INVOICES.c.due_date < today):.2f}",
    }


def _open(desk: Desk, *where: Any) -> Decimal:
    column = INVOICES.c
    query = select(func.sum(column.total) - func.sum(column.paid)).where(column.company == desk.company, *where)
    found: Decimal | None = desk.connection.execute(
        query.where(column.status.in_(("open", "partly_paid")))
    ).scalar_one()
    return found or _NOTHING


def kpis(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Answer `reports.kpis`."""
    return {
        **span(given),
        **figures.orders(desk, given),
        "conversion_rate": deals.conversion(desk, given)["rate"],
        "receivables": f"{_open(desk):.2f}",
    }


def receivables(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Answer `reports.receivables`: what is open now, by its age on a day."""
    as_of = date.fromisoformat(given["as_of"]) if "as_of" in given else desk.now.date()
    column = INVOICES.c
    query = select(column.due_date, func.sum(column.total) - func.sum(column.paid)).where(
        column.company == desk.company, column.status.in_(("open", "partly_paid"))
    )
    sums = dict.fromkeys(("not_due", *(name for name, _ in _AGES), "older"), _NOTHING)
    for due_date, left in desk.connection.execute(query.group_by(column.due_date)):
        days = (as_of - date.fromisoformat(due_date)).days
        name = next((name for name, most in _AGES if days <= most), "older") if days > 0 else "not_due"
        sums[name] += left
    texts = {name: f"{value:.2f}" for name, value in sums.items()}
    return {"as_of": as_of.isoformat(), "open": f"{sum(sums.values(), _NOTHING):.2f}", **texts}
