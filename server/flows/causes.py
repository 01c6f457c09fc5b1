"""What follows from the calls of runs: an event of the system that was called carries the chain on, known by the call's key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from server.events.loops import Trail
from server.flows.starting import trail_of
from server.kernel.ids import read, show

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from sqlalchemy.engine import Connection

_RUNS = """
SELECT r.id, r.trail, r.hops, f.name FROM flow_runs r JOIN flows f ON f.id = r.flow_id
WHERE r.workspace_id = %(workspace)s AND r.id = ANY(%(runs)s::uuid[])
"""


def because(conn: Connection, workspace_id: int, keys: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
    """Implement `integrations.outboxes.Because` for keys of flow runs, `run_…:step:item`.

    The chain is carried on even where it is too long: the event has happened, and publishing it stops what would follow.
    """
    runs = {key: run for key in keys if (run := _run(key)) is not None}
    if not runs:
        return {}
    rows = conn.exec_driver_sql(_RUNS, {"workspace": workspace_id, "runs": sorted(set(runs.values()))})
    known = {row.id: row for row in rows}
    return {key: _because(known[run]) for key, run in runs.items() if run in known}


def _run(key: str) -> UUID | None:
    try:
        return read("run", key.partition(":")[0])
    except ValueError:
        return None


def _because(row: Any) -> dict[str, Any]:
    before = trail_of(row)
    trail = Trail((*before.path, f"flow/{row.name}"), before.hops)
    return {"causation_id": show("run", row.id), "extensions": trail.extensions()}
