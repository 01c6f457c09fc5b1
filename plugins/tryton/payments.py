"""The part of the port `finance` about payments, on moves in the books: what came is debited to the payment method's account and
credited to the customer's. The move's description says which call made it. What people book in Tryton's own client, by "Pay
Invoice" or by a statement, are payments as well.

REST lets nobody reconcile. An invoice of which nothing is open counts as paid; over there it says so once Tryton's own
reconciliation, by hand or by its schedule, has seen the moves.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from plugins.tryton import finding
from plugins.tryton.coverage import not_supported
from plugins.tryton.customers import party_of
from plugins.tryton.invoices import FIELDS as INVOICE_FIELDS
from plugins.tryton.invoices import INVOICE, account_of, invoice_of, open_of, status_of
from plugins.tryton.values import STAMPS, amount, day, exact, stamps
from server.sdk import Permanent
from server.sdk.ports.finance import INVOICE_STATUS, INVOICE_UNKNOWN, PAYMENT_EXCEEDS, PAYMENT_UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import date

    from plugins.tryton.customers import Work
    from plugins.tryton.rest import Record, Tryton

MOVE = "account.move"
FIELDS = (
    *("state", "number", "description", "origin", "date", "journal.type", *STAMPS),
    *("lines.account.type.receivable", "lines.party", "lines.debit", "lines.credit", "lines.description"),
    *("lines.reconciliation", "lines.invoice_payment", "lines.origin"),
)
_CAME = ["lines", "where", [["account.type.receivable", "=", True], ["credit", ">", 0]]]
PAID: tuple[Any, ...] = (
    ["state", "=", "posted"],
    ["journal.type", "in", ["cash", "statement"]],
    ["OR", ["origin", "=", None], ["origin", "not like", f"{MOVE},%"]],
    _CAME,
)
"""What of the moves are payments: money came for a customer's account, and no other move is taken back by it."""
_NOTHING = Decimal(0)
_REASONS = (INVOICE_UNKNOWN, INVOICE_STATUS, PAYMENT_EXCEEDS)
_BEYOND = "Credit of the customer"


class Payment:
    """A posted payment with its refunds: how much of it pays what, and how much was given back."""

    def __init__(self, move: Record, refunds: Iterable[Record] = ()) -> None:
        self.move = move
        self.refunds = list(refunds)
        mine = [each for each in move["lines"] if of_customer(each) and exact(each["credit"])]
        self.party = mine[0]["party"] if mine else None
        self.amount = sum((exact(each["credit"]) for each in mine), _NOTHING)
        out = [each for refund in self.refunds for each in refund["lines"] if not of_customer(each)]
        self.refunded = sum((exact(each["credit"]) - exact(each["debit"]) for each in out), _NOTHING)

    @property
    def tied(self) -> list[Record]:
        """The lines that pay an invoice, or that somebody has reconciled: those of the move, and what refunds left of them."""
        lines = [each for move in (self.move, *self.refunds) for each in move["lines"]]
        taken = ("invoice_payment", "reconciliation")
        return [each for each in lines if exact(each["credit"]) and of_customer(each) and any(map(each.get, taken))]

    @property
    def applied(self) -> Decimal:
        """What of it pays invoices."""
        return min(sum((exact(each["credit"]) for each in self.tied), _NOTHING), self.amount - self.refunded)

    @property
    def credit(self) -> Decimal:
        """What of it is the customer's credit."""
        return self.amount - self.refunded - self.applied

    @property
    def invoice(self) -> int | None:
        """The invoice that it came for, or that it pays."""
        kind, _, number = str(self.move["origin"] or "").partition(",")
        if kind == INVOICE:
            return finding.number(number)
        return next((each["invoice_payment"] for each in self.tied if each["invoice_payment"]), None)

    @property
    def status(self) -> str:
        """`received`, `partly_refunded` or `refunded`."""
        if not self.refunded:
            return "received"
        return "refunded" if self.refunded >= self.amount else "partly_refunded"


def of_customer(line: Record) -> bool:
    """Say whether a line of a move is on a customer's account."""
    return bool(line["party"] and line["account"]["type"] and line["account"]["type"]["receivable"])


def payments_of(erp: Tryton, moves: list[Record]) -> list[Payment]:
    """Return the payments of some moves, with their refunds: moves that come from them."""
    origins = [f"{MOVE},{each['id']}" for each in moves]
    back = erp.search(MOVE, [["origin", "in", origins], ["state", "=", "posted"]], FIELDS) if origins else []
    return [
        Payment(move, (each for each in back if each["origin"] == origin))
        for move, origin in zip(moves, origins, strict=True)
    ]


def payment_of(erp: Tryton, payment_id: str) -> Payment:
    """Return a posted payment.

    Raises:
        Permanent: PAYMENT_UNKNOWN.

    """
    move = erp.first(MOVE, [["id", "=", finding.number(payment_id)], *PAID], FIELDS)
    if move is None:
        raise finding.refused(PAYMENT_UNKNOWN, "there is no such payment", payment_id=payment_id)
    return payments_of(erp, [move])[0]


def shown(erp: Tryton, payments: list[Payment]) -> list[dict[str, Any]]:
    """Return payments as the port has them."""
    numbers = sorted({each.invoice for each in payments if each.invoice is not None})
    rows = erp.search(INVOICE, [["id", "in", numbers], ["type", "=", "out"]], INVOICE_FIELDS) if numbers else []
    invoices = {row["id"]: row for row in rows}
    return [_shown(each, invoices.get(each.invoice)) for each in payments]


def _shown(payment: Payment, invoice: Record | None) -> dict[str, Any]:
    reference = next((each["description"] for each in payment.move["lines"] if not of_customer(each)), None)
    return {
        "payment_id": str(payment.move["id"]),
        "customer_id": str(payment.party),
        "invoice_id": None if invoice is None else str(invoice["id"]),
        "order_id": None if invoice is None or not invoice["sales"] else str(invoice["sales"][0]),
        "amount": amount(payment.amount),
        "status": payment.status,
        "applied": amount(payment.applied),
        "credit": amount(payment.credit),
        "refunded": amount(payment.refunded),
        "reference": reference or None,
        "received_on": day(payment.move["date"]),
        "invoice_status": None if invoice is None else status_of(invoice),
        **stamps(payment.move),
    }


def _record(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    invoice = invoice_of(erp, given["invoice_id"]) if "invoice_id" in given else None
    move = finding.keyed(erp, MOVE, FIELDS, field="description")
    if move is None:
        worth = exact(given["amount"])
        pays = _fitting(invoice, worth, given)
        whose = {"customer_id": str(invoice["party"])} if invoice else {"customer_id": given["customer_id"]}
        move = _made(erp, invoice, given, party_of(erp, whose)["id"], (pays, worth - pays))
    if move["state"] != "posted":
        erp.press(MOVE, move["id"], "post")
    if invoice is not None:
        _tie(erp, invoice, move)
    return {**shown(erp, [payment_of(erp, str(move["id"]))])[0], "change": "created"}


def _fitting(invoice: Record | None, worth: Decimal, given: Mapping[str, Any]) -> Decimal:
    """Return how much of some money pays an invoice; the rest is credit.

    Raises:
        Permanent: INVOICE_STATUS, PAYMENT_EXCEEDS.

    """
    if invoice is None:
        return _NOTHING
    if given.get("over") != "credit" or status_of(invoice) == "void":
        _check(invoice, worth)
    return min(worth, open_of(invoice))


def _check(invoice: Record, worth: Decimal) -> None:
    status, left = status_of(invoice), open_of(invoice)
    if status in ("void", "paid") or invoice["state"] != "posted":
        raise finding.refused(INVOICE_STATUS, f"the invoice is {status}", status=status)
    if worth > left:
        raise finding.refused(PAYMENT_EXCEEDS, "it is more than what is open", open=amount(left))


def _made(
    erp: Tryton, invoice: Record | None, given: Mapping[str, Any], party: int, parts: tuple[Decimal, Decimal]
) -> Record:
    when = finding.date_of(given["received_on"]) if "received_on" in given else finding.today(erp)
    account = account_of(erp, "receivable", party) if invoice is None else invoice["account"]
    method = method_of(erp)
    lines = [line(method["debit_account"], debit=sum(parts, _NOTHING), description=given.get("reference"))]
    lines += [
        line(account, credit=part, party=party, description=said)
        for part, said in zip(parts, (None, _BEYOND), strict=True)
        if part
    ]
    origin = None if invoice is None else f"{INVOICE},{invoice['id']}"
    made = booked(erp, method["journal"], when, lines, description=erp.key, origin=origin)
    return read(erp, finding.settled(erp, MOVE, made, field="description")["id"])


def method_of(erp: Tryton) -> Record:
    """Return the payment method of the integration: the one of its config, or the oldest.

    Raises:
        Permanent: PAYMENT_UNKNOWN.

    """
    named = erp.settings.get("payment_method")
    domain = [] if named is None else [["id", "=", named]]
    fields = ("journal", "debit_account", "credit_account")
    found = erp.first("account.invoice.payment.method", domain, fields)
    if found is None:
        raise finding.refused(PAYMENT_UNKNOWN, "there is no payment method of invoices", payment_method=named)
    return found


def line(account: int, *, debit: Decimal = _NOTHING, credit: Decimal = _NOTHING, **more: Any) -> dict[str, Any]:
    """Return a new line of a move."""
    return {"account": account, "debit": debit, "credit": credit, **{name: each for name, each in more.items() if each}}


def booked(erp: Tryton, journal: int, when: date, lines: list[dict[str, Any]], **more: Any) -> Record:
    """Make a move, a draft, in the open period of its day.

    Raises:
        Permanent: INVOICE_STATUS, where there is no such period.

    """
    domain = [["start_date", "<=", when], ["end_date", ">=", when], ["type", "=", "standard"], ["state", "=", "open"]]
    period = erp.first("account.period", domain, ("id",))
    if period is None:
        raise finding.refused(INVOICE_STATUS, "the books have no open period of this day", day=when.isoformat())
    values = {"journal": journal, "period": period["id"], "date": when, "lines": [["create", lines]], **more}
    return erp.create(MOVE, values)


def read(erp: Tryton, number: int) -> Record:
    """Return a move.

    Raises:
        Permanent: PAYMENT_UNKNOWN.

    """
    return finding.one(erp, MOVE, str(number), FIELDS, PAYMENT_UNKNOWN)


def _tie(erp: Tryton, invoice: Record, move: Record) -> None:
    """Let an invoice know of what pays it: then so much less of it is open. What was given back meanwhile pays nothing."""
    paying = [each for each in move["lines"] if of_customer(each) and each["description"] != _BEYOND]
    if (
        not paying
        or paying[0]["invoice_payment"]
        or erp.first(MOVE, [["origin", "=", f"{MOVE},{move['id']}"]], ("id",))
    ):
        return
    erp.write(INVOICE, invoice["id"], {"payment_lines": [["add", [each["id"] for each in paying]]]})


def _process(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    """Cash is taken where it is booked; a card or a bank is charged by modules for payments, which are others."""
    if given["method"] != "cash":
        raise not_supported(
            "payments.process", "nobody's card or bank is charged; record what has come", field="method"
        )
    return _record(erp, {"amount": amount(open_of(invoice_of(erp, given["invoice_id"]))), **given})


def _validate(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    errors: list[dict[str, str]] = []
    left: str | None = None
    try:
        invoice = invoice_of(erp, given["invoice_id"])
        left = amount(open_of(invoice))
        _check(invoice, exact(given["amount"]))
    except Permanent as error:
        if error.code not in _REASONS:
            raise
        errors.append({"code": error.code, "message": error.message})
    return {"valid": not errors, "open": left, "errors": errors}


def _search(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    """A status is looked for in each page: that of a payment follows from its refunds."""
    domain: list[Any] = list(PAID)
    if "customer_id" in given:
        domain.append(["lines.party", "=", finding.number(given["customer_id"])])
    if "invoice_id" in given:
        number = finding.number(given["invoice_id"])
        domain.append(["OR", ["origin", "=", f"{INVOICE},{number}"], ["lines.invoice_payment", "=", number]])
    moves, following = finding.changed(erp, MOVE, domain, FIELDS, given)
    found = shown(erp, payments_of(erp, moves))
    return {"payments": [each for each in found if given.get("status") in (None, each["status"])], "next": following}


OPERATIONS: dict[str, Work] = {
    "payments.record": _record,
    "payments.process": _process,
    "payments.validate": _validate,
    "payments.search": _search,
}
