"""What the books and the sales say, from one day to another. Drafts and cancelled orders do not count."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from plugins.tryton import deals, finding
from plugins.tryton.histories import average, between, counted, ordered_on, owed, revenue
from plugins.tryton.values import amount, changed_at, exact, goods

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from plugins.tryton.customers import Work
    from plugins.tryton.rest import Record, Tryton

_NOTHING = Decimal(0)
_AGES = (("days_1_30", 30), ("days_31_60", 60), ("days_61_90", 90))
_HOURS, _DAY = 24, 86400
_SHIPPED = ("shipped", "done")
_BEGINNING = "1900-01-01"
_LONGEST = 60


def _span(given: Mapping[str, Any]) -> dict[str, Any]:
    return {"from": given.get("from"), "to": given.get("to")}


def _kpis(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    orders = counted(between(erp, given))
    hours = [each for each in map(_hours, orders) if each is not None]
    return {
        **_span(given),
        "orders_processed": len(orders),
        "revenue": amount(revenue(orders)),
        "average_order_value": amount(average(orders)),
        "conversion_rate": deals.rate(erp, given)["rate"],
        "orders_shipped": len(hours),
        "fulfilment_hours": round(sum(hours) / len(hours), 4) if hours else None,
        "receivables": amount(sum((left for _, left in owed(erp, [])), _NOTHING)),
    }


def _hours(sale: Record) -> float | None:
    """Return the hours from an order to its last shipment, None where nothing has gone out.

    Tryton keeps the day of one that has arrived; for one on its way the last change is that it left.
    """
    found = [_days(sale, each) for each in sale["shipments"] if each["state"] in _SHIPPED]
    return max(*found, 0.0) * _HOURS if found else None


def _days(sale: Record, shipment: Record) -> float:
    if shipment["effective_date"] is not None:
        return float((shipment["effective_date"] - ordered_on(sale)).days)
    since: float = (changed_at(shipment) - sale["create_date"]).total_seconds()
    return since / _DAY


def _sales(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    by = given["by"]
    parts = _BY[by]
    sums: dict[str, dict[str, Any]] = {}
    for sale in counted(between(erp, given)):
        for key, net, number in parts(sale):
            row = sums.setdefault(key, {"orders": set(), "net": _NOTHING, "n": _NOTHING})
            row["orders"].add(sale["id"])
            row["net"] += net
            row["n"] += number
    # Days and months in their order, products and customers by what they are worth.
    rank = (lambda each: each[0]) if by in ("day", "month") else (lambda each: (-each[1]["net"], each[0]))
    rows = [
        {
            "key": key,
            "orders": len(each["orders"]),
            "net": amount(each["net"]),
            **({"quantity": goods(each["n"])} if by == "product" else {}),
        }
        for key, each in sorted(sums.items(), key=rank)[: int(given.get("limit", 100))]
    ]
    return {**_span(given), "rows": rows}


def _whole(key: Callable[[Record], str]) -> Callable[[Record], Iterator[tuple[str, Decimal, Decimal]]]:
    def parts(sale: Record) -> Iterator[tuple[str, Decimal, Decimal]]:
        yield key(sale), exact(sale["untaxed_amount"]), _NOTHING

    return parts


def _products(sale: Record) -> Iterator[tuple[str, Decimal, Decimal]]:
    for line in sale["lines"]:
        if line["product"]:
            yield str(line["product"]["id"]), exact(line["amount"]), exact(line["quantity"])


_BY: dict[str, Callable[[Record], Iterator[tuple[str, Decimal, Decimal]]]] = {
    "day": _whole(lambda sale: ordered_on(sale).isoformat()),
    "month": _whole(lambda sale: ordered_on(sale).isoformat()[:7]),
    "customer": _whole(lambda sale: str(sale["party"])),
    "product": _products,
}


def _receivables(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    """Sum what is open now, by its age on a day."""
    as_of = finding.date_of(given["as_of"]) if "as_of" in given else finding.today(erp)
    sums = dict.fromkeys(("not_due", *(name for name, _ in _AGES), "older"), _NOTHING)
    for due, left in owed(erp, []):
        days = (as_of - due).days
        name = next((name for name, most in _AGES if days <= most), "older") if days > 0 else "not_due"
        sums[name] += left
    texts = {name: amount(each) for name, each in sums.items()}
    return {"as_of": as_of.isoformat(), "open": amount(sum(sums.values(), _NOTHING)), **texts}


def _trial_balance(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    """List the accounts that posted moves have touched, each with its own debits and credits."""
    span = {"from_date": finding.date_of(given.get("from", _BEGINNING)), "posted": True}
    if "to" in given:
        span["to_date"] = finding.date_of(given["to"])
    domain = [["type", "!=", None], ["active", "in", [True, False]]]
    rows = finding.every(erp, "account.account", domain, ("code", "name", "debit", "credit"), **span)
    moved = [each for each in rows if each["debit"] or each["credit"]]
    accounts = [
        {
            "account": f"{each['code'] or ''} {each['name']}".strip()[:_LONGEST],
            "debit": amount(each["debit"]),
            "credit": amount(each["credit"]),
            "balance": amount(exact(each["debit"]) - exact(each["credit"])),
        }
        for each in sorted(moved, key=lambda each: (each["code"] or "", each["name"]))
    ]
    difference = sum((exact(each["balance"]) for each in accounts), _NOTHING)
    return {**_span(given), "accounts": accounts, "difference": amount(difference)}


OPERATIONS: dict[str, Work] = {
    "reports.kpis": _kpis,
    "reports.receivables": _receivables,
    "reports.sales": _sales,
    "reports.trial_balance": _trial_balance,
}
