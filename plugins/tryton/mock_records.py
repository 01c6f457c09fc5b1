"""Records that the mock answers from on the stages of the contract: a few of each collection, and those that it was given.

Only what sources and targets ask is understood: domains of clauses, OR and lists, an order and a limit; parties and products written.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from plugins.tryton import customers, products
from plugins.tryton.syncing import READ
from plugins.tryton.values import decoded, encoded
from server.sdk import SourceStage, TargetStage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_START = datetime(2026, 1, 1, tzinfo=UTC)
_FIRST = 100
"""Numbers of as many digits are in the same order as text."""
_FEW = (1, 2, 2)
_NOTHING = Decimal(0)
_STOCK = "inventory.stock_report"
_PARTY: dict[str, Any] = {
    "name": "ACME",
    "code": "C-1",
    "active": True,
    "receivable": _NOTHING,
    "credit_limit_amount": None,
    "contact_mechanisms": [],
    "identifiers": [],
    "addresses": [],
}
_PRODUCT: dict[str, Any] = {
    "code": "P1",
    "name": "Product",
    "active": True,
    "type": "goods",
    "list_price_used": Decimal(10),
    "cost_price": Decimal(4),
    "template": {"id": 1, "lead_time": None, "create_date": _START, "write_date": None},
    "default_uom": {"name": "Unit"},
    "account_category": None,
    "quantity": 5.0,
}
_DEAL: dict[str, Any] = {
    **dict.fromkeys(("reference", "comment", "end_date", "lost_reason")),
    "state": "opportunity",
    "party": 1,
    "description": "A deal",
    "conversion_probability": 0.5,
    "sales": [],
    "lines": [],
}
_SALE: dict[str, Any] = {
    **dict.fromkeys(("number", "reference", "description", "origin", "comment", "shipping_date", "sale_date")),
    **dict.fromkeys(("quotation_date",)),
    **dict.fromkeys(("untaxed_amount", "tax_amount", "total_amount"), _NOTHING),
    **{name: [] for name in ("lines", "shipments", "invoices", "invoices_ignored", "invoices_recreated")},
    "state": "draft",
    "party": 1,
    "invoice_state": "none",
}
_PRODUCTION: dict[str, Any] = {
    **dict.fromkeys(("number", "reference", "planned_date", "planned_start_date", "bom")),
    "state": "draft",
    "product": 1,
    "quantity": 1.0,
    "inputs": [],
    "outputs": [],
}
_SHIPMENT: dict[str, Any] = {"number": None, "state": "waiting", "customer": 1, "planned_date": None, "moves": []}
_INVOICE: dict[str, Any] = {
    **dict.fromkeys(("number", "reference", "invoice_date", "payment_term_date", "account")),
    **dict.fromkeys(("untaxed_amount", "tax_amount", "total_amount", "amount_to_pay"), _NOTHING),
    **{name: [] for name in ("sales", "lines", "lines_to_pay", "payment_lines")},
    "state": "draft",
    "type": "out",
    "party": 1,
}
_LINE: dict[str, Any] = {
    **dict.fromkeys(("description", "reconciliation", "invoice_payment", "origin")),
    "account": {"type": {"receivable": True}},
    "party": 1,
    "debit": _NOTHING,
    "credit": Decimal(1),
}
_PAYMENT: dict[str, Any] = {
    **dict.fromkeys(("number", "description", "origin")),
    "state": "posted",
    "date": _START.date(),
    "journal": {"type": "cash"},
    "lines": [_LINE],
}
_ENDS = {"from_location": {"type": "supplier"}, "to_location": {"type": "storage"}, "shipment": None, "origin": None}
_HOUSE: dict[str, Any] = {
    "id": 1,
    "type": "warehouse",
    "storage_location": 2,
    "output_location": 3,
    "production_location": 4,
}
_RECORDS: dict[str, Mapping[str, Any]] = {
    "customers.search": _PARTY,
    "products.search": _PRODUCT,
    "deals.list": _DEAL,
    "orders.search": _SALE,
    "production.list": _PRODUCTION,
    "shipments.list": _SHIPMENT,
    "invoices.list": _INVOICE,
    "payments.search": _PAYMENT,
    _STOCK: _PRODUCT,
}
_MODELS = {each.operation.name: each.collection.model for each in READ}
_WRITTEN = {"customers.upsert": customers.PARTY, "products.upsert": products.PRODUCT}
_TEMPLATE = "product.template"


class Records:
    """Tables of records by their models."""

    def __init__(self) -> None:
        self._tables: dict[str, list[dict[str, Any]]] = {
            "stock.location": [_HOUSE],
            "product.uom": [{"id": 1, "symbol": "u", "name": "Unit"}],
            "product.category": [{"id": 1, "accounting": True, "name": "Goods"}],
        }
        for operation in _RECORDS:
            self.put(operation, _FEW)

    def put(self, operation: str, ticks: Sequence[int]) -> SourceStage:
        """Let the collection of a source have one record for each tick, half of them never written."""
        records = []
        for place, tick in enumerate(ticks):
            at = _START + timedelta(seconds=tick)
            stamps = {"create_date": _START, "write_date": at} if place % 2 else {"create_date": at, "write_date": None}
            records.append({"id": _FIRST + place, **_RECORDS[operation], **stamps})
        self._tables[_MODELS[operation]] = records
        if operation == _STOCK:
            self._tables["stock.move"] = [{**each, **_ENDS, "state": "done", "product": each["id"]} for each in records]
        source = next(each for each in READ if each.operation.name == operation)
        return SourceStage(options={}, primary_key=(source.collection.key,), cursor=("updated_at",))

    def search(self, model: str, domain: Any, order: Sequence[Sequence[str]], limit: int, offset: int) -> Any:
        """Return what Tryton would find, None where there is no such table."""
        if model not in self._tables:
            return None
        found = [each for each in self._tables[model] if _fits(each, decoded(domain or []))]
        found.sort(key=lambda each: [_order(_at(each, path)) for path, _ in order])
        return encoded(found[offset : offset + limit])

    def empty(self, operation: str) -> TargetStage:
        """Let what a target writes to be empty."""
        self._tables[_WRITTEN[operation]] = []

        def record(number: int, name: str) -> dict[str, Any]:
            return {"external_id": f"C-{number}", "name": name}

        return TargetStage(options={}, match_on=("external_id",), record=record)

    def stored(self, operation: str) -> list[dict[str, Any]]:
        """Return the active records of a target as the port has them."""
        show = customers.shown if _WRITTEN[operation] == customers.PARTY else products.shown
        return [show(each) for each in self._tables[_WRITTEN[operation]] if each["active"]]

    def create(self, model: str, values: Mapping[str, Any]) -> dict[str, Any] | None:
        """Make a party, or a template with its product; of what lies in them nothing is kept."""
        kind = {customers.PARTY: _PARTY, _TEMPLATE: _PRODUCT}.get(model)
        if kind is None:
            return None
        table = self._tables[customers.PARTY if kind is _PARTY else products.PRODUCT]
        number = _FIRST + len(table)
        made = {**kind, **_plain(values), "id": number, "create_date": _START, "write_date": None}
        if kind is _PRODUCT:
            made["template"] = {**made["template"], "id": number}
        table.append(made)
        return {"id": number, "products": [number]}

    def write(self, model: str, number: int, values: Mapping[str, Any]) -> dict[str, Any] | None:
        """Change plain fields of a party, or of a product or its template."""
        table = {customers.PARTY: customers.PARTY, _TEMPLATE: products.PRODUCT, products.PRODUCT: products.PRODUCT}
        for each in self._tables[table[model]] if model in table else ():
            if each["id"] == number:
                each.update(_plain(values), write_date=_START)
                return {"id": number}
        return None


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: each for name, each in values.items() if name in ("name", "code", "active")}


def _order(value: Any) -> tuple[bool, Any]:
    return (value is not None, value)


def _at(record: Any, path: str) -> Any:
    for name in path.split("."):
        record = record.get(name) if isinstance(record, dict) else None
    return record


def _fits(record: Mapping[str, Any], domain: Any) -> bool:
    if domain and domain[0] == "OR":
        return any(_fits(record, each) for each in domain[1:])
    if domain and isinstance(domain[0], str):
        path, operator, wanted = domain[:3]
        return _ASKS[operator](_at(record, path), wanted)
    return all(_fits(record, each) for each in domain)


_ASKS: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda value, wanted: value == wanted,
    "!=": lambda value, wanted: value != wanted,
    ">": lambda value, wanted: value is not None and value > wanted,
    "<": lambda value, wanted: value is not None and value < wanted,
    "in": lambda value, wanted: value in wanted,
    "like": lambda value, wanted: isinstance(value, str) and value.startswith(wanted.removesuffix("%")),
    "not like": lambda value, wanted: not (isinstance(value, str) and value.startswith(wanted.removesuffix("%"))),
    "where": lambda value, wanted: any(_fits(each, wanted) for each in value or []),
}
