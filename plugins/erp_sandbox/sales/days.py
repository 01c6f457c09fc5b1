"""Spans of days, as reports ask for them: `from` and `to`, both of them included, in UTC."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import ColumnElement


def within(column: ColumnElement[Any], given: Mapping[str, Any]) -> list[ColumnElement[bool]]:
    """Return the conditions that a moment lies in the span."""
    found = []
    if "from" in given:
        found.append(column >= _midnight(given["from"]))
    if "to" in given:
        last = date.fromisoformat(given["to"])
        found += [] if last == date.max else [column < _midnight(str(last + timedelta(days=1)))]
    return found


def on_days(column: ColumnElement[Any], given: Mapping[str, Any]) -> list[ColumnElement[bool]]:
    """Return the conditions that a day, kept as text, lies in the span."""
    found = []
    if "from" in given:
        found.append(column >= given["from"])
    if "to" in given:
        found.append(column <= given["to"])
    return found


def span(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the span as reports show it."""
    return {"from": given.get("from"), "to": given.get("to")}


def _midnight(day: str) -> datetime:
    found = date.fromisoformat(day)
    return datetime(found.year, found.month, found.day, tzinfo=UTC)
