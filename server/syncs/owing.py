"""Which runs a new event owes: decided and written in the event's own transaction.

An event that starts whole runs may find one that has yet to begin, and late enough to see what the event tells of: then that one is
its run, too. An event that syncs one record finds one for the same record in the same way. While a job rests its runs are held.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from server.events.envelope import from_json
from server.events.matching import pins_of
from server.events.routes import routes_version
from server.events.stopping import stops_of
from server.events.subscribers import PerWorkspace, Subscribers
from server.events.upcasting import Ladders
from server.integrations.holding import HELD
from server.kernel.errors import CrossdockError, code
from server.kernel.ids import new_uuid
from server.kernel.lifecycle import HELD_STATES
from server.store.values import write_json
from server.syncs import runs
from server.syncs.job import Job, job_of
from server.syncs.runs import NewRun

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from server.events.envelope import Event
    from server.kernel.clock import Clock
    from server.store import Tx

EVENT_KEY = code(
    "EVENT_KEY", "`on_event.one` gives no primary key for this event, or not as many values as it has fields."
)
_SCALARS = (str, int)

_TO_COME = """
SELECT r.id, d.due_at >= :wanted AS late FROM sync_runs r JOIN due d ON d.kind = 'sync' AND d.ref = r.id
WHERE r.workspace_id = :workspace_id AND r.job_id = :job AND r.state = 'queued' AND r.kind = 'sync' AND r.key IS NULL
  AND r.cancelled_at IS NULL AND NOT d.leased
ORDER BY d.due_at DESC LIMIT 2
"""
_TOLD = """
SELECT r.key::text AS key FROM sync_runs r JOIN due d ON d.kind = 'sync' AND d.ref = r.id
WHERE r.workspace_id = :workspace_id AND r.job_id = :job AND r.state = 'queued' AND r.key::text = ANY(:keys)
  AND r.cancelled_at IS NULL AND NOT d.leased
"""
_LATER = (
    "UPDATE due SET due_at = :at WHERE workspace_id = :workspace_id AND kind = 'sync' AND ref = :run AND NOT leased"
)


@dataclass(frozen=True, slots=True)
class Route:
    """What publishing needs to know of one job."""

    job_id: UUID
    version: int
    held: bool
    job: Job
    pins: Mapping[str, int]

    @property
    def settle(self) -> timedelta:
        """How long what has changed is left alone: a run before that would miss it."""
        cursor = self.job.source.cursor
        return timedelta(seconds=cursor.settle if cursor is not None else 0)


class Owing:
    """Implements `events.Owes` for sync jobs; a workspace without any that take events costs no statement."""

    def __init__(self, clock: Clock, hint: Callable[[], None]) -> None:
        self._clock = clock
        self._hint = hint
        self._routes = PerWorkspace(_read)
        self._ladders = Ladders()

    def __call__(self, tx: Tx, events: Sequence[Event]) -> None:
        """Write the runs that the events owe."""
        routes = self._routes.of(tx)
        taken = [(event, route) for event in events for route in routes.of(event.type)]
        if not taken:
            return
        stops, now = stops_of(tx), self._clock.now()
        new: list[NewRun] = []
        whole: dict[UUID, tuple[Event, Route]] = {}
        ones: dict[UUID, tuple[Route, dict[str, tuple[Event, list[Any]]]]] = {}
        for event, route in taken:
            stop = stops[event.uid].at(f"sync-job/{route.job.name}") if event.uid in stops else None
            if stop is not None:
                new.append(_run(event, route, failure=stop))
            elif route.job.one is None:
                whole[route.job_id] = (event, route)
            else:
                try:
                    key = key_of(route.job, self._asked_for(tx, event, route))
                except CrossdockError as error:
                    new.append(_run(event, route, failure=error.failure))
                else:
                    ones.setdefault(route.job_id, (route, {}))[1][write_json(key)] = (event, key)
        new += [run for event, route in whole.values() if (run := _whole(tx, event, route, now)) is not None]
        for route, keys in ones.values():
            told = {row.key for row in tx.all(_TOLD, job=route.job_id, keys=list(keys))}
            new += [_run(event, route, key=key) for text, (event, key) in keys.items() if text not in told]
        runs.start(tx.conn, new)
        if new:
            tx.after_commit("hint", self._hint)

    def owes_nothing(self, workspace_id: int, version: int, types: Collection[str]) -> bool:
        """Implement `at_once.Bystander`: no job takes them."""
        routes = self._routes.at(workspace_id, version)
        return routes is not None and not any(routes.of(type_) for type_ in types)

    def _asked_for(self, tx: Tx, event: Event, route: Route) -> Event:
        """Return the event in the version that the job asks for, else in the newest."""
        if event.schema_version is None:
            return event
        ladder = self._ladders.of(tx.conn, event.workspace_id, routes_version(tx), event.type)
        return ladder.lift(event, route.pins.get(event.type))


def key_of(job: Job, event: Event) -> list[Any]:
    """Return the primary key of the record that an event is about.

    Raises:
        EvaluationError: the expression cannot be evaluated.
        CrossdockError: EVENT_KEY.

    """
    scope = {"event": event.view(), "data": from_json(event.data)}
    value = job.one_key.run(scope) if job.one_key is not None else None
    key = value if isinstance(value, list) else [value]
    good = [isinstance(each, _SCALARS) and not isinstance(each, bool) for each in key]
    if len(key) != len(job.source.primary_key) or not all(good):
        message = f"a primary key of {len(job.source.primary_key)} is needed"
        raise CrossdockError(message, code=EVENT_KEY, source="sync", event=event.id, expression=job.one)
    return key


def _read(tx: Tx) -> Subscribers[Route]:
    rows = tx.all(
        """SELECT id, state, definition_version, body FROM sync_jobs
           WHERE workspace_id = :workspace_id AND deleted_at IS NULL
             AND state IN ('active', 'failing', 'paused', 'disabled') AND body -> 'events' IS NOT NULL"""
    )
    routes = [
        Route(row.id, row.definition_version, row.state in HELD_STATES, job_of(row.body), pins_of(row.body["events"]))
        for row in rows
    ]
    return Subscribers(routes, lambda route: route.job.events)


def _run(event: Event, route: Route, **more: Any) -> NewRun:
    return NewRun(
        **{
            "id": new_uuid(),
            "workspace_id": event.workspace_id,
            "job_id": route.job_id,
            "definition_version": route.version,
            "cause": "event",
            "principal": event.principal,
            "correlation_id": event.correlation_id,
            "event_uid": event.uid,
            "at": HELD if route.held else None,
            "priority": route.job.priority,
            **more,
        }
    )


def _whole(tx: Tx, event: Event, route: Route, now: datetime) -> NewRun | None:
    """Return a run that begins late enough to see what the event tells of, None where one that waits is made to do.

    Two wait at most: a row of events moves the second on, and never the first.
    """
    wanted = now + route.settle
    waiting = tx.all(_TO_COME, job=route.job_id, wanted=wanted)
    if route.held or not route.settle:
        return None if waiting else _run(event, route)
    if any(row.late for row in waiting):
        return None
    if len(waiting) > 1 and tx.run(_LATER, at=wanted, run=waiting[0].id).rowcount:
        return None
    return _run(event, route, at=wanted)
