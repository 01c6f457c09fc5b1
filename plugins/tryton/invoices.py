"""The port `finance` on customer invoices. The key is kept in the invoice's reference; what is void is cancelled over there.

Posted invoices can be cancelled where the company's "Cancel Customer Invoice" is on; without it Tryton refuses.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from plugins.tryton import finding
from plugins.tryton.customers import PARTY, party_of
from plugins.tryton.orders import FIELDS as SALE_FIELDS
from plugins.tryton.orders import SALE, again, confirm, is_given_up, leave, order_of
from plugins.tryton.products import percent
from plugins.tryton.values import STAMPS, amount, day, exact, goods, quantity, stamps
from server.sdk.ports.finance import CREDIT_LIMIT, INVOICE_STATUS, INVOICE_UNKNOWN
from server.sdk.ports.orders import ORDER_INVOICED
from server.sdk.ports.products import PRODUCT_UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

    from plugins.tryton.customers import Work
    from plugins.tryton.rest import Record, Tryton

INVOICE = "account.invoice"
FIELDS = (
    *("number", "state", "reference", "party", "type", "sales", "invoice_date", "payment_term_date", "account"),
    *("untaxed_amount", "tax_amount", "total_amount", "amount_to_pay", *STAMPS),
    *("lines.product", "lines.quantity", "lines.unit_price", "lines.amount", "lines.description", "lines.taxes.rate"),
    *("lines_to_pay.maturity_date", "lines_to_pay.reconciliation", "payment_lines"),
)
_OUT = ["type", "=", "out"]


def invoice_of(erp: Tryton, invoice_id: str) -> Record:
    """Return a customer's invoice.

    Raises:
        Permanent: INVOICE_UNKNOWN.

    """
    invoice = finding.one(erp, INVOICE, invoice_id, FIELDS, INVOICE_UNKNOWN)
    if invoice["type"] != "out":
        raise finding.refused(INVOICE_UNKNOWN, "it is a supplier's invoice", id=invoice_id)
    return invoice


def status_of(invoice: Record) -> str:
    """Return the status of an invoice."""
    if invoice["state"] in ("paid", "cancelled"):
        return "paid" if invoice["state"] == "paid" else "void"
    left = open_of(invoice)
    if not left and invoice["state"] == "posted":
        return "paid"
    return "partly_paid" if left < exact(invoice["total_amount"]) else "open"


def open_of(invoice: Record) -> Decimal:
    """Return what is still to be paid of an invoice."""
    if invoice["state"] in ("paid", "cancelled"):
        return Decimal(0)
    return exact(invoice["amount_to_pay"] if invoice["state"] == "posted" else invoice["total_amount"])


def shown(invoice: Record) -> dict[str, Any]:
    """Return an invoice as the port has it."""
    left, total = open_of(invoice), exact(invoice["total_amount"])
    due = max((each["maturity_date"] for each in invoice["lines_to_pay"] if each["maturity_date"]), default=None)
    issued = invoice["invoice_date"]
    return {
        "invoice_id": str(invoice["id"]),
        "customer_id": str(invoice["party"]),
        "order_id": str(invoice["sales"][0]) if invoice["sales"] else None,
        "status": status_of(invoice),
        "net": amount(invoice["untaxed_amount"]),
        "tax": amount(invoice["tax_amount"]),
        "total": amount(total),
        "paid": amount(0 if invoice["state"] == "cancelled" else total - left),
        "open": amount(left),
        "due_date": day(due or invoice["payment_term_date"] or issued or invoice["create_date"].date()),
        "lines": [_line(index, each) for index, each in enumerate(invoice["lines"])],
        **({"number": invoice["number"]} if invoice["number"] else {}),
        **({} if issued is None else {"issued_on": day(issued)}),
        **stamps(invoice),
    }


def _line(index: int, line: Record) -> dict[str, Any]:
    rate = percent(line["taxes"])
    return {
        "line": index,
        "product_id": None if line["product"] is None else str(line["product"]),
        "description": line["description"],
        "quantity": goods(line["quantity"]),
        "unit_price": amount(line["unit_price"]),
        "net": amount(line["amount"]),
        "tax_rate": rate,
        "tax": amount(exact(line["amount"]) * exact(rate) / 100),
    }


def _again(erp: Tryton, invoice: Record) -> Record:
    return invoice_of(erp, str(invoice["id"]))


def _from_order(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    invoice = finding.keyed(erp, INVOICE, FIELDS, more=[_OUT])
    if invoice is None:
        invoice = _of_sale(erp, order_of(erp, given["order_id"]))
    return {**shown(_posted(erp, invoice, given)), "change": "created"}


def _of_sale(erp: Tryton, sale: Record) -> Record:
    """Return the draft that Tryton makes of a sale; one without a reference was left by a call that broke off."""
    left = [each["id"] for each in sale["invoices"] if each["state"] != "cancelled"]
    if not left:
        within_limit(erp, str(sale["party"]), exact(sale["total_amount"]))
        sale = confirm(erp, sale)
        gone = [each["id"] for each in sale["invoices"] if each["state"] == "cancelled"]
        gone = [each for each in gone if each not in {*sale["invoices_ignored"], *sale["invoices_recreated"]}]
        if gone:
            erp.write(SALE, sale["id"], {"invoices_recreated": [["add", gone]]})
        erp.press(SALE, sale["id"], "manual_invoice")
        left = [each["id"] for each in again(erp, sale)["invoices"] if each["state"] != "cancelled"]
    if not left:
        raise finding.refused(ORDER_INVOICED, "nothing of the order is left to be invoiced")
    invoice = invoice_of(erp, str(left[-1]))
    if invoice["state"] != "draft" or invoice["reference"]:
        raise finding.refused(ORDER_INVOICED, "the order has an invoice", invoice_id=str(invoice["id"]))
    return invoice


def within_limit(erp: Tryton, customer_id: str, more: Decimal) -> None:
    """Check that a customer may owe so much more.

    Raises:
        Permanent: CREDIT_LIMIT.

    """
    party = party_of(erp, {"customer_id": customer_id})
    limit, balance = exact(party["credit_limit_amount"]), exact(party["receivable"])
    if limit and balance + more > limit:
        message = "the customer would owe more than the credit limit allows"
        raise finding.refused(CREDIT_LIMIT, message, credit_limit=amount(limit), balance=amount(balance))


def _posted(erp: Tryton, invoice: Record, given: Mapping[str, Any]) -> Record:
    if invoice["state"] != "draft":
        return invoice
    issued = finding.today(erp)
    values = {"invoice_date": issued, "payment_term": None, "payment_term_date": _due(issued, given)}
    erp.write(INVOICE, invoice["id"], {**values, "reference": erp.key})
    erp.press(INVOICE, invoice["id"], "post")
    return _again(erp, invoice)


def _due(issued: date, given: Mapping[str, Any]) -> date:
    if "due_date" in given:
        return finding.date_of(given["due_date"])
    terms = given.get("terms", "net30")
    return issued if terms == "immediate" else issued + timedelta(days=int(terms.removeprefix("net")))


def _create(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    invoice = finding.keyed(erp, INVOICE, FIELDS, more=[_OUT])
    if invoice is None:
        worth = sum((exact(each["quantity"]) * exact(each["unit_price"]) for each in given["lines"]), Decimal(0))
        within_limit(erp, given["customer_id"], worth)
        made = erp.create(INVOICE, _values(erp, given))
        invoice = _again(erp, finding.settled(erp, INVOICE, made, more=[_OUT]))
    return {**shown(_posted(erp, invoice, given)), "change": "created"}


def _values(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    party = erp.get(PARTY, finding.number(given["customer_id"]), ("account_receivable", "addresses"))
    if party is None or not party["addresses"]:
        party_of(erp, {"customer_id": given["customer_id"]})
        raise finding.refused(INVOICE_STATUS, "the customer has no address for an invoice", status="none")
    ids = [each["product_id"] for each in given["lines"] if "product_id" in each]
    fields = ("default_uom", "account_category.account_revenue", "account_category.customer_taxes")
    known = finding.products(erp, ids, PRODUCT_UNKNOWN, fields)
    if "order_id" in given:
        order_of(erp, given["order_id"])
    return {
        "type": "out",
        "reference": erp.key,
        "party": party["id"],
        "journal": _journal(erp),
        "account": party["account_receivable"] or account_of(erp, "receivable"),
        "invoice_address": party["addresses"][0],
        "currency": finding.currency(erp),
        "lines": [["create", [_new_line(erp, known, each) for each in given["lines"]]]],
    }


def _new_line(erp: Tryton, known: Mapping[str, Record], line: Mapping[str, Any]) -> dict[str, Any]:
    values = {
        "type": "line",
        "currency": finding.currency(erp),
        "quantity": quantity(line["quantity"]),
        "unit_price": exact(line["unit_price"]),
        "description": line.get("description"),
    }
    product = known.get(line.get("product_id", ""))
    category = (product or {}).get("account_category") or {}
    taxes = _taxes(erp, line) if "tax_rate" in line else category.get("customer_taxes", [])
    values |= {"account": category.get("account_revenue") or account_of(erp, "revenue"), "taxes": [["add", taxes]]}
    if product is None:
        return values
    return {
        **values,
        "product": product["id"],
        "unit": product["default_uom"],
    }


def _journal(erp: Tryton) -> int:
    found = erp.first("account.journal", [["type", "=", "revenue"]], ("id",))
    if found is None:
        raise finding.refused(INVOICE_STATUS, "the books have no journal of revenues", status="none")
    return int(found["id"])


def account_of(erp: Tryton, kind: str, party: int | None = None) -> int:
    """Return the account of a kind of the books, or the one that a party has of it.

    Raises:
        Permanent: INVOICE_STATUS, where the books have none.

    """
    own = None if party is None else erp.get(PARTY, party, (f"account_{kind}",))
    if own is not None and own[f"account_{kind}"] is not None:
        return int(own[f"account_{kind}"])
    found = erp.first("account.account", [[f"type.{kind}", "=", True], ["closed", "!=", True]], ("id",))
    if found is None:
        raise finding.refused(INVOICE_STATUS, f"the books have no account of the type {kind}", status="none")
    return int(found["id"])


def _taxes(erp: Tryton, line: Mapping[str, Any]) -> list[int]:
    rate = exact(line.get("tax_rate")) / 100
    if not rate:
        return []
    domain = [["rate", "=", rate], ["type", "=", "percentage"], ["parent", "=", None]]
    found = erp.first("account.tax", domain, ("id",))
    if found is None:
        raise finding.refused(INVOICE_STATUS, "the books have no tax of this rate", tax_rate=line["tax_rate"])
    return [found["id"]]


def _get(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    return shown(invoice_of(erp, given["invoice_id"]))


def void(erp: Tryton, number: int) -> str:
    """Cancel an invoice; return what was done.

    Raises:
        Permanent: INVOICE_STATUS.

    """
    invoice = erp.get(INVOICE, number, FIELDS)
    if invoice is None or invoice["state"] == "cancelled":
        return "none"
    status = status_of(invoice)
    if status in ("paid", "partly_paid"):
        raise finding.refused(INVOICE_STATUS, "something is paid on the invoice", status=status)
    erp.press(INVOICE, number, "cancel")
    return "updated"


def is_unpaid(invoice: Record) -> bool:
    """Say whether nothing is paid of an invoice."""
    left = invoice["amount_to_pay"] if invoice["state"] == "posted" else invoice["total_amount"]
    return bool(invoice["state"] != "paid" and exact(left) >= exact(invoice["total_amount"]))


def _void(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    if "invoice_id" in given:
        invoice = erp.get(INVOICE, finding.number(given["invoice_id"]), ("sales",))
        there, sales = ([], []) if invoice is None else ([invoice["id"]], list(invoice["sales"]))
    else:
        sale = erp.get(SALE, finding.number(given["order_id"]), ("invoices",))
        there, sales = ([], []) if sale is None else (list(sale["invoices"]), [sale["id"]])
    changes = [void(erp, each) for each in there]
    for each in sales:
        ended(erp, each)
    return {
        "invoice_id": str(there[-1]) if there else None,
        "status": "void" if there else None,
        "change": "updated" if "updated" in changes else "none",
    }


def ended(erp: Tryton, number: int) -> None:
    """Bring an order to its end of which only what was paid had been left: over there it waits for its invoices."""
    sale = erp.get(SALE, number, SALE_FIELDS)
    if sale is not None and sale["state"] == "processing" and is_given_up(sale):
        leave(erp, sale)
        erp.press(SALE, number, "process")


OPERATIONS: dict[str, Work] = {
    "invoices.create": _create,
    "invoices.create_from_order": _from_order,
    "invoices.get": _get,
    "invoices.void": _void,
}
