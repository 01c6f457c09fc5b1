"""Time comes from the clock you are given, never from the system inside a rule."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Tells the time in UTC."""

    def now(self) -> datetime:
        """Return the present moment, aware, in UTC."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the present moment, aware, in UTC."""
        return datetime.now(UTC)


class ManualClock:
    """A clock that stands still until it is moved: product code for `test` runs and for tests."""

    def __init__(self, at: datetime) -> None:
        if at.tzinfo is None:
            raise ValueError("a clock needs an aware datetime")
        self._now = at.astimezone(UTC)

    def now(self) -> datetime:
        """Return the moment that was set."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move on by `seconds` (back when negative)."""
        self._now += timedelta(seconds=seconds)


def rfc3339(moment: datetime) -> str:
    """Write a moment as RFC 3339 in UTC with `Z`, microseconds only when there are some."""
    if moment.utcoffset():
        moment = moment.astimezone(UTC)
    return moment.replace(tzinfo=None).isoformat() + "Z"


def parse_rfc3339(text: str) -> datetime:
    """Read an RFC 3339 moment.

    Raises:
        ValueError: not one, without an offset, or in UTC beyond the years 1 to 9999.

    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None or "T" not in text.upper():
        raise ValueError(f"not an RFC 3339 time with an offset: {text}")
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(f"beyond the years 1 to 9999 in UTC: {text}") from error
