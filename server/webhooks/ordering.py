"""Order where asked: a counter per (webhook, key), whose turn it is, and what a dead head does to its key.

The row of a key's counter is its lock: whoever adds to the key, or ends one of it, holds it until commit. What is read of a
key is read by a statement that began after the lock was had, so that nobody decides on what the holder before has changed.
The lock comes before the rows of the key's waiting deliveries; leased rows may be held already, nobody else wants those.

A dead head, by the webhook's `on_stuck`: `block` holds the key; `park` too, and turns the rest into held ones (reason
`parked`) until the head ends or the webhook is resumed; `skip` lets the next go. Who gives up a place in the order, as
skipped heads do, keeps its `order_key` and has no `order_no`. A dead one that is retried waits in its place, if it has one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from uuid import UUID

    from sqlalchemy.engine import Connection

    from server.webhooks.queries import Outcome

    Key = tuple[UUID, str]
    """A webhook and the value of its `order_by`."""

PARKED = "parked"
AT_ONCE = 10_000
"""Deliveries of a key that change their state with its head; those behind them do so when it is their turn."""
_ENDED = frozenset({"delivered", "skipped", "discarded", "dead"})

_KEYS = "unnest(%(webhooks)s::uuid[], %(keys)s::text[]) AS k(webhook_id, order_key)"
_COUNT_UP = """
INSERT INTO order_counters (workspace_id, webhook_id, order_key, last_no)
SELECT %(workspace)s, webhook_id, order_key, n
FROM unnest(%(webhooks)s::uuid[], %(keys)s::text[], %(counts)s::bigint[]) AS k(webhook_id, order_key, n)
ORDER BY webhook_id, order_key
ON CONFLICT (webhook_id, order_key)
DO UPDATE SET last_no = order_counters.last_no + excluded.last_no, used_on = current_date
RETURNING webhook_id, order_key, last_no
"""
_LOCK_KEYS = f"""
SELECT FROM order_counters c JOIN {_KEYS} ON c.webhook_id = k.webhook_id AND c.order_key = k.order_key
ORDER BY c.webhook_id, c.order_key FOR UPDATE OF c
"""
# One probe of the index per key: a key may have a million waiting.
_HEADS = f"""
SELECT k.webhook_id, k.order_key, head.id, head.state, head.reason
FROM {_KEYS} CROSS JOIN LATERAL (
  SELECT d.id, d.state, d.reason FROM deliveries d
  WHERE d.webhook_id = k.webhook_id AND d.order_key = k.order_key AND d.order_no IS NOT NULL
    AND d.state IN ('pending', 'held', 'dead')
  ORDER BY d.order_no LIMIT 1
) AS head
"""
_WAKE_HEADS = f"""
WITH head AS MATERIALIZED ({_HEADS}), unparked AS (
  UPDATE deliveries d SET state = 'pending', reason = NULL FROM head
  WHERE d.id = head.id AND head.state = 'held' AND head.reason = '{PARKED}'
), woken AS (
  UPDATE due SET due_at = now() FROM head
  WHERE due.kind = 'delivery' AND due.ref = head.id AND due.due_at = 'infinity'
    AND (head.state = 'pending' OR (head.state = 'held' AND head.reason = '{PARKED}'))
)
SELECT webhook_id, order_key, id, state FROM head WHERE state = 'dead' OR (state = 'held' AND reason = '{PARKED}')
"""
_UNPARK = f"""
UPDATE deliveries d SET state = 'pending', reason = NULL FROM (
  SELECT rest.id FROM {_KEYS} CROSS JOIN LATERAL (
    SELECT r.id FROM deliveries r
    WHERE r.webhook_id = k.webhook_id AND r.order_key = k.order_key AND r.state = 'held' AND r.reason = '{PARKED}'
    ORDER BY r.order_no LIMIT {AT_ONCE}
  ) AS rest
) AS parked WHERE d.id = parked.id
"""
_LEAVE = """
UPDATE deliveries d SET order_no = NULL
FROM unnest(%(ids)s::uuid[], %(reasons)s::text[]) AS lost(id, reason), webhooks w
WHERE d.id = lost.id AND d.id = ANY(%(ids)s::uuid[]) AND w.id = d.webhook_id
  AND (lost.reason = 'removed' OR w.state = 'archived' OR w.body ->> 'on_stuck' = 'skip')
"""
# Who is under way, or waits for its next try, is not parked: its `due_at` is a moment.
_PARK = f"""
UPDATE deliveries d SET state = 'held', reason = '{PARKED}' FROM (
  SELECT rest.id FROM deliveries head
  JOIN webhooks w ON w.id = head.webhook_id AND w.state <> 'archived' AND w.body ->> 'on_stuck' = 'park'
  CROSS JOIN LATERAL (
    SELECT r.id FROM deliveries r JOIN due ON due.kind = 'delivery' AND due.ref = r.id AND due.due_at = 'infinity'
    WHERE r.webhook_id = head.webhook_id AND r.order_key = head.order_key AND r.state = 'pending'
      AND r.order_no > head.order_no
    ORDER BY r.order_no LIMIT {AT_ONCE}
  ) AS rest
  WHERE head.id = ANY(%(ids)s::uuid[])
) AS stuck WHERE d.id = stuck.id
"""
_DEAD_HEADS = f"""
SELECT webhook_id, order_key FROM deliveries
WHERE workspace_id = %(workspace)s AND webhook_id = %(webhook)s AND state = 'dead'
  AND order_key IS NOT NULL AND order_no IS NOT NULL
ORDER BY id LIMIT {AT_ONCE}
"""
_LEAVE_KEYS = f"""
UPDATE deliveries d SET order_no = NULL FROM {_KEYS}
WHERE d.webhook_id = k.webhook_id AND d.order_key = k.order_key AND d.state = 'dead' AND d.order_no IS NOT NULL
"""


class Ended(NamedTuple):
    """An ordered delivery that has ended; `reason` is a dead one's, and None for one that ended well or was discarded."""

    id: UUID
    key: Key
    reason: str | None = None


def count_up(conn: Connection, workspace_id: int, keys: dict[Key, int]) -> dict[Key, tuple[int, str | None]]:
    """Take the next order numbers of keys, and their lock until commit; return (last number, state of the head).

    The state is `pending`, `held` or `dead`, and None when the key is free. A count of 0 takes the lock only.
    """
    ordered = sorted(keys, key=lambda key: (key[0].bytes, key[1]))
    values = {"workspace": workspace_id, **_keys(ordered), "counts": [keys[each] for each in ordered]}
    rows = conn.exec_driver_sql(_COUNT_UP, values).all()
    # Only now, with the lock: the statement above still sees what was there before it waited for the lock.
    heads = {(row.webhook_id, row.order_key): row.state for row in conn.exec_driver_sql(_HEADS, _keys(ordered))}
    found = ((row.webhook_id, row.order_key, row.last_no) for row in rows)
    return {(webhook, key): (last, heads.get((webhook, key))) for webhook, key, last in found}


def lock_keys(conn: Connection, keys: Iterable[Key]) -> None:
    """Take the lock of order keys until commit, always in the same order."""
    conn.exec_driver_sql(_LOCK_KEYS, _keys(sorted(set(keys))))


def wake_heads(conn: Connection, keys: Iterable[Key]) -> None:
    """Make the oldest unfinished delivery of each key due, if it may go, and take its rest out of parking with it.

    Where it is dead, the rest waits or is parked. The caller holds the lock.
    """
    heads = conn.exec_driver_sql(_WAKE_HEADS, _keys(sorted(set(keys)))).all()
    unparked = [(row.webhook_id, row.order_key) for row in heads if row.state != "dead"]
    if unparked:
        conn.exec_driver_sql(_UNPARK, _keys(unparked))
    stuck = [row.id for row in heads if row.state == "dead"]
    if stuck:
        conn.exec_driver_sql(_PARK, {"ids": stuck})


def after(conn: Connection, outcomes: Sequence[Outcome]) -> None:
    """Give the turn on, in the transaction that has just stored these outcomes; nothing is asked when none was ordered."""
    ended(
        conn,
        [
            Ended(
                each.claim.ref,
                (each.claim.lane, each.order_key),
                (each.reason or "dead") if each.state == "dead" else None,
            )
            for each in outcomes
            if each.order_key is not None and each.state in _ENDED
        ],
    )


def ended(conn: Connection, gone: Sequence[Ended]) -> None:
    """Give the turn on after deliveries that have ended in this transaction; for dead ones, as `on_stuck` says."""
    if not gone:
        return
    keys = {each.key for each in gone}
    lock_keys(conn, keys)
    dead = [each for each in gone if each.reason is not None]
    if dead:
        conn.exec_driver_sql(_LEAVE, {"ids": [each.id for each in dead], "reasons": [each.reason for each in dead]})
    wake_heads(conn, keys)


def pass_over(conn: Connection, keys: Iterable[Key]) -> None:
    """Let keys go on although their head is dead: dead ones give up their place. The caller holds the lock."""
    conn.exec_driver_sql(_LEAVE_KEYS, _keys(sorted(set(keys))))


def pass_over_webhook(conn: Connection, workspace_id: int, webhook_id: UUID) -> int:
    """Let all keys of a webhook go on although their heads are dead, 10,000 dead ones at a time; return how many."""
    rows = conn.exec_driver_sql(_DEAD_HEADS, {"workspace": workspace_id, "webhook": webhook_id}).all()
    keys = {(row.webhook_id, row.order_key) for row in rows}
    if keys:
        lock_keys(conn, keys)
        pass_over(conn, keys)
        wake_heads(conn, keys)
    return len(rows)


def _keys(keys: Sequence[Key]) -> dict[str, Any]:
    return {"webhooks": [webhook for webhook, _ in keys], "keys": [key for _, key in keys]}
