"""The part of the port `finance` about payments, on moves in the books: what came is debited to the payment method's account and
credited to the invoice's. The move's description says which call made it; a refund is a move the other way round.

REST lets nobody reconcile. An invoice of which nothing is open counts as paid; over there it says so once Tryton's own
reconciliation, by hand or by its schedule, has seen the moves.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from plugins.tryton import finding
from plugins.tryton.coverage import not_supported
from plugins.tryton.invoices import INVOICE, invoice_of, open_of, status_of
from plugins.tryton.values import STAMPS, amount, day, exact, stamps
from server.sdk import Permanent
from server.sdk.ports.finance import (
    INVOICE_STATUS,
    INVOICE_UNKNOWN,
    PAYMENT_EXCEEDS,
    PAYMENT_UNKNOWN,
    REFUND_EXCEEDS,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

    from plugins.tryton.customers import Work
    from plugins.tryton.rest import Record, Tryton

MOVE = "account.move"
_RECORDS = "payments.record"
_REASONS = (INVOICE_UNKNOWN, INVOICE_STATUS, PAYMENT_EXCEEDS)
_REFUNDS = "payments.refund of "
_FIELDS = (
    *("state", "description", "origin", "date", "period", "journal", *STAMPS),
    *("lines.account", "lines.party", "lines.debit", "lines.credit", "lines.reconciliation"),
)


def _record(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    if "invoice_id" not in given:
        raise not_supported(_RECORDS, "money for no invoice is a move in the books", field="customer_id")
    invoice = invoice_of(erp, given["invoice_id"])
    move = finding.keyed(erp, MOVE, _FIELDS, field="description")
    if move is None:
        _check(invoice, exact(given["amount"]))
        when = finding.date_of(given["received_on"]) if "received_on" in given else finding.today(erp)
        made = erp.create(MOVE, _move(erp, invoice, exact(given["amount"]), when))
        move = _read(erp, finding.settled(erp, MOVE, made, field="description")["id"])
    _booked(erp, invoice, move)
    return {**_shown(erp, _read(erp, move["id"])), "change": "created"}


def _check(invoice: Record, worth: Decimal) -> None:
    status, left = status_of(invoice), open_of(invoice)
    if status in ("void", "paid") or invoice["state"] != "posted":
        raise finding.refused(INVOICE_STATUS, f"the invoice is {status}", status=status)
    if worth > left:
        raise finding.refused(PAYMENT_EXCEEDS, "it is more than what is open", open=amount(left))


def _method(erp: Tryton) -> Record:
    named = erp.settings.get("payment_method")
    domain = [] if named is None else [["id", "=", named]]
    fields = ("journal", "debit_account", "credit_account")
    found = erp.first("account.invoice.payment.method", domain, fields)
    if found is None:
        raise finding.refused(PAYMENT_UNKNOWN, "there is no payment method of invoices", payment_method=named)
    return found


def _period(erp: Tryton, when: date) -> int:
    domain = [["start_date", "<=", when], ["end_date", ">=", when], ["type", "=", "standard"], ["state", "=", "open"]]
    found = erp.first("account.period", domain, ("id",))
    if found is None:
        raise finding.refused(INVOICE_STATUS, "the books have no open period of this day", day=when.isoformat())
    return int(found["id"])


def _move(erp: Tryton, invoice: Record, worth: Decimal, when: date) -> dict[str, Any]:
    method = _method(erp)
    nothing = Decimal(0)
    lines = [
        {"account": method["debit_account"], "debit": worth, "credit": nothing},
        {"account": invoice["account"], "party": invoice["party"], "debit": nothing, "credit": worth},
    ]
    return {
        "journal": method["journal"],
        "period": _period(erp, when),
        "date": when,
        "description": erp.key,
        "origin": f"{INVOICE},{invoice['id']}",
        "lines": [["create", lines]],
    }


def _read(erp: Tryton, number: int) -> Record:
    return finding.one(erp, MOVE, str(number), _FIELDS, PAYMENT_UNKNOWN)


def _booked(erp: Tryton, invoice: Record, move: Record) -> None:
    """Post a payment and let the invoice know of it: then so much less of it is open."""
    if move["state"] != "posted":
        erp.press(MOVE, move["id"], "post")
    paying = next(each["id"] for each in move["lines"] if each["account"] == invoice["account"])
    if paying not in invoice["payment_lines"] and _refunded(erp, move) is None:
        erp.write(INVOICE, invoice["id"], {"payment_lines": [["add", [paying]]]})


def _received(move: Record) -> bool:
    return str(move["description"] or "").startswith(f"{_RECORDS} ")


def _worth(move: Record) -> Decimal:
    return sum((exact(each["debit"]) for each in move["lines"]), Decimal(0))


def _refunded(erp: Tryton, move: Record) -> Record | None:
    return erp.first(MOVE, [["description", "=", f"{_REFUNDS}{move['id']}"]], _FIELDS)


def _shown(erp: Tryton, move: Record) -> dict[str, Any]:
    invoice = invoice_of(erp, str(move["origin"]).partition(",")[2])
    refund = _refunded(erp, move)
    return {
        "payment_id": str(move["id"]),
        "customer_id": str(invoice["party"]),
        "invoice_id": str(invoice["id"]),
        "order_id": str(invoice["sales"][0]) if invoice["sales"] else None,
        "amount": amount(_worth(move)),
        "status": "received" if refund is None else "refunded",
        "applied": amount(_worth(move) if refund is None else 0),
        "refunded": amount(0 if refund is None else _worth(refund)),
        "received_on": day(move["date"]),
        "invoice_status": status_of(invoice),
        **stamps(move),
    }


def _refund(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    moves = _refundable(erp, given)
    if "amount" in given and exact(given["amount"]) != sum((_worth(each) for each in moves), Decimal(0)):
        if exact(given["amount"]) > sum((_worth(each) for each in moves), Decimal(0)):
            raise finding.refused(REFUND_EXCEEDS, "it is more than what was paid")
        raise not_supported("payments.refund", "a payment is given back as a whole", field="amount")
    done = [_given_back(erp, each) for each in moves]
    back = [
        {"payment_id": str(move["id"]), "amount": amount(_worth(move)), "status": "refunded"}
        for move, new in zip(moves, done, strict=True)
        if new
    ]
    total = sum((exact(each["amount"]) for each in back), Decimal(0))
    return {"refunded": amount(total), "refunds": back, "change": "updated" if back else "none"}


def _refundable(erp: Tryton, given: Mapping[str, Any]) -> list[Record]:
    if "payment_id" in given:
        move = erp.get(MOVE, finding.number(given["payment_id"]), _FIELDS)
        return [] if move is None or not _received(move) else [move]
    if "invoice_id" in given:
        invoices = [finding.number(given["invoice_id"])]
    else:
        sale = erp.get("sale.sale", finding.number(given["order_id"]), ("invoices",))
        invoices = [] if sale is None else list(sale["invoices"])
    origins = [f"{INVOICE},{each}" for each in invoices if each >= 0]
    domain: list[Any] = [["origin", "in", origins], ["description", "like", f"{finding.literal(_RECORDS)} %"]]
    return erp.search(MOVE, domain, _FIELDS) if origins else []


def _given_back(erp: Tryton, move: Record) -> bool:
    """Book a payment back; False when that is done already."""
    refund = _refunded(erp, move)
    if refund is not None and refund["state"] == "posted":
        return False
    if refund is None:
        when = finding.today(erp)
        lines = [
            {
                "account": line["account"],
                "debit": exact(line["credit"]),
                "credit": exact(line["debit"]),
                **({"party": line["party"]} if line["party"] else {}),
            }
            for line in move["lines"]
        ]
        values = {"journal": move["journal"], "period": _period(erp, when), "date": when, "origin": move["origin"]}
        made = erp.create(MOVE, {**values, "description": f"{_REFUNDS}{move['id']}", "lines": [["create", lines]]})
        refund = _read(erp, made["id"])
    number = finding.number(str(move["origin"]).partition(",")[2])
    invoice = erp.get(INVOICE, number, ("payment_lines",)) or {"payment_lines": []}
    mine = {each["id"] for each in move["lines"]}
    gone = [each for each in invoice["payment_lines"] if each in mine]
    if gone:
        erp.write(INVOICE, number, {"payment_lines": [["remove", gone]]})
    erp.press(MOVE, refund["id"], "post")
    return True


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
    if "status" in given or "customer_id" in given:
        raise not_supported("payments.search", "payments are found by their invoice", field="status")
    limit, offset = finding.page(dict(given))
    domain: list[Any] = [["description", "like", f"{finding.literal(_RECORDS)} %"]]
    if "invoice_id" in given:
        domain.append(["origin", "=", f"{INVOICE},{finding.number(given['invoice_id'])}"])
    rows = erp.search(MOVE, domain, _FIELDS, limit=limit + 1, offset=offset)
    more = str(offset + limit) if len(rows) > limit else None
    return {"payments": [_shown(erp, each) for each in rows[:limit]], "next": more}


OPERATIONS: dict[str, Work] = {
    "payments.record": _record,
    "payments.refund": _refund,
    "payments.validate": _validate,
    "payments.search": _search,
}
