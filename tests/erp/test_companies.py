"""No workspace and no company of one sees, changes or counts what another has, in any module."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from plugins.erp_sandbox.tables import METADATA
from server.sdk import Context, Permanent, Tenant
from tests.erp.calling import call, told

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

OTHERS = [
    {"tenant": Tenant("acme", "rival")},
    {"tenant": Tenant("rival", "main")},
    {"config": {"company": "second"}},
]


@pytest.fixture
def engine(small_engine: Engine) -> Engine:
    return small_engine


@pytest.mark.parametrize("changes", OTHERS)
def test_nobody_reaches_another_company_by_an_id(context: Context, changes: dict[str, Any]) -> None:
    seeded = call(context, "sandbox.seed")
    deal = call(context, "deals.win", external_id="D-1")
    quote = call(context, "quotes.create", deal_id=deal["deal_id"])["quote_id"]
    order = call(context, "orders.create_from_deal", deal_id=deal["deal_id"])
    invoice = call(context, "invoices.create_from_order", order_id=order["order_id"])["invoice_id"]
    payment = call(context, "payments.record", invoice_id=invoice, amount="1")["payment_id"]
    product, customer = order["items"][0]["product_id"], order["customer_id"]
    items = [{"product_id": product, "quantity": 1}]
    mine = len(told(context))
    other = replace(context, **changes)
    refused: list[tuple[str, dict[str, Any]]] = [
        ("customers.get", {"customer_id": customer}),
        ("customers.update_balance", {"customer_id": customer, "amount": "1"}),
        ("customers.update_metrics", {"customer_id": customer}),
        ("customers.order_history", {"customer_id": customer}),
        ("products.get", {"external_id": "P-TABLE"}),
        ("pricing.discount", {"items": items}),
        ("deals.get", {"deal_id": deal["deal_id"]}),
        ("deals.lose", {"external_id": "D-1"}),
        ("deals.create", {"customer_id": customer, "name": "A", "items": items}),
        ("quotes.accept", {"quote_id": quote}),
        ("orders.create", {"customer_id": customer, "items": items}),
        ("orders.create_from_deal", {"deal_id": deal["deal_id"]}),
        ("orders.get", {"order_id": order["order_id"]}),
        ("orders.update", {"order_id": order["order_id"], "note": "mine"}),
        ("orders.set_priority", {"order_id": order["order_id"], "priority": "low"}),
        ("invoices.get", {"invoice_id": invoice}),
        ("invoices.create", {"customer_id": customer, "lines": [{"quantity": 1, "unit_price": "1"}]}),
        ("invoices.create_from_order", {"order_id": order["order_id"]}),
        ("payments.record", {"invoice_id": invoice, "amount": "1"}),
        ("payments.process", {"invoice_id": invoice, "method": "card"}),
        ("receipts.generate", {"payment_id": payment}),
        ("inventory.reserve_stock", {"order_id": order["order_id"]}),
        ("warehouse.create_picking", {"order_id": order["order_id"]}),
    ]
    for operation, given in refused:
        with pytest.raises(Permanent) as error:
            call(other, operation, given)
        assert error.value.code.endswith("_UNKNOWN"), operation
    for operation, given in (
        ("orders.cancel", {"order_id": order["order_id"]}),
        ("invoices.void", {"order_id": order["order_id"]}),
        ("payments.refund", {"payment_id": payment}),
        ("payments.refund", {"order_id": order["order_id"]}),
    ):
        assert call(other, operation, given)["change"] == "none"
    for operation, of in (
        ("orders", "search"),
        ("payments", "search"),
        ("products", "search"),
        ("deals", "find_active"),
    ):
        assert call(other, f"{operation}.{of}")[operation] == []
    assert call(other, "reports.kpis")["orders_processed"] == 0
    assert call(other, "reports.receivables")["open"] == "0.00"
    assert call(other, "reports.trial_balance")["accounts"] == []
    assert call(other, "reports.sales", by="product")["rows"] == []
    assert call(other, "customers.report")["active"] == 0
    assert call(other, "deals.conversion_rate")["won"] == 0
    assert (told(other), len(told(context))) == ([], mine)
    assert call(other, "sandbox.seed")["deals"] != seeded["deals"]
    assert call(context, "orders.get", order_id=order["order_id"])["status"] == "pending"


def test_every_row_begins_with_the_company_that_it_belongs_to() -> None:
    for table in METADATA.sorted_tables:
        if table.name != "schema_versions":
            assert not table.c.company.nullable, table.name
        if table.name not in ("schema_versions", "outbox"):
            assert next(iter(table.primary_key.columns)).name == "company", table.name
