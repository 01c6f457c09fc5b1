"""Publish: events, their keys and all that they owe, in the one transaction of the caller."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import structlog

from server.events import queries
from server.events.envelope import EVENT_CONFLICT, NewEvent, Published, to_json
from server.events.stopping import LoopGuard
from server.kernel.errors import Conflict
from server.kernel.ids import new_uuid, show
from server.store import journal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from server.events.catalogue import Catalogue
    from server.events.envelope import Event
    from server.kernel.clock import Clock
    from server.store import Tx

log = structlog.get_logger("crossdock.events")


class Owes(Protocol):
    """What a capability implements so that what every event owes is written in the event's own transaction."""

    def __call__(self, tx: Tx, events: Sequence[Event]) -> None:
        """Write the deliveries, runs or waits that these new events owe; of those in `stopping.stops_of(tx)` dead letters."""
        ...


class Publisher:
    """Puts events into the store. `owes` are called in order, with new events only, never with duplicates."""

    def __init__(self, clock: Clock, catalogue: Catalogue, owes: Sequence[Owes]) -> None:
        self.clock = clock
        self.catalogue = catalogue
        self.owes = list(owes)
        self.loops = LoopGuard()

    def publish(self, tx: Tx, news: Sequence[NewEvent]) -> list[Published]:
        """Store events in the order given; the same (source, id) again with the same content is a duplicate.

        Raises:
            Conflict: EVENT_CONFLICT, other content under a known key; nothing of the batch is stored then.
            Invalid: SCHEMA_VIOLATION, an event breaks its type's schema; `details["errors"]` has a pointer each.

        """
        answers, events = self._store(tx, news, self.catalogue.check(tx, news))
        self._owe(tx, events)
        return answers

    def store_only(self, tx: Tx, new: NewEvent) -> Event:
        """Store one event with a fresh id that is owed to nobody by itself: a trigger by hand.

        Raises:
            Invalid: SCHEMA_VIOLATION.

        """
        _, events = self._store(tx, [new], self.catalogue.check(tx, [new]))
        return events[0]

    def publish_ours(self, tx: Tx, news: Sequence[NewEvent]) -> None:
        """Store and owe operational events of our own: no workspace's schema may refuse them."""
        _, events = self._store(tx, news, [each.schema_version for each in news])
        self._owe(tx, events)

    def publish_journal(self, tx: Tx) -> None:
        """Append what the transaction's aggregates recorded to the journal and publish it: a before-commit hook."""
        entries = journal.write(tx)
        if not entries:
            return
        now = self.clock.now()
        events = []
        for entry in entries:
            name = getattr(entry.aggregate, "name", str(entry.aggregate.id))
            data = {
                "aggregate_id": str(entry.aggregate.id),
                "aggregate_version": entry.version,
                "name": name,
                **entry.event.data(),
            }
            new = NewEvent(
                type=entry.event.type(),
                source="crossdock",
                subject=f"{entry.aggregate.kind}/{name}",
                data=to_json(data),
            )
            events.append(queries.stored(new, entry.uid, show("evt", entry.uid), now, tx.scope.workspace_id, tx.cause))
            log.info(
                "domain event",
                event_type=new.type,
                subject=new.subject,
                aggregate_version=entry.version,
                principal=tx.cause.principal,
                correlation_id=tx.cause.correlation_id,
                workspace=str(tx.scope),
            )
        queries.store(tx, [(event, b"") for event in events])
        self._owe(tx, events)

    def _store(
        self, tx: Tx, news: Sequence[NewEvent], versions: Sequence[int | None]
    ) -> tuple[list[Published], list[Event]]:
        now = self.clock.now()
        first: dict[tuple[str, str], tuple[Event, bytes]] = {}
        keys = []
        for number, new in enumerate(news):
            uid = new_uuid()
            id_ = new.id or show("evt", uid)
            hash_ = new.content_hash()
            keys.append((new.source, id_))
            event = queries.stored(new, uid, id_, now, tx.scope.workspace_id, tx.cause, versions[number])
            known = first.setdefault((new.source, id_), (event, hash_))
            if known[1] != hash_:
                raise _conflict(number, id_, new.source)
        fresh = queries.store(tx, list(first.values()))
        old = queries.known_keys(tx, [key for key, (event, _) in first.items() if event.uid not in fresh])
        seen: set[tuple[str, str]] = set()
        answers = []
        for number, key in enumerate(keys):
            event, hash_ = first[key]
            if key in old and bytes(old[key].content_hash) != hash_:
                raise _conflict(number, event.id, event.source)
            uid = old[key].uid if key in old else event.uid
            answers.append(Published(event.id, uid, duplicate=key in old or key in seen))
            seen.add(key)
        events = [event for event, _ in first.values() if event.uid in fresh]
        return answers, events

    def _owe(self, tx: Tx, events: Sequence[Event]) -> None:
        if events:
            self.loops.judge(tx, events)
            for owe in self.owes:
                owe(tx, events)


def _conflict(number: int, id_: str, source: str) -> Conflict:
    return Conflict(
        f"event {id_} of source {source} is stored with other content",
        code=EVENT_CONFLICT,
        errors=[{"pointer": f"/{number}/id", "code": EVENT_CONFLICT, "message": "known with other content"}],
    )
