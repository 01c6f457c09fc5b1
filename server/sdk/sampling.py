"""What rows look like, told from a sample of them: a JSON Schema, and which fields look like key and cursor."""

from __future__ import annotations

import re
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from server.sdk.sources import Dataset

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from server.sdk.sources import Row

_TIME = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_KEY = re.compile(r"^(id|uuid|key|code|sku|number|external_id|_id)$", re.IGNORECASE)
_CURSORS = (
    "updated_at",
    "modified_at",
    "last_modified",
    "updated",
    "modified",
    "changed_at",
    "created_at",
    "timestamp",
)

_KINDS: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (type(None), "null"),
    (bool, "boolean"),
    (int, "integer"),
    ((float, Decimal), "number"),
    (dict, "object"),
    ((list, tuple), "array"),
)


def schema_of(rows: Sequence[Row]) -> dict[str, Any]:
    """Return the JSON Schema that all these rows fit; a field that some lack, or that is null in some, is not required."""
    fields: dict[str, list[Any]] = {}
    for row in rows:
        for name, value in row.items():
            fields.setdefault(name, []).append(value)
    return {
        "type": "object",
        "properties": {name: _schema(values) for name, values in fields.items()},
        "required": [name for name, values in fields.items() if len(values) == len(rows) and None not in values],
    }


def dataset_of(name: str, options: Mapping[str, Any], rows: Sequence[Row]) -> Dataset:
    """Return what a sample says of a dataset; a key is proposed where its values differ in all rows."""
    schema = schema_of(rows)
    names = list(schema["properties"])
    keys = [each for each in names if _KEY.match(each) and _distinct(each, rows)]
    times = [
        each for each in names if schema["properties"][each].get("format") == "date-time" or each.lower() in _CURSORS
    ]
    times.sort(key=lambda each: _CURSORS.index(each.lower()) if each.lower() in _CURSORS else len(_CURSORS))
    return Dataset(name=name, options=options, schema=schema, primary_key=tuple(keys[:1]), cursor=tuple(times))


def _distinct(name: str, rows: Sequence[Row]) -> bool:
    values = [row.get(name) for row in rows]
    return all(isinstance(each, str | int) for each in values) and len(set(values)) == len(values)


def _schema(values: Sequence[Any]) -> dict[str, Any]:
    kinds = sorted({_kind(each) for each in values})
    if set(kinds) == {"integer", "number"}:
        kinds = ["number"]
    found: dict[str, Any] = {"type": kinds[0] if len(kinds) == 1 else kinds}
    texts = [each for each in values if isinstance(each, str)]
    if texts and kinds in (["string"], ["null", "string"]):
        if all(_TIME.fullmatch(each) for each in texts):
            found["format"] = "date-time"
        elif all(_DATE.fullmatch(each) for each in texts):
            found["format"] = "date"
    if any(isinstance(each, datetime) for each in values):
        found["format"] = "date-time"
    return found


def _kind(value: Any) -> str:
    return next((name for types, name in _KINDS if isinstance(value, types)), "string")
