"""What flows add to the tree of an event: the runs that it started with their steps, and the runs by which events came."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from server.events.tree import Node, key_of
from server.flows.children import DEEPEST
from server.kernel.ids import show, those

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from server.events.envelope import Event
    from server.store import Tx

_RUNS = """
SELECT r.id, r.event_uid, r.state, r.created_at, r.cause, r.round, r.parent_id, f.name
FROM flow_runs r JOIN flows f ON f.id = r.flow_id WHERE r.workspace_id = :workspace_id AND
"""
_STEPS = """
SELECT run_id, path, state, tries, began_at FROM flow_steps
WHERE workspace_id = :workspace_id AND run_id = ANY (:runs) ORDER BY run_id, began_at, path LIMIT :most
"""


class FlowBranch:
    """Implements `events.tree.Branch`. The children of a run stand below it, and so do its steps."""

    def causes(self, tx: Tx, ids: Sequence[str]) -> list[Node]:
        """Return the runs that have these ids."""
        runs = those("run", ids)
        rows = tx.all(f"{_RUNS} r.id = ANY (:ids)", ids=runs) if runs else []
        return [_shown(row, None if row.event_uid is None else str(row.event_uid)) for row in rows]

    def effects(self, tx: Tx, events: Sequence[Event], most: int) -> list[Node]:
        """Return the runs that events started, with their steps."""
        keys = {event.uid: key_of(event) for event in events}
        rows = tx.all(f"{_RUNS} r.event_uid = ANY (:uids) ORDER BY r.id LIMIT :most", uids=list(keys), most=most)
        runs = [_shown(row, keys[row.event_uid]) for row in rows]
        known = level = [row.id for row in rows]
        for _ in range(DEEPEST):
            below = self._children(tx, level, most - len(runs))
            runs += [_shown(row, show("run", row.parent_id)) for row in below]
            level = [row.id for row in below]
            known = [*known, *level]
        return [*runs, *self._steps(tx, known, most - len(runs))]

    @staticmethod
    def _children(tx: Tx, parents: Sequence[UUID], most: int) -> Sequence[Any]:
        if not parents or most <= 0:
            return []
        return tx.all(f"{_RUNS} r.parent_id = ANY (:runs) ORDER BY r.id LIMIT :most", runs=list(parents), most=most)

    @staticmethod
    def _steps(tx: Tx, runs: Sequence[UUID], most: int) -> list[Node]:
        if not runs or most <= 0:
            return []
        rows = tx.all(_STEPS, runs=list(runs), most=most)
        return [_shown_step(row) for row in rows]


def _shown(row: Any, parent: str | None) -> Node:
    details = {"cause": row.cause, "round": row.round}
    return Node("flow_run", show("run", row.id), row.name, row.created_at, row.state, parent, details)


def _shown_step(row: Any) -> Node:
    run = show("run", row.run_id)
    return Node("step", f"{run}:{row.path}", row.path, row.began_at, row.state, run, {"tries": row.tries})
