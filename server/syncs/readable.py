"""Rows as expressions know them, and their keys as the ledger writes them: made for a page at once, column by column.

A moment is a text in UTC with `Z`. Values that JSON has are left as they are, so that most rows are not even copied.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import orjson

from server.kernel.errors import Permanent
from server.sdk.positions import as_json
from server.syncs.ledger import key_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from server.sdk.sources import Row

Kinds = frozenset[tuple[Any, ...]]
"""The different shapes of rows: the names of the fields, and then as many types of values."""
_ZERO = timedelta()
_PLAIN = frozenset((str, int, float, bool, type(None), Decimal, dict, list))
_MOMENTS = frozenset((datetime, type(None)))


def shapes_of(rows: Iterable[Row]) -> list[tuple[Any, ...]]:
    """Return the shape of each row."""
    return [(*row, *map(type, row.values())) for row in rows]


def readable(rows: Sequence[Row], kinds: Kinds | None = None) -> Sequence[Row]:
    """Return the rows as expressions know them; `kinds` are their shapes, and perhaps others, where they are known."""
    odd: dict[str, set[type]] = {}
    shapes = frozenset(shapes_of(rows)) if kinds is None else kinds
    for shape in shapes:
        middle = len(shape) // 2
        for name, kind in zip(shape[:middle], shape[middle:], strict=True):
            if kind not in _PLAIN:
                odd.setdefault(name, set())
    if not odd:
        return rows
    for shape in shapes:
        middle = len(shape) // 2
        for name, kind in zip(shape[:middle], shape[middle:], strict=True):
            if name in odd:
                odd[name].add(kind)
    made = [row.copy() for row in rows]
    for name, types in odd.items():
        _read(name, types, made)
    return made


def _read(name: str, types: set[type], rows: Sequence[Row]) -> None:
    """Write a column as expressions know it."""
    if types <= _MOMENTS:
        values = [row.get(name) for row in rows]
        if all(map(_is_utc, {each.tzinfo for each in values if each is not None})):
            # all at once: a tenth of what isoformat takes
            texts = orjson.loads(orjson.dumps(values, option=orjson.OPT_UTC_Z))
            for row, value in zip(rows, texts, strict=True):
                if name in row:
                    row[name] = value
            return
    for row in rows:
        if type(row.get(name)) not in _PLAIN:
            row[name] = _readable(row[name])


def _is_utc(zone: Any) -> bool:
    return zone is UTC or getattr(zone, "key", None) == "UTC"


def _readable(value: Any) -> Any:
    if isinstance(value, datetime):
        if value.utcoffset() == _ZERO:
            return orjson.dumps(value, option=orjson.OPT_UTC_Z)[1:-1].decode()
        return value.isoformat()
    return as_json(value)


def keys_of(fields: Sequence[str], rows: Sequence[Row]) -> list[str | None]:
    """Return the primary key of each row as the ledger writes it, None for a row that lacks a value, or has one that is no key."""
    if len(fields) == 1:
        (field,) = fields
        # a whole number is its own JSON
        return [_key_of([value]) if type(value := row.get(field)) is not int else f"[{value}]" for row in rows]
    return [_key_of([row.get(each) for each in fields]) for row in rows] if fields else [None] * len(rows)


def _key_of(values: list[Any]) -> str | None:
    try:
        return None if None in values else key_of(values)
    except Permanent:
        return None
