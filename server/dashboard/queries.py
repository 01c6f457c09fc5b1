"""What only pages show together: the SQL of their listings, in the workspace of the transaction. All are bounded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from server.events.queries import COLUMNS, read

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from sqlalchemy.engine import Row

    from server.events.envelope import Event
    from server.store import Tx

NAMES = 500
_TROUBLED = 50
_RUNS = 20
# With the business document that it is about, where it came of an event.
_LETTERS = """
SELECT l.*, e.id AS event_id, e.type AS event_type, e.subject, d.last_status, d.id AS delivery_id,
  s.run_id, s.key AS record_key, r.key AS run_key
FROM dead_letters l
LEFT JOIN deliveries d ON l.kind = 'delivery' AND d.id = l.ref AND d.workspace_id = l.workspace_id
LEFT JOIN sync_refused s ON l.kind = 'record' AND s.id = l.ref AND s.workspace_id = l.workspace_id
LEFT JOIN flow_runs r ON l.kind = 'flow' AND r.id = l.ref AND r.workspace_id = l.workspace_id
LEFT JOIN events e ON e.uid = coalesce(d.event_uid, r.event_uid, l.ref) AND e.workspace_id = l.workspace_id
WHERE l.workspace_id = :workspace_id
"""
# Of those that wait the newest thousand: most wait for events, and there may be a hundred thousand of them.
_STUCK = """
WITH stuck AS (
  (SELECT r.id, r.error ->> 'message' AS why FROM flow_runs r
   WHERE r.workspace_id = :workspace_id AND r.state = 'failed' ORDER BY r.id DESC LIMIT :limit)
  UNION ALL
  (SELECT r.id, r.error ->> 'message' FROM flow_runs r
   WHERE r.workspace_id = :workspace_id AND r.state = 'compensation_failed' ORDER BY r.id DESC LIMIT :limit)
  UNION ALL
  (SELECT w.id, s.note ->> 'message' FROM (
     SELECT r.id FROM flow_runs r WHERE r.workspace_id = :workspace_id AND r.state = 'waiting' ORDER BY r.id DESC LIMIT 1000
   ) w JOIN flow_steps s ON s.workspace_id = :workspace_id AND s.run_id = w.id AND s.state = 'waiting'
   WHERE s.note ->> 'message' IS NOT NULL LIMIT :limit)
)
SELECT r.id, f.name AS flow, r.state, r.key, r.created_at, s.why, e.subject, e.type AS event_type
FROM stuck s JOIN flow_runs r ON r.id = s.id AND r.workspace_id = :workspace_id
JOIN flows f ON f.id = r.flow_id AND f.workspace_id = r.workspace_id
LEFT JOIN events e ON e.workspace_id = r.workspace_id AND e.uid = r.event_uid
ORDER BY r.id DESC LIMIT :limit
"""


def event(tx: Tx, uid: UUID) -> Event | None:
    """Return an event of the workspace."""
    row = tx.one(f"SELECT {COLUMNS} FROM events WHERE workspace_id = :workspace_id AND uid = :uid", uid=uid)
    return None if row is None else read(row)


def letters(
    tx: Tx, *, before: UUID | None, limit: int, owner: str | None = None, resolved: bool = False
) -> Sequence[Row[Any]]:
    """Return dead letters with what they are about, newest first."""
    return tx.all(
        f"""{_LETTERS}
            AND (l.resolved_at IS NOT NULL) = :resolved
            AND (CAST(:before AS uuid) IS NULL OR l.id < :before)
            AND (CAST(:owner AS text) IS NULL OR l.owner = :owner)
            ORDER BY l.id DESC LIMIT :limit""",
        before=before,
        owner=owner,
        resolved=resolved,
        limit=limit,
    )


def letter_of(tx: Tx, ref: UUID) -> Row[Any] | None:
    """Return the open dead letter of some work."""
    return tx.one(
        "SELECT * FROM dead_letters WHERE workspace_id = :workspace_id AND ref = :ref AND resolved_at IS NULL LIMIT 1",
        ref=ref,
    )


def stuck_runs(tx: Tx) -> Sequence[Row[Any]]:
    """Return runs of flows that need a person, newest first: that failed, could not be undone, or ask for an approval."""
    return tx.all(_STUCK, limit=_RUNS)


def names(tx: Tx) -> list[str]:
    """Return the names of the webhooks, for filters."""
    rows = tx.all(
        "SELECT name FROM webhooks WHERE workspace_id = :workspace_id AND deleted_at IS NULL ORDER BY name LIMIT :limit",
        limit=NAMES,
    )
    return [row.name for row in rows]


def troubled(tx: Tx) -> Sequence[Row[Any]]:
    """Return (id, name, state, updated_at) of webhooks that fail, or stand still although their definition is active."""
    return tx.all(
        """SELECT id, name, state, updated_at FROM webhooks WHERE workspace_id = :workspace_id AND deleted_at IS NULL
           AND state IN ('failing', 'disabled', 'paused')
           ORDER BY array_position(ARRAY['failing', 'disabled', 'paused'], state), name LIMIT :limit""",
        limit=_TROUBLED,
    )


def failing_jobs(tx: Tx) -> Sequence[Row[Any]]:
    """Return (name, state, updated_at, why) of sync jobs that fail or are disabled; why their last failed run failed."""
    return tx.all(
        """SELECT j.name, j.state, j.updated_at, r.error ->> 'message' AS why FROM sync_jobs j LEFT JOIN LATERAL (
             SELECT error FROM sync_runs WHERE workspace_id = j.workspace_id AND job_id = j.id AND state = 'failed'
             ORDER BY id DESC LIMIT 1) r ON true
           WHERE j.workspace_id = :workspace_id AND j.deleted_at IS NULL AND j.state IN ('failing', 'disabled')
           ORDER BY j.state DESC, j.name LIMIT :limit""",
        limit=_TROUBLED,
    )


def waiting(tx: Tx, webhook_ids: Sequence[UUID]) -> dict[UUID, dict[str, int]]:
    """Return how many deliveries of webhooks are `pending` and `held`, and how many dead letters are `open`."""
    counts: dict[UUID, dict[str, int]] = {each: {} for each in webhook_ids}
    rows = tx.all(
        """SELECT webhook_id, state, count(*) AS n FROM deliveries
           WHERE workspace_id = :workspace_id AND state IN ('pending', 'held') AND webhook_id = ANY(:ids) GROUP BY 1, 2
           UNION ALL
           SELECT owner_id, 'open', count(*) FROM dead_letters
           WHERE workspace_id = :workspace_id AND resolved_at IS NULL AND owner_id = ANY(:ids) GROUP BY 1""",
        ids=list(webhook_ids),
    )
    for row in rows:
        counts[row.webhook_id][row.state] = row.n
    return counts
