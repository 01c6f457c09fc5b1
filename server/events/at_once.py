"""Events that owe nothing but plain deliveries are stored with them by one statement, which is a transaction of its own.

A transaction takes five round trips, and each is a chance to wait for a core; most events need one. What they owe is worked out from
what the rooms know of a version of the workspace's definitions, and the statement stores nothing unless that version still holds. All
that is not plain (an order to keep, a fan-out, a run, a loop to look into, an event under a known key) is left to `Publisher`, as is
every refusal, so that each rule stays in one place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from server.events import queries
from server.events.envelope import Published, to_json
from server.events.matching import is_ours
from server.kernel.ids import new_uuid, show
from server.store import straight

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from server.events.catalogue import Catalogue
    from server.events.envelope import Event, NewEvent
    from server.events.stopping import LoopGuard
    from server.kernel.clock import Clock
    from server.store import Cause, Scope, Store


class Bystander(Protocol):
    """What an `Owes` implements besides that owes most events nothing."""

    def owes_nothing(self, workspace_id: int, version: int, types: Collection[str]) -> bool:
        """Say whether events of these types are surely owed nothing at a version of the definitions."""
        ...


class Rider(Protocol):
    """The one whose rows go with the events."""

    sql: str
    """Common table expressions that write the rows, `%(owed)s` in JSON, of those events that `stored (uid)` has."""

    def plainly(self, workspace_id: int, version: int, events: Sequence[Event], now: datetime) -> Sequence[Any] | None:
        """Return the rows that new events owe at a version of the definitions; None where that takes more than rows, or a look."""
        ...

    def rode(self) -> None:
        """Be told that rows were written; never raises, since they are."""
        ...


@dataclass(frozen=True, slots=True)
class Request:
    """What one request publishes, and who causes it."""

    cause: Cause
    news: Sequence[NewEvent]


class AtOnce:
    """Publishes what is plain; to `others` nothing may be owed."""

    def __init__(
        self, clock: Clock, catalogue: Catalogue, loops: LoopGuard, rider: Rider, others: Sequence[Bystander]
    ) -> None:
        self._clock = clock
        self._catalogue = catalogue
        self._loops = loops
        self._rider = rider
        self._others = others
        self._sql = f"{queries.STORE_AT_ONCE}, {rider.sql} SELECT uid FROM stored"

    def publish(self, store: Store, scope: Scope, requests: Sequence[Request]) -> list[list[Published] | None]:
        """Return what became of each request's events; None where nothing of a request is stored, and `Publisher` is to be asked.

        Raises:
            Unavailable: the database is away; as with any commit whose answer is lost, what was under way may be stored.

        """
        left: list[list[Published] | None] = [None] * len(requests)
        version = self._catalogue.version_of(scope.workspace_id)
        if version is None or not self._plain(scope.workspace_id, version, requests):
            return left
        now = self._clock.now()
        keyed = [self._keyed(scope.workspace_id, version, now, each) for each in requests]
        events = [event for some in keyed for event, _ in some or ()]
        owed = self._owed(scope.workspace_id, version, events, now) if events and all(keyed) else None
        if owed is None:
            return left
        values = {
            "workspace": str(scope.workspace_id),
            "version": version,
            "events": queries.rows_of([each for some in keyed for each in some or ()]),
            "owed": to_json(owed),
            "now": now,
        }
        with store.statements() as conn:
            stored = {uid for (uid,) in straight.rows(conn, self._sql, values)}
        if owed and stored:
            self._rider.rode()
        return [_published([event for event, _ in some or ()], stored) for some in keyed]

    def _keyed(
        self, workspace_id: int, version: int, now: datetime, request: Request
    ) -> list[tuple[Event, bytes]] | None:
        versions = self._catalogue.plainly(workspace_id, version, request.news)
        if versions is None:
            return None
        keyed = []
        for new, checked in zip(request.news, versions, strict=True):
            uid = new_uuid()
            id_ = new.id or show("evt", uid)
            event = queries.stored(new, uid, id_, now, workspace_id, request.cause, checked)
            keyed.append((event, new.content_hash()))
        return keyed

    def _plain(self, workspace_id: int, version: int, requests: Sequence[Request]) -> bool:
        if any(len(each.news) > 1 and _may_be_known(each.news) for each in requests):
            return False  # of several under keys of their own one may be known, and the others stored without it
        types = {new.type for each in requests for new in each.news}
        return not any(is_ours(each) for each in types) and all(
            other.owes_nothing(workspace_id, version, types) for other in self._others
        )

    def _owed(self, workspace_id: int, version: int, events: Sequence[Event], now: datetime) -> Sequence[Any] | None:
        owed = self._rider.plainly(workspace_id, version, events, now)
        return owed if owed is not None and self._loops.calm(workspace_id, events) else None


def _may_be_known(news: Sequence[NewEvent]) -> bool:
    return any(new.id is not None for new in news)


def _published(events: Sequence[Event], stored: set[Any]) -> list[Published] | None:
    if any(event.uid not in stored for event in events):
        return None
    return [Published(event.id, event.uid, duplicate=False) for event in events]
