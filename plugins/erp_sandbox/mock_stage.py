"""Rows for the sources of the mock: whatever the table, row N has key N and was changed last at second `ticks[N]`."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from sqlalchemy import Integer, delete, insert

from plugins.erp_sandbox.mock_company import COMPANY
from plugins.erp_sandbox.reading import READ
from plugins.erp_sandbox.tables import Moment, Money, Quantity
from server.sdk import SourceStage

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Column
    from sqlalchemy.engine import Connection


def stage(connection: Connection, operation: str, start: datetime, ticks: Sequence[int]) -> SourceStage:
    """Let the table behind a source have just these rows."""
    source = next(each for each in READ if each.operation.name == operation)
    rows = []
    for number, tick in enumerate(ticks):
        at = start + timedelta(seconds=tick)
        made = {column.name: _value(column, at) for column in source.table.c if not column.nullable}
        rows.append({**made, "company": COMPANY, source.key: f"id_{number:04d}"})
    connection.execute(delete(source.table))
    if rows:
        connection.execute(insert(source.table), rows)
    return SourceStage(options={}, primary_key=(source.key,), cursor=("updated_at",))


def _value(column: Column[Any], at: datetime) -> Any:
    if isinstance(column.type, Moment):
        return at
    if isinstance(column.type, Money | Quantity):
        return Decimal(0)
    return 1 if isinstance(column.type, Integer) else "x"
