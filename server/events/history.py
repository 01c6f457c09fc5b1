"""The history of a subject: all events about it, oldest first, and what each changed of the data before it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import UUID

from server.events.envelope import from_json
from server.events.searching import Search, page

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server.events.envelope import Event
    from server.store import Tx

MOST_CHANGES = 100
_MISSING = object()
Change = dict[str, Any]


def history(tx: Tx, search: Search, limit: int) -> list[tuple[Event, list[Change], bool]]:
    """Return events after `search.after` with what they changed, at most 100 changes each; True: there were more.

    An event is compared with the one before it in the same history; the first one with nothing.
    """
    events = page(tx, search, limit)
    before = _last(tx, search)
    told = []
    for event in events:
        changes = list(_bounded(before, event)) if before is not None else []
        told.append((event, changes[:MOST_CHANGES], len(changes) > MOST_CHANGES))
        before = event
    return told


def _last(tx: Tx, search: Search) -> Event | None:
    """Return the last event of the page before."""
    if search.after is None:
        return None
    found = page(tx, replace(search, after=None, before=UUID(int=search.after.int + 1), oldest_first=False), 1)
    return found[0] if found else None


def _bounded(before: Event, event: Event) -> Iterator[Change]:
    for number, change in enumerate(changes("", from_json(before.data), from_json(event.data))):
        yield change
        if number >= MOST_CHANGES:
            return


def changes(pointer: str, before: Any, after: Any) -> Iterator[Change]:
    """Yield each place where two JSON values differ: a JSON Pointer, `before` and `after`; what was not there is left out."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in dict.fromkeys([*before, *after]):
            place = f"{pointer}/{key.replace('~', '~0').replace('/', '~1')}"
            yield from _entry(place, before.get(key, _MISSING), after.get(key, _MISSING))
    elif isinstance(before, list) and isinstance(after, list):
        for number in range(max(len(before), len(after))):
            old = before[number] if number < len(before) else _MISSING
            yield from _entry(f"{pointer}/{number}", old, after[number] if number < len(after) else _MISSING)
    elif not _same(before, after):
        yield {"pointer": pointer, "before": before, "after": after}


def _entry(pointer: str, before: Any, after: Any) -> Iterator[Change]:
    if before is _MISSING:
        yield {"pointer": pointer, "after": after}
    elif after is _MISSING:
        yield {"pointer": pointer, "before": before}
    else:
        yield from changes(pointer, before, after)


def _same(before: Any, after: Any) -> bool:
    if isinstance(before, bool) or isinstance(after, bool):
        return before is after
    return bool(before == after)
