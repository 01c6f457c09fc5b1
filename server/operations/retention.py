"""What the scheduler does so that tables stay small and nothing waits forever. Each chore is idempotent and works in bounded steps.

Bootstrap hands them to the scheduler; one process at a time does each.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog

from server.integrations import keys
from server.kernel.errors import Unavailable
from server.operations import expiring
from server.store import Cause
from server.store.scopes import scope_of
from server.web import idempotency
from server.webhooks import usecases

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
_TABLES = ("deliveries", "attempts", "events", "inbound_requests")
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
# A key that nobody has used for a week and of which nothing is unfinished starts anew; its lock comes back with its counter.
_FORGET_COUNTERS = """
DELETE FROM order_counters WHERE ctid = ANY (ARRAY(
  SELECT c.ctid FROM order_counters c
  WHERE c.used_on < current_date - 7 AND NOT EXISTS (
    SELECT FROM deliveries d WHERE d.webhook_id = c.webhook_id AND d.order_key = c.order_key
    AND d.state IN ('pending', 'held', 'dead'))
  ORDER BY c.used_on LIMIT %(most)s FOR UPDATE SKIP LOCKED))
"""
# Held although their webhook and its integration are at work, or were removed: a pause that crossed a resume.
_STRANDED = """
SELECT w.workspace_id, w.id, w.state FROM webhooks w
WHERE w.state IN ('active', 'failing', 'archived')
  AND EXISTS (SELECT FROM deliveries d WHERE d.webhook_id = w.id AND d.state = 'held'
              AND (d.reason IS DISTINCT FROM 'parked' OR w.state = 'archived'))
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
        Chore("expire-waiting-deliveries", 30.0, partial(expire_waiting, engine)),
        Chore("forget-order-counters", _HOUR, partial(forget_order_counters, engine)),
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
    return _repeat(engine, lambda conn: expiring.expire_held(conn, BATCH))


def expire_waiting(engine: Store) -> int:
    """Turn deliveries whose time is over behind a stuck head of their order into dead letters; return how many."""
    return _repeat(engine, lambda conn: expiring.expire_waiting(conn, BATCH))


def forget_order_counters(engine: Store) -> int:
    """Delete the counters of order keys that are not in use; return how many."""
    return _in_batches(engine, _FORGET_COUNTERS)


def release_stranded(engine: Store, hint: Callable[[], None]) -> int:
    """Release what is held for no reason any more, in a transaction per webhook; return how many deliveries went."""
    with engine.connect() as conn:
        rows = conn.exec_driver_sql(_STRANDED).all()
        scopes = {row.workspace_id: scope_of(conn, row.workspace_id) for row in rows}
    released = 0
    for row in rows:
        with engine.begin(scopes[row.workspace_id], Cause("scheduler", "release-stranded-deliveries")) as tx:
            released += usecases.release(tx, [row.id], hint, parked=row.state == "archived")
    return released


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
