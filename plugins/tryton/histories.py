"""What customers have ordered, for the port `sales`. Tryton keeps no counts: they are made from the sales when somebody asks."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from plugins.tryton import finding
from plugins.tryton.customers import PARTY, party_of
from plugins.tryton.invoices import INVOICE
from plugins.tryton.orders import SALE, is_cancelled
from plugins.tryton.values import amount, exact, goods, moment

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import date

    from plugins.tryton.customers import Work
    from plugins.tryton.rest import Record, Tryton

FIELDS = (
    *("state", "party", "total_amount", "untaxed_amount", "sale_date", "quotation_date", "create_date"),
    *("lines.moves.state", "lines.moves_ignored", "shipments.state", "shipments.effective_date", "invoices.state"),
    *("shipments.create_date", "shipments.write_date"),
    *("lines.product.name", "lines.quantity", "lines.amount"),
)
_DAYS = 86400
_NOTHING = Decimal(0)


def _sales(erp: Tryton, customer_id: str) -> list[Record]:
    """Return all sales of a customer, the oldest first.

    Raises:
        Permanent: CUSTOMER_UNKNOWN, REPORT_TOO_LARGE.

    """
    party_of(erp, {"customer_id": customer_id})
    return list(finding.every(erp, SALE, [["party", "=", finding.number(customer_id)]], FIELDS))


def counted(sales: Iterable[Record]) -> list[Record]:
    """Return the sales that count as orders: no drafts, and none that are cancelled."""
    return [each for each in sales if each["state"] != "draft" and not is_cancelled(each)]


def ordered_on(sale: Record) -> date:
    """Return the day of an order."""
    found: date = sale["sale_date"] or sale["quotation_date"] or sale["create_date"].date()
    return found


def average(sales: list[Record]) -> Decimal:
    """Return the average worth of some orders without tax."""
    return revenue(sales) / len(sales) if sales else _NOTHING


def revenue(sales: Iterable[Record]) -> Decimal:
    """Return the worth of some orders without tax."""
    return sum((exact(each["untaxed_amount"]) for each in sales), _NOTHING)


def _figures(customer_id: str, orders: list[Record]) -> dict[str, Any]:
    return {
        "customer_id": customer_id,
        "orders": len(orders),
        "revenue": amount(revenue(orders)),
        "average_order_value": amount(average(orders)),
        "last_order_at": moment(orders[-1]["create_date"]) if orders else None,
    }


def _metrics(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    return {**_figures(given["customer_id"], counted(_sales(erp, given["customer_id"]))), "change": "none"}


def _analytics(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    sales = _sales(erp, given["customer_id"])
    orders = counted(sales)
    between = None
    if len(orders) > 1:
        seconds = (orders[-1]["create_date"] - orders[0]["create_date"]).total_seconds()
        between = round(seconds / _DAYS / (len(orders) - 1), 2)
    left = list(owed(erp, [["party", "=", finding.number(given["customer_id"])]]))
    return {
        **_figures(given["customer_id"], orders),
        "first_order_at": moment(orders[0]["create_date"]) if orders else None,
        "cancelled_orders": sum(is_cancelled(each) for each in sales),
        "days_between_orders": between,
        "open_amount": amount(sum((worth for _, worth in left), _NOTHING)),
        "overdue_amount": amount(sum((worth for due, worth in left if due < finding.today(erp)), _NOTHING)),
    }


def owed(erp: Tryton, whose: list[Any]) -> Iterator[tuple[date, Decimal]]:
    """Yield of each posted customer invoice that is open when it is due and how much of it is left."""
    domain = [["type", "=", "out"], ["state", "=", "posted"], *whose]
    fields = ("amount_to_pay", "invoice_date", "lines_to_pay.maturity_date")
    for invoice in finding.every(erp, INVOICE, domain, fields):
        if left := exact(invoice["amount_to_pay"]):
            dates = [each["maturity_date"] for each in invoice["lines_to_pay"] if each["maturity_date"]]
            yield max(dates, default=invoice["invoice_date"]), left


def _order_history(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    limit, offset = finding.page(dict(given))
    party_of(erp, {"customer_id": given["customer_id"]})
    domain = [["party", "=", finding.number(given["customer_id"])]]
    rows = erp.search(SALE, domain, FIELDS, order=(("id", "DESC"),), limit=limit + 1, offset=offset)
    states = {"quotation": "pending", "processing": "confirmed"}
    orders = [
        {
            "order_id": str(each["id"]),
            "status": "cancelled" if is_cancelled(each) else states.get(each["state"], each["state"]),
            "total": amount(each["total_amount"]),
            "created_at": moment(each["create_date"]),
        }
        for each in rows[:limit]
    ]
    more = str(offset + limit) if len(rows) > limit else None
    return {"customer_id": given["customer_id"], "orders": orders, "next": more}


def _preferences(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    liked: dict[int, dict[str, Any]] = {}
    for sale in counted(_sales(erp, given["customer_id"])):
        for line in sale["lines"]:
            if line["product"]:
                entry = liked.setdefault(
                    line["product"]["id"], {"name": line["product"]["name"], "n": _NOTHING, "sales": set()}
                )
                entry["n"] += exact(line["quantity"])
                entry["sales"].add(sale["id"])
    best = sorted(liked.items(), key=lambda each: (-each[1]["n"], each[0]))[: int(given.get("limit", 50))]
    products = [
        {"product_id": str(key), "name": each["name"], "quantity": goods(each["n"]), "orders": len(each["sales"])}
        for key, each in best
    ]
    return {"customer_id": given["customer_id"], "products": products}


def _report(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    """Parties are customers as `customers.search` lists them; what they owe is what the books say."""
    owing = finding.every(erp, PARTY, [["receivable", "!=", 0], ["active", "in", [True, False]]], ("receivable",))
    balance = sum((exact(each["receivable"]) for each in owing), _NOTHING)
    mine: dict[int, list[Record]] = {}
    for sale in counted(between(erp, given)):
        mine.setdefault(sale["party"], []).append(sale)
    first = sorted(mine.items(), key=lambda each: (-revenue(each[1]), each[0]))[: int(given.get("limit", 10))]
    domain = [["id", "in", [key for key, _ in first]], ["active", "in", [True, False]]]
    names = {row["id"]: row["name"] for row in erp.search(PARTY, domain, ("name",))} if first else {}
    return {
        "active": erp.ask(PARTY, "search_count", domain=[["active", "=", True]]),
        "archived": erp.ask(PARTY, "search_count", domain=[["active", "=", False]]),
        "balance": amount(balance),
        "best": [
            {
                "customer_id": str(key),
                "name": names.get(key) or str(key),
                "orders": len(sales),
                "revenue": amount(revenue(sales)),
            }
            for key, sales in first
        ],
    }


def between(erp: Tryton, given: Mapping[str, Any]) -> Iterator[Record]:
    """Yield the sales from one day to another; the quoted ones by the day of their quotation."""
    domain: list[Any] = [["state", "in", ["quotation", "confirmed", "processing", "done"]], ["party", "!=", None]]
    for name, sign in (("from", ">="), ("to", "<=")):
        if name in given:
            on = finding.date_of(given[name])
            quoted = [["sale_date", "=", None], ["quotation_date", sign, on]]
            domain.append(["OR", ["sale_date", sign, on], quoted])
    return finding.every(erp, SALE, domain, FIELDS)


OPERATIONS: dict[str, Work] = {
    "customers.analytics": _analytics,
    "customers.order_history": _order_history,
    "customers.preferences": _preferences,
    "customers.report": _report,
    "customers.update_metrics": _metrics,
}
