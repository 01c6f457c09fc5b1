"""Runs come into being: a row that says what of and why, and a due row of kind `sync` that the engine drains.

One run of a job is under way at a time: the due rows of a job share a lane of one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from server.kernel.ids import new_uuid, show
from server.queue import claims
from server.queue.claims import NORMAL, PRIORITIES, Due
from server.store.values import write_json
from server.syncs.job import DEFAULT_PRIORITY

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.engine import Connection

    from server.store import Tx
    from server.syncs.aggregate import SyncJob

KIND = "sync"
Cause = Literal["schedule", "event", "person"]
UNDER_WAY = ("queued", "running", "paused")

_START = """
INSERT INTO sync_runs (id, workspace_id, job_id, definition_version, cause, nominal, key, principal, correlation_id)
SELECT * FROM unnest(%(ids)s::uuid[], %(workspaces)s::bigint[], %(jobs)s::uuid[], %(versions)s::int[], %(causes)s::text[],
                     %(nominals)s::timestamptz[], %(keys)s::json[], %(principals)s::text[], %(correlations)s::text[])
"""
_COUNT = """
SELECT job_id, count(*) AS n FROM sync_runs
WHERE job_id = ANY(%(jobs)s::uuid[]) AND state IN ('queued', 'running', 'paused') GROUP BY job_id
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRun:
    """A run to be. `key` is the primary key of the one record to sync; None runs the whole job."""

    id: UUID
    workspace_id: int
    job_id: UUID
    definition_version: int
    cause: Cause
    principal: str
    correlation_id: str
    nominal: datetime | None = None
    key: Sequence[Any] | None = None
    priority: int = NORMAL


def start(conn: Connection, runs: Sequence[NewRun]) -> None:
    """Write runs with what makes them due, in one transaction with what caused them."""
    if not runs:
        return
    values = {
        "ids": [each.id for each in runs],
        "workspaces": [each.workspace_id for each in runs],
        "jobs": [each.job_id for each in runs],
        "versions": [each.definition_version for each in runs],
        "causes": [each.cause for each in runs],
        "nominals": [each.nominal for each in runs],
        "keys": [None if each.key is None else write_json(list(each.key)) for each in runs],
        "principals": [each.principal for each in runs],
        "correlations": [each.correlation_id for each in runs],
    }
    conn.exec_driver_sql(_START, values)
    due = [Due(each.id, each.workspace_id, each.job_id, None, 1, each.priority) for each in runs]
    claims.add(conn, KIND, due)


def under_way(conn: Connection, jobs: Sequence[UUID]) -> dict[UUID, int]:
    """Return how many runs of each job have not ended, those that wait among them; a job without any is not named."""
    return {row.job_id: int(row.n) for row in conn.exec_driver_sql(_COUNT, {"jobs": list(jobs)})}


def start_run(tx: Tx, job: SyncJob, cause: Cause, hint: Callable[[], None], key: Sequence[Any] | None = None) -> UUID:
    """Start a run of a job in the transaction of what caused it; return its id."""
    run = NewRun(
        id=new_uuid(),
        workspace_id=tx.scope.workspace_id,
        job_id=job.id,
        definition_version=job.definition_version,
        cause=cause,
        principal=tx.cause.principal,
        correlation_id=tx.cause.correlation_id,
        key=key,
        priority=PRIORITIES[job.body.get("priority", DEFAULT_PRIORITY)],
    )
    start(tx.conn, [run])
    tx.after_commit("hint", hint)
    return run.id


def shown(run: UUID) -> str:
    """Return the id of a run as people see it: `run_…`."""
    return show("run", run)
