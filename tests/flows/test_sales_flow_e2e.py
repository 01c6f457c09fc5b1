"""Sales Flow (e2e): from the API to the database, from a lead to its receipt, with nothing done by hand in between but what people do."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from sqlalchemy.engine import make_url

from tests.support.product import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.product import Product

FOLDER = Path(__file__).parents[2] / "definitions" / "flows"
SECONDS = 40.0


class Sales:
    """A company whose systems are Crossdock and its embedded ERP: all that happens goes over the API."""

    def __init__(self, product: Product) -> None:
        self.product = product
        self.client = product.client()
        files = [{"path": each.name, "text": each.read_text()} for each in sorted(FOLDER.glob("*.yaml"))]
        applied = self.client.post("/api/v1/definitions/apply", json={"files": files, "origin": "folder:main"})
        assert applied.status_code == 200, applied.json
        url = make_url(product.settings.database_url).set(drivername="postgresql")
        self._plain = url.render_as_string(hide_password=False)

    def erp(self, operation: str, **given: Any) -> dict[str, Any]:
        answer = self.client.post("/api/v1/integrations/erp/call", json={"operation": operation, "input": given})
        assert answer.status_code == 200, answer.json
        output: dict[str, Any] = answer.json["output"]
        return output

    def ended(self, flow: str) -> dict[str, Any]:
        """Return the one run of a flow once it has ended."""

        def ended() -> Any:
            found = [
                each for each in self.client.get("/api/v1/flow-runs?limit=100").json["items"] if each["flow"] == flow
            ]
            return found[0] if found and found[0]["ended_at"] else None

        listed: dict[str, Any] = until(ended, SECONDS, f"{flow} has not ended")
        found: dict[str, Any] = self.client.get(f"/api/v1/flow-runs/{listed['id']}").json
        assert found["state"] == "completed", found
        return found

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self._plain, options="-c search_path=plugin_erp_sandbox") as connection:
            return connection.execute(sql).fetchall()  # type: ignore[arg-type]

    def drop(self) -> None:
        with psycopg.connect(self._plain, autocommit=True) as connection:
            connection.execute("DROP SCHEMA IF EXISTS plugin_erp_sandbox CASCADE")


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
