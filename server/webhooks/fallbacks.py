"""What is called instead, once a delivery's tries are used up or its time is over: durable, with tries of its own.

The fallback is owed in the transaction that makes the delivery a dead letter, and is due work like any other. Its call has a
key made of the message id and the dead letter, so that it is done once for each, whoever dies: what is retried by a person and lost
again calls anew. When it succeeds, the delivery is discarded with the reason `fallback` and its dead letter is resolved as
`fallback`; when it fails for good, the dead letter stays open and tells both.
"""

from __future__ import annotations

import random
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import structlog

from server.events import queries as event_store
from server.events.envelope import from_json, to_json
from server.events.routes import routes_version
from server.events.upcasting import Ladders
from server.integrations.holding import Holding
from server.kernel.errors import Conflict, CrossdockError, Failure, Postponed, Retryable, Unavailable
from server.kernel.ids import show
from server.queue import claims, dead_letters
from server.store import Cause
from server.store.scopes import scope_of
from server.webhooks import ordering
from server.webhooks.outbound import webhook_of
from server.webhooks.outcomes import DELIVERY_POISON, POISON_CLAIMS
from server.webhooks.rendering import asked_for

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from sqlalchemy.engine import Connection, Row

    from server.events.envelope import Event
    from server.integrations.calls import Caller
    from server.integrations.fallback import Fallback
    from server.integrations.guards import Call
    from server.integrations.making import Making
    from server.queue.claims import Claim
    from server.store import Scope, Store
    from server.webhooks.usecases import Reopening

log = structlog.get_logger("crossdock.webhooks")
KIND = "fallback"
FOR = frozenset({"exhausted", "expired"})
AT_ONCE = 8  # per worker: each has a thread
OF_A_WEBHOOK = 4
MOST_CLAIMS = 100 + POISON_CLAIMS  # a policy has a hundred tries at most
LONGEST_SECONDS = 86_400.0  # as long as the results of calls are kept
_RESTS_SECONDS = 60.0
_LEAST_PAUSE = 0.05

_WHICH = """
SELECT d.id, d.workspace_id, d.webhook_id FROM deliveries d JOIN webhooks w ON w.id = d.webhook_id
WHERE d.id = ANY(%(ids)s::uuid[]) AND w.body -> 'fallback' IS NOT NULL AND w.state <> 'archived'
"""
_LOAD = """
SELECT d.id, d.workspace_id, d.webhook_id, d.event_uid, d.message_id, d.state, d.order_key, w.name AS webhook, w.body,
       l.id AS letter, extract(epoch FROM now() - d.finished_at)::float AS waited
FROM deliveries d JOIN webhooks w ON w.id = d.webhook_id
JOIN dead_letters l ON l.ref = d.id AND l.kind = 'delivery' AND l.resolved_at IS NULL AND l.reason = ANY(%(owed_for)s)
WHERE d.id = ANY(%(ids)s::uuid[])
"""
_TOLD = "jsonb_set(coalesce(error, '{\"details\": {}}'), '{details,fallback}', CAST(:told AS jsonb))"


def owe(conn: Connection, lost: Mapping[UUID, str | None]) -> None:
    """Owe the fallbacks of deliveries that have just become dead letters, for their reasons, where their webhooks have one."""
    ids = [identity for identity, reason in lost.items() if reason in FOR]
    if ids:
        rows = conn.exec_driver_sql(_WHICH, {"ids": ids}).all()
        work = [claims.Due(row.id, row.workspace_id, row.webhook_id, lane_limit=OF_A_WEBHOOK) for row in rows]
        claims.add(conn, KIND, work)


class Fallbacks:
    """Makes the calls that are due, a few at a time, each in a thread: a chore of the worker must not wait for them."""

    def __init__(self, store: Store, making: Making, caller: Caller, reopening: Reopening) -> None:
        self.store = store
        self.making = making
        self.caller = caller
        self.reopening = reopening
        self.ladders = Ladders()
        self.holding = Holding(store, KIND, AT_ONCE)

    def drain(self) -> int:
        """Begin what is due, as far as there is room; return how much was begun.

        Raises:
            Unavailable: the database is away.

        """
        room = self.holding.room
        mine = self.holding.take(room) if room else []
        if not mine:
            return 0
        try:
            with self.store.connect() as conn:
                values = {"ids": [each.ref for each in mine], "owed_for": list(FOR)}
                rows = {row.id: row for row in conn.exec_driver_sql(_LOAD, values)}
                uids = {row.event_uid for row in rows.values()}
                events = {each.uid: each for each in event_store.by_uids(conn, uids)} if uids else {}
        except BaseException:  # whatever it is: what is not begun must not be renewed
            for claim in mine:
                self.holding.let_go(claim)
            raise
        for claim in mine:
            row = rows.get(claim.ref)
            args = (claim, row, events.get(row.event_uid) if row is not None else None)
            threading.Thread(target=self._run, args=args, daemon=True, name="fallback").start()
        return len(mine)

    def _run(self, claim: Claim, row: Row[Any] | None, event: Event | None) -> None:
        try:
            fallback = webhook_of(row.body).fallback if row is not None else None
            if row is None or event is None or fallback is None or row.state != "dead":
                with self.store.connect() as conn:  # retried by a person (and refused, maybe), or gone: nothing is owed
                    claims.finish(conn, KIND, [claim])
                return
            _One(self, claim, row, event, fallback).run()
        except Unavailable as error:  # its lease ends, and it is due again
            log.warning("a fallback waits", code=error.code, delivery=str(claim.ref))
        except Exception:  # the border of one fallback: its lease ends, and it is tried again until it is poison
            log.exception("a fallback broke", delivery=str(claim.ref))
        finally:
            self.holding.let_go(claim)


class _One:
    """One fallback that is due: a try, and what becomes of it."""

    def __init__(self, parts: Fallbacks, claim: Claim, row: Row[Any], event: Event, fallback: Fallback) -> None:
        self.parts, self.claim, self.row, self.event, self.fallback = parts, claim, row, event, fallback
        self.cause = Cause("worker", event.correlation_id, event.id)

    def run(self) -> None:
        with self.parts.store.connect() as conn:
            scope = scope_of(conn, self.claim.workspace_id)
        if self.claim.claims > MOST_CLAIMS:
            self._failed(scope, Failure(DELIVERY_POISON, "claimed again and again without an outcome", "delivery"))
            return
        call: Call | None = None
        try:
            call = self._made(scope)
            self.parts.caller.call(call)
        except Unavailable:
            raise
        except (Postponed, Conflict) as error:  # an integration that rests or lacks a secret is for people to set right
            self._later(scope, error, error.after or _RESTS_SECONDS, uncount=True)
        except Retryable as error:
            planned = call and call.link and call.link.policy.retry.pause(self.claim.claims, random.random())  # noqa: S311
            if planned:
                self._later(scope, error, max(planned.total_seconds(), error.after or 0.0))
            else:
                self._failed(scope, error.failure)
        except CrossdockError as error:
            self._failed(scope, error.failure)
        else:
            self._done(scope)

    def _made(self, scope: Scope) -> Call:
        made: Any = {}
        integration, operation = self.fallback.integration or "", self.fallback.operation
        with self.parts.store.begin(scope, self.cause) as tx:
            if self.fallback.compiled is not None:
                ladder = self.parts.ladders.of(tx.conn, scope.workspace_id, routes_version(tx), self.event.type)
                event = asked_for(webhook_of(self.row.body), self.event, ladder)
                made = self.fallback.compiled.run({"event": event.view(), "data": from_json(event.data)})
            key = f"{self.row.message_id}:fallback:{show('dead', self.row.letter)}"
            call = self.parts.making.named(tx, integration, operation, made, key=key)
        return call.at_try(self.claim.claims - 1)

    def _later(self, scope: Scope, error: CrossdockError, seconds: float, *, uncount: bool = False) -> None:
        if (self.row.waited or 0.0) + seconds > LONGEST_SECONDS:
            self._failed(scope, error.failure)
            return
        at = datetime.now(UTC) + timedelta(seconds=max(seconds, _LEAST_PAUSE))
        with self.parts.store.connect() as conn:
            claims.postpone(conn, KIND, [self.claim], [at], uncount=uncount)

    def _done(self, scope: Scope) -> None:
        with self.parts.store.begin(scope, self.cause) as tx:
            if self._end(tx):
                self.parts.reopening.discard(tx, [self.row.id])
                self._tell(tx, {"outcome": "done"}, ", reason = 'fallback'")
                dead_letters.resolve_refs(tx, [self.row.id], "fallback")
        log.info("fallback done", delivery=str(self.row.id), webhook=self.row.webhook, call=self.fallback.call)

    def _failed(self, scope: Scope, failure: Failure) -> None:
        with self.parts.store.begin(scope, self.cause) as tx:
            if self._end(tx):
                told = {"outcome": "failed", "error": failure.as_dict()}
                self._tell(tx, told)
                tx.run(
                    f"UPDATE dead_letters SET error = {_TOLD} WHERE workspace_id = :workspace_id AND ref = :id AND resolved_at IS NULL",
                    id=self.row.id,
                    told=to_json({"call": self.fallback.call, **told}),
                )
        log.warning("fallback failed", delivery=str(self.row.id), webhook=self.row.webhook, code=failure.code)

    def _end(self, tx: Any) -> bool:
        """Take the work off the table; say whether its result counts: it was ours, and nobody retried the delivery.

        One that was retried meanwhile may be dead again, but then by another dead letter.
        """
        if self.row.order_key is not None:  # the lock of the key comes before the delivery
            ordering.lock_keys(tx.conn, [(self.row.webhook_id, self.row.order_key)])
        ours = claims.finish(tx.conn, KIND, [self.claim])
        found = tx.one(
            "SELECT state FROM deliveries WHERE workspace_id = :workspace_id AND id = :id FOR UPDATE", id=self.row.id
        )
        if not ours or found is None or found.state != "dead":
            return False
        letter = dead_letters.find(tx, self.row.letter)  # only now: who had the lock may have resolved it
        return letter is not None and letter.resolved_at is None

    def _tell(self, tx: Any, told: dict[str, Any], more: str = "") -> None:
        tx.run(
            f"UPDATE deliveries SET error = {_TOLD}{more} WHERE workspace_id = :workspace_id AND id = :id",
            id=self.row.id,
            told=to_json({"call": self.fallback.call, **told}),
        )
