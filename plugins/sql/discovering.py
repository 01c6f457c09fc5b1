"""What a database holds: its tables as data sets, with the JSON Schema of a row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import inspect, types

from plugins.sql.tables import read_table
from server.sdk import Dataset

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy.engine import Connection

_MOST = 1_000
_CHANGED = ("updated_at", "modified_at", "changed_at", "last_modified", "modified", "updated", "changed", "write_date")
_KINDS: tuple[tuple[type[types.TypeEngine[Any]], dict[str, Any]], ...] = (
    (types.Boolean, {"type": "boolean"}),
    (types.Integer, {"type": "integer"}),
    (types.Float, {"type": "number"}),
    (types.Numeric, {"type": ["string", "number"], "format": "decimal"}),
    (types.DateTime, {"type": "string", "format": "date-time"}),
    (types.Date, {"type": "string", "format": "date"}),
    (types.Time, {"type": "string", "format": "time"}),
    (types.Uuid, {"type": "string", "format": "uuid"}),
    (types.JSON, {}),
    (types.ARRAY, {"type": "array"}),
    (types.String, {"type": "string"}),
)


def tables_of(
    connection: Connection, options: Mapping[str, Any], made: Callable[[str, str, str | None], dict[str, Any]]
) -> Sequence[Dataset]:
    """Return the tables and views; `made(select, name, schema)` makes what stands in a definition."""
    ask = inspect(connection)
    schema = options.get("schema")
    named = options.get("table")
    names = [named] if named else sorted({*ask.get_table_names(schema), *ask.get_view_names(schema)})[:_MOST]
    found = []
    quote = connection.dialect.identifier_preparer.quote
    for name in names:
        table = read_table(connection, name, schema)
        columns = ask.get_columns(name, schema)
        place = f"{quote(schema)}.{quote(name)}" if schema else str(quote(name))
        select = f"SELECT {', '.join(str(quote(each['name'])) for each in columns)} FROM {place}"
        moments = [each["name"] for each in columns if each["name"].lower() in _CHANGED]
        found.append(
            Dataset(
                name=name,
                options=made(select, name, schema),
                schema=_schema(columns),
                primary_key=table.primary_key,
                cursor=tuple(sorted(moments, key=lambda each: _CHANGED.index(each.lower()))),
            )
        )
    return found


def _schema(columns: Sequence[Any]) -> dict[str, Any]:
    properties = {each["name"]: _kind(each["type"], nullable=bool(each.get("nullable", True))) for each in columns}
    required = [each["name"] for each in columns if not each.get("nullable", True)]
    return {"type": "object", "properties": properties, "required": required}


def _kind(of: Any, *, nullable: bool) -> dict[str, Any]:
    found = next((dict(schema) for kind, schema in _KINDS if isinstance(of, kind)), {})
    if nullable and "type" in found:
        known = found["type"]
        found["type"] = [*(known if isinstance(known, list) else [known]), "null"]
    return found
