"""Records in the order of their last change.

Tryton stamps a record when it is made (`create_date`) and when it is written (`write_date`, empty until then); what counts is the later
one, and REST can order by a field only. So each stamp is a stream of its own, read page after page from the last (moment, number) on,
and the streams are merged. A record comes with the moment that it has now; where another stamp of it is later, it comes there. What
is changed while we read moves to the end, and nothing is left out: a page begins after a record, not after a count of them.

A stamp is the moment at which the transaction began, so a record can be seen later than one with a later moment: the look-back of the
sync job is for that.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from plugins.tryton import finding
from plugins.tryton.rest import MOST, SOURCE
from server.sdk import Permanent, code

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from plugins.tryton.rest import Record, Tryton
    from server.sdk import Window

TRYTON_ORDER = code(
    "TRYTON_ORDER", "Records of Tryton are ordered and found by their moment of change, of making, and their key only."
)
Domain = list[Any]
Stamp = tuple[str, str]
"""The fields that say when something was written and, where it never was, made."""
OWN: Stamp = ("write_date", "create_date")
MADE: Stamp = ("", "create_date")
"""Only the making counts."""
_FIRST = datetime(1, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A moment, and the number of a record of that moment; -1 stands before all of them."""

    moment: datetime = _FIRST
    number: int = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """What is wanted: records after a place, and before a moment."""

    after: Place = Place()
    until: datetime | None = None

    def holds(self, place: Place) -> bool:
        """Say whether a record of this place is wanted."""
        return place > self.after and (self.until is None or place.moment < self.until)


@dataclass(frozen=True, slots=True)
class Changed:
    """A record by its place, with what was read of it on the way."""

    place: Place
    record: Record


def span_of(window: Window | None) -> Span:
    """Return the span of a window over a moment and, perhaps, the key.

    Raises:
        Permanent: TRYTON_ORDER: a bound is no moment.

    """
    if window is None:
        return Span()
    after = Place()
    if window.after is not None:
        named = finding.number(str(window.after[1])) if len(window.after) > 1 else _LAST
        after = Place(moment_of(window.after[0]), named)
    if window.since is not None:
        after = max(after, Place(moment_of(window.since[0])))
    return Span(after=after, until=None if window.until is None else moment_of(window.until[0]))


_LAST = 2**62


def moment_of(value: Any) -> datetime:
    """Return a bound as a moment.

    Raises:
        Permanent: TRYTON_ORDER.

    """
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else value
        return found if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, AttributeError) as error:
        raise Permanent("a bound of the cursor is no moment", code=TRYTON_ORDER, source=SOURCE) from error


def changed_at(record: Mapping[str, Any], stamps: Sequence[Stamp]) -> datetime:
    """Return the last moment of some stamps of a record."""
    found = [moment for stamp in stamps if (moment := _stamped(record, stamp)) is not None]
    return max(found, default=_FIRST)


def _stamped(record: Mapping[str, Any], stamp: Stamp) -> datetime | None:
    return next((moment for path in stamp if path and (moment := _at(record, path)) is not None), None)


def _at(record: Any, path: str) -> Any:
    for name in path.split("."):
        record = (record or {}).get(name)
    return record


def paths(stamps: Sequence[Stamp]) -> list[str]:
    """Return the fields that are to be read."""
    return [path for stamp in stamps for path in stamp if path]


def changed(
    erp: Tryton, model: str, domain: Domain, stamps: Sequence[Stamp], span: Span, fields: Sequence[str] = ()
) -> Iterator[Changed]:
    """Yield the records of a span in the order of moment and number, each once.

    One that nobody has stamped, which no program of Tryton's leaves so, does not come.
    """
    read = (*paths(stamps), *fields)
    streams = [_stream(erp, model, [*domain, *more], path, span, read) for path, more in _paths(stamps)]
    last = span.after
    for found in heapq.merge(*streams, key=lambda each: each.place):
        if found.place <= last or changed_at(found.record, stamps) != found.place.moment:
            continue
        last = found.place
        yield found


def _paths(stamps: Sequence[Stamp]) -> Iterator[tuple[str, Domain]]:
    for written, made in stamps:
        if written:
            yield written, [[written, "!=", None]]
        yield made, [[made, "!=", None], *([[written, "=", None]] if written else [])]


def _stream(erp: Tryton, model: str, domain: Domain, path: str, span: Span, fields: Sequence[str]) -> Iterator[Changed]:
    while True:
        rows = erp.search(model, [*domain, *_bounds(path, span)], fields, order=((path, "ASC"), ("id", "ASC")))
        found = [Changed(Place(_at(row, path), row["id"]), row) for row in rows]
        yield from found
        if len(found) < MOST:
            return
        if found[-1].place <= span.after:
            raise Permanent(
                "Tryton's records do not come in the order of their change", code=TRYTON_ORDER, source=SOURCE
            )
        span = replace(span, after=found[-1].place)


def _bounds(path: str, span: Span) -> Iterator[Any]:
    moment, number = span.after.moment, span.after.number
    if span.after != Place():
        yield ["OR", [path, ">", moment], [[path, "=", moment], ["id", ">", number]]]
    if span.until is not None:
        yield [path, "<", span.until]


def numbered(erp: Tryton, model: str, domain: Domain, after: int, fields: Sequence[str] = ("id",)) -> Iterator[Record]:
    """Yield the records of a domain in the order of their numbers."""
    while True:
        rows = erp.search(model, [*domain, ["id", ">", after]], fields)
        yield from rows
        if len(rows) < MOST:
            return
        after = rows[-1]["id"]
