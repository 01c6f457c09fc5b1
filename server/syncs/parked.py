"""Records that wait for others: parked with a time, ready when the record that they refer to was written, then synced by a run.

Who writes a record makes ready what waits for it, in the same transaction; `sweep` finds what was parked at that very moment, and
makes dead letters of what has waited too long.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from server.integrations.fallback import split_call
from server.kernel.ids import new_uuid
from server.queue.claims import PRIORITIES
from server.sdk.positions import as_json, packed, unpacked
from server.store.values import read_json, write_json
from server.syncs import refused, runs
from server.syncs.job import DEFAULT_PRIORITY
from server.syncs.references import Reference, missing_error
from server.syncs.refused import Refused
from server.syncs.runs import NewRun

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from uuid import UUID

    from sqlalchemy.engine import Connection

    from server.sdk.sources import Row
    from server.store import Store
    from server.syncs.batches import Outcome
    from server.syncs.job import Job
    from server.syncs.progress import Progress

SWEEP_SECONDS = 10.0
WHAT_WAITED: tuple[Any, ...] = ()
"""The `key` of a run that syncs what waited: no record's own."""
_PRINCIPAL = "worker"
_AT_ONCE = 500

_PUT = """
INSERT INTO sync_parked AS p (workspace_id, job_id, key, row, run_id, ref_job, ref_key, until)
SELECT %(workspace)s, %(job)s, key, row, %(run)s, ref_job, ref_key, now() + wait * interval '1 second'
FROM json_to_recordset(%(rows)s::json) AS r(key text, row json, ref_job text, ref_key text, wait float)
ON CONFLICT (job_id, key) DO UPDATE SET row = excluded.row, run_id = excluded.run_id, ref_job = excluded.ref_job,
  ref_key = excluded.ref_key, ready_at = NULL,
  until = CASE WHEN (p.ref_job, p.ref_key) = (excluded.ref_job, excluded.ref_key) THEN p.until ELSE excluded.until END
"""
_CLEAR = "DELETE FROM sync_parked WHERE workspace_id = %(workspace)s AND job_id = %(job)s AND key = ANY(%(keys)s)"
_WAKE = """
UPDATE sync_parked SET ready_at = now()
WHERE workspace_id = %(workspace)s AND ref_job = %(name)s AND ref_key = ANY(%(keys)s) AND ready_at IS NULL RETURNING job_id
"""
_READY = """
SELECT key, row FROM sync_parked WHERE workspace_id = %(workspace)s AND job_id = %(job)s AND ready_at IS NOT NULL
ORDER BY ready_at, key LIMIT %(limit)s
"""
_JOBS = """
SELECT id, name, definition_version, body ->> 'priority' AS priority FROM sync_jobs
WHERE workspace_id = %(workspace)s AND (id = ANY(%(ids)s::uuid[]) OR name = ANY(%(names)s)) AND deleted_at IS NULL
"""
_QUEUED = """
SELECT r.job_id, r.key::text AS key FROM sync_runs r JOIN due d ON d.kind = 'sync' AND d.ref = r.id
WHERE r.workspace_id = %(workspace)s AND r.job_id = ANY(%(jobs)s::uuid[]) AND r.state = 'queued' AND r.key::text = ANY(%(keys)s)
  AND r.cancelled_at IS NULL AND NOT d.leased
"""
_EXPIRED = """
DELETE FROM sync_parked p USING (SELECT job_id, key FROM sync_parked WHERE until < now() ORDER BY until LIMIT %(limit)s
                                 FOR UPDATE SKIP LOCKED) AS late
WHERE p.job_id = late.job_id AND p.key = late.key
RETURNING p.workspace_id, p.job_id, p.key, p.row, p.run_id, p.ref_job, p.ref_key
"""
_OF_EXPIRED = """
SELECT j.name, j.body -> 'target' ->> 'call' AS call, r.correlation_id, now() AS now FROM sync_jobs j
LEFT JOIN sync_runs r ON r.workspace_id = j.workspace_id AND r.id = %(run)s
WHERE j.workspace_id = %(workspace)s AND j.id = %(job)s
"""
# What was parked while the other was being written; and what is ready but was not done, because its run failed.
_OVERLOOKED = """
UPDATE sync_parked p SET ready_at = now() FROM (
  SELECT w.job_id, w.key FROM sync_parked w
  JOIN sync_jobs j ON j.workspace_id = w.workspace_id AND j.name = w.ref_job AND j.deleted_at IS NULL
  JOIN sync_records r ON r.job_id = j.id AND r.key = w.ref_key AND r.gone_at IS NULL
  WHERE w.ready_at IS NULL OR w.ready_at < now() - interval '5 minutes'
  ORDER BY w.parked_at LIMIT %(limit)s FOR UPDATE OF w SKIP LOCKED) AS found
WHERE p.job_id = found.job_id AND p.key = found.key RETURNING p.workspace_id, p.job_id
"""


@dataclass(slots=True)
class Owner:
    """Whose record it is that has waited too long."""

    workspace_id: int
    job_id: UUID
    run: UUID
    job_name: str
    correlation_id: str


def note(conn: Connection, run: Progress, job: Job, done: Outcome) -> None:
    """Park what a batch has to wait for, let go of what it has dealt with, and make ready what waits for its records."""
    values = {"workspace": run.workspace_id, "job": run.job_id, "run": run.run}
    if job.references:
        waiting = {each.key: each for each in done.parked}
        conn.exec_driver_sql(_CLEAR, {**values, "keys": sorted(set(done.keys) - waiting.keys())})
        if waiting:
            rows = [
                {
                    "key": each.key,
                    "row": _stored(each.row),
                    "ref_job": each.reference.job,
                    "ref_key": each.ref_key,
                    "wait": each.reference.wait,
                }
                for _, each in sorted(waiting.items())
            ]
            conn.exec_driver_sql(_PUT, {**values, "rows": write_json(rows)})
    keys = [each.key for each in done.entries]
    woken = conn.exec_driver_sql(_WAKE, {**values, "name": run.job_name, "keys": keys}) if keys else ()
    ready = {row.job_id for row in woken}
    asked = {(each.reference.job, each.ref_key) for each in done.parked if each.reference.on_missing == "create"}
    if ready or asked:
        _start(conn, run.workspace_id, ready, asked, run.correlation_id)


def ready(conn: Connection, run: Progress, limit: int) -> dict[str, Row]:
    """Return what waited and can go on: key → row as it was when it was parked."""
    values = {"workspace": run.workspace_id, "job": run.job_id, "limit": limit}
    return {row.key: _restored(row.row) for row in conn.exec_driver_sql(_READY, values)}


def sweep(store: Store, hint: Callable[[], None]) -> int:
    """Make dead letters of what has waited too long, and runs for what can go on though nobody has said so; return how many."""
    with store.connect() as conn:
        expired = conn.exec_driver_sql(_EXPIRED, {"limit": _AT_ONCE}).all()
        for row in expired:
            _expire(conn, row)
    with store.connect() as conn:
        found = conn.exec_driver_sql(_OVERLOOKED, {"limit": _AT_ONCE}).all()
        for workspace in {row.workspace_id for row in found}:
            _start(conn, workspace, {row.job_id for row in found if row.workspace_id == workspace}, (), "")
    if found:
        hint()
    return len(expired) + len(found)


def _expire(conn: Connection, row: Any) -> None:
    values = {"workspace": row.workspace_id, "job": row.job_id, "run": row.run_id}
    of = conn.exec_driver_sql(_OF_EXPIRED, values).first()
    if of is None:
        return
    owner = Owner(row.workspace_id, row.job_id, row.run_id, of.name, of.correlation_id or "")
    error = missing_error(Reference((), row.ref_job), row.ref_key)
    adapter = (split_call(of.call or "") or ("",))[0]
    refused.put(conn, owner, [Refused(row.key, _restored(row.row), None, error, "reference")], adapter, of.now)


def _start(
    conn: Connection, workspace: int, ids: Iterable[UUID], asked: Iterable[tuple[str, str]], correlation: str
) -> None:
    """Start a run of each job for what waited, and one for each record asked for; where one is queued that is enough."""
    asked = list(asked)
    names = sorted({job for job, _ in asked})
    jobs = conn.exec_driver_sql(_JOBS, {"workspace": workspace, "ids": list(ids), "names": names}).all()
    by_name, by_id = {row.name: row for row in jobs}, {row.id: row for row in jobs}
    wanted = [(by_id[each], list(WHAT_WAITED)) for each in ids if each in by_id]
    wanted += [(by_name[job], read_json(key)) for job, key in sorted(asked) if job in by_name]
    keys = sorted({write_json(key) for _, key in wanted})
    values = {"workspace": workspace, "jobs": [row.id for row in jobs], "keys": keys}
    queued = {(row.job_id, row.key) for row in conn.exec_driver_sql(_QUEUED, values)}
    new = [
        NewRun(
            id=new_uuid(),
            workspace_id=workspace,
            job_id=job.id,
            definition_version=job.definition_version,
            cause="reference",
            principal=_PRINCIPAL,
            correlation_id=correlation,
            key=key,
            priority=PRIORITIES[job.priority or DEFAULT_PRIORITY],
        )
        for job, key in wanted
        if (job.id, write_json(key)) not in queued
    ]
    runs.start(conn, new)


def _stored(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row as JSON from which it can be had back."""
    plain = {name: value for name, value in row.items() if isinstance(value, list | dict)}
    others = [name for name in row if name not in plain]
    return {
        "plain": as_json(plain),
        "packed": dict(zip(others, packed(row[each] for each in others), strict=True)),
        "order": list(row),
    }


def _restored(stored: Mapping[str, Any]) -> Row:
    names: Sequence[str] = list(stored["packed"])
    values = dict(zip(names, unpacked(stored["packed"].values()), strict=True))
    both = {**stored["plain"], **values}
    return {name: both[name] for name in stored["order"]}
