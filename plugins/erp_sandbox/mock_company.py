"""A company whose ids are known beforehand (`deal_0001`, `ord_0002`, …), so that a fixture can name what it is about."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from plugins.erp_sandbox.desk import Desk
from plugins.erp_sandbox.finance import invoices, payments
from plugins.erp_sandbox.production import sample
from plugins.erp_sandbox.sales import deals, orders, products, quotes

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from sqlalchemy.engine import Connection

COMPANY = "default/default/main"
_ITEMS = [{"product_id": "prd_0001", "quantity": 5}, {"product_id": "prd_0002", "quantity": 1}]


def make(connection: Connection, now: datetime) -> None:
    """Fill the tables behind the customers `cus_0000` to `cus_0002`, which are there."""
    desk = Desk(connection, COMPANY, now, "cor_mock", None, new_id=_counting())
    for part in (_sold, _booked, sample.mock):
        part(desk)


def _counting() -> Callable[[str], str]:
    made: Counter[str] = Counter()

    def new_id(kind: str) -> str:
        made[kind] += 1
        return f"{kind}_{made[kind]:04d}"

    return new_id


def _sold(desk: Desk) -> None:
    """Products 1 and 2; deals 1 to 3 open, 4 won; quotes 1 open, 2 accepted; orders 1 to 4 pending."""
    for number in (1, 2):
        products.upsert(
            desk, {"external_id": f"P-{number}", "name": f"Product {number}", "price": "10", "tax_rate": "20"}
        )
    for number in range(1, 5):
        named = {"customer_id": "cus_0001", "name": f"Deal {number}", "items": _ITEMS}
        deals.create(desk, {"external_id": f"M-{number}", **named})
    deals.win(desk, {"deal_id": "deal_0004"})
    for _ in range(2):
        quotes.create(desk, {"deal_id": "deal_0001"})
    quotes.accept(desk, {"quote_id": "quo_0002"})
    for _ in range(4):
        orders.create(desk, {"customer_id": "cus_0001", "items": _ITEMS})


def _booked(desk: Desk) -> None:
    """Invoices 1 and 2, of orders 1 and 2, open; 3, of no order, paid by payment 1."""
    for number in (1, 2):
        invoices.create_from_order(desk, {"order_id": f"ord_{number:04d}"})
    lines = [{"description": "Help", "quantity": 2, "unit_price": "50.00", "tax_rate": "20"}]
    invoices.create(desk, {"customer_id": "cus_0002", "lines": lines})
    payments.record(desk, {"invoice_id": "inv_0003", "amount": "120.00"})
