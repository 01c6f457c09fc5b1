"""Suppliers and what they sell; what is asked for, ordered and received."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, Index, Integer, String, Table, UniqueConstraint, text

from plugins.erp_sandbox.tables import METADATA, Moment, Money, Quantity, company

_DAY = String(10)
SUPPLIERS = Table(
    "suppliers",
    METADATA,
    company(),
    Column("supplier_id", String(64), primary_key=True),
    Column("external_id", String(200)),
    Column("name", String(300), nullable=False),
    Column("email", String(320)),
    Column("phone", String(50)),
    Column("lead_time_days", Integer(), nullable=False),
    Column("revision", Integer(), nullable=False),
    Column("created_at", Moment(), nullable=False),
    Column("updated_at", Moment(), nullable=False),
    UniqueConstraint("company", "external_id", name="suppliers_by_external_id"),
)
SUPPLIED = Table(
    "supplied_products",
    METADATA,
    company(),
    Column("supplier_id", String(64), primary_key=True),
    Column("product_id", String(64), primary_key=True),
    Index("supplied_by_product", "company", "product_id"),
)
REQUISITIONS = Table(
    "requisitions",
    METADATA,
    company(),
    Column("requisition_id", String(64), primary_key=True),
    Column("status", String(20), nullable=False),
    Column("needed_by", _DAY),
    Column("reason", String(500)),
    Column("production_order_id", String(64)),
    Column("created_at", Moment(), nullable=False),
)
REQUISITION_ITEMS = Table(
    "requisition_items",
    METADATA,
    company(),
    Column("requisition_id", String(64), primary_key=True),
    Column("product_id", String(64), primary_key=True),
    Column("quantity", Quantity(), nullable=False),
    CheckConstraint("quantity > 0", name="requisition_items_are_some"),
)
PURCHASES = Table(
    "purchase_orders",
    METADATA,
    company(),
    Column("purchase_order_id", String(64), primary_key=True),
    Column("supplier_id", String(64), nullable=False),
    Column("requisition_id", String(64)),
    Column("status", String(20), nullable=False),
    Column("total", Money(), nullable=False),
    Column("expected_date", _DAY),
    Column("created_at", Moment(), nullable=False),
)
_TO_COME = text("received < quantity")
PURCHASE_ITEMS = Table(
    "purchase_order_items",
    METADATA,
    company(),
    Column("purchase_order_id", String(64), primary_key=True),
    Column("product_id", String(64), primary_key=True),
    Column("quantity", Quantity(), nullable=False),
    Column("received", Quantity(), nullable=False),
    Column("unit_price", Money(), nullable=False),
    Column("net", Money(), nullable=False),
    CheckConstraint("quantity > 0 AND received >= 0 AND received <= quantity", name="purchase_order_items_come_once"),
    Index("purchase_order_items_to_come", "company", "product_id", postgresql_where=_TO_COME, sqlite_where=_TO_COME),
)
PROCUREMENT_TABLES = (SUPPLIERS, SUPPLIED, REQUISITIONS, REQUISITION_ITEMS, PURCHASES, PURCHASE_ITEMS)
