"""The SQL of the pages of sync jobs, in the workspace of the transaction. All are bounded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from sqlalchemy.engine import Row

    from server.store import Tx

_JOBS = """
SELECT j.id, j.name, j.state, j.body -> 'source' ->> 'call' AS source, j.body -> 'target' ->> 'call' AS target,
  j.body -> 'schedule' ->> 'cron' AS cron, s.nominal,
  (SELECT r.id FROM sync_runs r WHERE r.workspace_id = j.workspace_id AND r.job_id = j.id ORDER BY r.id DESC LIMIT 1) AS last,
  (SELECT count(*) FROM dead_letters l WHERE l.workspace_id = j.workspace_id AND l.owner_id = j.id AND l.resolved_at IS NULL) AS dead
FROM sync_jobs j LEFT JOIN sync_schedules s ON s.job_id = j.id
WHERE j.workspace_id = :workspace_id AND j.deleted_at IS NULL AND j.name > :after ORDER BY j.name LIMIT :limit
"""
_REFUSED = """
SELECT r.id, r.key, r.row::text AS row, r.record::text AS record, r.error, r.state, r.at, l.id AS letter
FROM sync_refused r
LEFT JOIN dead_letters l ON l.workspace_id = r.workspace_id AND l.kind = :kind AND l.ref = r.id AND l.resolved_at IS NULL
WHERE r.workspace_id = :workspace_id AND r.job_id = :job AND r.run_id = :run AND (CAST(:before AS uuid) IS NULL OR r.id < :before)
ORDER BY r.id DESC LIMIT :limit
"""


def jobs(tx: Tx, after: str, limit: int) -> Sequence[Row[Any]]:
    """Return the sync jobs with their last run, by name."""
    return tx.all(_JOBS, after=after, limit=limit)


def refused(tx: Tx, job: UUID, run: UUID, kind: str, before: UUID | None, limit: int) -> Sequence[Row[Any]]:
    """Return the records that a run refused, newest first, with the open dead letter of each."""
    return tx.all(_REFUSED, job=job, run=run, kind=kind, before=before, limit=limit)


def job_of(tx: Tx, run: UUID) -> UUID | None:
    """Return the job of a run."""
    row = tx.one("SELECT job_id FROM sync_runs WHERE workspace_id = :workspace_id AND id = :run", run=run)
    return None if row is None else row.job_id
