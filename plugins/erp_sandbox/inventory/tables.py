"""Stock, the journal of its moves, and what is reserved for orders. The database itself refuses what may never be."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, Index, String, Table

from plugins.erp_sandbox.tables import METADATA, Moment, Quantity, company

STOCK = Table(
    "stock",
    METADATA,
    company(),
    Column("product_id", String(64), primary_key=True),
    Column("on_hand", Quantity(), nullable=False),
    Column("reserved", Quantity(), nullable=False),
    Column("reorder_point", Quantity()),
    Column("reorder_quantity", Quantity()),
    Column("updated_at", Moment(), nullable=False),
    CheckConstraint("on_hand >= 0", name="stock_is_not_negative"),
    CheckConstraint("reserved >= 0 AND reserved <= on_hand", name="stock_reserved_is_on_hand"),
)
STOCK_MOVES = Table(
    "stock_moves",
    METADATA,
    company(),
    Column("move_id", String(64), primary_key=True),
    Column("product_id", String(64), nullable=False),
    Column("quantity", Quantity(), nullable=False),
    Column("kind", String(20), nullable=False),
    Column("reference", String(200)),
    Column("reason", String(500)),
    Column("at", Moment(), nullable=False),
    CheckConstraint("quantity <> 0", name="stock_moves_move"),
    Index("stock_moves_by_product", "company", "product_id", "at"),
    Index("stock_moves_by_time", "company", "at"),
)
RESERVATIONS = Table(
    "reservations",
    METADATA,
    company(),
    Column("order_id", String(64), primary_key=True),
    Column("status", String(20), nullable=False),
    Column("updated_at", Moment(), nullable=False),
)
RESERVED_GOODS = Table(
    "reserved_goods",
    METADATA,
    company(),
    Column("order_id", String(64), primary_key=True),
    Column("product_id", String(64), primary_key=True),
    Column("quantity", Quantity(), nullable=False),
    Column("made", Quantity(), nullable=False),  # so much of it was made for the order
    CheckConstraint("quantity > 0", name="reserved_goods_are_some"),
    CheckConstraint("made >= 0 AND made <= quantity", name="reserved_goods_are_made_once"),
)
KEPT_GOODS = Table(
    "kept_goods",
    METADATA,
    company(),
    Column("order_id", String(64), primary_key=True),
    Column("product_id", String(64), primary_key=True),
    Column("quantity", Quantity(), nullable=False),
    CheckConstraint("quantity >= 0", name="kept_goods_are_not_negative"),
)
INVENTORY_TABLES = (STOCK, STOCK_MOVES, RESERVATIONS, RESERVED_GOODS, KEPT_GOODS)
