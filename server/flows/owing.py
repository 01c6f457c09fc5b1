"""What a new event means to flows, written in the event's own transaction: the runs that it starts, and its arrival for those that wait."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from server.events.envelope import from_json
from server.events.loops import trail_of
from server.events.matching import pins_of
from server.events.routes import routes_version
from server.events.stopping import stops_of
from server.events.subscribers import PerWorkspace, Subscribers
from server.events.upcasting import Ladders
from server.flows import arriving, starting
from server.flows.flow import Flow, flow_of
from server.flows.keys import key_of
from server.flows.starting import NewFlowRun
from server.integrations.holding import HELD
from server.kernel.errors import CrossdockError
from server.kernel.ids import new_uuid
from server.kernel.lifecycle import HELD_STATES

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from uuid import UUID

    from server.events.envelope import Event
    from server.store import Tx


@dataclass(frozen=True, slots=True)
class Route:
    """What publishing needs to know of one flow."""

    flow_id: UUID
    version: int
    held: bool
    flow: Flow
    pins: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Routes:
    """The flows of a workspace that events start; `some` counts those that were removed, too: their runs may wait."""

    started: Subscribers[Route]
    some: bool


class Owing:
    """Implements `events.Owes` for flows; a workspace that never had any costs no statement."""

    def __init__(self, hint: Callable[[], None]) -> None:
        self._hint = hint
        self._routes = PerWorkspace(_read)
        self._ladders = Ladders()

    def __call__(self, tx: Tx, events: Sequence[Event]) -> None:
        """Write the runs that the events start, and let them arrive where they are waited for."""
        routes = self._routes.of(tx)
        if not routes.some:
            return
        runs = [
            run
            for event in events
            for route in routes.started.of(event.type)
            if (run := self._run(tx, event, route)) is not None
        ]
        started = starting.start(tx.conn, runs)
        waked = arriving.arrive(tx, events)
        if started or waked:
            tx.after_commit("hint", self._hint)

    def owes_nothing(self, workspace_id: int, version: int, _: Collection[str]) -> bool:
        """Implement `at_once.Bystander`: there are no flows; where there are some, runs may wait for any event."""
        routes = self._routes.at(workspace_id, version)
        return routes is not None and not routes.some

    def _run(self, tx: Tx, event: Event, route: Route) -> NewFlowRun | None:
        """Return the run that an event starts, one that has failed where that cannot be found out, or None: its `when` is false."""
        flow, values = route.flow, _of(event, route)
        stop = stops_of(tx).get(event.uid)
        failure = stop.at(f"flow/{flow.name}") if stop else None
        try:
            ladder = self._ladders.of(tx.conn, event.workspace_id, routes_version(tx), event.type)
            event = ladder.lift(event, route.pins.get(event.type))
            values["data"] = event.data
            scope = {"event": event.view(), "data": from_json(event.data)}
            if flow.when is not None and not flow.when.run(scope):
                return None
            values["key"] = key_of(flow, scope) if flow.idempotency_key is not None else None
        except CrossdockError as error:
            failure = failure or error.failure
        return NewFlowRun(**values, failure=failure)


def _of(event: Event, route: Route) -> dict[str, Any]:
    return {
        "id": new_uuid(),
        "workspace_id": event.workspace_id,
        "flow_id": route.flow_id,
        "flow": route.flow.name,
        "definition_version": route.version,
        "cause": "event",
        "data": event.data,
        "principal": event.principal,
        "correlation_id": event.correlation_id,
        "event_uid": event.uid,
        "priority": route.flow.priority,
        "trail": trail_of(event.extensions),
        "at": HELD if route.held else None,
    }


def _read(tx: Tx) -> Routes:
    rows = tx.all(
        """SELECT id, state, definition_version, body, deleted_at FROM flows
           WHERE workspace_id = :workspace_id AND deleted_at IS NULL
             AND state IN ('active', 'failing', 'paused', 'disabled') AND body -> 'events' IS NOT NULL"""
    )
    routes = []
    for row in rows:
        flow = _known(row.body)
        routes.append(Route(row.id, row.definition_version, row.state in HELD_STATES, flow, pins_of(flow.events)))
    some = bool(routes) or tx.one("SELECT 1 AS one FROM flows WHERE workspace_id = :workspace_id LIMIT 1") is not None
    return Routes(Subscribers(routes, lambda route: route.flow.events), some)


def _known(body: Mapping[str, Any]) -> Flow:
    """Return the flow; of one that this release cannot read what starts it: its runs fail, and their dead letters say why."""
    try:
        return flow_of(body)
    except CrossdockError:
        return Flow(body["name"], (), tuple(body["events"]))
