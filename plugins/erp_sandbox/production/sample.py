"""Goods to try things with: what a seeded company has in stock, makes and buys; and the mock's, whose ids are known beforehand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plugins.erp_sandbox import logistics, warehouse
from plugins.erp_sandbox.inventory import levels, reservations, stock
from plugins.erp_sandbox.inventory.stock import Change, Why
from plugins.erp_sandbox.procurement import buying, suppliers
from plugins.erp_sandbox.production import boms, making, orders
from plugins.erp_sandbox.quality import inspections
from plugins.erp_sandbox.records import parts
from plugins.erp_sandbox.sales import orders as sales_orders
from plugins.erp_sandbox.sales import products

if TYPE_CHECKING:
    from collections.abc import Mapping

    from plugins.erp_sandbox.desk import Desk

_TABLE = {"P-LEG": 4, "P-TOP": 1, "P-SCREW": 12}
_FIRST = {"P-CHAIR": 100, "P-LEG": 200, "P-TOP": 50, "P-SCREW": 1000}
_PER_DEAL = {"P-CHAIR": 20, "P-LEG": 20, "P-TOP": 5, "P-SCREW": 60}
_ITEMS = [{"product_id": "prd_0001", "quantity": 5}, {"product_id": "prd_0002", "quantity": 1}]


def seed(desk: Desk, product_ids: Mapping[str, str], deals: int) -> None:
    """Give a company what so many new deals need; tables are made when they are ordered. For none it changes nothing."""
    components = [{"product_id": product_ids[name], "quantity": quantity} for name, quantity in _TABLE.items()]
    boms.upsert(desk, {"product_id": product_ids["P-TABLE"], "components": components})
    sold = [product_ids[name] for name in (*_TABLE, "P-CHAIR")]
    suppliers.upsert(desk, {"external_id": "S-WOOD", "name": "Wood & Steel", "product_ids": sold})
    points = [
        {"product_id": product_ids[name], "reorder_point": first // 5, "reorder_quantity": first}
        for name, first in _FIRST.items()
    ]
    had = stock.levels(desk, sold)
    first = {name: _FIRST[name] if had[product_ids[name]].updated_at is None else 0 for name in _FIRST}
    more = {product_ids[name]: Change(parts(first[name] + _PER_DEAL[name] * deals)) for name in _FIRST}
    stock.change(desk, more, Why("added", reason="to try things with"))
    levels.update(desk, {"levels": points})


def mock(desk: Desk) -> None:
    """Fill a company that has the products 1 and 2 and the orders 1 to 4: one thing in each status that a fixture begins from."""
    for number in (3, 4):
        products.upsert(desk, {"external_id": f"P-{number}", "name": f"Product {number}", "price": "2", "cost": "1"})
    for number in range(1, 5):
        stock.change(desk, {f"prd_{number:04d}": Change(parts(1000))}, Why("added"))
    _fulfilled(desk)
    _made(desk)
    _bought(desk)


def _fulfilled(desk: Desk) -> None:
    """Order 5 is new, 6 and 7 are reserved, 8 and 9 picked (1, 2), 10 and 11 packed (1, 2), 12 and 13 shipped (1, 2)."""
    for number in range(5, 14):
        order_id = f"ord_{number:04d}"
        sales_orders.create(desk, {"customer_id": "cus_0001", "items": _ITEMS})
        if number > 5:  # noqa: PLR2004 - the docstring has the table
            reservations.reserve(desk, {"order_id": order_id})
        if number > 7:  # noqa: PLR2004
            picking = warehouse.WRITES["warehouse.create_picking"](desk, {"order_id": order_id})
        if number > 9:  # noqa: PLR2004
            packed = {"picking_id": picking["picking_id"]}
            packing = warehouse.WRITES["warehouse.create_packing"](desk, packed)
        if number > 11:  # noqa: PLR2004
            shipped = {"order_id": order_id, "packing_id": packing["packing_id"]}
            logistics.WRITES["logistics.create_shipment"](desk, shipped)


def _made(desk: Desk) -> None:
    """Product 1 is made of 2 of product 3. Production orders 1 to 5 are planned, 6 waits for its inspections: 1 and 2 open, 3 failed."""
    boms.upsert(desk, {"product_id": "prd_0001", "components": [{"product_id": "prd_0003", "quantity": 2}]})
    for _ in range(6):
        orders.create(desk, {"product_id": "prd_0001", "quantity": 5})
    making.complete(desk, {"production_order_id": "mo_0006", "into_stock": False})
    for _ in range(3):
        begun = {"product_id": "prd_0001", "quantity": 1, "production_order_id": "mo_0006"}
        inspections.create(desk, begun)
    inspections.record(desk, {"inspection_id": "ins_0003", "passed": False})


def _bought(desk: Desk) -> None:
    """Requisitions 1 and 2 are open, purchase orders 1 and 2 ordered from supplier 1."""
    suppliers.upsert(desk, {"external_id": "S-1", "name": "Supplier 1"})
    items = [{"product_id": "prd_0003", "quantity": 10}]
    for _ in range(2):
        buying.ask(desk, {"items": items})
        buying.order(desk, {"items": items})
