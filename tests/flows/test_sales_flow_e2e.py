"""Sales Flow (e2e): from the API to the database, from a lead to its receipt, with nothing done by hand in between but what people do."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from tests.flows.selling import Sales

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.product import Product


@pytest.fixture
def sales(product: Product) -> Iterator[Sales]:
    made = Sales(product)
    with product.worker():
        yield made
    made.drop()


def test_sales_flow_e2e_from_lead_to_receipt(sales: Sales) -> None:
    lead = sales.erp(
        "customers.upsert", external_id="L-1", name="Lead Ltd", email="lead@example.com", credit_limit="5000"
    )
    table = sales.erp("products.upsert", external_id="T", name="Table", price="100.00", tax_rate="19")["product_id"]
    chair = sales.erp("products.upsert", external_id="C", name="Chair", price="40.00", tax_rate="19")["product_id"]
    sales.erp(
        "inventory.update_stock_levels",
        levels=[{"product_id": chair, "on_hand": 4}, {"product_id": table, "on_hand": 1}],
    )
    items = [{"product_id": table, "quantity": 3}, {"product_id": chair, "quantity": 4}]
    deal = sales.erp("deals.create", customer_id=lead["customer_id"], name="An office", items=items)
    sales.erp("deals.win", deal_id=deal["deal_id"])

    sales.ended("deal-won")
    sales.ended("shop-floor")
    shipped = sales.ended("order-fulfilment")["output"]
    [(order_id, status, total)] = sales.rows("SELECT order_id, status, total FROM orders")
    assert (status, total) == ("shipped", Decimal("547.40")), "460.00 and 19 %"
    made = sales.rows("SELECT product_id, quantity, status FROM production_orders")
    assert made == [(table, Decimal(2), "completed")], "two tables were missing, no chair was"
    assert sales.rows("SELECT shipment_id, order_id FROM shipments") == [(shipped["shipment_id"], order_id)]
    assert sales.rows("SELECT on_hand, reserved FROM stock ORDER BY product_id") == [(0, 0), (0, 0)]
    [(invoice_id, open_)] = sales.rows("SELECT invoice_id, total - paid FROM invoices")
    assert open_ == total

    payment = sales.erp("payments.process", invoice_id=invoice_id, method="card", reference="4711")
    receipt = sales.ended("payment-received")["output"]["receipt_id"]
    assert sales.rows("SELECT receipt_id, payment_id FROM receipts") == [(receipt, payment["payment_id"])]
    assert sales.rows("SELECT status FROM invoices") == [("paid",)]
    assert sales.rows("SELECT payment_status FROM orders") == [("paid",)]
    assert sales.rows("SELECT sum(amount) FROM postings") == [(0,)], "the books balance"
    customer = sales.erp("customers.get", customer_id=lead["customer_id"])
    assert customer["balance"] == "0.00"

    [won] = sales.product.rows("SELECT correlation_id FROM events WHERE type = 'deal.won'")
    told = sales.product.rows("SELECT type FROM events WHERE correlation_id = :cor", cor=won.correlation_id)
    assert {"order.created", "production.order.created", "order.confirmed", "order.fulfilled", "shipment.created"} <= {
        row.type for row in told
    }, "all of it is one chain"
    assert sales.product.rows("SELECT 1 FROM dead_letters") == []
