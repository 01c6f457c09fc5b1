"""The sync jobs of `definitions/flows/syncs.yaml`, word for word, on a real Tryton: orders, stock and payments into a database."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tests.support.product import Product
from tests.tryton.watching import FOLDER, INITIAL, Watched, config_of, files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from server.sdk.port_inputs.stage import Stage
    from tests.tryton.server import TrytonServer

JOBS = ("orders-to-reports", "stock-to-reports", "payments-to-reports")
TABLES = """
CREATE TABLE orders (order_id TEXT PRIMARY KEY, customer_id TEXT, status TEXT, payment_status TEXT, total TEXT, ordered_on TEXT,
                     updated_at TEXT);
CREATE TABLE stock (product_id TEXT PRIMARY KEY, on_hand REAL, reserved REAL, available REAL, is_low INTEGER);
CREATE TABLE payments (payment_id TEXT PRIMARY KEY, customer_id TEXT, invoice_id TEXT, amount TEXT, kept TEXT, received_on TEXT);
"""


@pytest.fixture
def reports(database_url: str, tmp_path: Path) -> Iterator[tuple[Product, Path]]:
    file = tmp_path / "default" / "default" / "reports.db"
    file.parent.mkdir(parents=True)
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(TABLES)
    product = Product(database_url, files=tmp_path)
    yield product, file
    product.close()


@pytest.mark.timeout(300)
def test_orders_stock_and_payments_of_a_tryton_are_reported(
    reports: tuple[Product, Path], tryton_server: TrytonServer, stage: Stage
) -> None:
    product, file = reports
    call = stage.world.call
    order = call("orders.create", customer_id=stage.customer, items=[stage.some()])
    invoice = call("invoices.create_from_order", order_id=order["order_id"])["invoice_id"]
    payment = call("payments.record", invoice_id=invoice, amount="1.00")["payment_id"]
    given = files(config_of(tryton_server), INITIAL)
    text = (FOLDER / "syncs.yaml").read_text("utf-8")
    given.append(
        {"path": "syncs.yaml", "text": "\n".join(x for x in text.split("\n") if not x.startswith("active: false"))}
    )
    watched = Watched(product, tryton_server, given)
    with product.worker():
        watched.look(*JOBS)
        call("payments.record", invoice_id=invoice, amount="2.00")
        watched.look(*JOBS)
    with closing(sqlite3.connect(file)) as connection:
        told = connection.execute(
            "SELECT customer_id, payment_status FROM orders WHERE order_id = ?", (order["order_id"],)
        )
        assert told.fetchall()[0][0] == stage.customer
        levels = dict(connection.execute("SELECT product_id, available FROM stock").fetchall())
        assert levels[stage.bought] == call("inventory.check_stock", items=[stage.some()])["available"][0]["available"]
        paid = connection.execute(
            "SELECT payment_id, amount, kept FROM payments WHERE invoice_id = ?", (invoice,)
        ).fetchall()
    assert (payment, "1.00", "1.00") in paid
    assert [each[1] for each in paid] == ["1.00", "2.00"]
    assert product.rows("SELECT * FROM dead_letters") == []
