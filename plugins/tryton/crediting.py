"""The customer's credit, money that pays no invoice yet: an invoice is paid from it by a move that comes from the payment's own.

No money moves: debited and credited is the customer's account, and the new line pays the invoice.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from plugins.tryton import finding
from plugins.tryton.invoices import INVOICE, invoice_of, open_of, shown
from plugins.tryton.payments import FIELDS, MOVE, PAID, booked, line, of_customer, payments_of, read
from plugins.tryton.values import exact

if TYPE_CHECKING:
    from collections.abc import Mapping

    from plugins.tryton.customers import Work
    from plugins.tryton.payments import Payment
    from plugins.tryton.rest import Record, Tryton

_NOTHING = Decimal(0)


def _update(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    """The status follows the payments by itself over there; what is left to do is to pay from credit."""
    invoice = invoice_of(erp, given["invoice_id"])
    if not given.get("use_credit"):
        return {**shown(invoice), "change": "none"}
    paid = _begun(erp, invoice) + _from_credit(erp, invoice_of(erp, given["invoice_id"]))
    after = invoice_of(erp, given["invoice_id"]) if paid else invoice
    return {**shown(after), "change": "updated" if paid else "none"}


def _begun(erp: Tryton, invoice: Record) -> int:
    """Finish what this call began to pay; return how many moves that are."""
    begun = erp.search(MOVE, [["description", "=", erp.key]], FIELDS) if erp.key else []
    for each in begun:
        _finish(erp, invoice, each)
    return len(begun)


def _from_credit(erp: Tryton, invoice: Record) -> int:
    left, paid = open_of(invoice) if invoice["state"] == "posted" else _NOTHING, 0
    if not left:
        return 0
    domain = [*PAID, ["lines.party", "=", invoice["party"]]]
    for payment in payments_of(erp, list(finding.every(erp, MOVE, domain, FIELDS))):
        if (part := min(left, payment.credit)) > 0:
            left -= part
            paid += 1
            _transfer(erp, invoice, payment, part)
    return paid


def _transfer(erp: Tryton, invoice: Record, payment: Payment, part: Decimal) -> None:
    account, party = invoice["account"], payment.party
    lines = [line(account, debit=part, party=party), line(account, credit=part, party=party)]
    origin, journal = f"{MOVE},{payment.move['id']}", payment.move["journal"]["id"]
    made = booked(erp, journal, finding.today(erp), lines, description=erp.key, origin=origin)
    mine = finding.settled(erp, MOVE, made, field="description", more=[["origin", "=", origin]])
    _finish(erp, invoice, read(erp, mine["id"]))


def _finish(erp: Tryton, invoice: Record, move: Record) -> None:
    if move["state"] != "posted":
        erp.press(MOVE, move["id"], "post")
    pays = [each["id"] for each in move["lines"] if of_customer(each) and exact(each["credit"])]
    if not any(each["invoice_payment"] for each in move["lines"]):
        erp.write(INVOICE, invoice["id"], {"payment_lines": [["add", pays]]})


OPERATIONS: dict[str, Work] = {"invoices.update_payment_status": _update}
