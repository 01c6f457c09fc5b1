"""Refunds: a move out of the payment's bank or cash that comes from the payment's own, and invoices that are open again.

A line pays an invoice as a whole or not at all. Where only a part of it is given back, the refund's move takes the line over and
keeps the rest as a new one: debited is the old line, credited what is kept and the money.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from plugins.tryton import finding
from plugins.tryton.coverage import not_supported
from plugins.tryton.invoices import INVOICE
from plugins.tryton.payments import FIELDS, MOVE, PAID, booked, line, of_customer, payments_of, read
from plugins.tryton.values import amount, exact
from server.sdk.ports.finance import REFUND_EXCEEDS

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from plugins.tryton.customers import Work
    from plugins.tryton.payments import Payment
    from plugins.tryton.rest import Record, Tryton

_LINE = "account.move.line"
_NOTHING = Decimal(0)
_OURS = ["description", "like", r"payments.%"]


def _refund(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    """Give back the newest first. What this very call gave back before it broke off counts as its own."""
    moves, invoices = _of_payment(erp, given["payment_id"]) if "payment_id" in given else _of_invoices(erp, given)
    done = _finished(erp, moves)
    payments = payments_of(erp, moves)
    room = {each.move["id"]: _room(each, invoices) for each in payments}
    left = exact(given["amount"]) - sum(done.values()) if "amount" in given else sum(room.values(), _NOTHING)
    if left > sum(room.values()):
        raise finding.refused(REFUND_EXCEEDS, f"only {amount(sum(room.values(), _NOTHING))} can be given back")
    for payment in reversed(payments):
        key = payment.move["id"]
        if (part := min(left, room[key])) > 0:
            left -= part
            done[key] = done.get(key, _NOTHING) + part
            _give_back(erp, payment, part, invoices)
    back = [
        {"payment_id": str(each.move["id"]), "amount": amount(done[each.move["id"]]), "status": each.status}
        for each in payments_of(erp, [each for each in moves if each["id"] in done])
    ]
    return {
        "refunded": amount(sum(done.values(), _NOTHING)),
        "refunds": back,
        "change": "updated" if back else "none",
    }


def _of_payment(erp: Tryton, payment_id: str) -> tuple[list[Record], None]:
    """Return the payment of an id; one that was never posted is taken away."""
    named = ["id", "=", finding.number(payment_id)]
    draft = erp.first(MOVE, [named, _OURS, ["state", "=", "draft"]], ("id",))
    if draft is not None:
        erp.delete(MOVE, draft["id"])
    return erp.search(MOVE, [named, *PAID], FIELDS), None


def _of_invoices(erp: Tryton, given: Mapping[str, Any]) -> tuple[list[Record], list[int]]:
    """Return the payments of an invoice, or of all of an order, with these invoices."""
    if "invoice_id" in given:
        invoices = [finding.number(given["invoice_id"])]
    else:
        sale = erp.get("sale.sale", finding.number(given["order_id"]), ("invoices",))
        invoices = [] if sale is None else list(sale["invoices"])
    if not invoices:
        return [], []
    pays = ["lines.invoice_payment", "in", invoices]
    kept = erp.search(MOVE, [["origin", "like", f"{MOVE},%"], pays], ("origin",))
    ids = [finding.number(str(each["origin"]).partition(",")[2]) for each in kept]
    origins = [f"{INVOICE},{each}" for each in invoices]
    return erp.search(MOVE, [*PAID, ["OR", ["id", "in", ids], ["origin", "in", origins], pays]], FIELDS), invoices


def _room(payment: Payment, invoices: Collection[int] | None) -> Decimal:
    """Return how much of a payment may be given back: all that is left of it, or what it pays of some invoices."""
    left = payment.amount - payment.refunded
    if invoices is None:
        return left
    return min(left, sum((exact(each["credit"]) for each in _tied(payment, invoices)), _NOTHING))


def _tied(payment: Payment, invoices: Collection[int] | None) -> list[Record]:
    return [each for each in payment.tied if invoices is None or each["invoice_payment"] in invoices]


def _give_back(erp: Tryton, payment: Payment, part: Decimal, invoices: Collection[int] | None) -> None:
    """Book a part of a payment back: out of its credit first, where that may be, then out of what it pays."""
    move = payment.move
    account = next(each["account"]["id"] for each in move["lines"] if of_customer(each))
    money = next(each["account"]["id"] for each in move["lines"] if not of_customer(each))
    free = min(part, payment.credit) if invoices is None else _NOTHING
    lines = [line(money, credit=part), *([line(account, debit=free, party=payment.party)] if free else [])]
    left = part - free
    for old in reversed(_tied(payment, invoices)):
        taken = min(left, exact(old["credit"]))
        if not taken:
            break
        if old["reconciliation"]:
            because = "the payment is reconciled, and only people take that apart"
            raise not_supported("payments.refund", because, field="payment_id")
        left -= taken
        whose: dict[str, Any] = {"party": payment.party, "origin": f"{_LINE},{old['id']}"}
        lines.append(line(account, debit=exact(old["credit"]), **whose))
        if kept := exact(old["credit"]) - taken:
            lines.append(line(account, credit=kept, **whose))
    origin, when = f"{MOVE},{move['id']}", finding.today(erp)
    made = booked(erp, move["journal"]["id"], when, lines, description=erp.key, origin=origin)
    mine = finding.settled(erp, MOVE, made, field="description", more=[["origin", "=", origin]])
    _finish(erp, read(erp, mine["id"]))


def _finished(erp: Tryton, moves: list[Record]) -> dict[int, Decimal]:
    """Finish what this call began to give back; return how much of each payment that is."""
    origins = {f"{MOVE},{each['id']}": each["id"] for each in moves}
    if not erp.key or not moves:
        return {}
    begun = erp.search(MOVE, [["description", "=", erp.key], ["origin", "in", list(origins)]], FIELDS)
    for each in begun:
        _finish(erp, each)
    worth = ((each["origin"], [one for one in each["lines"] if not of_customer(one)]) for each in begun)
    return {origins[origin]: sum((exact(one["credit"]) for one in money), _NOTHING) for origin, money in worth}


def _finish(erp: Tryton, refund: Record) -> None:
    """Let the invoices go on with what is kept instead of the old lines, and post."""
    mine = [each for each in refund["lines"] if of_customer(each) and each["origin"]]
    old = [finding.number(each["origin"].partition(",")[2]) for each in mine if exact(each["debit"])]
    for each in erp.search(_LINE, [["id", "in", old]], ("invoice_payment",)) if old else []:
        if each["invoice_payment"]:
            origin = f"{_LINE},{each['id']}"
            kept = [one["id"] for one in mine if exact(one["credit"]) and one["origin"] == origin]
            change = [["remove", [each["id"]]], *([["add", kept]] if kept else [])]
            erp.write(INVOICE, each["invoice_payment"], {"payment_lines": change})
    if refund["state"] != "posted":
        erp.press(MOVE, refund["id"], "post")


OPERATIONS: dict[str, Work] = {"payments.refund": _refund}
