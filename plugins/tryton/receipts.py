"""Receipts: the posted move of a payment is the document over there, with a number that is given once and never changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plugins.tryton import finding
from plugins.tryton.customers import PARTY
from plugins.tryton.invoices import INVOICE
from plugins.tryton.payments import MOVE, payment_of
from plugins.tryton.values import amount, moment
from server.sdk.ports.finance import PAYMENT_STATUS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from plugins.tryton.customers import Work
    from plugins.tryton.rest import Tryton


def _generate(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    """Say what the payment's move says. Nothing is made: there is one for each, because there is one move."""
    draft = [["id", "=", finding.number(given["payment_id"])], ["state", "=", "draft"]]
    if erp.first(MOVE, [*draft, ["description", "like", "payments.%"]], ("id",)):
        raise finding.refused(PAYMENT_STATUS, "the payment is not posted", status="failed")
    payment = payment_of(erp, given["payment_id"])
    number, worth = payment.move["number"], amount(payment.amount)
    party = erp.get(PARTY, payment.party or -1, ("name",)) or {"name": payment.party}
    invoice = None if payment.invoice is None else erp.get(INVOICE, payment.invoice, ("number",))
    for_what = "" if invoice is None else f" for invoice {invoice['number']}"
    return {
        "receipt_id": str(payment.move["id"]),
        "number": number,
        "payment_id": given["payment_id"],
        "customer_id": str(payment.party),
        "invoice_id": None if invoice is None else str(invoice["id"]),
        "amount": worth,
        "issued_at": moment(payment.move["create_date"]),
        "text": f"Receipt {number}\nReceived from {party['name']} on {payment.move['date']}: {worth}{for_what}. Thank you.",
        "change": "none",
    }


OPERATIONS: dict[str, Work] = {"receipts.generate": _generate}
