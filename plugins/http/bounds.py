"""What of a cursor's bounds an API can be asked for, and the check of each row against them."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from plugins.http.paging import shown_time
from server.sdk import CURSOR_MISSING, Permanent

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from server.sdk import Row, Window

_FIRST_DATE = len("2026-01-01")


def comparable(value: Any) -> Any:
    """Return a value that can be put in order: texts that are times become times (without a zone they are UTC)."""
    if isinstance(value, str) and len(value) >= _FIRST_DATE and value[:4].isdecimal() and value[4] == "-":
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return value
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    return float(value) if isinstance(value, Decimal) else value


def filter_of(window: Window) -> Callable[[Row], bool]:
    """Return what says whether a row lies within the bounds. What cannot be compared is kept: no row is lost.

    Raises:
        Permanent: CURSOR_MISSING, from the filter, where the job says so.

    """
    after, since, until = (
        None if bound is None else tuple(map(comparable, bound)) for bound in (window.after, window.since, window.until)
    )

    def within(row: Row) -> bool:
        values = tuple(comparable(row.get(name)) for name in window.fields)
        if values[0] is None:
            if window.missing == "fail":
                raise Permanent(f"a record has no {window.fields[0]}", code=CURSOR_MISSING, source="http")
            return window.missing == "read" and after is None and since is None
        try:
            if after is not None and values[: len(after)] <= after:
                return False
            if since is not None and values[: len(since)] < since:
                return False
            return until is None or values[: len(until)] < until
        except TypeError:
            return True

    return within


def names_of(window: Window | None, form: str) -> dict[str, Any]:
    """Return what templates of a request may name: `cursor`, where to begin, and `until`, where to end, by field."""
    if window is None:
        return {"cursor": {}, "until": {}}
    lower = window.since if window.since is not None else window.after
    return {
        "cursor": {name: _shown(value, form) for name, value in zip(window.fields, lower or (), strict=False)},
        "until": {name: _shown(value, form) for name, value in zip(window.fields, window.until or (), strict=False)},
    }


def _shown(value: Any, form: str) -> Any:
    moment = comparable(value)
    if isinstance(moment, datetime) and (form != "rfc3339" or not isinstance(value, str)):
        return shown_time(moment.astimezone(UTC), form)
    return str(value) if isinstance(value, Decimal) else value


def span_of(window: Window | None, begin: str | None, now: datetime) -> tuple[datetime, datetime] | None:
    """Return from when to when windows of time go, None where nothing says when to begin."""
    names: Mapping[str, Any] = {}
    if window is not None:
        lower = window.since if window.since is not None else window.after
        names = {
            "begin": comparable(lower[0]) if lower else None,
            "end": comparable(window.until[0]) if window.until else None,
        }
    first = names.get("begin") or (comparable(begin) if begin else None)
    last = names.get("end") or now
    if not isinstance(first, datetime) or not isinstance(last, datetime):
        return None
    return first, last
