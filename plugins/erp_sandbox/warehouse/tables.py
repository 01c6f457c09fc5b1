"""Pickings and packings: one of an order at a time is not cancelled."""

from __future__ import annotations

from sqlalchemy import Column, Index, String, Table, text

from plugins.erp_sandbox.tables import METADATA, Moment, company

_LIVE = text("status <> 'cancelled'")
PICKINGS = Table(
    "pickings",
    METADATA,
    company(),
    Column("picking_id", String(64), primary_key=True),
    Column("order_id", String(64), nullable=False),
    Column("status", String(20), nullable=False),
    Column("created_at", Moment(), nullable=False),
    Index("pickings_live", "company", "order_id", unique=True, postgresql_where=_LIVE, sqlite_where=_LIVE),
)
PACKINGS = Table(
    "packings",
    METADATA,
    company(),
    Column("packing_id", String(64), primary_key=True),
    Column("picking_id", String(64), nullable=False),
    Column("order_id", String(64), nullable=False),
    Column("status", String(20), nullable=False),
    Column("created_at", Moment(), nullable=False),
    Index("packings_live", "company", "picking_id", unique=True, postgresql_where=_LIVE, sqlite_where=_LIVE),
)
WAREHOUSE_TABLES = (PICKINGS, PACKINGS)
