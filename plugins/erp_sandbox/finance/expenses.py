"""Expenses, and receipts of payments."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from plugins.erp_sandbox.finance import books
from plugins.erp_sandbox.finance.tables import EXPENSES, PAYMENTS, RECEIPTS
from plugins.erp_sandbox.records import add, cents, one, refused, shown
from plugins.erp_sandbox.sales import customers
from server.sdk.ports.finance import PAYMENT_STATUS, PAYMENT_UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Mapping

    from plugins.erp_sandbox.desk import Desk
    from plugins.erp_sandbox.records import Record

_NAMED = ("category", "description", "supplier_id", "employee_id", "reference")


def record(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Answer `expenses.record`: the tax is a part of the amount."""
    amount = cents(given["amount"])
    net = cents(amount / (1 + Decimal(given.get("tax_rate", "0")) / 100))
    expense: Record = {
        "company": desk.company,
        "expense_id": desk.new_id("exp"),
        **{name: given.get(name) for name in _NAMED},
        "amount": amount,
        "net": net,
        "tax": amount - net,
        "spent_on": given.get("spent_on") or desk.now.date().isoformat(),
        "created_at": desk.now,
    }
    add(desk, EXPENSES, expense)
    accounts = {books.EXPENSES: net, books.TAX_PAID: amount - net, books.BANK: -amount}
    books.post(desk, expense["expense_id"], accounts, day=expense["spent_on"])
    return shown(EXPENSES, expense)


def receipt(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Answer `receipts.generate`."""
    payment = one(desk, PAYMENTS, lock=True, payment_id=given["payment_id"])
    if payment is None:
        raise refused(PAYMENT_UNKNOWN, "there is no such payment", payment_id=given["payment_id"])
    if payment["status"] == "failed":
        raise refused(PAYMENT_STATUS, "the payment has failed", status="failed")
    there = one(desk, RECEIPTS, payment_id=payment["payment_id"])
    if there is not None:
        return {**shown(RECEIPTS, there), "change": "none"}
    receipt_id = desk.new_id("rec")
    number = f"REC-{desk.now.year}-{receipt_id[-10:].upper()}"
    name = customers.get(desk, {"customer_id": payment["customer_id"]}).name
    for_what = f" for invoice {payment['invoice_id']}" if payment["invoice_id"] else ""
    made = {
        "company": desk.company,
        "receipt_id": receipt_id,
        "number": number,
        **{key: payment[key] for key in ("payment_id", "customer_id", "invoice_id", "amount")},
        "text": f"Receipt {number}\nReceived from {name} on {payment['received_on']}: "
        f"{payment['amount']:.2f} by {payment['method']}{for_what}. Thank you.",
        "issued_at": desk.now,
    }
    add(desk, RECEIPTS, made)
    return {**shown(RECEIPTS, made), "change": "created"}
