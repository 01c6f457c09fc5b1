"""Who is owed a delivery of a new event: decided and written in the event's own transaction."""

from __future__ import annotations

import hashlib
from base64 import b32encode
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from server.events.loops import REASON as LOOP
from server.events.matching import is_ours, matches
from server.events.routes import routes_version
from server.events.stopping import stops_of
from server.events.upcasting import STANDING, Ladders
from server.kernel.ids import new_uuid
from server.kernel.lifecycle import HELD_STATES
from server.mapping import EvaluationError
from server.queue import claims, dead_letters
from server.queue.dead_letters import DeadLetter
from server.webhooks import ordering, queries
from server.webhooks.ordering import PARKED
from server.webhooks.outbound import OutboundWebhook, webhook_of
from server.webhooks.queries import Owed
from server.webhooks.rendering import order_key

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from server.events.envelope import Event
    from server.events.stopping import Stop
    from server.events.upcasting import Ladder
    from server.kernel.clock import Clock
    from server.kernel.errors import Failure
    from server.store import Tx

FANOUT_ABOVE = 200
FANOUT = "fanout"
_TYPES_CACHED = 10_000


def message_id(event_uid: UUID, webhook_id: UUID) -> str:
    """Return the `webhook-id`: stable per (event, webhook), over retries and replays."""
    digest = hashlib.sha256(event_uid.bytes + webhook_id.bytes).digest()[:20]
    return "msg_" + b32encode(digest).decode().lower()


@dataclass(frozen=True, slots=True)
class Route:
    """What publishing needs to know of one webhook."""

    webhook_id: UUID
    name: str
    patterns: tuple[str, ...]
    held: bool
    expires: timedelta
    webhook: OutboundWebhook


@dataclass(frozen=True, slots=True)
class Subscribers:
    """The routes that mean one event type. `many` are the ids of the free ones as the database reads them, if they are many."""

    free: tuple[Route, ...]
    ordered: tuple[Route, ...]
    many: str | None


class Routes:
    """The routes of one workspace at one version; by type, since types repeat."""

    def __init__(self, version: int, routes: Mapping[UUID, tuple[int, Route]]) -> None:
        self.version = version
        self.known = routes
        self._by_type: dict[str, Subscribers] = {}
        self._exact: defaultdict[str, dict[UUID, Route]] = defaultdict(dict)
        self._wild: defaultdict[str, dict[UUID, Route]] = defaultdict(dict)
        for _, route in routes.values():
            for pattern in route.patterns:
                (self._wild if "*" in pattern else self._exact)[pattern][route.webhook_id] = route

    def of(self, type_: str) -> Subscribers:
        """Return the routes that mean this event type."""
        found = self._by_type.get(type_)
        if found is None:
            mine = dict(self._exact.get(type_, {}))
            for pattern, routes in self._wild.items():
                if matches(pattern, type_):
                    mine |= routes
            found = _subscribers(list(mine.values()))
            if len(self._by_type) < _TYPES_CACHED:
                self._by_type[type_] = found
        return found


def _subscribers(mine: Sequence[Route]) -> Subscribers:
    free = tuple(route for route in mine if route.webhook.order_by is None)
    many = "{" + ",".join(str(route.webhook_id) for route in free) + "}" if len(free) > FANOUT_ABOVE else None
    return Subscribers(free, tuple(route for route in mine if route.webhook.order_by is not None), many)


class Owing:
    """Implements `events.Owes` for outbound webhooks; caches the routes of each workspace by their version."""

    sql = queries.OWE_AT_ONCE

    def __init__(self, clock: Clock, hint: Callable[[], None]) -> None:
        self.clock = clock
        self.hint = hint
        self._routes: dict[int, Routes] = {}
        self._ladders = Ladders()

    def __call__(self, tx: Tx, events: Sequence[Event]) -> None:
        """Write the deliveries that the events owe, and ask for a hint after the commit."""
        routes = self._current(tx)
        now = self.clock.now()
        ordered: list[tuple[Event, Route, str]] = []
        owed: list[Owed] = []
        letters: list[DeadLetter] = []
        stops = stops_of(tx)
        for event in events:
            mine = routes.of(event.type)
            if event.uid in stops:
                mine, lost_ones = _without_loops(mine, stops[event.uid])
                for route, failure in lost_ones:
                    owed.append(_of_route(event.uid, route, now, state="dead", reason=LOOP))
                    letters.append(_letter(event, route, owed[-1].id, failure, LOOP))
            if mine.many is not None:
                self._fan_out(tx, event, mine.many)
            else:
                owed.extend(_of_route(event.uid, route, now) for route in mine.free)
            for route in mine.ordered:
                try:
                    key = order_key(route.webhook, event, self._ladder(tx, event))
                except EvaluationError as error:
                    # A key that cannot be computed is a dead letter of this delivery, not a guess and not the publisher's fault.
                    lost = _of_route(event.uid, route, now, state="dead", reason="mapping")
                    owed.append(lost)
                    letters.append(_letter(event, route, lost.id, error.failure))
                    continue
                if key is None:
                    owed.append(_of_route(event.uid, route, now))
                else:
                    ordered.append((event, route, key))
        owed.extend(self._in_order(tx, ordered, now))
        queries.owe(tx.conn, tx.scope.workspace_id, now, owed)
        dead_letters.add(tx.conn, letters)
        if owed:
            tx.after_commit("hint", self.hint)

    def plainly(self, workspace_id: int, version: int, events: Sequence[Event], now: datetime) -> list[Owed] | None:
        """Implement `at_once.Rider`: the deliveries of events to webhooks that keep no order and are not too many."""
        routes = self._routes.get(workspace_id)
        if routes is None or routes.version != version:
            return None
        owed: list[Owed] = []
        for event in events:
            mine = routes.of(event.type)
            if mine.ordered or mine.many is not None:
                return None
            owed.extend(_of_route(event.uid, route, now) for route in mine.free)
        return owed

    def rode(self) -> None:
        """Implement `at_once.Rider`."""
        self.hint()

    def owe_one(self, tx: Tx, event: Event, webhook_id: UUID, webhook: OutboundWebhook, *, held: bool) -> UUID:
        """Owe one event to one webhook, whatever it subscribes to: a trigger by hand; return the delivery's id."""
        now = self.clock.now()
        route = Route(webhook_id, webhook.name, (), held, timedelta(seconds=webhook.expires), webhook)
        owed = _of_route(event.uid, route, now)
        queries.owe(tx.conn, tx.scope.workspace_id, now, [owed])
        tx.after_commit("hint", self.hint)
        return owed.id

    def _ladder(self, tx: Tx, event: Event) -> Ladder:
        if event.schema_version is None:
            return STANDING
        return self._ladders.of(tx.conn, tx.scope.workspace_id, routes_version(tx), event.type)

    def _current(self, tx: Tx) -> Routes:
        version = routes_version(tx)
        cached = self._routes.get(tx.scope.workspace_id)
        if cached is None or cached.version != version:
            cached = Routes(version, self._read(tx, cached.known if cached else {}))
            self._routes[tx.scope.workspace_id] = cached
        return cached

    def _read(self, tx: Tx, before: Mapping[UUID, tuple[int, Route]]) -> dict[UUID, tuple[int, Route]]:
        """Read the webhooks that changed; those that did not stay as they are, of ten thousand nearly all."""
        now = tx.all(
            """SELECT id, version FROM webhooks WHERE workspace_id = :workspace_id AND deleted_at IS NULL
               AND state IN ('active', 'failing', 'paused', 'disabled') AND body ->> 'direction' = 'outbound'"""
        )
        known = {row.id: before[row.id] for row in now if row.id in before and before[row.id][0] == row.version}
        changed = [row.id for row in now if row.id not in known]
        rows = tx.all(
            "SELECT id, name, state, version, body FROM webhooks WHERE workspace_id = :workspace_id AND id = ANY(:ids)",
            ids=changed,
        )
        return known | {row.id: (row.version, _route(row)) for row in rows}

    def _in_order(self, tx: Tx, ordered: Sequence[tuple[Event, Route, str]], now: datetime) -> list[Owed]:
        if not ordered:
            return []
        counts = Counter((route.webhook_id, key) for _, route, key in ordered)
        taken = ordering.count_up(tx.conn, tx.scope.workspace_id, dict(counts))
        given: Counter[tuple[UUID, str]] = Counter()
        owed = []
        for event, route, key in ordered:
            of_key = (route.webhook_id, key)
            last, head = taken[of_key]
            number = last - counts[of_key] + 1 + given[of_key]
            waits = head is not None or given[of_key] > 0
            stuck = {"state": "held", "reason": PARKED} if head == "dead" and route.webhook.on_stuck == "park" else {}
            owed.append(_of_route(event.uid, route, now, order_key=key, order_no=number, waits=waits, **stuck))
            given[of_key] += 1
        return owed

    def _fan_out(self, tx: Tx, event: Event, webhooks: str) -> None:
        """Owe many by one row: workers write it out as they have room (`fanouts`)."""
        fanout = new_uuid()
        tx.run(
            """INSERT INTO fanouts (id, workspace_id, event_uid, webhook_ids)
               VALUES (:id, :workspace_id, :event, CAST(:webhooks AS uuid[]))""",
            id=fanout,
            event=event.uid,
            webhooks=webhooks,
        )
        claims.add(tx.conn, FANOUT, [claims.Due(fanout, tx.scope.workspace_id, fanout)])
        tx.after_commit("hint", self.hint)


def _without_loops(mine: Subscribers, stop: Stop) -> tuple[Subscribers, list[tuple[Route, Failure]]]:
    """Part the routes that a loop would go on by from the others; a fan-out is written out then, one by one."""
    failures = {route.webhook_id: stop.at(f"webhook/{route.name}") for route in (*mine.free, *mine.ordered)}
    lost = [
        (route, failure) for route in (*mine.free, *mine.ordered) if (failure := failures[route.webhook_id]) is not None
    ]
    free, ordered = (
        tuple(route for route in routes if failures[route.webhook_id] is None) for routes in (mine.free, mine.ordered)
    )
    return Subscribers(free, ordered, None), lost


def _route(row: Any) -> Route:
    webhook = webhook_of(row.body)
    return Route(
        row.id,
        row.name,
        tuple(webhook.events),
        row.state in HELD_STATES,
        timedelta(seconds=webhook.expires),
        webhook,
    )


def _of_route(event_uid: UUID, route: Route, now: datetime, state: str | None = None, **more: Any) -> Owed:
    return Owed(
        new_uuid(),
        route.webhook_id,
        event_uid,
        message_id(event_uid, route.webhook_id),
        state or ("held" if route.held else "pending"),
        now + route.expires,
        lane_limit=route.webhook.max_in_flight,
        priority=route.webhook.priority,
        **more,
    )


def _letter(event: Event, route: Route, delivery_id: UUID, failure: Failure, reason: str = "mapping") -> DeadLetter:
    return DeadLetter(
        workspace_id=event.workspace_id,
        kind=queries.KIND,
        ref=delivery_id,
        owner=f"webhook/{route.name}",
        owner_id=route.webhook_id,
        reason=reason,
        error=failure,
        correlation_id=event.correlation_id,
        adapter=f"integration/{route.webhook.integration}" if route.webhook.integration else None,
        quiet=is_ours(event.type),
    )
