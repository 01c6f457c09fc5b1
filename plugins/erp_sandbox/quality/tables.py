"""Checkpoints of products, inspections with what was found, and orders to look after machines."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Float, Integer, String, Table

from plugins.erp_sandbox.tables import METADATA, Moment, Quantity, company

CHECKPOINTS = Table(
    "checkpoints",
    METADATA,
    company(),
    Column("product_id", String(64), primary_key=True),
    Column("position", Integer(), primary_key=True),
    Column("name", String(40), nullable=False),
    Column("kind", String(20), nullable=False),
    Column("minimum", Float()),
    Column("maximum", Float()),
)
INSPECTIONS = Table(
    "inspections",
    METADATA,
    company(),
    Column("inspection_id", String(64), primary_key=True),
    Column("product_id", String(64), nullable=False),
    Column("quantity", Quantity(), nullable=False),
    Column("production_order_id", String(64)),
    Column("purchase_order_id", String(64)),
    Column("status", String(20), nullable=False),
    Column("action", String(20)),
    Column("note", String(500)),
    Column("revision", Integer(), nullable=False),
    Column("created_at", Moment(), nullable=False),
    Column("updated_at", Moment(), nullable=False),
)
FINDINGS = Table(
    "inspection_findings",
    METADATA,
    company(),
    Column("inspection_id", String(64), primary_key=True),
    Column("position", Integer(), primary_key=True),
    Column("name", String(40), nullable=False),
    Column("kind", String(20), nullable=False),
    Column("minimum", Float()),
    Column("maximum", Float()),
    Column("passed", Boolean()),
    Column("value", Float()),
    Column("note", String(500)),
)
WORK_ORDERS = Table(
    "work_orders",
    METADATA,
    company(),
    Column("work_order_id", String(64), primary_key=True),
    Column("equipment", String(200), nullable=False),
    Column("description", String(2000), nullable=False),
    Column("priority", String(20), nullable=False),
    Column("due_date", String(10)),
    Column("inspection_id", String(64)),
    Column("status", String(20), nullable=False),
    Column("created_at", Moment(), nullable=False),
)
QUALITY_TABLES = (CHECKPOINTS, INSPECTIONS, FINDINGS, WORK_ORDERS)
