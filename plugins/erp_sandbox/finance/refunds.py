"""Refunds: out of a payment's credit first, then out of the invoices that it paid, so that these are open again."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from plugins.erp_sandbox.finance import books, invoices, payments
from plugins.erp_sandbox.finance.tables import ALLOCATIONS, INVOICES, PAYMENTS
from plugins.erp_sandbox.records import by_id, change, many, refused
from server.sdk.ports.finance import REFUND_EXCEEDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from plugins.erp_sandbox.desk import Desk
    from plugins.erp_sandbox.records import Record

_NOTHING = Decimal("0.00")


def refund(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Answer `payments.refund`.

    Without an amount all that is left to give back is given back; where that is nothing, nothing is done.
    """
    of_one = "payment_id" in given
    mine = _of_payment(desk, given["payment_id"]) if of_one else _of_invoices(desk, given)
    locked = by_id(desk, INVOICES, "invoice_id", {each["invoice_id"] for each in mine}, lock=True)
    found = by_id(desk, PAYMENTS, "payment_id", _ids(given, mine), lock=True)
    # read again: between the two the payments may have been applied elsewhere
    mine = [each for each in _allocated(desk, found) if of_one or each["invoice_id"] in locked]
    room = {each: _room(payment, mine, of_one=of_one) for each, payment in found.items()}
    left = Decimal(given["amount"]) if "amount" in given else sum(room.values(), _NOTHING)
    if left > sum(room.values(), _NOTHING):
        raise refused(REFUND_EXCEEDS, f"only {sum(room.values(), _NOTHING):.2f} can be given back")
    refunds = []
    for payment_id, payment in reversed(found.items()):
        amount = min(left, room[payment_id])
        if amount > 0:
            left -= amount
            refunds.append(_given_back(desk, payment, amount, mine, locked, of_one=of_one))
    total = sum((Decimal(each["amount"]) for each in refunds), _NOTHING)
    return {"refunded": f"{total:.2f}", "refunds": refunds, "change": "updated" if refunds else "none"}


def _ids(given: Mapping[str, Any], mine: Iterable[Record]) -> set[str]:
    return {given["payment_id"]} if "payment_id" in given else {each["payment_id"] for each in mine}


def _of_payment(desk: Desk, payment_id: str) -> list[Record]:
    return many(desk, ALLOCATIONS, ALLOCATIONS.c.payment_id == payment_id)


def _of_invoices(desk: Desk, given: Mapping[str, Any]) -> list[Record]:
    ids = [each["invoice_id"] for each in invoices.named(desk, given)]
    return many(desk, ALLOCATIONS, ALLOCATIONS.c.invoice_id.in_(ids))


def _allocated(desk: Desk, payment_ids: Iterable[str]) -> list[Record]:
    return many(desk, ALLOCATIONS, ALLOCATIONS.c.payment_id.in_(sorted(payment_ids)), ALLOCATIONS.c.amount > 0)


def _room(payment: Record, mine: Iterable[Record], *, of_one: bool) -> Decimal:
    """Return how much of a payment may be given back: all that is left of it, or what it paid of these invoices."""
    applied = (each["amount"] for each in mine if each["payment_id"] == payment["payment_id"])
    return sum(applied, payments.credit_of(payment) if of_one else _NOTHING)


def _given_back(
    desk: Desk, payment: Record, amount: Decimal, mine: list[Record], locked: dict[str, Record], *, of_one: bool
) -> Record:
    left = amount - min(amount, payments.credit_of(payment) if of_one else _NOTHING)
    taken = left
    for each in reversed([each for each in mine if each["payment_id"] == payment["payment_id"]]):
        part = min(left, each["amount"])
        if part > 0:
            left -= part
            change(desk, ALLOCATIONS, each, amount=each["amount"] - part)
            invoice = locked.get(each["invoice_id"]) or invoices.find(desk, each["invoice_id"], lock=True)
            locked[each["invoice_id"]] = invoices.settle(desk, invoice, invoice["paid"] - part)
    refunded = payment["refunded"] + amount
    status = "refunded" if refunded == payment["amount"] else "partly_refunded"
    after = change(desk, PAYMENTS, payment, refunded=refunded, applied=payment["applied"] - taken, status=status)
    accounts = {books.RECEIVABLES: amount, books.BANK: -amount}
    books.post(desk, payment["payment_id"], accounts, customer_id=payment["customer_id"])
    told = {**payments.show(after), "amount": f"{amount:.2f}"}
    desk.emit("payment.refunded", f"payment/{payment['payment_id']}", told)
    return {"payment_id": payment["payment_id"], "amount": f"{amount:.2f}", "status": status}
