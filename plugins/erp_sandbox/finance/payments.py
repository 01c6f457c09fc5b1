"""Payments: money that came, applied to invoices up to what is open; what is beyond stays the customer's credit."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, insert, select

from plugins.erp_sandbox.finance import books, invoices
from plugins.erp_sandbox.finance.tables import ALLOCATIONS, INVOICES, PAYMENTS
from plugins.erp_sandbox.records import add, change, many, one, paged, refused, shown, stamped
from plugins.erp_sandbox.sales import customers
from server.sdk.ports.finance import INVOICE_STATUS, INVOICE_UNKNOWN, PAYMENT_DECLINED, PAYMENT_EXCEEDS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from plugins.erp_sandbox.desk import Desk
    from plugins.erp_sandbox.records import Record

_NOTHING = Decimal("0.00")
_DECLINED = "declined"


def credit_of(payment: Record) -> Decimal:
    """Return what of a payment is neither applied nor given back."""
    left: Decimal = payment["amount"] - payment["applied"] - payment["refunded"]
    return _NOTHING if payment["status"] == "failed" else left


def show(payment: Record, invoice: Record | None = None) -> Record:
    """Return a payment as the port has it."""
    failure = payment["failure"]
    return {
        **shown(PAYMENTS, payment),
        "credit": f"{credit_of(payment):.2f}",
        "failure": None if failure is None else {"code": PAYMENT_DECLINED, "message": failure},
        "invoice_status": None if invoice is None else invoice["status"],
    }


def record(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Answer `payments.record`."""
    amount = Decimal(given["amount"])
    if "invoice_id" not in given:
        customer_id = given["customer_id"]
        customers.get(desk, {"customer_id": customer_id})
        return _taken(desk, given, amount, customer_id, None)
    invoice = invoices.find(desk, given["invoice_id"], lock=True)
    if invoice["status"] == "void" or given.get("over") != "credit":
        _fits(invoice, amount)
    return _taken(desk, given, amount, invoice["customer_id"], invoice)


def _fits(invoice: Record, amount: Decimal) -> None:
    invoices.MOVES.after(invoice["status"], "pay")
    left = invoices.open_of(invoice)
    if amount > left:
        raise refused(PAYMENT_EXCEEDS, f"{amount:.2f} is more than the {left:.2f} that are open", open=f"{left:.2f}")


def process(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Answer `payments.process`. As test gateways do, the embedded one declines a card by its reference: `declined…`."""
    invoice = invoices.find(desk, given["invoice_id"], lock=True)
    amount = Decimal(given["amount"]) if "amount" in given else invoices.open_of(invoice)
    _fits(invoice, amount)
    if given["method"] == "card" and given.get("reference", "").startswith(_DECLINED):
        payment = _kept(desk, given, amount, invoice["customer_id"], invoice, failure="the card was declined")
        answer = show(payment, invoice)
        desk.emit("payment.failed", f"payment/{payment['payment_id']}", answer)
        return {**answer, "change": "created"}
    return _taken(desk, given, amount, invoice["customer_id"], invoice, "payment.processed", "payment.received")


def _taken(
    desk: Desk,
    given: Mapping[str, Any],
    amount: Decimal,
    customer_id: str,
    invoice: Record | None,
    *events: str,
) -> Record:
    payment = _kept(desk, given, amount, customer_id, invoice)
    if invoice is not None:
        payment, invoice = apply(desk, payment, invoice)
    accounts = {books.BANK: amount, books.RECEIVABLES: -amount}
    day = payment["received_on"]
    books.post(desk, payment["payment_id"], accounts, customer_id=customer_id, day=day)
    answer = show(payment, invoice)
    for type_ in events or ("payment.received",):
        desk.emit(type_, f"payment/{payment['payment_id']}", answer)
    return {**answer, "change": "created"}


def _kept(
    desk: Desk,
    given: Mapping[str, Any],
    amount: Decimal,
    customer_id: str,
    invoice: Record | None,
    *,
    failure: str | None = None,
) -> Record:
    payment = stamped(
        desk,
        {
            "payment_id": desk.new_id("pay"),
            "customer_id": customer_id,
            "invoice_id": None if invoice is None else invoice["invoice_id"],
            "order_id": None if invoice is None else invoice["order_id"],
            "amount": amount,
            "applied": _NOTHING,
            "refunded": _NOTHING,
            "method": given.get("method", "transfer"),
            "status": "received" if failure is None else "failed",
            "reference": given.get("reference"),
            "failure": failure,
            "received_on": given.get("received_on") or desk.now.date().isoformat(),
        },
    )
    add(desk, PAYMENTS, payment)
    return payment


def apply(desk: Desk, payment: Record, invoice: Record) -> tuple[Record, Record]:
    """Pay a locked invoice from the credit of a locked payment, as far as both go; return both."""
    amount = min(credit_of(payment), invoices.open_of(invoice))
    if amount <= 0:
        return payment, invoice
    pair = {"payment_id": payment["payment_id"], "invoice_id": invoice["invoice_id"]}
    there = one(desk, ALLOCATIONS, **pair)
    if there is None:
        desk.connection.execute(insert(ALLOCATIONS), {"company": desk.company, **pair, "amount": amount})
    else:
        change(desk, ALLOCATIONS, there, amount=there["amount"] + amount)
    payment = change(desk, PAYMENTS, payment, applied=payment["applied"] + amount)
    return payment, invoices.settle(desk, invoice, invoice["paid"] + amount)


def update_payment_status(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Answer `invoices.update_payment_status`: what is paid is what payments are applied to the invoice."""
    before = invoice = invoices.find(desk, given["invoice_id"], lock=True)
    if invoice["status"] != "void":
        mine = (ALLOCATIONS.c.company == desk.company, ALLOCATIONS.c.invoice_id == invoice["invoice_id"])
        paid = desk.connection.execute(select(func.sum(ALLOCATIONS.c.amount)).where(*mine)).scalar_one()
        invoice = invoices.settle(desk, invoice, paid or _NOTHING)
        if given.get("use_credit"):
            invoice = _from_credit(desk, invoice)
    return {**invoices.show(desk, invoice), "change": "none" if invoice is before else "updated"}


def _from_credit(desk: Desk, invoice: Record) -> Record:
    """Pay an invoice from the customer's payments that have credit, the first ids first."""
    column = PAYMENTS.c
    with_credit = (column.status != "failed", column.amount > column.applied + column.refunded)
    for payment in many(desk, PAYMENTS, column.customer_id == invoice["customer_id"], *with_credit, lock=True):
        _, invoice = apply(desk, payment, invoice)
    return invoice


def validate(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Answer `payments.validate`."""
    invoice = one(desk, INVOICES, invoice_id=given["invoice_id"])
    if invoice is None:
        problem = {"code": INVOICE_UNKNOWN, "message": "there is no such invoice"}
        return {"valid": False, "open": None, "errors": [problem]}
    left, amount = invoices.open_of(invoice), Decimal(given["amount"])
    errors = []
    if invoice["status"] in ("void", "paid"):
        errors.append({"code": INVOICE_STATUS, "message": f"the invoice is {invoice['status']}"})
    elif amount > left:
        errors.append({"code": PAYMENT_EXCEEDS, "message": f"only {left:.2f} is open"})
    return {"valid": not errors, "open": f"{left:.2f}", "errors": errors}


def search(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Answer `payments.search`."""
    where = [PAYMENTS.c[name] == given[name] for name in ("customer_id", "invoice_id", "status") if name in given]
    found, following = paged(desk, PAYMENTS, given, *where, by=("updated_at", "payment_id"))
    return {"payments": [show(each) for each in found], "next": following}
