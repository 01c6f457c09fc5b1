"""Runs come into being: a row that says what of and why, and a due row of kind `flow` that the engine drains.

A key is taken as long as a run with it is under way, completed or failed; whoever comes with it then gets that run's id.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from server.events import loops
from server.events.loops import HOPS, NOWHERE, PATH, REASON, Trail
from server.kernel.errors import Unavailable
from server.queue import claims, dead_letters
from server.queue.claims import NORMAL, Due
from server.queue.dead_letters import DeadLetter
from server.store.values import write_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.engine import Connection

    from server.kernel.errors import Failure

KIND = "flow"
Cause = Literal["event", "person", "flow"]
LANE_LIMIT = 1_000
"""Runs of one flow that may be worked on at once, over all workers; those that wait do not count."""
_TRIES = 3

_START = """
INSERT INTO flow_runs (id, workspace_id, flow_id, definition_version, state, cause, event_uid, key, data, error, parent_id,
                       parent_path, depth, priority, trail, hops, principal, correlation_id, ended_at)
SELECT g.*, CASE WHEN g.state = 'failed' THEN now() END
FROM unnest(%(ids)s::uuid[], %(workspaces)s::bigint[], %(flows)s::uuid[], %(versions)s::int[], %(states)s::text[],
            %(causes)s::text[], %(events)s::uuid[], %(keys)s::text[], %(data)s::json[], %(errors)s::json[],
            %(parents)s::uuid[], %(paths)s::text[], %(depths)s::int[], %(priorities)s::int[], %(trails)s::text[],
            %(hops)s::int[], %(principals)s::text[], %(correlations)s::text[])
  AS g(id, workspace_id, flow_id, definition_version, state, cause, event_uid, key, data, error, parent_id, parent_path, depth,
       priority, trail, hops, principal, correlation_id)
ON CONFLICT (workspace_id, flow_id, key) WHERE key IS NOT NULL AND state NOT IN ('compensated', 'cancelled') DO NOTHING
RETURNING id
"""
_HOLDERS = """
SELECT r.flow_id, r.key, r.id FROM flow_runs r
JOIN unnest(%(workspaces)s::bigint[], %(flows)s::uuid[], %(keys)s::text[]) AS k(workspace_id, flow_id, key)
  ON r.workspace_id = k.workspace_id AND r.flow_id = k.flow_id AND r.key = k.key
WHERE r.key IS NOT NULL AND r.state NOT IN ('compensated', 'cancelled')
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewFlowRun:
    """A run to be. `data` is JSON text: what it is started with.

    `at` is when it is due: None for at once, `infinity` while its flow rests. `failure` is why it can never be: it is written as one
    that has failed, with a dead letter, and begins when that is replayed.
    """

    id: UUID
    workspace_id: int
    flow_id: UUID
    flow: str
    definition_version: int
    cause: Cause
    data: str
    principal: str
    correlation_id: str
    event_uid: UUID | None = None
    key: str | None = None
    parent: tuple[UUID, str] | None = None
    depth: int = 0
    priority: int = NORMAL
    trail: Trail = NOWHERE
    at: datetime | str | None = None
    failure: Failure | None = None


def start(conn: Connection, runs: Sequence[NewFlowRun]) -> dict[UUID, UUID]:
    """Write runs with what makes them due, in one transaction with what caused them; whoever calls gives the hint after it.

    Return by the id of each run the id of the one that there is: its own, or that of the run that has its key.

    Raises:
        Unavailable: a key was taken and freed again in every moment at which it was looked at.

    """
    there: dict[UUID, UUID] = {}
    first: dict[tuple[UUID, str], UUID] = {}
    # in one order for all: whoever took keys in another one could wait for somebody who waits for them
    rest = sorted(runs, key=lambda run: (run.flow_id, run.key or ""))
    for _ in range(_TRIES):
        rest = [each for each in rest if each.id not in there]
        if not rest:
            return there
        chosen = [
            each for each in rest if each.key is None or first.setdefault((each.flow_id, each.key), each.id) == each.id
        ]
        started = {row.id for row in conn.exec_driver_sql(_START, _values(chosen))}
        fresh = [each for each in chosen if each.id in started]
        there |= {each.id: each.id for each in fresh}
        _owe(conn, fresh)
        there |= _holders(conn, [each for each in rest if each.id not in there and each.key is not None])
    if any(each.id not in there for each in rest):
        raise Unavailable("the key of a run is taken and freed again and again", source="flow")
    return there


def _owe(conn: Connection, runs: Sequence[NewFlowRun]) -> None:
    good = [each for each in runs if each.failure is None]
    due = [Due(each.id, each.workspace_id, each.flow_id, each.at, LANE_LIMIT, each.priority) for each in good]
    claims.add(conn, KIND, due)
    letters = [
        DeadLetter(
            workspace_id=each.workspace_id,
            kind=KIND,
            ref=each.id,
            owner=f"flow/{each.flow}",
            owner_id=each.flow_id,
            reason=REASON if each.failure.source == "loops" else "mapping",
            error=each.failure,
            correlation_id=each.correlation_id,
        )
        for each in runs
        if each.failure is not None
    ]
    dead_letters.add(conn, letters)


def _holders(conn: Connection, runs: Sequence[NewFlowRun]) -> dict[UUID, UUID]:
    if not runs:
        return {}
    values = {
        "workspaces": [each.workspace_id for each in runs],
        "flows": [each.flow_id for each in runs],
        "keys": [each.key for each in runs],
    }
    holders = {(row.flow_id, row.key): row.id for row in conn.exec_driver_sql(_HOLDERS, values)}
    return {each.id: holders[each.flow_id, each.key] for each in runs if (each.flow_id, each.key) in holders}


def _values(runs: Sequence[NewFlowRun]) -> dict[str, list[object]]:
    return {
        "ids": [each.id for each in runs],
        "workspaces": [each.workspace_id for each in runs],
        "flows": [each.flow_id for each in runs],
        "versions": [each.definition_version for each in runs],
        "states": ["queued" if each.failure is None else "failed" for each in runs],
        "causes": [each.cause for each in runs],
        "events": [each.event_uid for each in runs],
        "keys": [each.key for each in runs],
        "data": [each.data for each in runs],
        "errors": [None if each.failure is None else write_json(each.failure.as_dict()) for each in runs],
        "parents": [each.parent[0] if each.parent else None for each in runs],
        "paths": [each.parent[1] if each.parent else None for each in runs],
        "depths": [each.depth for each in runs],
        "priorities": [each.priority for each in runs],
        "trails": [each.trail.extensions().get(PATH) for each in runs],
        "hops": [each.trail.hops for each in runs],
        "principals": [each.principal for each in runs],
        "correlations": [each.correlation_id for each in runs],
    }


def trail_of(row: Any) -> Trail:
    """Return the trail that a row of `flow_runs` was started with."""
    return loops.trail_of({PATH: row.trail, HOPS: row.hops})
