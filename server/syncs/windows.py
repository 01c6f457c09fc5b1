"""The windows of a run: where it begins, and where it ends, by the values of the cursor.

A run of a cursor of times begins with the last run's end itself, less the look-back, since rows of the same moment may have come
later; what was written already is known by its hash. Jobs that only append begin after it. A run ends before now less the settling
time, and takes steps on the way where the job says so.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from server.kernel.errors import Permanent, code
from server.sdk.positions import packed, unpacked
from server.sdk.sources import Window

if TYPE_CHECKING:
    from server.syncs.job import Cursor, Job

CURSOR_UNREADABLE = code("CURSOR_UNREADABLE", "A value of the cursor is not of the kind that the job declares.")
Values = tuple[Any, ...] | None


@dataclass(frozen=True, slots=True)
class Bounds:
    """One window; `end` is where the last window of the run ends (None: with the last row)."""

    since: Values = None
    after: Values = None
    until: Values = None
    end: Values = None

    @property
    def is_last(self) -> bool:
        """No window comes after this one."""
        return self.until == self.end

    def window(self, cursor: Cursor) -> Window:
        """Return what a source is asked."""
        return Window(
            fields=cursor.fields, after=self.after, since=self.since, until=self.until, missing=cursor.missing
        )

    def as_json(self) -> dict[str, Any]:
        """Return the bounds to be stored."""
        shown = {"since": self.since, "after": self.after, "until": self.until, "end": self.end}
        return {name: None if values is None else packed(values) for name, values in shown.items()}

    @classmethod
    def of_json(cls, stored: dict[str, Any]) -> Bounds:
        """Return what was stored."""
        return cls(**{name: None if values is None else unpacked(values) for name, values in stored.items()})


def first(job: Job, position: Values, now: datetime) -> Bounds:
    """Return the first window of a run that goes on where `position` was reached; None is the very first run."""
    cursor = job.source.cursor
    if cursor is None or not cursor.fields:
        return Bounds()
    made = Bounds(end=_end(cursor, now))
    if position is None:
        initial = None if cursor.initial is None else tuple(_read(cursor, each) for each in cursor.initial)
        made = replace(made, since=initial)
    elif (cursor.kind == "datetime" and job.target.mode != "append") or cursor.lookback:
        made = replace(made, since=(_back(cursor, position[0]),))
    else:
        made = replace(made, after=position)
    return _stepped(cursor, made)


def following(cursor: Cursor, done: Bounds) -> Bounds | None:
    """Return the window after one that was read to its end, None after the last."""
    if done.is_last or done.until is None:
        return None
    return _stepped(cursor, Bounds(since=done.until, end=done.end))


def moment(value: Any) -> datetime | None:
    """Return a value as a moment, where it is one or the text of one."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if not isinstance(value, datetime):
        return None
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def _end(cursor: Cursor, now: datetime) -> Values:
    settled = (now - timedelta(seconds=cursor.settle),) if cursor.settle and cursor.kind == "datetime" else None
    declared = None if cursor.until is None else tuple(_read(cursor, each) for each in cursor.until)
    if settled is None or declared is None:
        return declared or settled
    return min(settled, declared[:1])


def _stepped(cursor: Cursor, bounds: Bounds) -> Bounds:
    start = (bounds.since or bounds.after or (None,))[0]
    if not cursor.step or start is None:
        return replace(bounds, until=bounds.end)
    until = (_moved(start, cursor.step),)
    if bounds.end is None:
        return replace(bounds, until=None, end=None)  # without an end a step could go on for ever
    return replace(bounds, until=bounds.end if until >= bounds.end[:1] else until)


def _back(cursor: Cursor, reached: Any) -> Any:
    """Return where a run begins that looks back, which is no earlier than the very first run began."""
    since = _moved(reached, -cursor.lookback)
    if cursor.kind != "datetime" or cursor.initial is None:
        return since
    initial, at, begin = _read(cursor, cursor.initial[0]), moment(reached), moment(since)
    return initial if at is not None and begin is not None and begin < initial <= at else since


def _moved(value: Any, by: float) -> Any:
    """Return a cursor value moved by seconds, or by a count where it is a number."""
    if isinstance(value, Decimal):
        return value + Decimal(by)
    if isinstance(value, int | float):
        return value + type(value)(by)
    at = moment(value)
    if at is None:
        return value
    return at + timedelta(seconds=by)


def _read(cursor: Cursor, written: Any) -> Any:
    if cursor.kind != "datetime":
        return written
    found = moment(written)
    if found is None:
        raise Permanent(
            "a value of the cursor is no moment", code=CURSOR_UNREADABLE, source="sync", value=str(written)[:50]
        )
    return found
