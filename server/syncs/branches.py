"""What sync jobs add to the tree of an event: the runs that it started, and the records that each has written or refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from server.events.tree import Node, key_of
from server.kernel.ids import show, those
from server.syncs.refused import KIND

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from server.events.envelope import Event
    from server.store import Tx

_RUNS = """
SELECT r.id, r.job_id, r.event_uid, r.state, r.created_at, r.cause, r.kind, r.key::text AS key, r.read, r.written, r.unchanged,
  r.refused, r.deleted, r.parked, r.error ->> 'code' AS code, j.name
FROM sync_runs r JOIN sync_jobs j ON j.id = r.job_id WHERE r.workspace_id = :workspace_id AND
"""
# What a run wrote last of a record stands in the ledger, found by the key of a run of one record; what it wrote over, by the run.
_WRITTEN = """
SELECT run_id, key, at, CASE WHEN written IS NULL THEN 'removed' WHEN before IS NULL THEN 'inserted' ELSE 'updated' END AS state
FROM sync_changes WHERE workspace_id = :workspace_id AND run_id = ANY (:runs)
UNION ALL
SELECT s.run_id, s.key, s.updated_at, CASE WHEN s.gone_at IS NULL THEN 'written' ELSE 'removed' END
FROM unnest(CAST(:ones AS uuid[]), CAST(:jobs AS uuid[]), CAST(:keys AS text[])) AS o(run_id, job_id, key)
JOIN sync_records s ON s.job_id = o.job_id AND s.key = o.key AND s.run_id = o.run_id
WHERE s.workspace_id = :workspace_id
  AND NOT EXISTS (SELECT FROM sync_changes c WHERE c.run_id = o.run_id AND c.key = o.key)
ORDER BY run_id, at, key LIMIT :most
"""
_REFUSED = """
SELECT f.id, f.run_id, f.key, f.at, f.state, f.error ->> 'code' AS code, l.id AS letter, l.reason
FROM sync_refused f
LEFT JOIN dead_letters l ON l.workspace_id = f.workspace_id AND l.kind = :kind AND l.ref = f.id AND l.resolved_at IS NULL
WHERE f.workspace_id = :workspace_id AND f.job_id = ANY (:jobs) AND f.run_id = ANY (:runs) ORDER BY f.id LIMIT :most
"""


class SyncBranch:
    """Implements `events.tree.Branch`. A run stands below its event, and its records below the run."""

    def causes(self, tx: Tx, ids: Sequence[str]) -> list[Node]:
        """Return the runs that have these ids."""
        runs = those("run", ids)
        rows = tx.all(f"{_RUNS} r.id = ANY (:ids)", ids=runs) if runs else []
        return [_shown(row, None if row.event_uid is None else str(row.event_uid)) for row in rows]

    def effects(self, tx: Tx, events: Sequence[Event], most: int) -> list[Node]:
        """Return the runs that events started, with what became of records."""
        keys = {event.uid: key_of(event) for event in events}
        rows = tx.all(f"{_RUNS} r.event_uid = ANY (:uids) ORDER BY r.id LIMIT :most", uids=list(keys), most=most)
        found = [_shown(row, keys[row.event_uid]) for row in rows]
        if not rows or most <= len(found):
            return found
        found += _refused(tx, rows, most - len(found))
        return found + (_written(tx, rows, most - len(found)) if most > len(found) else [])


def _written(tx: Tx, runs: Sequence[Any], most: int) -> list[Node]:
    ones = [row for row in runs if row.key is not None]
    rows = tx.all(
        _WRITTEN,
        runs=[row.id for row in runs],
        ones=[row.id for row in ones],
        jobs=[row.job_id for row in ones],
        keys=[row.key for row in ones],
        most=most,
    )
    return [
        Node("record", f"{show('run', row.run_id)}:{row.key}", row.key, row.at, row.state, show("run", row.run_id))
        for row in rows
    ]


def _refused(tx: Tx, runs: Sequence[Any], most: int) -> list[Node]:
    jobs: list[UUID] = sorted({row.job_id for row in runs})
    rows = tx.all(_REFUSED, kind=KIND, jobs=jobs, runs=[row.id for row in runs], most=most)
    return [
        Node(
            "record",
            show(KIND, row.id),
            row.key or "",
            row.at,
            row.state,
            show("run", row.run_id),
            {
                "code": row.code,
                "reason": row.reason,
                "dead_letter": None if row.letter is None else show("dead", row.letter),
            },
        )
        for row in rows
    ]


def _shown(row: Any, parent: str | None) -> Node:
    counts = {name: getattr(row, name) for name in ("read", "written", "unchanged", "refused", "deleted", "parked")}
    details = {"cause": row.cause, "kind": row.kind, "key": row.key, "code": row.code, **counts}
    return Node("sync_run", show("run", row.id), row.name, row.created_at, row.state, parent, details)
