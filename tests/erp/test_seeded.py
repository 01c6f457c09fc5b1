"""The seeded company, from the deal to the receipt, on SQLite and on PostgreSQL."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tests.erp.calling import call, told

if TYPE_CHECKING:
    from server.sdk import Context


def test_a_deal_of_the_seeded_company_is_won_ordered_invoiced_and_paid(context: Context) -> None:
    seeded = call(context, "sandbox.seed", size=21)
    assert call(context, "sandbox.seed", size=21) == seeded
    assert len(seeded["deals"]) == 21
    deal = call(context, "deals.win", external_id="D-1")
    order = call(context, "orders.create_from_deal", deal_id=deal["deal_id"], status="pending")
    stock = call(context, "inventory.check_stock", items=order["items"])
    assert {each["product_id"] for each in [*stock["available"], *stock["unavailable"]]} <= set(
        seeded["products"].values()
    )
    invoice = call(context, "invoices.create_from_order", order_id=order["order_id"])
    assert invoice["total"] == order["total"] == deal["amount"]
    paid = call(
        replace(context, idempotency_key="k"),
        "payments.record",
        invoice_id=invoice["invoice_id"],
        amount=order["total"],
    )
    customer = {"customer_id": order["customer_id"]}
    assert call(context, "customers.update_balance", customer)["balance"] == "0.00"
    assert call(context, "orders.update_payment_status", order_id=order["order_id"])["payment_status"] == "paid"
    assert call(context, "customers.update_metrics", customer)["orders"] == 1
    assert call(context, "customers.check_credit_limit", customer)["allowed"]
    assert order["total"] in call(context, "receipts.generate", payment_id=paid["payment_id"])["text"]
    assert [each.cause for each in told(context, "payment.received")] == ["k"]


def test_every_report_is_made_of_what_was_seeded(context: Context) -> None:
    call(context, "sandbox.seed")
    call(context, "deals.win", external_id="D-1")
    order = call(context, "orders.create_from_deal", deal_id=call(context, "deals.get", external_id="D-1")["deal_id"])
    call(context, "invoices.create_from_order", order_id=order["order_id"])
    call(context, "orders.update", order_id=order["order_id"], status="shipped")
    span = {"from": "2026-01-01", "to": "2026-12-31"}
    figures = call(context, "reports.kpis", span)
    assert (figures["orders_processed"], figures["average_order_value"]) == (1, order["net"])
    assert (figures["conversion_rate"], figures["fulfilment_hours"]) == (1, 0)
    for by in ("day", "month", "product", "customer"):
        rows = call(context, "reports.sales", span, by=by)["rows"]
        assert rows[0]["orders"] == 1
    assert call(context, "reports.receivables")["open"] == order["total"]
    assert call(context, "reports.trial_balance")["difference"] == "0.00"
    customer = {"customer_id": order["customer_id"]}
    assert call(context, "customers.analytics", customer)["open_amount"] == order["total"]
    assert call(context, "customers.preferences", customer)["products"][0]["name"] == "Chair"
    assert call(context, "customers.order_history", customer)["next"] is None
    assert call(context, "customers.report", span)["best"][0]["revenue"] == order["net"]
    assert call(context, "payments.search", status="received")["payments"] == []
    assert call(context, "orders.search", status="shipped")["orders"][0]["order_id"] == order["order_id"]
    assert call(context, "products.search", category="furniture")["products"]
    assert call(context, "deals.find_active")["deals"] == []
