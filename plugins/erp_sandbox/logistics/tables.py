"""Shipments and what was seen of them."""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, String, Table, UniqueConstraint, text

from plugins.erp_sandbox.tables import METADATA, Moment, company

_LIVE = text("status <> 'cancelled'")
SHIPMENTS = Table(
    "shipments",
    METADATA,
    company(),
    Column("shipment_id", String(64), primary_key=True),
    Column("order_id", String(64), nullable=False),
    Column("packing_id", String(64), nullable=False),
    Column("carrier", String(100), nullable=False),
    Column("tracking_number", String(100), nullable=False),
    Column("status", String(20), nullable=False),
    Column("shipped_at", Moment(), nullable=False),
    Column("delivered_at", Moment()),
    UniqueConstraint("company", "tracking_number", name="shipments_by_tracking_number"),
    Index("shipments_live", "company", "packing_id", unique=True, postgresql_where=_LIVE, sqlite_where=_LIVE),
)
SHIPMENT_STEPS = Table(
    "shipment_steps",
    METADATA,
    company(),
    Column("shipment_id", String(64), primary_key=True),
    Column("step", Integer(), primary_key=True),
    Column("at", Moment(), nullable=False),
    Column("status", String(20), nullable=False),
    Column("location", String(200)),
    Column("note", String(500)),
)
LOGISTICS_TABLES = (SHIPMENTS, SHIPMENT_STEPS)
