"""What is kept of a run: loaded with its claim, and written under the fence of its lease, many runs in one transaction."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from server.events import queries
from server.flows import waits, waking
from server.flows.rows import Row, Run
from server.flows.starting import KIND, trail_of
from server.kernel.ids import show
from server.queue import claims
from server.store.values import read_json, write_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.engine import Connection

    from server.flows.states import StepState
    from server.flows.waits import NewWait
    from server.queue.claims import Claim

_RUNS = """
SELECT r.id, r.workspace_id, r.flow_id, r.definition_version, r.state, r.event_uid, r.key, r.data::text AS data,
  r.output::text AS output, r.error::text AS error, r.parent_id, r.parent_path, r.depth, r.round, r.priority, r.trail, r.hops,
  r.principal, r.correlation_id, r.deadline, r.started_at, r.resume_from, f.name AS flow_name, f.state AS flow_state
FROM flow_runs r JOIN flows f ON f.id = r.flow_id
WHERE r.id = ANY(%(runs)s::uuid[]) AND r.workspace_id = ANY(%(workspaces)s::bigint[])
"""
_STEPS = """
SELECT run_id, path, state, number, round, tries, input::text AS input, result::text AS result, error::text AS error,
  note::text AS note, undo_tries, undo_error::text AS undo_error, began_at, ended_at, undone_at
FROM flow_steps WHERE run_id = ANY(%(runs)s::uuid[]) AND workspace_id = ANY(%(workspaces)s::bigint[]) ORDER BY run_id, began_at
"""
_JSON = ("input", "result", "error", "note", "undo_error")
_PLAIN = ("state", "number", "round", "tries", "undo_tries", "began_at", "ended_at", "undone_at")
_KEEP = """
INSERT INTO flow_steps AS s (workspace_id, run_id, path, state, number, round, tries, input, result, error, note, undo_tries,
                             undo_error, began_at, ended_at, undone_at)
SELECT workspace_id, run_id, path, state, number, round, tries, input, result, error, note, undo_tries, undo_error, began_at,
       ended_at, undone_at
FROM json_to_recordset(%(rows)s::json)
  AS n(workspace_id bigint, run_id uuid, path text, state text, number int, round int, tries int, input json, result json,
       error json, note json, undo_tries int, undo_error json, began_at timestamptz, ended_at timestamptz, undone_at timestamptz)
ON CONFLICT (run_id, path) DO UPDATE SET state = excluded.state, number = excluded.number, round = excluded.round,
  tries = excluded.tries, input = excluded.input, result = excluded.result, error = excluded.error, note = excluded.note,
  undo_tries = excluded.undo_tries, undo_error = excluded.undo_error, ended_at = excluded.ended_at,
  undone_at = excluded.undone_at
"""
_DROP = """
DELETE FROM flow_steps s USING unnest(%(runs)s::uuid[], %(paths)s::text[]) AS g(run_id, path)
WHERE s.run_id = g.run_id AND s.path = g.path
"""
_SAVE = """
UPDATE flow_runs r SET state = n.state, output = n.output, error = n.error, deadline = n.deadline, started_at = n.started_at,
  resume_from = n.resume_from, ended_at = n.ended_at
FROM json_to_recordset(%(runs)s::json)
  AS n(workspace_id bigint, id uuid, state text, output json, error json, deadline timestamptz, started_at timestamptz,
       resume_from text, ended_at timestamptz)
WHERE r.id = n.id AND r.workspace_id = n.workspace_id
"""
_LOCK = "SELECT ref FROM due WHERE kind = 'flow' AND ref = ANY(%(runs)s::uuid[]) ORDER BY ref FOR UPDATE"


# What was stored of a run that others had claimed before: they did not die of what comes next.
_AFRESH = "UPDATE due SET claims = 1 WHERE kind = 'flow' AND ref = ANY(%(runs)s::uuid[])"
_ENDED: frozenset[StepState] = frozenset(("done", "skipped", "failed", "undone", "undo_failed"))


class TakenOver(Exception):
    """The lease is another's by now: nothing of this counts."""


@dataclass(slots=True)
class Loaded:
    """A run that was claimed, with its steps."""

    claim: Claim
    id: UUID
    workspace_id: int
    flow_id: UUID
    flow_name: str
    flow_state: str
    definition_version: int
    run: Run
    rows: list[Row]
    principal: str
    correlation_id: str
    parent_id: UUID | None
    depth: int
    trail: Any
    priority: int
    event_id: str | None


@dataclass(slots=True)
class Record:
    """What is to be written of a run. `until` makes it due again then, `over` takes its due row away; neither keeps the claim."""

    claim: Claim
    rows: list[Row] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    run: Run | None = None
    ended_at: datetime | None = None
    waits: list[NewWait] = field(default_factory=list)
    waited: list[str] = field(default_factory=list)
    until: datetime | str | None = None
    over: bool = False

    @property
    def advances(self) -> bool:
        """Whether a step has ended, or was undone."""
        return any(row.state in _ENDED for row in self.rows)


def load(conn: Connection, claimed: Sequence[Claim]) -> list[Loaded]:
    """Return the runs that were claimed, those that are gone left out."""
    whose = {
        "runs": [each.ref for each in claimed],
        "workspaces": sorted({each.workspace_id for each in claimed}),
    }
    found = conn.exec_driver_sql(_RUNS, whose).all()
    steps: dict[UUID, list[Row]] = {}
    fresh = all(row.state == "queued" for row in found)
    for row in () if fresh else conn.exec_driver_sql(_STEPS, whose):
        steps.setdefault(row.run_id, []).append(_row(row))
    uids = {row.event_uid for row in found if row.event_uid is not None}
    events = {each.uid: each for each in queries.by_uids(conn, uids)} if uids else {}
    claim_of = {each.ref: each for each in claimed}
    return [
        Loaded(
            claim=claim_of[row.id],
            run=_run(row, events.get(row.event_uid)),
            rows=steps.get(row.id, []),
            trail=trail_of(row),
            event_id=events[row.event_uid].id if row.event_uid in events else None,
            **{
                name: getattr(row, name)
                for name in (
                    "id", "workspace_id", "flow_id", "flow_name", "flow_state", "definition_version", "principal",
                    "correlation_id", "parent_id", "depth", "priority",
                )
            },
        )
        for row in found
    ]  # fmt: skip


def _run(row: Any, event: Any) -> Run:
    return Run(
        id=show("run", row.id),
        flow=row.flow_name,
        state=row.state,
        event=event.view() if event is not None else None,
        data=read_json(row.data),
        correlation_id=row.correlation_id,
        key=row.key,
        round=row.round,
        started_at=row.started_at,
        deadline=row.deadline,
        error=_read(row.error),
        output=_read(row.output),
        resume_from=row.resume_from,
    )


def _row(row: Any) -> Row:
    values = {name: _read(getattr(row, name)) for name in _JSON}
    values["note"] = values["note"] or {}
    return Row(row.path, **values, **{name: getattr(row, name) for name in _PLAIN})


def fence(conn: Connection, held: Sequence[Claim]) -> set[UUID]:
    """Hold the leases of runs in this transaction; return those that are still ours."""
    return claims.heartbeat(conn, KIND, held)


def write(conn: Connection, records: Sequence[Record]) -> None:
    """Write records whose leases are held."""
    removed = [(each.claim.ref, path) for each in records for path in each.removed]
    if removed:
        runs, paths = zip(*removed, strict=True)
        conn.exec_driver_sql(_DROP, {"runs": list(runs), "paths": list(paths)})
    rows = [_stored(each.claim, row) for each in records for row in each.rows]
    if rows:
        conn.exec_driver_sql(_KEEP, {"rows": write_json(rows)})
    saved = [_saved(each) for each in records if each.run is not None]
    if saved:
        conn.exec_driver_sql(_SAVE, {"runs": write_json(saved)})
    waits.begin(conn, [wait for each in records for wait in each.waits])
    for each in records:
        for path in each.waited:
            waits.end(conn, [each.claim.ref], path)
    advanced = [each.claim.ref for each in records if each.claim.claims > 1 and each.advances]
    if advanced:
        conn.exec_driver_sql(_AFRESH, {"runs": advanced})
    later = [(each.claim, each.until) for each in records if each.until is not None]
    if later:
        claims.postpone(conn, KIND, [claim for claim, _ in later], [until for _, until in later], uncount=True)
    _tell_joined(conn, [each for each in records if each.over and each.run is not None and each.run.key is not None])
    over = [each.claim for each in records if each.over]
    if over:
        claims.finish(conn, KIND, over)


def _tell_joined(conn: Connection, ended: Sequence[Record]) -> None:
    """Wake the runs of which a step waits for one that has ended and that others had started."""
    if ended:
        for workspace, run in waits.joined(conn, [(each.claim.workspace_id, each.claim.ref) for each in ended]):
            waking.wake(conn, workspace, [run])


def lock(conn: Connection, runs: Sequence[UUID]) -> None:
    """Keep whoever works on these runs from recording until this transaction ends."""
    conn.exec_driver_sql(_LOCK, {"runs": list(runs)})


def _stored(claim: Claim, row: Row) -> dict[str, Any]:
    return {
        "workspace_id": claim.workspace_id,
        "run_id": claim.ref,
        "path": row.path,
        **{name: getattr(row, name) for name in _PLAIN},
        **{name: getattr(row, name) for name in _JSON if name != "note"},
        "note": row.note or None,
    }


def _saved(record: Record) -> dict[str, Any]:
    run = record.run
    if run is None:
        raise TypeError("a record without a run")
    return {
        "workspace_id": record.claim.workspace_id,
        "id": record.claim.ref,
        "state": run.state,
        "output": run.output,
        "error": run.error,
        "deadline": run.deadline,
        "started_at": run.started_at,
        "resume_from": run.resume_from,
        "ended_at": record.ended_at,
    }


def _read(text: str | None) -> Any:
    return None if text is None else read_json(text)
