"""What sync jobs can read of Tryton: which model a collection is, which of its records, and how they look.

A row has the fields that the port gives of the same thing, and `updated_at` and `created_at` as moments.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from plugins.tryton import customers, deals, finding, invoices, making, orders, payments, products
from plugins.tryton.changes import OWN
from plugins.tryton.values import day, exact, goods
from server.sdk import reading
from server.sdk.ports import DEALS, FINANCE, ORDERS, PRODUCTION, PRODUCTS, SALES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from plugins.tryton.changes import Domain, Stamp
    from plugins.tryton.rest import Record, Tryton
    from server.sdk import Operation, Row

_ANY = [["active", "in", [True, False]]]
_TEXT = {"type": "string", "minLength": 1, "maxLength": 200}
SHIPPED = "stock.shipment.out"
_SHIPMENT_FIELDS = (
    "number",
    "state",
    "customer",
    "planned_date",
    "moves.product",
    "moves.quantity",
    "moves.from_location",
)
_SHIPMENT_STATUS = {"draft": "waiting", "assigned": "reserved", "done": "delivered"}


def _named(operation: Operation, name: str) -> Mapping[str, Any]:
    schema: Mapping[str, Any] = operation.output_schema["properties"][name]["items"]
    return schema


def options_of(*names: str) -> dict[str, Any]:
    """Return the JSON Schema of options by which a collection can be narrowed down: the values of some of its fields."""
    return {"type": "object", "additionalProperties": False, "properties": dict.fromkeys(names, _TEXT)}


def _one_by_one(show: Callable[[Record], Row]) -> Callable[[Tryton, Sequence[Record]], list[Row]]:
    return lambda _erp, records: [show(each) for each in records]


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """A model of Tryton's as rows.

    `show` makes the rows of some records, in their order. `options` narrow it down by fields of the row; those of `narrow` are asked of
    Tryton as well.
    """

    operation: Operation
    key: str
    model: str
    fields: Sequence[str]
    show: Callable[[Tryton, Sequence[Record]], list[Row]]
    schema: Mapping[str, Any]
    domain: Domain = field(default_factory=list)
    stamps: tuple[Stamp, ...] = (OWN,)
    options: tuple[str, ...] = ()
    narrow: Mapping[str, str] = field(default_factory=dict)

    def of(self, options: Mapping[str, Any]) -> Domain:
        """Return the domain of some options, as far as Tryton can be asked."""
        named = ((path, options[name]) for name, path in self.narrow.items() if name in options)
        return [*self.domain, *([path, "=", finding.number(value)] for path, value in named)]


def _orders(erp: Tryton, sales: Sequence[Record]) -> list[Row]:
    orders.look_what_is_made(erp, sales)
    return [orders.shown(erp, each) for each in sales]


def _payments(erp: Tryton, moves: Sequence[Record]) -> list[Row]:
    return payments.shown(erp, payments.payments_of(erp, list(moves)))


def _shipments(erp: Tryton, shipments: Sequence[Record]) -> list[Row]:
    numbers = [each["id"] for each in shipments]
    sales = erp.search(orders.SALE, [["shipments", "in", numbers]], ("shipments",)) if numbers else []
    whose = {number: str(sale["id"]) for sale in sales for number in sale["shipments"]}
    out = finding.warehouse(erp)["output_location"]
    return [_shipment(each, whose.get(each["id"]), out) for each in shipments]


def _shipment(shipment: Record, order_id: str | None, out: int) -> Row:
    return {
        "shipment_id": str(shipment["id"]),
        "number": shipment["number"] or None,
        "order_id": order_id,
        "customer_id": str(shipment["customer"]),
        "status": _SHIPMENT_STATUS.get(shipment["state"], shipment["state"]),
        "items": [
            {"product_id": str(move["product"]), "quantity": goods(exact(move["quantity"]))}
            for move in shipment["moves"]
            if move["from_location"] == out
        ],
        "planned_on": day(shipment["planned_date"]),
    }


_SHIPMENT = {
    "type": "object",
    "required": ["shipment_id", "order_id", "customer_id", "status", "items"],
    "properties": {
        "shipment_id": {"type": "string"},
        "number": {"type": ["string", "null"]},
        "order_id": {"type": ["string", "null"]},
        "customer_id": {"type": "string"},
        "status": {"enum": ["waiting", "reserved", "picked", "packed", "shipped", "delivered", "cancelled"]},
        "items": {"type": "array", "items": {"type": "object"}},
        "planned_on": {"type": ["string", "null"]},
    },
}

COLLECTIONS = (
    Collection(
        operation=SALES["customers.search"],
        key="customer_id",
        model=customers.PARTY,
        fields=customers.FIELDS,
        show=_one_by_one(customers.shown),
        schema=_named(SALES["customers.search"], "customers"),
        domain=_ANY,
        options=("city", "state"),
    ),
    Collection(
        operation=PRODUCTS["products.search"],
        key="product_id",
        model=products.PRODUCT,
        fields=products.FIELDS,
        show=_one_by_one(products.shown),
        schema=_named(PRODUCTS["products.search"], "products"),
        domain=_ANY,
        stamps=(OWN, ("template.write_date", "template.create_date")),
        options=("category", "kind", "state"),
    ),
    Collection(
        operation=reading(
            "deals.list", "Read deals in the order of their change.", options_of("customer_id", "status")
        ),
        key="deal_id",
        model=deals.DEAL,
        fields=deals.FIELDS,
        show=_one_by_one(deals.shown),
        schema=DEALS["deals.get"].output_schema,
        domain=[["party", "!=", None]],
        options=("customer_id", "status"),
        narrow={"customer_id": "party"},
    ),
    Collection(
        operation=ORDERS["orders.search"],
        key="order_id",
        model=orders.SALE,
        fields=orders.FIELDS,
        show=_orders,
        schema=_named(ORDERS["orders.search"], "orders"),
        domain=[["party", "!=", None]],
        options=("customer_id", "status"),
        narrow={"customer_id": "party"},
    ),
    Collection(
        operation=reading(
            "production.list", "Read production orders in the order of their change.", options_of("order_id", "status")
        ),
        key="production_order_id",
        model=making.PRODUCTION,
        fields=making.FIELDS,
        show=_one_by_one(making.shown),
        schema=PRODUCTION["production.get_order"].output_schema,
        domain=[["product", "!=", None]],
        options=("order_id", "status"),
    ),
    Collection(
        operation=reading(
            "shipments.list",
            "Read shipments to customers, from their reservation on, in the order of their change.",
            options_of("customer_id", "order_id", "status"),
        ),
        key="shipment_id",
        model=SHIPPED,
        fields=_SHIPMENT_FIELDS,
        show=_shipments,
        schema=_SHIPMENT,
        options=("customer_id", "order_id", "status"),
        narrow={"customer_id": "customer"},
    ),
    Collection(
        operation=reading(
            "invoices.list", "Read customer invoices in the order of their change.", options_of("customer_id", "status")
        ),
        key="invoice_id",
        model=invoices.INVOICE,
        fields=invoices.FIELDS,
        show=_one_by_one(invoices.shown),
        schema=FINANCE["invoices.get"].output_schema,
        domain=[["type", "=", "out"]],
        options=("customer_id", "status"),
        narrow={"customer_id": "party"},
    ),
    Collection(
        operation=FINANCE["payments.search"],
        key="payment_id",
        model=payments.MOVE,
        fields=payments.FIELDS,
        show=_payments,
        schema=_named(FINANCE["payments.search"], "payments"),
        domain=list(payments.PAID),
        options=("customer_id", "invoice_id", "status"),
        narrow={"customer_id": "lines.party"},
    ),
)
