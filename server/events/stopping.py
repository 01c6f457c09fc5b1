"""Which new events are part of a loop, and for whom that ends it. An event of no chain and no quick repetition costs no statement."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from server.events.loops import (
    ECHO_SECONDS,
    MOST_ECHOES,
    Heard,
    Trail,
    echo_failure,
    echoes,
    trail_of,
)
from server.events.matching import is_ours
from server.kernel.ids import first_uuid_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from uuid import UUID

    from server.events.envelope import Event
    from server.kernel.errors import Failure
    from server.store import Tx

_NOTE = "loops"
_FEW = 2  # of a loop of eleven, one of up to five processes sees three
_MOST_KEYS = 50_000
_BURST_SECONDS = 0.1
_LOOKED_AT = 40
_MILLISECONDS = 80  # the bits below them in a UUIDv7
Key = tuple[int, str, str]

# Newest first, by the index on subjects. Whether they were told outside is asked only when they are many.
_RECENT = f"""
SELECT e.uid, e.id, e.correlation_id, e.recorded_at FROM events e JOIN event_keys k ON k.uid = e.uid
WHERE e.workspace_id = :workspace_id AND e.subject = :subject AND e.type = :type AND e.uid >= :since
  AND (:whatever OR k.content_hash = (SELECT content_hash FROM event_keys WHERE uid = :newest))
ORDER BY e.uid DESC LIMIT {_LOOKED_AT}
"""
_TOLD = """
SELECT k.uid, min(a.started_at) AS told_at FROM unnest(CAST(:uids AS uuid[])) AS k(uid)
CROSS JOIN LATERAL (SELECT id FROM deliveries WHERE event_uid = k.uid AND workspace_id + 0 = :workspace_id LIMIT 20) AS d
JOIN attempts a ON a.delivery_id = d.id GROUP BY k.uid
"""


@dataclass(frozen=True, slots=True)
class Stop:
    """Why an event may go no further: by its trail to some definitions, or, as an echo, to none."""

    trail: Trail
    echo: Failure | None = None

    def at(self, definition: str) -> Failure | None:
        """Return why it may not go to a definition, or None."""
        return self.echo or self.trail.refusal(definition)


def stops_of(tx: Tx) -> Mapping[UUID, Stop]:
    """Return the events of this transaction that may be stopped somewhere, by uid; nearly always none."""
    found: Mapping[UUID, Stop] = tx.notes.get(_NOTE, {})
    return found


class LoopGuard:
    """Judges events before they are owed to anybody; every `events.Owes` asks `stops_of` and makes dead letters of what it finds.

    How often a type and subject came lately is counted in this process, and only what repeats quickly is looked up. What came by
    a definition of ours (an inbound webhook) is an echo whatever it holds; of what a program posts, only the same content again:
    a program may well say much about one thing.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._now: dict[Key, int] = {}
        self._before: dict[Key, int] = {}
        self._turned = 0.0
        self._bursts: dict[Key, float] = {}

    def judge(self, tx: Tx, events: Sequence[Event]) -> None:
        """Note which of these new events may be stopped."""
        stops: dict[UUID, Stop] = {}
        repeated: dict[tuple[str, str], list[Event]] = {}
        for event in events:
            trail = trail_of(event.extensions)
            if trail.full:
                stops[event.uid] = Stop(trail)
            if _may_echo(event, trail):
                repeated.setdefault((event.type, str(event.subject)), []).append(event)
        for (type_, subject), same in repeated.items():
            key = (tx.scope.workspace_id, type_, subject)
            if self._seen(key, len(same)) > _FEW and (failure := self._echo(tx, key, same[-1])) is not None:
                stops |= {event.uid: Stop(trail_of(event.extensions), failure) for event in same}
        if stops:
            tx.notes[_NOTE] = {**stops_of(tx), **stops}

    def calm(self, workspace_id: int, events: Sequence[Event]) -> bool:
        """Say, and count, that none of these new events needs a look; those that do are to be judged, and are not counted here."""
        times: Counter[Key] = Counter()
        for event in events:
            trail = trail_of(event.extensions)
            if trail.full:
                return False
            if _may_echo(event, trail):
                times[workspace_id, event.type, str(event.subject)] += 1
        if any(self._now.get(key, 0) + self._before.get(key, 0) + count > _FEW for key, count in times.items()):
            return False
        for key, count in times.items():
            self._seen(key, count)
        return True

    def _seen(self, key: Key, times: int) -> int:
        """Count, in turns of five seconds of which the last two are kept; return how often it was seen in them."""
        now = self._monotonic()
        if now - self._turned >= ECHO_SECONDS or len(self._now) >= _MOST_KEYS:
            self._before = self._now if now - self._turned < 2 * ECHO_SECONDS else {}
            self._now, self._turned, self._bursts = {}, now, {}
        count = self._now[key] = self._now.get(key, 0) + times
        return count + self._before.get(key, 0)

    def _echo(self, tx: Tx, key: Key, newest: Event) -> Failure | None:
        now = self._monotonic()
        if self._bursts.get(key, 0.0) > now:
            return None
        _, type_, subject = key
        since = first_uuid_of((newest.uid.int >> _MILLISECONDS) - int(ECHO_SECONDS * 1000))
        ours = bool(trail_of(newest.extensions).path)
        recent = tx.all(_RECENT, type=type_, subject=subject, since=since, newest=newest.uid, whatever=ours)[::-1]
        if len(recent) <= MOST_ECHOES:
            return None
        told = {row.uid: row.told_at for row in tx.all(_TOLD, uids=[row.uid for row in recent])}
        heard = [Heard(row.id, row.correlation_id, row.recorded_at, told.get(row.uid)) for row in recent]
        if echoes(heard) < MOST_ECHOES:
            self._bursts[key] = now + _BURST_SECONDS
            return None
        return echo_failure(type_, subject, heard)


def _may_echo(event: Event, trail: Trail) -> bool:
    """Say whether repetition may tell: what has a way behind it is known by that; a single step is the endpoint where it came in."""
    return event.subject is not None and not trail.hops and len(trail.path) <= 1 and not is_ours(event.type)
