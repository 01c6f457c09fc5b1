"""Columns that a table gets when records bring fields that it lacks."""

from __future__ import annotations

from datetime import date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

from plugins.sql.tables import Table, quoted, read_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.engine import Connection

    from server.sdk import Row

_POSTGRES: dict[type, str] = {
    bool: "boolean",
    int: "bigint",
    float: "double precision",
    Decimal: "numeric",
    datetime: "timestamp with time zone",
    date: "date",
    time: "time",
    UUID: "uuid",
    bytes: "bytea",
    dict: "jsonb",
    list: "jsonb",
}
_OTHERS: dict[type, str] = {int: "bigint", float: "double precision", bool: "boolean", Decimal: "decimal(38, 10)"}
_SQLITE: dict[type, str] = {int: "INTEGER", float: "REAL", bool: "BOOLEAN", Decimal: "NUMERIC"}
_BY_DIALECT = {"postgresql": _POSTGRES, "sqlite": _SQLITE}


def grown(
    connection: Connection, options: Mapping[str, Any], fields: tuple[str, ...], records: Sequence[Row]
) -> tuple[Table, tuple[str, ...]]:
    """Add a column for each field that the table lacks; return the table, and the fields that it has now.

    A field of nothing but nulls has no type yet: it is left out until it has a value. Texts take what is of several types.
    """
    table = read_table(connection, options["table"], options.get("schema"))
    kinds = {name: _kind(connection, records, name) for name in fields if name not in table.types}
    add = "ADD COLUMN IF NOT EXISTS" if connection.dialect.name == "postgresql" else "ADD COLUMN"
    for name, kind in kinds.items():
        if kind is not None:
            column = quoted(connection, name).replace("%", "%%")
            connection.exec_driver_sql(f"ALTER TABLE {table.name} {add} {column} {kind}")
    if any(kinds.values()):
        table = read_table(connection, options["table"], options.get("schema"))
    return table, tuple(name for name in fields if name in table.types)


def _kind(connection: Connection, records: Sequence[Row], name: str) -> str | None:
    types = {type(value) for each in records if (value := each[name]) is not None}
    if not types:
        return None
    known = _BY_DIALECT.get(connection.dialect.name, _OTHERS)
    if types == {int, float}:
        types = {float}
    found = {known.get(each, "text") for each in types}
    return found.pop() if len(found) == 1 else "text"
