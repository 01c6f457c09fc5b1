"""Events of systems that keep them in an outbox of their own are fetched here, stored, and only then forgotten over there.

An integration whose plugin has an outbox is one due row of kind `outbox`: one worker at a time looks. It is looked into after
every call of the integration in a worker, and every few seconds for what happened without us; one that could not be read rests
first, longer each time or as long as its system asks, whatever is called meanwhile. An event has its own id over there, so whatever
is fetched twice is stored once. One that is refused (its type's schema, an id that came with other content, what no event can hold)
becomes a dead letter with the event in it, and the others go on. Of integrations that share one outbox the first one fetches, or
each event would be stored once for each of them.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import structlog
from sqlalchemy.exc import DataError

from server.integrations.endpoints import AT_WORK
from server.integrations.holding import Holding
from server.integrations.outbox_events import KIND, Fetched, again, letter
from server.integrations.repository import INTEGRATIONS
from server.kernel.errors import Conflict, CrossdockError, Invalid, Permanent, Unavailable
from server.kernel.ids import new_uuid, show
from server.queue import claims, dead_letters
from server.queue.claims import Due
from server.store import Cause
from server.store.scopes import scope_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from uuid import UUID

    from sqlalchemy.engine import Connection

    from server.events.publishing import Publisher
    from server.integrations.aggregate import Integration
    from server.integrations.calls import Caller
    from server.integrations.guards import Call
    from server.integrations.making import Making
    from server.integrations.nudges import Nudges
    from server.queue.claims import Claim
    from server.sdk.adapter import Adapter
    from server.sdk.context import Context
    from server.sdk.outbox import Emitted
    from server.store import Scope, Store, Tx

log = structlog.get_logger("crossdock.outboxes")
AT_ONCE = 2
PAGE = 200
ROUNDS = 50
EVERY = timedelta(seconds=5)
RESTS = timedelta(seconds=30)
_DOUBLINGS = 3
_LOOK_SECONDS = 30.0
LONGEST_QUESTION = 30.0
"""Seconds: a worker looks into two outboxes at once, of all workspaces, so one that hangs must not keep its place for long."""
_REFUSED = (Invalid, Conflict, Permanent, DataError)  # the last: what the database cannot hold

_NUDGE = """
INSERT INTO due (kind, ref, workspace_id, lane, due_at, lane_limit, priority)
SELECT 'outbox', id, workspace_id, id, now(), 1, 1 FROM integrations WHERE id = ANY(%(ids)s::uuid[]) AND deleted_at IS NULL
ON CONFLICT (kind, ref) DO UPDATE SET due_at = now() WHERE NOT due.leased AND due.claims = 0 RETURNING ref
"""
# `claims` are the looks since one that went well: a call is no reason to ask a system again that has just refused.
_BUSY = "SELECT ref FROM due WHERE kind = 'outbox' AND leased AND ref = ANY(%(ids)s::uuid[])"
_NEW = """
SELECT i.id, i.body ->> 'plugin' AS plugin FROM integrations i
WHERE i.deleted_at IS NULL AND i.state = ANY(%(states)s::text[]) AND i.body ->> 'plugin' = ANY(%(plugins)s::text[])
  AND NOT EXISTS (SELECT FROM due WHERE kind = 'outbox' AND ref = i.id) LIMIT 500
"""
_USED = "SELECT DISTINCT body ->> 'plugin' AS plugin FROM integrations WHERE deleted_at IS NULL AND state = ANY(%(states)s::text[])"
_ELDER = """
SELECT name FROM integrations
WHERE workspace_id = :workspace_id AND deleted_at IS NULL AND state = ANY(:states) AND body ->> 'plugin' = :plugin AND id < :id
ORDER BY id LIMIT 100
"""
_WHICH = "SELECT name FROM integrations WHERE workspace_id = :workspace_id AND id = :id AND deleted_at IS NULL"

_LETTER = "SELECT 1 FROM dead_letters WHERE workspace_id = :workspace_id AND kind = 'outbox' AND ref = :ref LIMIT 1"


class Because(Protocol):
    """What knows the calls that we make: by their keys, what their effects follow from."""

    def __call__(self, conn: Connection, workspace_id: int, keys: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
        """Return by key what an event carries of its cause: `causation_id`, and `extensions` with the trail of the chain."""
        ...


class _Rest(NamedTuple):
    """After how long to look again; `well` when a call is reason enough to look sooner."""

    pause: timedelta
    well: bool = True


def nudge_at_once(store: Store, hint: Callable[[], None], call: Call) -> None:
    """Let a worker look into the outbox of what was just called: for a process that has no worker. No promise, either."""
    if call.link is not None and call.link.integration_id is not None:
        with suppress(CrossdockError), store.connect() as conn:
            conn.exec_driver_sql(_NUDGE, {"ids": [call.link.integration_id]})
            hint()


class Outboxes:
    """The worker's part: a few outboxes at a time, each in a thread, since another system is asked."""

    def __init__(
        self, store: Store, publisher: Publisher, making: Making, caller: Caller, nudges: Nudges, because: Because
    ) -> None:
        self.store = store
        self.publisher = publisher
        self.making = making
        self.caller = caller
        self.nudges = nudges
        self.because = because
        self.holding = Holding(store, KIND, AT_ONCE)
        self._with: dict[str, bool] = {}
        self._looked_at = -_LOOK_SECONDS

    def notice(self) -> int:
        """Let outboxes be due of which this process knows something: just called, or new; return how many.

        Raises:
            Unavailable: the database is away.

        """
        due = self._due(self.nudges.take())
        if time.monotonic() - self._looked_at >= _LOOK_SECONDS:
            self._looked_at = time.monotonic()
            due += self._due(dict.fromkeys(self._new(), 0.0))
        return due

    def drain(self) -> int:
        """Begin to look into outboxes that are due, as far as there is room; return how many.

        Raises:
            Unavailable: the database is away.

        """
        room = self.holding.room
        mine = self.holding.take(room) if room else []
        for claim in mine:
            threading.Thread(target=self._run, args=(claim,), daemon=True, name="outbox").start()
        return len(mine)

    def _due(self, asked: Mapping[UUID, float]) -> int:
        if not asked:
            return 0
        with self.store.connect() as conn:
            done = {row.ref for row in conn.exec_driver_sql(_NUDGE, {"ids": sorted(asked)})}
            # The rest are being looked into, perhaps since before the call; or they rest, or are gone.
            rest = list(asked.keys() - done)
            busy = {row.ref for row in conn.exec_driver_sql(_BUSY, {"ids": rest})} if rest else set()
        self.nudges.later({each: asked[each] for each in busy})
        return len(done)

    def _new(self) -> set[UUID]:
        """Return integrations that have an outbox into which nobody has looked yet."""
        states = {"states": sorted(AT_WORK)}
        with self.store.connect() as conn:
            used = [row.plugin for row in conn.exec_driver_sql(_USED, states)]
            plugins = [each for each in used if self._has(each)]
            new = conn.exec_driver_sql(_NEW, {**states, "plugins": plugins}).all() if plugins else []
        return {row.id for row in new}

    def _has(self, plugin: str) -> bool:
        if plugin not in self._with:
            found = self.making.plugins.get(plugin)
            try:
                self._with[plugin] = found is not None and found.adapter_factory().outbox is not None
            except Exception:  # the border to plugins: one that cannot be loaded is for its calls to tell
                log.exception("a plugin cannot be loaded", plugin=plugin)
                self._with[plugin] = False
        return self._with[plugin]

    def _run(self, claim: Claim) -> None:
        try:
            rest = self._look(claim)
            while rest is not None and self.nudges.taken(claim.ref) and rest.well:
                rest = self._look(claim)  # called meanwhile, perhaps after it was read
            self._end(claim, rest)
        except CrossdockError as error:  # its lease ends, and it is due again
            log.warning("an outbox waits", code=error.code, integration=str(claim.ref))
        except Exception:  # the border of one outbox: its lease ends, and it is due again
            log.exception("an outbox broke", integration=str(claim.ref))
        finally:
            self.holding.let_go(claim)
            self.nudges.ended(claim.ref)

    def _end(self, claim: Claim, rest: _Rest | None) -> None:
        """Let the outbox be due again, or no more."""
        with self.store.connect() as conn:
            if rest is None:
                claims.finish(conn, KIND, [claim])
                return
            at = conn.exec_driver_sql("SELECT now() AS now").one().now + rest.pause
            if not rest.well:
                claims.postpone(conn, KIND, [claim], [at])
            elif claims.hold(conn, KIND, claim):  # and its claims count anew
                claims.add(conn, KIND, [Due(claim.ref, claim.workspace_id, claim.lane, at, 1)])

    def _look(self, claim: Claim) -> _Rest | None:
        """Fetch what waits; return how long it rests, None when there is nothing to look into any more."""
        with self.store.connect() as conn:
            scope = scope_of(conn, claim.workspace_id)
        cause = Cause("worker", show("cor", new_uuid()))
        with self.store.begin(scope, cause) as tx:
            row = tx.one(_WHICH, id=claim.ref)
            integration = None if row is None else INTEGRATIONS.get(tx, row.name)
            if integration is None or not self._has(integration.body["plugin"]):
                return None
            try:
                call = self.making.ready(tx, integration, "", {}) if integration.state in AT_WORK else None
                if call is not None:
                    # Looking takes nothing from the rate of calls, says nothing of their breaker, and is no reason to look again.
                    call = replace(call.within(LONGEST_QUESTION), link=None)
            except Conflict:  # a secret is missing: for the workspace to set right
                call = None
            elder = None if call is None else self._elder(tx, integration, call)
        if elder is not None:
            self.nudges.again({elder})
        return _Rest(RESTS) if call is None or elder is not None else self._fetch(claim, scope, cause, call)

    def _elder(self, tx: Tx, integration: Integration, call: Call) -> UUID | None:
        """Return the first integration that has the same outbox, if this is not the first."""
        states, plugin = sorted(AT_WORK), integration.body["plugin"]
        rows = tx.all(_ELDER, id=integration.id, states=states, plugin=plugin)
        mine = _outbox_of(call) if rows else None
        for row in rows if mine is not None else ():
            other = INTEGRATIONS.get(tx, row.name)
            with suppress(Conflict):  # without its secrets it fetches nothing
                if _outbox_of(self.making.ready(tx, other, "", {})) == mine:
                    return other.id
        return None

    def _fetch(self, claim: Claim, scope: Scope, cause: Cause, call: Call) -> _Rest:
        for _ in range(ROUNDS):
            try:
                fetched = self.caller.piece(call, _waiting)
                if not fetched:
                    return _Rest(EVERY)
                self._store(scope, cause, call.integration, claim.ref, fetched)
                self.caller.piece(call, partial(_taken, fetched))
            except Unavailable:
                raise
            except CrossdockError as error:
                log.warning("an outbox cannot be read", code=error.code, integration=call.integration)
                longer = min(EVERY * 2 ** min(claim.claims - 1, _DOUBLINGS), RESTS)
                return _Rest(timedelta(seconds=error.after) if error.after else longer, well=False)
        return _Rest(timedelta(0))

    def _store(self, scope: Scope, cause: Cause, name: str, integration: UUID, fetched: Sequence[Emitted]) -> None:
        with self.store.connect() as conn:
            keys = sorted({each.cause for each in fetched if each.cause is not None})
            known = self.because(conn, scope.workspace_id, keys) if keys else {}
        read = [Fetched.of(each, name, known.get(each.cause or "", {})) for each in fetched]
        try:
            with self.store.begin(scope, cause) as tx:
                self._publish(tx, read)
        except _REFUSED:
            for each in read:
                self._one(scope, cause, (name, integration), each)

    def _one(self, scope: Scope, cause: Cause, integration: tuple[str, UUID], read: Fetched) -> None:
        try:
            with self.store.begin(scope, cause) as tx:
                self._publish(tx, [read])
        except _REFUSED as error:
            refused = error if isinstance(error, CrossdockError) else read.unkept()
            kept = letter(scope.workspace_id, integration, read, refused.failure)
            with self.store.begin(scope, cause) as tx:
                if tx.one(_LETTER, ref=kept.ref) is None:  # it may be fetched again, until it is forgotten over there
                    dead_letters.add(tx.conn, [kept])

    def _publish(self, tx: Tx, read: Sequence[Fetched]) -> None:
        self.publisher.publish(tx, [each.vet() for each in read])


class ReopeningEvents:
    """Implements `queue.dead_letters.Reopen` for events of outboxes: they are published from what the dead letter keeps."""

    def __init__(self, publisher: Publisher) -> None:
        self.publisher = publisher

    def reopen(self, tx: Tx, refs: Sequence[UUID]) -> None:
        """Publish them; one that is still refused refuses all.

        Raises:
            Invalid, Conflict: as `Publisher.publish`.

        """
        rows = tx.all(
            "SELECT error FROM dead_letters WHERE workspace_id = :workspace_id AND kind = 'outbox' AND ref = ANY(:refs)",
            refs=list(refs),
        )
        self.publisher.publish(tx, [again(row.error["details"]["event"]) for row in rows])

    def discard(self, tx: Tx, refs: Sequence[UUID]) -> None:
        """Nothing is due."""


def _waiting(adapter: Adapter, context: Context) -> Sequence[Emitted]:
    return adapter.outbox.waiting(context, PAGE) if adapter.outbox is not None else ()


def _taken(events: Sequence[Emitted], adapter: Adapter, context: Context) -> None:
    if adapter.outbox is not None:
        adapter.outbox.taken(context, events)


def _outbox_of(call: Call) -> str | None:
    outbox = call.plugin.adapter_factory().outbox
    return None if outbox is None else outbox.identity(call.config)
