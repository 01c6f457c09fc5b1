"""Conflicts of two-way jobs, seen and decided. A decision is carried out by a run of that one record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from server.kernel.errors import Conflict, Invalid, NotFound, code
from server.kernel.ids import show
from server.sdk.positions import unpacked
from server.store.values import write_json
from server.syncs.bases import CONFLICT
from server.syncs.repository import SYNC_JOBS
from server.syncs.runs import shown as run_shown
from server.syncs.runs import start_run

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from uuid import UUID

    from sqlalchemy.engine import Row

    from server.store import Store, Tx

PREFIX = CONFLICT
CONFLICT_RESOLVED = code(
    "CONFLICT_RESOLVED", "The conflict is resolved already, by a person or because both sides agree again."
)
CONFLICT_FIELD = code(
    "CONFLICT_FIELD", "The conflict has no such field, or the choice is none: source, target, or a value."
)
_SELECT = """
SELECT c.id, j.name AS job, c.source_key, c.fields, c.state, c.decision, c.decided_by, c.created_at, c.updated_at, c.resolved_at
FROM sync_conflicts c JOIN sync_jobs j ON j.id = c.job_id WHERE c.workspace_id = :workspace_id
"""

_FORGET = """
DELETE FROM sync_conflicts WHERE id IN (
  SELECT id FROM sync_conflicts WHERE state = 'resolved' AND resolved_at < now() - make_interval(days => %(days)s)
  ORDER BY resolved_at LIMIT 10000)
"""


@dataclass(frozen=True, slots=True)
class Resolved:
    """A conflict after a decision, and the run that carries it out."""

    conflict: dict[str, Any]
    run: str


def page(tx: Tx, *, before: UUID | None, limit: int, job: str | None = None, state: str = "open") -> Sequence[Row[Any]]:
    """Return conflicts, newest first."""
    return tx.all(
        f"""{_SELECT} AND c.state = :state AND (CAST(:job AS text) IS NULL OR j.name = :job)
            AND (CAST(:before AS uuid) IS NULL OR c.id < :before) ORDER BY c.id DESC LIMIT :limit""",
        state=state,
        job=job,
        before=before,
        limit=limit,
    )


def find(tx: Tx, conflict: UUID) -> Row[Any]:
    """Return one conflict.

    Raises:
        NotFound: there is none here.

    """
    row = tx.one(f"{_SELECT} AND c.id = :id", id=conflict)
    if row is None:
        raise NotFound("no such conflict here")
    return row


def resolve(tx: Tx, conflict: UUID, fields: Mapping[str, Any], hint: Callable[[], None]) -> Resolved:
    """Decide fields, and start the run that writes them; what is not decided stays open, as do values that change meanwhile.

    Raises:
        NotFound: no such conflict. Conflict: CONFLICT_RESOLVED. Invalid: CONFLICT_FIELD.

    """
    row = find(tx, conflict)
    decision = {name: _choice(row, name, choice) for name, choice in sorted(fields.items())}
    done = tx.one(
        """UPDATE sync_conflicts SET decision = CAST(:decision AS json), decided_by = :who, updated_at = now()
           WHERE workspace_id = :workspace_id AND id = :id AND state = 'open' AND updated_at = :seen RETURNING id""",
        decision=write_json({**(row.decision or {}), **decision}),
        who=tx.cause.principal,
        id=conflict,
        seen=row.updated_at,
    )
    if done is None:
        raise Conflict("the conflict is resolved, or has changed just now", code=CONFLICT_RESOLVED, source="sync")
    job = SYNC_JOBS.get(tx, row.job)
    run = start_run(tx, job, "person", hint, list(unpacked(row.source_key)))
    job.trigger(tx.cause.principal, run_shown(run))
    SYNC_JOBS.save(tx, job)
    return Resolved(shown(find(tx, conflict)), run_shown(run))


def shown(row: Row[Any]) -> dict[str, Any]:
    """Return a conflict as it is shown."""
    decision = row.decision or {}
    return {
        "id": show(PREFIX, row.id),
        "job": row.job,
        "key": row.source_key,
        "state": row.state,
        "fields": [{"field": name, **each, "decision": decision.get(name)} for name, each in row.fields.items()],
        "decided_by": row.decided_by,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
        "resolved_at": row.resolved_at,
    }


def forget(store: Store, days: int) -> int:
    """Delete what was resolved longer ago than `days`, 10,000 at a time; return how many went."""
    with store.connect() as conn:
        return int(conn.exec_driver_sql(_FORGET, {"days": days}).rowcount)


def _choice(row: Row[Any], name: str, choice: Any) -> dict[str, Any]:
    if row.state != "open":
        raise Conflict("the conflict is resolved", code=CONFLICT_RESOLVED, source="sync")
    if name not in row.fields:
        message = f"the conflict has no field {name[:100]}; it has {', '.join(sorted(row.fields))}"
        raise Invalid(message, code=CONFLICT_FIELD, source="sync")
    if choice in ("source", "target"):
        return {"side": choice}
    if isinstance(choice, dict) and set(choice) == {"value"}:
        return {"value": choice["value"]}
    raise Invalid(f'{name}: source, target or {{"value": …}} is needed', code=CONFLICT_FIELD, source="sync")
