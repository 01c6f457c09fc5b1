"""Deliveries that nobody tries, for a pause or for their order, end as dead letters when their time is over.

Those that are tried meet their expiry at their next claim; these would never be claimed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from server.events.matching import is_ours
from server.kernel.errors import Failure
from server.queue import dead_letters
from server.queue.dead_letters import DeadLetter
from server.store.values import write_json
from server.webhooks import fallbacks, ordering, queries
from server.webhooks.ordering import Ended
from server.webhooks.outcomes import DELIVERY_EXPIRED
from server.webhooks.queries import KIND

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

_HELD = """
SELECT id, webhook_id, order_key FROM deliveries WHERE state = 'held' AND expires_at <= now()
ORDER BY expires_at LIMIT %(most)s
"""
_WAITING = """
SELECT d.id, d.webhook_id, d.order_key FROM deliveries d
JOIN due ON due.kind = 'delivery' AND due.ref = d.id AND due.due_at = 'infinity'
WHERE d.state = 'pending' AND d.order_key IS NOT NULL AND d.expires_at <= now()
ORDER BY d.expires_at LIMIT %(most)s
"""
# Only what nobody has woken, released, retried or discarded since it was found: its due row is still at infinity.
_EXPIRE = """
WITH mine AS (
  SELECT id FROM deliveries WHERE id = ANY(%(ids)s::uuid[]) AND state IN ('pending', 'held') AND expires_at <= now()
  ORDER BY id FOR UPDATE
), gone AS (
  DELETE FROM due USING mine WHERE due.kind = 'delivery' AND due.ref = mine.id AND due.due_at = 'infinity' RETURNING due.ref
), expired AS (
  UPDATE deliveries d SET state = 'dead', reason = 'expired', finished_at = now(), error = %(error)s::jsonb
  FROM gone WHERE d.id = gone.ref
  RETURNING d.id, d.workspace_id, d.webhook_id, d.event_uid, d.order_key, d.attempts
)
SELECT e.id, e.workspace_id, e.webhook_id, e.order_key, e.attempts, w.name AS webhook, w.body ->> 'integration' AS integration,
       v.correlation_id, v.type
FROM expired e JOIN webhooks w ON w.id = e.webhook_id LEFT JOIN events v ON v.uid = e.event_uid
"""


def expire_held(conn: Connection, most: int) -> int:
    """Turn held deliveries whose time is over into dead letters, `most` at a time; return how many."""
    return _expire(conn, _HELD, most, "the delivery's time was over while its webhook was held")


def expire_waiting(conn: Connection, most: int) -> int:
    """Do the same with those that wait behind another one of their order key."""
    return _expire(
        conn, _WAITING, most, "the delivery's time was over while it waited for the one before it in its order"
    )


def _expire(conn: Connection, find: str, most: int, message: str) -> int:
    found = conn.exec_driver_sql(find, {"most": most}).all()
    if not found:
        return 0
    ordering.lock_keys(conn, [(row.webhook_id, row.order_key) for row in found if row.order_key is not None])
    failure = Failure(DELIVERY_EXPIRED, message, KIND)
    values = {"ids": [row.id for row in found], "error": write_json(failure.as_dict())}
    rows = conn.exec_driver_sql(_EXPIRE, values).all()
    gone = [Ended(row.id, (row.webhook_id, row.order_key), "expired") for row in rows if row.order_key is not None]
    ordering.ended(conn, gone)
    tried = [row.id for row in rows if row.attempts]
    times = queries.attempt_times(conn, tried) if tried else {}
    dead_letters.add(conn, [_letter(row, failure, times.get(row.id)) for row in rows])
    fallbacks.owe(conn, {row.id: "expired" for row in rows})
    return len(rows)


def _letter(row: Any, failure: Failure, times: tuple[Any, Any] | None) -> DeadLetter:
    first, last = times or (None, None)
    return DeadLetter(
        workspace_id=row.workspace_id,
        kind=KIND,
        ref=row.id,
        owner=f"webhook/{row.webhook}",
        owner_id=row.webhook_id,
        reason="expired",
        error=failure,
        attempts=row.attempts,
        first_attempt_at=first,
        last_attempt_at=last,
        correlation_id=row.correlation_id or "",
        adapter=f"integration/{row.integration}" if row.integration else None,
        quiet=is_ours(row.type or ""),
    )
