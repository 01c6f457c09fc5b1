"""Invoices: written for lines or orders within the credit limit, settled by payments, reversed when they are void."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from plugins.erp_sandbox.finance import books
from plugins.erp_sandbox.finance.tables import INVOICE_LINES, INVOICES
from plugins.erp_sandbox.records import add, cents, change, many, one, parts, refused, shown, stamped
from plugins.erp_sandbox.sales import customers, orders, pricing
from plugins.erp_sandbox.transitions import Transitions
from server.sdk.ports.finance import CREDIT_LIMIT, INVOICE_STATUS, INVOICE_UNKNOWN
from server.sdk.ports.orders import ORDER_CUSTOMER, ORDER_INVOICED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from plugins.erp_sandbox.desk import Desk
    from plugins.erp_sandbox.records import Record

_NOTHING = Decimal("0.00")
_ALIVE = ("open", "partly_paid", "paid")
MOVES = Transitions(
    "invoice",
    INVOICE_STATUS,
    {
        "pay": {"open": "open", "partly_paid": "partly_paid"},
        "settle as open": dict.fromkeys(_ALIVE, "open"),
        "settle as partly_paid": dict.fromkeys(_ALIVE, "partly_paid"),
        "settle as paid": dict.fromkeys(_ALIVE, "paid"),
        "void": {"open": "void", "void": "void"},
    },
)


def show(desk: Desk, invoice: Record, lines: Sequence[Record] | None = None) -> Record:
    """Return an invoice as the port has it."""
    if lines is None:
        lines = many(desk, INVOICE_LINES, INVOICE_LINES.c.invoice_id == invoice["invoice_id"])
    left = open_of(invoice)
    return {
        **shown(INVOICES, invoice),
        "open": f"{left:.2f}",
        "overdue": left > 0 and invoice["due_date"] < desk.now.date().isoformat(),
        "lines": [shown(INVOICE_LINES, each, "invoice_id") for each in lines],
    }


def open_of(invoice: Record) -> Decimal:
    """Return what is still to be paid."""
    left: Decimal = _NOTHING if invoice["status"] == "void" else invoice["total"] - invoice["paid"]
    return left


def find(desk: Desk, invoice_id: str, *, lock: bool = False) -> Record:
    """Return an invoice.

    Raises:
        Permanent: INVOICE_UNKNOWN.

    """
    invoice = one(desk, INVOICES, lock=lock, invoice_id=invoice_id)
    if invoice is None:
        raise refused(INVOICE_UNKNOWN, "there is no such invoice", invoice_id=invoice_id)
    return invoice


def named(desk: Desk, given: Mapping[str, Any], *, lock: bool = False) -> list[Record]:
    """Return the invoice of an id, or all of an order, in the order of their ids; none where there is none."""
    (name,) = {"invoice_id", "order_id"} & given.keys()
    return many(desk, INVOICES, INVOICES.c[name] == given[name], lock=lock)


def get(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Answer `invoices.get`."""
    return show(desk, find(desk, given["invoice_id"]))


def create(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Answer `invoices.create`."""
    if "order_id" in given:
        order = orders.find(desk, given["order_id"])
        if order["customer_id"] != given["customer_id"]:
            raise refused(ORDER_CUSTOMER, "the order is another customer's", order_id=order["order_id"])
    products = (line["product_id"] for line in given["lines"] if "product_id" in line)
    known = pricing.products_of(desk, products)
    lines = [
        pricing.priced(
            {
                "line": line,
                "product_id": each.get("product_id"),
                "description": each.get("description") or known.get(each.get("product_id"), {}).get("name"),
                "quantity": parts(each["quantity"]),
                "unit_price": cents(each["unit_price"]),
                "discount_percent": _NOTHING,
                "tax_rate": cents(each.get("tax_rate", "0")),
            }
        )
        for line, each in enumerate(given["lines"], 1)
    ]
    return _made(desk, given, given["customer_id"], lines)


def create_from_order(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Answer `invoices.create_from_order`: the lock of the order lets one of many callers write its invoice."""
    order = orders.find(desk, given["order_id"], lock=True)
    orders.MOVES.after(order["status"], "invoice")
    none_of(desk, order["order_id"])
    taken = ("line", "product_id", "quantity", "unit_price", "discount_percent", "tax_rate", "net", "tax")
    lines = [
        {**{name: item[name] for name in taken}, "description": item["name"]}
        for item in orders.items(desk, order["order_id"])
    ]
    return _made(desk, given, order["customer_id"], lines)


def none_of(desk: Desk, order_id: str) -> None:
    """Vet that a locked order has no invoice, or only void ones.

    Raises:
        Permanent: ORDER_INVOICED.

    """
    alive = many(desk, INVOICES, INVOICES.c.order_id == order_id, INVOICES.c.status != "void", most=1)
    if alive:
        invoice_id = alive[0]["invoice_id"]
        raise refused(ORDER_INVOICED, f"invoice {invoice_id} is of this order", invoice_id=invoice_id)


def _made(desk: Desk, given: Mapping[str, Any], customer_id: str, lines: Sequence[Record]) -> Record:
    sums = pricing.totals(lines)
    invoice_id, today = desk.new_id("inv"), desk.now.date()
    _allowed(desk, customer_id, sums["total"])
    terms = given.get("terms", "net30")
    invoice = stamped(
        desk,
        {
            "invoice_id": invoice_id,
            "number": f"INV-{today.year}-{invoice_id[-10:].upper()}",
            "customer_id": customer_id,
            "order_id": given.get("order_id"),
            "status": "open" if sums["total"] > 0 else "paid",
            **sums,
            "paid": _NOTHING,
            "terms": terms,
            "issued_on": today.isoformat(),
            "due_date": given.get("due_date") or _due(today, terms),
        },
    )
    add(desk, INVOICES, invoice)
    add(desk, INVOICE_LINES, *({**each, "company": desk.company, "invoice_id": invoice_id} for each in lines))
    _book(desk, invoice, 1)
    answer = show(desk, invoice, lines)
    desk.emit("invoice.created", f"invoice/{invoice_id}", answer)
    return {**answer, "change": "created"}


def _due(today: date, terms: str) -> str:
    return (today + timedelta(days=int(terms.removeprefix("net")) if terms.startswith("net") else 0)).isoformat()


def _book(desk: Desk, invoice: Record, sign: int) -> None:
    accounts = {
        books.RECEIVABLES: sign * invoice["total"],
        books.SALES: -sign * invoice["net"],
        books.TAX_OWED: -sign * invoice["tax"],
    }
    books.post(desk, invoice["invoice_id"], accounts, customer_id=invoice["customer_id"])


def _allowed(desk: Desk, customer_id: str, amount: Decimal) -> None:
    """Refuse what the credit limit does not allow; the customer stays locked, so that nobody else uses up the same room."""
    customer = customers.get(desk, {"customer_id": customer_id}, lock=True)
    if customer.credit_limit > 0 and customer.balance + amount > customer.credit_limit:
        raise refused(
            CREDIT_LIMIT,
            "the customer would owe more than the credit limit",
            customer_id=customer_id,
            credit_limit=f"{customer.credit_limit:.2f}",
            balance=f"{customer.balance:.2f}",
            amount=f"{amount:.2f}",
        )


def settle(desk: Desk, invoice: Record, paid: Decimal) -> Record:
    """Say how much of a locked invoice is paid; return it.

    Raises:
        Permanent: INVOICE_STATUS: it is void.

    """
    how = "paid" if paid >= invoice["total"] else "partly_paid" if paid > 0 else "open"
    status = MOVES.after(invoice["status"], f"settle as {how}")
    return change(desk, INVOICES, invoice, paid=paid, status=status)


def void(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Answer `invoices.void`: what never was or is void is left alone; nothing is void while something is paid on it."""
    found = named(desk, given, lock=True)
    changed = False
    for invoice in found:
        nothing_paid = invoice["paid"] == 0 and invoice["status"] == "paid"  # it is worth nothing
        status = MOVES.after("open" if nothing_paid else invoice["status"], "void")
        if status == invoice["status"]:
            continue
        after = change(desk, INVOICES, invoice, status=status)
        _book(desk, invoice, -1)
        reason = {"reason": given["reason"]} if "reason" in given else {}
        desk.emit("invoice.voided", f"invoice/{invoice['invoice_id']}", {**show(desk, after), **reason})
        changed = True
    return {
        "invoice_id": found[-1]["invoice_id"] if found else given.get("invoice_id"),
        "status": "void" if found else None,
        "change": "updated" if changed else "none",
    }


def payment_status_of(desk: Desk, order_id: str) -> str:
    """Return how far an order is paid: `unpaid`, `partly_paid` or `paid`."""
    alive = [each for each in named(desk, {"order_id": order_id}) if each["status"] != "void"]
    if alive and all(each["status"] == "paid" for each in alive):
        return "paid"
    return "partly_paid" if any(each["paid"] > 0 for each in alive) else "unpaid"
