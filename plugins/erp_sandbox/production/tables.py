"""Bills of materials, production orders with the materials that they were made with, and their days."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, Index, Integer, String, Table, text

from plugins.erp_sandbox.tables import METADATA, Moment, Quantity, company

_DAY = String(10)
BOMS = Table(
    "boms",
    METADATA,
    company(),
    Column("product_id", String(64), primary_key=True),
    Column("makes", Quantity(), nullable=False),
    Column("revision", Integer(), nullable=False),
    Column("created_at", Moment(), nullable=False),
    Column("updated_at", Moment(), nullable=False),
)
BOM_PARTS = Table(
    "bom_parts",
    METADATA,
    company(),
    Column("product_id", String(64), primary_key=True),
    Column("component_id", String(64), primary_key=True),
    Column("quantity", Quantity(), nullable=False),
    CheckConstraint("quantity > 0", name="bom_parts_are_some"),
    CheckConstraint("product_id <> component_id", name="bom_parts_are_others"),
)
_WAITING = text("status = 'waiting_materials'")
PRODUCTION_ORDERS = Table(
    "production_orders",
    METADATA,
    company(),
    Column("production_order_id", String(64), primary_key=True),
    Column("order_id", String(64)),
    Column("product_id", String(64), nullable=False),
    Column("quantity", Quantity(), nullable=False),
    Column("produced", Quantity(), nullable=False),
    Column("stocked", Quantity(), nullable=False),
    Column("rejected", Quantity(), nullable=False),
    Column("status", String(20), nullable=False),
    Column("priority", String(20), nullable=False),
    Column("due_date", _DAY),
    Column("scheduled_start", _DAY),
    Column("scheduled_end", _DAY),
    Column("note", String(500)),
    Column("completed_at", Moment()),  # when all was made for the first time, whatever is made anew after it
    Column("revision", Integer(), nullable=False),
    Column("created_at", Moment(), nullable=False),
    Column("updated_at", Moment(), nullable=False),
    CheckConstraint("quantity > 0 AND produced >= 0 AND produced <= quantity", name="production_orders_make_no_more"),
    CheckConstraint(
        "stocked >= 0 AND rejected >= 0 AND stocked + rejected <= produced", name="production_orders_stock_what_is_made"
    ),
    Index("production_orders_by_order", "company", "order_id"),
    Index(
        "production_orders_waiting",
        "company",
        "production_order_id",
        postgresql_where=_WAITING,
        sqlite_where=_WAITING,
    ),
)
PRODUCTION_MATERIALS = Table(
    "production_materials",
    METADATA,
    company(),
    Column("production_order_id", String(64), primary_key=True),
    Column("product_id", String(64), primary_key=True),
    Column("quantity", Quantity(), nullable=False),
    Column("used", Quantity(), nullable=False),  # for what is made and not to be made again
    CheckConstraint("quantity > 0 AND used >= 0 AND used <= quantity", name="production_materials_are_used_once"),
)
PRODUCTION_DAYS = Table(
    "production_days",
    METADATA,
    company(),
    Column("production_order_id", String(64), primary_key=True),
    Column("day", _DAY, primary_key=True),
    Column("quantity", Quantity(), nullable=False),
    Index("production_days_by_day", "company", "day"),
)
PRODUCTION_TABLES = (BOMS, BOM_PARTS, PRODUCTION_ORDERS, PRODUCTION_MATERIALS, PRODUCTION_DAYS)
