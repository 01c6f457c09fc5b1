"""The SQL by which runs are seen, in the workspace of the transaction. All listings are bounded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from server.kernel.errors import NotFound
from server.kernel.ids import read

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from sqlalchemy.engine import Row

    from server.store import Tx

_RUN = """
SELECT r.id, f.name AS flow, r.flow_id, r.state, r.cause, r.definition_version, r.key, r.round, r.priority, r.error::text AS error,
  r.parent_id, r.parent_path, r.principal, r.correlation_id, r.cancelled_at, r.cancelled_by, r.deadline, r.created_at, r.started_at,
  r.ended_at, r.event_uid, e.id AS event_id, e.type AS event_type
"""
_FROM = """
FROM flow_runs r JOIN flows f ON f.id = r.flow_id LEFT JOIN events e ON e.workspace_id = r.workspace_id AND e.uid = r.event_uid
WHERE r.workspace_id = :workspace_id
"""
_PAGE = f"""{_RUN} {_FROM}
AND (CAST(:flow AS uuid) IS NULL OR r.flow_id = :flow)
AND (CAST(:name AS text) IS NULL OR r.flow_id IN (SELECT id FROM flows WHERE workspace_id = :workspace_id AND name = :name))
AND (CAST(:state AS text) IS NULL OR r.state = :state)
AND (CAST(:correlation AS text) IS NULL OR r.correlation_id = :correlation)
AND (CAST(:key AS text) IS NULL OR r.key = :key)
AND (CAST(:before AS uuid) IS NULL OR r.id < :before)
ORDER BY r.id DESC LIMIT :limit
"""
_WHOLE = f"""{_RUN}, r.data::text AS data, r.output::text AS output,
  (SELECT count(*) FROM flow_steps s WHERE s.workspace_id = r.workspace_id AND s.run_id = r.id) AS steps_total
{_FROM} AND r.id = :id
"""
_STEPS = """
SELECT path, state, number, round, tries, input::text AS input, result::text AS result, error::text AS error, note::text AS note,
  undo_tries, undo_error::text AS undo_error, began_at, ended_at, undone_at,
  (SELECT count(*) FROM flow_arrivals a WHERE a.workspace_id = s.workspace_id AND a.run_id = s.run_id AND a.path = s.path) AS arrived
FROM flow_steps s WHERE s.workspace_id = :workspace_id AND s.run_id = :run
ORDER BY began_at, path LIMIT :limit OFFSET :skip
"""
_STATES = """
SELECT path, state FROM flow_steps WHERE workspace_id = :workspace_id AND run_id = :run ORDER BY began_at, path LIMIT :limit
"""
_DEFINITION = "SELECT flow_id, definition_version FROM flow_runs WHERE workspace_id = :workspace_id AND id = :id"
_FLOWS = """
SELECT f.id, f.name, f.state, f.body -> 'events' AS events,
  (SELECT r.id FROM flow_runs r WHERE r.workspace_id = f.workspace_id AND r.flow_id = f.id ORDER BY r.id DESC LIMIT 1) AS last,
  (SELECT count(*) FROM dead_letters l WHERE l.workspace_id = f.workspace_id AND l.owner_id = f.id AND l.resolved_at IS NULL) AS dead
FROM flows f WHERE f.workspace_id = :workspace_id AND f.deleted_at IS NULL AND f.name > :after ORDER BY f.name LIMIT :limit
"""
MOST_SHOWN = 20_000


def read_id(text: str) -> UUID:
    """Read the id of a run from a path.

    Raises:
        NotFound: one that cannot exist is one that is not here.

    """
    try:
        return read("run", text)
    except ValueError as error:
        raise NotFound("no such run here", source="flow") from error


def page(
    tx: Tx,
    before: UUID | None,
    limit: int,
    *,
    flow: UUID | None = None,
    name: str | None = None,
    state: str | None = None,
    correlation: str | None = None,
    key: str | None = None,
) -> Sequence[Row[Any]]:
    """Return runs, newest first."""
    return tx.all(
        _PAGE, before=before, limit=limit, flow=flow, name=name, state=state, correlation=correlation, key=key
    )


def run_of(tx: Tx, run: UUID) -> Row[Any]:
    """Return a run, with what it was started with and what it answers.

    Raises:
        NotFound: there is none.

    """
    row = tx.one(_WHOLE, id=run)
    if row is None:
        raise NotFound("no such run here", source="flow")
    return row


def steps(tx: Tx, run: UUID, skip: int, limit: int) -> Sequence[Row[Any]]:
    """Return steps of a run in the order in which they began; `arrived` counts the events that came for a wait."""
    return tx.all(_STEPS, run=run, skip=skip, limit=limit)


def states(tx: Tx, run: UUID) -> list[tuple[str, str]]:
    """Return the state of each step of a run, by its path."""
    return [(row.path, row.state) for row in tx.all(_STATES, run=run, limit=MOST_SHOWN)]


def definition_of(tx: Tx, run: UUID) -> tuple[UUID, int]:
    """Return which flow a run is of, and by which version of it.

    Raises:
        NotFound: there is none.

    """
    row = tx.one(_DEFINITION, id=run)
    if row is None:
        raise NotFound("no such run here", source="flow")
    return row.flow_id, row.definition_version


def flows(tx: Tx, after: str, limit: int) -> Sequence[Row[Any]]:
    """Return the flows by name, each with its last run and the number of its open dead letters."""
    return tx.all(_FLOWS, after=after, limit=limit)
