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

_HELD = f"""
SELECT id, webhook_id, order_key,
       CASE WHEN reason = '{ordering.PARKED}' THEN 'it was parked behind a dead letter of its order'
            ELSE 'its webhook or integration was paused or disabled' END AS why
FROM deliveries WHERE state = 'held' AND expires_at <= now()
ORDER BY expires_at LIMIT %(most)s
"""
_WAITING = """
SELECT d.id, d.webhook_id, d.order_key, 'it waited for the one before it in its order' AS why FROM deliveries d
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
  UPDATE deliveries d SET state = 'dead', reason = 'expired', finished_at = now(), error = told.error::jsonb
  FROM gone JOIN unnest(%(ids)s::uuid[], %(errors)s::text[]) AS told(id, error) ON told.id = gone.ref WHERE d.id = gone.ref
  RETURNING d.id, d.workspace_id, d.webhook_id, d.event_uid, d.order_key, d.attempts
)
SELECT e.id, e.workspace_id, e.webhook_id, e.order_key, e.attempts, w.name AS webhook, w.body ->> 'integration' AS integration,
       v.correlation_id, v.type
FROM expired e JOIN webhooks w ON w.id = e.webhook_id LEFT JOIN events v ON v.uid = e.event_uid
"""


def expire_held(conn: Connection, most: int) -> int:
    """Turn held deliveries whose time is over into dead letters, `most` at a time; return how many."""
    return _expire(conn, _HELD, most)


def expire_waiting(conn: Connection, most: int) -> int:
    """Do the same with those that wait behind another one of their order key."""
    return _expire(conn, _WAITING, most)


def _expire(conn: Connection, find: str, most: int) -> int:
    found = conn.exec_driver_sql(find, {"most": most}).all()
    if not found:
        return 0
    ordering.lock_keys(conn, [(row.webhook_id, row.order_key) for row in found if row.order_key is not None])
    failures = {
        row.id: Failure(DELIVERY_EXPIRED, f"the delivery's time was over while {row.why}", KIND) for row in found
    }
    errors = [write_json(each.as_dict()) for each in failures.values()]
    values = {"ids": list(failures), "errors": errors}
    rows = conn.exec_driver_sql(_EXPIRE, values).all()
    gone = [Ended(row.id, (row.webhook_id, row.order_key), "expired") for row in rows if row.order_key is not None]
    ordering.ended(conn, gone)
    tried = [row.id for row in rows if row.attempts]
    times = queries.attempt_times(conn, tried) if tried else {}
    dead_letters.add(conn, [_letter(row, failures[row.id], times.get(row.id)) for row in rows])
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
