"""How far a run has got: the checkpoint of its row, and where the job goes on, written together under the fence of its lease."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from server.queue import claims
from server.sdk.positions import packed, unpacked
from server.store.values import write_json
from server.syncs.runs import KIND
from server.syncs.windows import Bounds, Values

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.engine import Connection

    from server.kernel.errors import Failure
    from server.queue.claims import Claim

Phase = Literal["begin", "read", "snapshot", "delete", "back", "finish"]
Ending = Literal["succeeded", "failed", "cancelled"]

_LOAD = """
SELECT r.*, now() AS now, s.position AS job_position, s.token AS job_token, s.snapshot_at, j.name AS job_name, j.state AS job_state
FROM sync_runs r JOIN sync_jobs j ON j.id = r.job_id LEFT JOIN sync_states s ON s.job_id = r.job_id
WHERE r.workspace_id = %(workspace)s AND r.id = %(run)s
"""
_SAVE = """
UPDATE sync_runs SET state = 'running', started_at = coalesce(started_at, now()), progressed_at = now(), phase = %(phase)s,
  bounds = %(bounds)s, position = %(position)s, high = %(high)s, token = %(token)s, batches = %(batches)s, total = %(total)s,
  known = %(known)s, read = %(read)s, written = %(written)s, unchanged = %(unchanged)s, refused = %(refused)s,
  deleted = %(deleted)s, parked = %(parked)s, attempts = %(attempts)s, error = %(error)s
WHERE workspace_id = %(workspace)s AND id = %(run)s
"""
_END = "UPDATE sync_runs SET state = %(state)s, ended_at = now() WHERE workspace_id = %(workspace)s AND id = %(run)s"
_STATE = """
INSERT INTO sync_states (workspace_id, job_id, position, token, run_id)
VALUES (%(workspace)s, %(job)s, %(position)s, %(token)s, %(run)s)
ON CONFLICT (job_id) DO UPDATE SET position = coalesce(excluded.position, sync_states.position),
  token = coalesce(excluded.token, sync_states.token), run_id = excluded.run_id, updated_at = now()
"""
# What three statements of a transaction do, in one round trip instead of five.
_CHECKPOINT = f"""
WITH held AS ({claims.HOLD}), saved AS ({_SAVE.replace("WHERE", "FROM held WHERE")}), moved AS (
  INSERT INTO sync_states (workspace_id, job_id, position, run_id)
  SELECT %(workspace)s, %(job)s, %(high)s::json, %(run)s FROM held WHERE %(go_on)s
  ON CONFLICT (job_id) DO UPDATE SET position = excluded.position, run_id = excluded.run_id, updated_at = now())
SELECT ref FROM held
"""
_SNAPSHOT = """
INSERT INTO sync_states (workspace_id, job_id, snapshot_at, run_id) VALUES (%(workspace)s, %(job)s, now(), %(run)s)
ON CONFLICT (job_id) DO UPDATE SET snapshot_at = now(), run_id = excluded.run_id, updated_at = now()
"""


_PLAIN = (
    "workspace_id", "job_id", "job_name", "job_state", "definition_version", "state", "cause", "principal", "correlation_id", "now",
    "created_at", "started_at", "nominal", "key", "phase", "position", "token", "job_token", "snapshot_at", "batches", "total",
    "known", "read", "written", "unchanged", "refused", "deleted", "parked", "attempts", "error", "kind", "options",
)  # fmt: skip
_SAVED = (
    "phase", "batches", "total", "known", "read", "written", "unchanged", "refused", "deleted", "parked", "attempts",
)  # fmt: skip


class TakenOver(Exception):
    """The lease is another's by now: nothing of this counts."""


@dataclass(slots=True)
class Progress:
    """A run under way: what it is of, its counters, and where it goes on."""

    run: UUID
    workspace_id: int
    job_id: UUID
    job_name: str
    definition_version: int
    state: str
    cause: str
    principal: str
    correlation_id: str
    now: datetime
    created_at: datetime
    started_at: datetime | None
    nominal: datetime | None
    key: Any
    phase: Phase
    bounds: Bounds
    position: Any
    high: Values
    token: Any
    job_position: Values
    job_token: Any
    snapshot_at: datetime | None
    cancelled: bool
    job_state: str
    batches: int = 0
    total: int | None = None
    known: int = 0
    read: int = 0
    written: int = 0
    unchanged: int = 0
    refused: int = 0
    deleted: int = 0
    parked: int = 0
    attempts: int = 0
    error: dict[str, Any] | None = field(default=None)
    kind: str = "sync"
    options: dict[str, Any] | None = None


def load(conn: Connection, claim: Claim) -> Progress | None:
    """Return the run that was claimed, None when it has gone."""
    row = conn.exec_driver_sql(_LOAD, {"workspace": claim.workspace_id, "run": claim.ref}).mappings().first()
    if row is None:
        return None
    return Progress(
        run=row["id"],
        bounds=Bounds.of_json(row["bounds"]) if row["bounds"] else Bounds(),
        high=None if row["high"] is None else unpacked(row["high"]),
        job_position=None if row["job_position"] is None else unpacked(row["job_position"]),
        cancelled=row["cancelled_at"] is not None,
        **{name: row[name] for name in _PLAIN},
    )


def fence(conn: Connection, claim: Claim) -> None:
    """Hold the run's lease in this transaction.

    Raises:
        TakenOver: it is another's; the transaction must not commit.

    """
    if not claims.hold(conn, KIND, claim):
        raise TakenOver


def checkpoint(conn: Connection, claim: Claim, progress: Progress, *, go_on: bool) -> None:
    """Write the checkpoint under the fence of the lease, and with `go_on` where the next run begins: one statement, all or nothing.

    Raises:
        TakenOver: the lease is another's, and nothing was written.

    """
    lease = {"kind": KIND, "ref": claim.ref, "epoch": claim.epoch}
    values = {**_saved(progress), **lease, "job": progress.job_id, "go_on": go_on and progress.high is not None}
    if conn.exec_driver_sql(_CHECKPOINT, values).first() is None:
        raise TakenOver


def save(conn: Connection, progress: Progress) -> None:
    """Write the checkpoint."""
    conn.exec_driver_sql(_SAVE, _saved(progress))


def _saved(progress: Progress) -> dict[str, Any]:
    values = {name: getattr(progress, name) for name in _SAVED}
    written = {
        "bounds": write_json(progress.bounds.as_json()),
        "position": stored(progress.position),
        "high": None if progress.high is None else write_json(packed(progress.high)),
        "token": stored(progress.token),
        "error": stored(progress.error),
    }
    return {**values, **written, "workspace": progress.workspace_id, "run": progress.run}


def go_on_from(conn: Connection, progress: Progress, *, token: bool = False) -> None:
    """Let the next run of the job begin where this one has got to; the token counts when the run has ended."""
    values = {
        "workspace": progress.workspace_id,
        "job": progress.job_id,
        "position": None if progress.high is None else write_json(packed(progress.high)),
        "token": stored(progress.token) if token else None,
        "run": progress.run,
    }
    conn.exec_driver_sql(_STATE, values)


def snapshot_taken(conn: Connection, progress: Progress) -> None:
    """Note that deletes were looked for."""
    values = {"workspace": progress.workspace_id, "job": progress.job_id, "run": progress.run}
    conn.exec_driver_sql(_SNAPSHOT, values)


def end(conn: Connection, claim: Claim, progress: Progress, state: Ending, failure: Failure | None = None) -> None:
    """End the run, in one transaction with its last checkpoint.

    Raises:
        TakenOver: the lease is another's.

    """
    progress.error = failure.as_dict() if failure else progress.error if state != "succeeded" else None
    save(conn, progress)
    conn.exec_driver_sql(_END, {"state": state, "workspace": progress.workspace_id, "run": progress.run})
    if not claims.finish(conn, KIND, [claim]):
        raise TakenOver


def stored(value: Any) -> str | None:
    """Return JSON as a column takes it."""
    return None if value is None else write_json(value)
