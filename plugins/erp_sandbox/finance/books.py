"""The books: entries of postings whose sum is nothing, and what they say that customers owe.

accounts: `receivables` (of a customer), `bank`, `sales`, `tax_owed`, `tax_paid`, `corrections`, `expenses`. A debit is above 0.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from sqlalchemy import case, func, literal, select, update

from plugins.erp_sandbox.finance.tables import POSTINGS
from plugins.erp_sandbox.records import add
from plugins.erp_sandbox.sales import customers
from plugins.erp_sandbox.sales.days import on_days, span
from plugins.erp_sandbox.tables import CUSTOMERS, Moment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from plugins.erp_sandbox.desk import Desk
    from plugins.erp_sandbox.records import Record

RECEIVABLES, BANK, SALES, TAX_OWED, TAX_PAID = "receivables", "bank", "sales", "tax_owed", "tax_paid"
CORRECTIONS, EXPENSES = "corrections", "expenses"
_NOTHING = Decimal("0.00")


def post(
    desk: Desk, about: str, accounts: Mapping[str, Decimal], *, customer_id: str | None = None, day: str | None = None
) -> None:
    """Book an entry; what it does to `receivables` is owed by the customer from then on.

    The customer is locked to the end, after all else that a call locks.

    Raises:
        ValueError: the postings are not nothing together; that is a fault of the caller's.

    """
    if sum(accounts.values()) != 0:
        raise ValueError(f"an entry about {about} does not balance: {accounts}")
    entry_id, booked_on = desk.new_id("ent"), day or desk.now.date().isoformat()
    whose = {"company": desk.company, "entry_id": entry_id, "about": about, "booked_on": booked_on}
    lines = [
        {**whose, "line": line, "account": account, "customer_id": customer_id, "amount": amount}
        for line, (account, amount) in enumerate(accounts.items(), 1)
        if amount != 0
    ]
    add(desk, POSTINGS, *lines)
    owed = accounts.get(RECEIVABLES, _NOTHING)
    if customer_id is not None and owed != 0:
        _owe(desk, customer_id, owed)


def _owe(desk: Desk, customer_id: str, amount: Decimal) -> None:
    column = CUSTOMERS.c
    later = case((column.updated_at > desk.now, column.updated_at), else_=literal(desk.now, Moment()))
    desk.connection.execute(
        update(CUSTOMERS)
        .where(column.company == desk.company, column.customer_id == customer_id)
        .values(balance=column.balance + amount, revision=column.revision + 1, updated_at=later)
    )


def owed(desk: Desk, customer_id: str) -> Decimal:
    """Return what the books say that a customer owes."""
    column = POSTINGS.c
    query = select(func.sum(column.amount)).where(
        column.company == desk.company, column.customer_id == customer_id, column.account == RECEIVABLES
    )
    return desk.connection.execute(query).scalar_one() or _NOTHING


def update_balance(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Answer `customers.update_balance`."""
    named = {"customer_id": given["customer_id"]}
    before = customers.get(desk, named, lock=True).balance
    amount = Decimal(given.get("amount", "0"))
    if amount != 0:
        post(desk, given["customer_id"], {RECEIVABLES: amount, CORRECTIONS: -amount}, **named)
    right = owed(desk, given["customer_id"])
    now = customers.get(desk, named)
    if now.balance != right:
        _owe(desk, given["customer_id"], right - now.balance)
        now = customers.get(desk, named)
    if now.balance != before:
        desk.emit("customer.updated", f"customer/{now.customer_id}", customers.shown(now))
    return {**named, "balance": f"{right:.2f}", "change": "none" if now.balance == before else "updated"}


def trial_balance(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Answer `reports.trial_balance`."""
    column = POSTINGS.c
    debit = func.sum(case((column.amount > 0, column.amount), else_=_NOTHING))
    query = select(column.account, debit, func.sum(column.amount)).where(column.company == desk.company)
    query = query.where(*on_days(column.booked_on, given)).group_by(column.account).order_by(column.account)
    found = [(account, above, sum_) for account, above, sum_ in desk.connection.execute(query)]
    accounts = [
        {"account": account, "debit": f"{above:.2f}", "credit": f"{above - sum_:.2f}", "balance": f"{sum_:.2f}"}
        for account, above, sum_ in found
    ]
    difference = sum((sum_ for _, _, sum_ in found), _NOTHING)
    return {**span(given), "accounts": accounts, "difference": f"{difference:.2f}"}
