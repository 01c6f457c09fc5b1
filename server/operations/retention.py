"""What the scheduler does so that tables stay small and nothing waits forever. Each chore is idempotent and works in bounded steps.

Bootstrap hands them to the scheduler; one process at a time does each.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog

from server.integrations import keys
from server.kernel.errors import Failure, Unavailable
from server.queue import dead_letters
from server.queue.dead_letters import DeadLetter
from server.store import Cause
from server.store.scopes import scope_of
from server.store.values import write_json
from server.web import idempotency
from server.webhooks import usecases
from server.webhooks.outcomes import DELIVERY_EXPIRED
from server.webhooks.queries import KIND

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.engine import Connection

    from server.config import Settings
    from server.store import Store

log = structlog.get_logger("crossdock.operations")
WEEKS_AHEAD = 8
BATCH = 1000
BATCHES = 50
"""Steps of one run; the next run goes on where it ended."""
_TABLES = ("deliveries", "attempts", "events")
_HOUR = 3600.0

# Keys of events that are gone: those outside of every partition that is still there.
_FORGET_KEYS = """
DELETE FROM event_keys WHERE ctid = ANY (ARRAY(
  SELECT ctid FROM event_keys
  WHERE uid >= %(low)s AND uid < least(%(high)s, crossdock_first_uuid(now() - %(days)s * interval '1 day'))
  ORDER BY uid LIMIT %(most)s FOR UPDATE SKIP LOCKED))
"""
_FORGET_LETTERS = """
DELETE FROM dead_letters WHERE ctid = ANY (ARRAY(
  SELECT ctid FROM dead_letters WHERE resolved_at < now() - %(days)s * interval '1 day'
  ORDER BY resolved_at LIMIT %(most)s FOR UPDATE SKIP LOCKED))
"""
_EXPIRE = """
WITH expired AS (
  SELECT id, workspace_id, webhook_id, event_uid, attempts FROM deliveries WHERE state = 'held' AND expires_at <= now()
  ORDER BY expires_at LIMIT %(most)s FOR UPDATE SKIP LOCKED
), gone AS (
  DELETE FROM due USING expired WHERE due.kind = 'delivery' AND due.ref = expired.id
), ended AS (
  UPDATE deliveries d SET state = 'dead', reason = 'expired', finished_at = now(), error = %(error)s::jsonb
  FROM expired WHERE d.id = expired.id
)
SELECT e.id, e.workspace_id, e.webhook_id, e.attempts, w.name AS webhook, v.correlation_id
FROM expired e JOIN webhooks w ON w.id = e.webhook_id LEFT JOIN events v ON v.uid = e.event_uid
"""
# Held although their webhook and its integration are at work, or were removed: a pause that crossed a resume.
_STRANDED = """
SELECT w.workspace_id, w.id FROM webhooks w
WHERE w.state IN ('active', 'failing', 'archived')
  AND EXISTS (SELECT FROM deliveries d WHERE d.webhook_id = w.id AND d.state = 'held')
  AND NOT EXISTS (
    SELECT FROM integrations i WHERE i.workspace_id = w.workspace_id AND i.name = w.body ->> 'integration'
    AND i.deleted_at IS NULL AND i.state NOT IN ('active', 'failing') AND w.state <> 'archived')
ORDER BY w.workspace_id LIMIT 1000
"""
_ZERO, _MOST = "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"


@dataclass(frozen=True, slots=True)
class Chore:
    """Something to do every so many seconds; `run` returns how much it did."""

    name: str
    every: float
    run: Callable[[], int]


def chores(engine: Store, settings: Settings, hint: Callable[[], None]) -> list[Chore]:
    """Return every chore of this folder."""
    days = settings.event_retention_days
    return [
        Chore("make-partitions", _HOUR, partial(make_partitions, engine)),
        Chore("drop-expired-partitions", _HOUR, partial(drop_partitions, engine, days)),
        Chore("forget-event-keys", _HOUR, partial(forget_event_keys, engine, days)),
        Chore("forget-dead-letters", _HOUR, partial(forget_dead_letters, engine, days)),
        Chore("forget-idempotency-keys", 300.0, partial(forget_idempotency_keys, engine)),
        Chore("forget-call-results", 300.0, partial(forget_call_results, engine)),
        Chore("expire-held-deliveries", 30.0, partial(expire_held, engine)),
        Chore("release-stranded-deliveries", 30.0, partial(release_stranded, engine, hint)),
        Chore("forget-processes", _HOUR, partial(forget_processes, engine)),
    ]


def make_partitions(engine: Store) -> int:
    """Make the weekly partitions of the next two months; return how many were missing."""
    with engine.connect() as conn:
        return int(conn.exec_driver_sql("SELECT crossdock_make_partitions(%s)", (WEEKS_AHEAD,)).scalar_one())


def drop_partitions(engine: Store, days: int) -> int:
    """Drop what is wholly older than `days` and needed by nobody, one partition per transaction; return how many went."""
    dropped = 0
    for table in _TABLES:
        for _ in range(BATCHES):
            try:
                with engine.connect() as conn:
                    name = conn.exec_driver_sql("SELECT crossdock_drop_expired(%s, %s)", (table, days)).scalar()
            except Unavailable as error:
                log.info("a partition is in use, its turn comes again", table=table, code=error.code)
                break
            if name is None:
                break
            log.info("partition dropped", partition=name)
            dropped += 1
    return dropped


def forget_event_keys(engine: Store, days: int) -> int:
    """Delete the keys of events that retention has taken away; return how many."""
    with engine.connect() as conn:
        kept = conn.exec_driver_sql("SELECT low, high FROM crossdock_partitions('events')").all()
    gaps = zip([_ZERO, *(each.high for each in kept)], [*(each.low for each in kept), _MOST], strict=True)
    return sum(_in_batches(engine, _FORGET_KEYS, low=low, high=high, days=days) for low, high in gaps)


def forget_dead_letters(engine: Store, days: int) -> int:
    """Delete dead letters that were replayed or discarded long ago; return how many."""
    return _in_batches(engine, _FORGET_LETTERS, days=days)


def forget_idempotency_keys(engine: Store) -> int:
    """Delete idempotency keys older than they are kept; return how many."""
    return _repeat(engine, idempotency.forget)


def forget_call_results(engine: Store) -> int:
    """Delete the results of calls whose day is over; return how many."""
    return _repeat(engine, keys.forget)


def forget_processes(engine: Store) -> int:
    """Forget processes that were not seen for a day; return how many."""
    with engine.connect() as conn:
        return conn.exec_driver_sql("DELETE FROM processes WHERE seen_at < now() - interval '1 day'").rowcount


def expire_held(engine: Store) -> int:
    """Turn held deliveries whose time is over into dead letters; return how many."""
    return _repeat(engine, _expire_batch)


def release_stranded(engine: Store, hint: Callable[[], None]) -> int:
    """Release what is held for no reason any more, in a transaction per webhook; return how many deliveries went."""
    with engine.connect() as conn:
        rows = conn.exec_driver_sql(_STRANDED).all()
        scopes = {row.workspace_id: scope_of(conn, row.workspace_id) for row in rows}
    released = 0
    for row in rows:
        with engine.begin(scopes[row.workspace_id], Cause("scheduler", "release-stranded-deliveries")) as tx:
            released += usecases.release(tx, [row.id], hint)
    return released


def _expire_batch(conn: Connection) -> int:
    failure = Failure(DELIVERY_EXPIRED, "the delivery's time was over while its webhook was held", KIND)
    error = write_json(failure.as_dict())
    rows = conn.exec_driver_sql(_EXPIRE, {"most": BATCH, "error": error}).all()
    dead_letters.add(conn, [_letter(row, failure) for row in rows])
    return len(rows)


def _letter(row: Any, failure: Failure) -> DeadLetter:
    return DeadLetter(
        workspace_id=row.workspace_id,
        kind=KIND,
        ref=row.id,
        owner=f"webhook/{row.webhook}",
        owner_id=row.webhook_id,
        reason="expired",
        error=failure,
        attempts=row.attempts,
        correlation_id=row.correlation_id or "",
    )


def _in_batches(engine: Store, statement: str, **values: Any) -> int:
    return _repeat(engine, lambda conn: conn.exec_driver_sql(statement, {**values, "most": BATCH}).rowcount)


def _repeat(engine: Store, step: Callable[[Connection], int]) -> int:
    """Do a step again and again, each in a transaction of its own, until it finds nothing or the run's share is done."""
    total = 0
    for _ in range(BATCHES):
        with engine.connect() as conn:
            did = step(conn)
        total += did
        if not did:
            break
    return total
