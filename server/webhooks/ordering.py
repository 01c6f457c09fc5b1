"""Order where asked: a counter per (webhook, key), and whose turn it is.

The row of a key's counter is its lock: whoever adds to the key, or ends one of it, holds it until commit. What is read of a
key is read by a statement that began after the lock was had, so that nobody decides on what the holder before has changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from sqlalchemy.engine import Connection

    from server.webhooks.queries import Outcome

ENDED = frozenset({"delivered", "skipped", "discarded"})
_BLOCKING = "('pending', 'held', 'dead')"  # what an ordered key waits for

_COUNT_UP = """
INSERT INTO order_counters (workspace_id, webhook_id, order_key, last_no)
SELECT %(workspace)s, webhook_id, order_key, n
FROM unnest(%(webhooks)s::uuid[], %(keys)s::text[], %(counts)s::bigint[]) AS k(webhook_id, order_key, n)
ORDER BY webhook_id, order_key
ON CONFLICT (webhook_id, order_key) DO UPDATE SET last_no = order_counters.last_no + excluded.last_no
RETURNING webhook_id, order_key, last_no
"""
_BUSY = f"""
SELECT k.webhook_id, k.order_key FROM unnest(%(webhooks)s::uuid[], %(keys)s::text[]) AS k(webhook_id, order_key)
WHERE EXISTS (SELECT FROM deliveries d
              WHERE d.webhook_id = k.webhook_id AND d.order_key = k.order_key AND d.state IN {_BLOCKING})
"""
_LOCK_KEYS = """
SELECT FROM order_counters c JOIN unnest(%(webhooks)s::uuid[], %(keys)s::text[]) AS k(webhook_id, order_key)
  ON c.webhook_id = k.webhook_id AND c.order_key = k.order_key
ORDER BY c.webhook_id, c.order_key FOR UPDATE OF c
"""
_WAKE_HEADS = f"""
UPDATE due SET due_at = now() FROM (
  SELECT DISTINCT ON (d.webhook_id, d.order_key) d.id, d.state
  FROM unnest(%(webhooks)s::uuid[], %(keys)s::text[]) AS k(webhook_id, order_key)
  JOIN deliveries d ON d.webhook_id = k.webhook_id AND d.order_key = k.order_key AND d.state IN {_BLOCKING}
  ORDER BY d.webhook_id, d.order_key, d.order_no
) AS head
WHERE due.kind = 'delivery' AND due.ref = head.id AND head.state = 'pending' AND due.due_at = 'infinity'
"""


def count_up(
    conn: Connection, workspace_id: int, keys: dict[tuple[UUID, str], int]
) -> dict[tuple[UUID, str], tuple[int, bool]]:
    """Take the next order numbers of keys, and their lock until commit; return (last number, whether one is unfinished)."""
    ordered = sorted(keys, key=lambda key: (key[0].bytes, key[1]))
    values = {"workspace": workspace_id, **_keys(ordered), "counts": [keys[each] for each in ordered]}
    rows = conn.exec_driver_sql(_COUNT_UP, values).all()
    # Only now, with the lock: the statement above still sees what was there before it waited for the lock.
    busy = {(row.webhook_id, row.order_key) for row in conn.exec_driver_sql(_BUSY, _keys(ordered))}
    return {(row.webhook_id, row.order_key): (row.last_no, (row.webhook_id, row.order_key) in busy) for row in rows}


def lock_keys(conn: Connection, keys: Sequence[tuple[UUID, str]]) -> None:
    """Take the lock of order keys until commit, always in the same order."""
    conn.exec_driver_sql(_LOCK_KEYS, _keys(keys))


def wake_heads(conn: Connection, keys: Sequence[tuple[UUID, str]]) -> None:
    """Make the oldest unfinished delivery of each key due, if it may go."""
    conn.exec_driver_sql(_WAKE_HEADS, _keys(keys))


def after(conn: Connection, outcomes: Sequence[Outcome]) -> None:
    """Give the turn on, in the transaction that has just stored these outcomes; nothing is asked when none was ordered."""
    keys = sorted({(each.claim.lane, each.order_key) for each in outcomes if each.order_key and each.state in ENDED})
    if keys:
        lock_keys(conn, keys)
        wake_heads(conn, keys)


def _keys(keys: Sequence[tuple[UUID, str]]) -> dict[str, Any]:
    return {"webhooks": [webhook for webhook, _ in keys], "keys": [key for _, key in keys]}
