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
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.engine import Connection

    from server.kernel.errors import Failure
    from server.store import Tx
    from server.syncs.aggregate import SyncJob

KIND = "sync"
Cause = Literal["schedule", "event", "person", "reference"]
Kind = Literal["sync", "revert", "reconcile"]
UNDER_WAY = ("queued", "running", "paused")

_START = """
INSERT INTO sync_runs (id, workspace_id, job_id, definition_version, cause, nominal, event_uid, key, principal, correlation_id,
                       kind, options)
SELECT * FROM unnest(%(ids)s::uuid[], %(workspaces)s::bigint[], %(jobs)s::uuid[], %(versions)s::int[], %(causes)s::text[],
                     %(nominals)s::timestamptz[], %(events)s::uuid[], %(keys)s::json[], %(principals)s::text[],
                     %(correlations)s::text[], %(kinds)s::text[], %(options)s::json[])
"""
_REFUSE = """
UPDATE sync_runs SET state = 'failed', ended_at = now(), error = %(error)s WHERE workspace_id = %(workspace)s AND id = %(run)s
"""
_CANCEL = """
UPDATE sync_runs SET cancelled_at = coalesce(cancelled_at, now())
WHERE job_id = ANY(%(jobs)s::uuid[]) AND state IN ('queued', 'running', 'paused') AND kind = 'sync'
  AND NOT id = ANY(%(but)s::uuid[])
"""
_COUNT = """
SELECT job_id, count(*) AS n FROM sync_runs
WHERE job_id = ANY(%(jobs)s::uuid[]) AND state IN ('queued', 'running', 'paused') GROUP BY job_id
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRun:
    """A run to be. `key` is the primary key of the one record to sync; None runs the whole job.

    `at` is when it is due: None for at once, `infinity` while its job rests. `failure` is why it can never be: it is written as
    one that has failed.
    """

    id: UUID
    workspace_id: int
    job_id: UUID
    definition_version: int
    cause: Cause
    principal: str
    correlation_id: str
    nominal: datetime | None = None
    event_uid: UUID | None = None
    at: datetime | str | None = None
    failure: Failure | None = None
    key: Sequence[Any] | None = None
    priority: int = NORMAL
    kind: Kind = "sync"
    options: Mapping[str, Any] | None = None


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
        "events": [each.event_uid for each in runs],
        "keys": [None if each.key is None else write_json(list(each.key)) for each in runs],
        "principals": [each.principal for each in runs],
        "correlations": [each.correlation_id for each in runs],
        "kinds": [each.kind for each in runs],
        "options": [None if each.options is None else write_json(each.options) for each in runs],
    }
    conn.exec_driver_sql(_START, values)
    for each in runs:
        if each.failure is not None:
            error = write_json(each.failure.as_dict())
            conn.exec_driver_sql(_REFUSE, {"workspace": each.workspace_id, "run": each.id, "error": error})
    due = [
        Due(each.id, each.workspace_id, each.job_id, each.at, 1, each.priority) for each in runs if each.failure is None
    ]
    claims.add(conn, KIND, due)


def cancel(conn: Connection, jobs: Sequence[UUID], but: Sequence[UUID] = ()) -> None:
    """Ask the runs of jobs that are under way to end, those that wait too; the engine ends each at its next step."""
    if jobs:
        conn.exec_driver_sql(_CANCEL, {"jobs": list(jobs), "but": list(but)})


def under_way(conn: Connection, jobs: Sequence[UUID]) -> dict[UUID, int]:
    """Return how many runs of each job have not ended, those that wait among them; a job without any is not named."""
    return {row.job_id: int(row.n) for row in conn.exec_driver_sql(_COUNT, {"jobs": list(jobs)})}


def start_run(
    tx: Tx,
    job: SyncJob,
    cause: Cause,
    hint: Callable[[], None],
    key: Sequence[Any] | None = None,
    *,
    kind: Kind = "sync",
    options: Mapping[str, Any] | None = None,
    version: int | None = None,
) -> UUID:
    """Start a run of a job, by its present definition or by `version`, in the transaction of what caused it; return its id.

    Raises:
        Conflict: WRONG_STATE, the job is a draft or disabled; what one has written can be put back all the same.

    """
    if kind != "revert":
        job.must_run()
    run = NewRun(
        id=new_uuid(),
        workspace_id=tx.scope.workspace_id,
        job_id=job.id,
        definition_version=job.definition_version if version is None else version,
        cause=cause,
        principal=tx.cause.principal,
        correlation_id=tx.cause.correlation_id,
        key=key,
        priority=PRIORITIES[job.body.get("priority", DEFAULT_PRIORITY)],
        kind=kind,
        options=options,
    )
    start(tx.conn, [run])
    tx.after_commit("hint", hint)
    return run.id


def shown(run: UUID) -> str:
    """Return the id of a run as people see it: `run_…`."""
    return show("run", run)
