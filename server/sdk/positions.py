"""Values of cursors and keys as JSON and back, so that a position can be stored: `packed` and `unpacked`.

JSON's own values stand for themselves; the others are an object with
one key: {"decimal": "1.50"}, {"datetime": "2026-01-01T00:00:00+00:00"}, {"date": …}, {"time": …}, {"uuid": …},
{"bytes": base64}.
"""

from __future__ import annotations

import base64
from datetime import date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

from server.kernel.errors import Permanent, code

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

POSITION_UNREADABLE = code(
    "POSITION_UNREADABLE", "A value cannot stand in a cursor or key, or a stored position cannot be read."
)

_WRITTEN: dict[type, tuple[str, Callable[[Any], str]]] = {
    datetime: ("datetime", datetime.isoformat),
    date: ("date", date.isoformat),
    time: ("time", time.isoformat),
    Decimal: ("decimal", str),
    UUID: ("uuid", str),
    bytes: ("bytes", lambda value: base64.b64encode(value).decode()),
    memoryview: ("bytes", lambda value: base64.b64encode(value).decode()),
}
_READ: dict[str, Callable[[str], Any]] = {
    "datetime": datetime.fromisoformat,
    "date": date.fromisoformat,
    "time": time.fromisoformat,
    "decimal": Decimal,
    "uuid": UUID,
    "bytes": base64.b64decode,
}
_PLAIN = (str, int, float, bool, type(None))
_AS_IT_IS = frozenset(_PLAIN)


def packed(values: Iterable[Any]) -> list[Any]:
    """Return the values as JSON.

    Raises:
        Permanent: POSITION_UNREADABLE: a value that has no order and no equality, such as a list.

    """
    return [each if type(each) in _AS_IT_IS else _packed(each) for each in values]


def unpacked(values: Iterable[Any]) -> tuple[Any, ...]:
    """Return the values that `packed` wrote.

    Raises:
        Permanent: POSITION_UNREADABLE.

    """
    return tuple(_unpacked(each) for each in values)


def _packed(value: Any) -> Any:
    if isinstance(value, _PLAIN):
        return value
    known = _WRITTEN.get(type(value))
    if known is None:
        raise Permanent(f"a {type(value).__name__} cannot stand in a cursor or key", code=POSITION_UNREADABLE)
    return {known[0]: known[1](value)}


def _unpacked(value: Any) -> Any:
    if isinstance(value, _PLAIN):
        return value
    try:
        ((name, text),) = value.items()
        return _READ[name](text)
    except (AttributeError, ValueError, KeyError, TypeError, ArithmeticError) as error:
        raise Permanent("a stored position cannot be read", code=POSITION_UNREADABLE) from error


def as_json(value: Any) -> Any:
    """Return a value of a row as JSON for people: what JSON has no form for is text."""
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, dict):
        return {str(name): as_json(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(each) for each in value]
    known = _WRITTEN.get(type(value))
    return known[1](value) if known else str(value)
