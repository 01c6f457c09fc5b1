"""How Tryton writes values in JSON, and how the ports write the same: money, quantities, days, moments."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

CENT = Decimal("0.01")
_PLACES = Decimal("0.0001")


_MOMENT = ("year", "month", "day", "hour", "minute", "second", "microsecond")
_WRITES: tuple[tuple[Any, Callable[[Any], Any]], ...] = (
    (Decimal, lambda each: {"__class__": "Decimal", "decimal": str(each)}),
    (datetime, lambda each: {"__class__": "datetime", **_parts(each.astimezone(UTC), _MOMENT)}),
    (date, lambda each: {"__class__": "date", **_parts(each, _MOMENT[:3])}),
    (timedelta, lambda each: {"__class__": "timedelta", "seconds": each.total_seconds()}),
    (dict, lambda each: {name: encoded(value) for name, value in each.items()}),
    (list | tuple, lambda each: [encoded(value) for value in each]),
)
_READS: dict[str, Callable[..., Any]] = {
    "Decimal": lambda decimal: Decimal(str(decimal)),
    "date": date,
    "datetime": lambda **parts: datetime(**parts, tzinfo=UTC),
    "timedelta": timedelta,
}


def _parts(value: date, names: tuple[str, ...]) -> dict[str, int]:
    return {name: getattr(value, name) for name in names}


def encoded(value: Any) -> Any:
    """Return a value as Tryton reads it: days and exact numbers are objects that name their class."""
    return next((write(value) for kind, write in _WRITES if isinstance(value, kind)), value)


def decoded(value: Any) -> Any:
    """Return a value of Tryton's as Decimal, date, datetime in UTC or timedelta; the rest as it is."""
    if isinstance(value, list):
        return [decoded(each) for each in value]
    if not isinstance(value, dict):
        return value
    read = _READS.get(value.get("__class__", ""))
    rest = {name: each for name, each in value.items() if name != "__class__"}
    return {name: decoded(each) for name, each in value.items()} if read is None else read(**rest)


def amount(value: Decimal | float | None) -> str:
    """Return money as an answer has it: two places, and no nothing below zero."""
    found = exact(value).quantize(CENT, ROUND_HALF_UP)
    return f"{found or Decimal(0):.2f}"


def exact(value: Decimal | float | str | None) -> Decimal:
    """Return a number as Decimal, as it is written; nothing is 0."""
    return Decimal(str(value)) if value else Decimal(0)


def goods(value: Decimal | float | str | None) -> int | float:
    """Return a quantity as an answer has it: at most four places, whole ones as integers."""
    found = exact(value).quantize(_PLACES)
    return int(found) if found == found.to_integral_value() else float(found)


def quantity(value: Any) -> float:
    """Return a quantity as Tryton takes it: it keeps them as floats and rounds by the unit."""
    return float(exact(value))


def day(value: date | None) -> str | None:
    """Return a day as text."""
    return None if value is None else value.isoformat()


def moment(value: datetime | None) -> str | None:
    """Return a moment as RFC 3339 in UTC."""
    return None if value is None else value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def changed_at(record: dict[str, Any]) -> datetime:
    """Return when a record was last written, which for a new one is when it was made."""
    found: datetime = record.get("write_date") or record["create_date"]
    return found


def revision(record: dict[str, Any]) -> int:
    """Return a number that grows with each change: Tryton counts none, so it is the milliseconds of the last one."""
    return int(changed_at(record).timestamp() * 1000)


STAMPS = ("create_date", "write_date")


def stamps(record: dict[str, Any]) -> dict[str, Any]:
    """Return what an answer says of when a record was made and changed."""
    return {
        "revision": revision(record),
        "created_at": moment(record["create_date"]),
        "updated_at": moment(changed_at(record)),
    }
