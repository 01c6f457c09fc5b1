"""Requests of an inbound webhook, replayed: mapped once more, by its present definition, those first that came first.

Nothing is made beside them: the same request is due again, so that no request is twice in the list. Without a status those are
meant that emitted nothing: dead, skipped and stale.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from server.webhooks.inbound.reopening import Reopening

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from sqlalchemy.engine import Row

    from server.store import Tx

STATUSES = ("dead", "skipped", "stale", "emitted", "discarded")
DEFAULT = ("dead", "skipped", "stale")

# In the shape of what finds deliveries: `event_uid` is the request's id.
FOUND = """
WITH chosen AS MATERIALIZED (
  SELECT id AS uid, state, finished_at FROM inbound_requests
  WHERE workspace_id = :workspace AND webhook_id = :webhook AND id >= :low AND id < :high ORDER BY id LIMIT :events
), looked AS (SELECT FROM chosen WHERE false),
found AS (
  SELECT uid AS event_uid, CAST(:webhook AS uuid) AS webhook_id, CAST(NULL AS uuid) AS delivery_id, state FROM chosen
  WHERE uid > :event AND state = ANY (:states) AND finished_at <= :asked_at
)
"""
NAMED = """
WITH chosen AS (SELECT CAST(NULL AS uuid) AS uid WHERE false), looked AS (TABLE chosen), found AS (
  SELECT r.id AS event_uid, r.webhook_id, CAST(NULL AS uuid) AS delivery_id, r.state FROM inbound_requests r
  WHERE r.workspace_id = :workspace AND r.id = ANY (:named) AND r.state = ANY (:states)
    AND (r.id, r.webhook_id) > (:event, :after_webhook)
)
"""
SAMPLES = """
SELECT f.*, f.event_uid AS request_uid, NULL AS event_id, NULL AS event_type, NULL AS subject, r.received_at AS recorded_at,
       w.name AS webhook
FROM unnest(CAST(:events AS uuid[]), CAST(:webhooks AS uuid[]), CAST(:deliveries AS uuid[]), CAST(:states AS text[]))
  WITH ORDINALITY AS f(event_uid, webhook_id, delivery_id, state, no)
JOIN inbound_requests r ON r.id = f.event_uid AND r.workspace_id = :workspace JOIN webhooks w ON w.id = f.webhook_id
ORDER BY f.no
"""


def make(tx: Tx, rows: Sequence[Row[Any]], hint: Callable[[], None]) -> int:
    """Make requests due again; return how many."""
    return Reopening(hint).replay(tx, [row.event_uid for row in rows]) if rows else 0
