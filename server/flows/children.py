"""Runs that a step of another run starts, and waits for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from server.events.catalogue import SCHEMA_VIOLATION
from server.flows import progress, starting, waits
from server.flows.flow import flow_of
from server.flows.keys import key_of
from server.flows.starting import NewFlowRun
from server.flows.waits import NewWait
from server.integrations.holding import HELD
from server.kernel.errors import Permanent, code
from server.kernel.ids import new_uuid
from server.kernel.lifecycle import HELD_STATES
from server.sdk.schemas import Schema
from server.store.values import write_json

if TYPE_CHECKING:
    from uuid import UUID

    from server.flows.progress import Loaded
    from server.store import Tx

FLOW_DEPTH = code("FLOW_DEPTH", "Flows start flows 8 deep at most.")
FLOW_GONE = code("FLOW_GONE", "There is no active flow of the name that a step starts.")
FLOW_INPUT = code("FLOW_INPUT", "What a flow is started with breaks its `input` schema; `errors` names each place.")
DEEPEST = 8
_FIND = """
SELECT id, state, definition_version, body FROM flows
WHERE workspace_id = :workspace_id AND name = :name AND deleted_at IS NULL AND state IN ('active', 'failing', 'paused', 'disabled')
"""

_MINE = "SELECT 1 AS one FROM flow_runs WHERE workspace_id = :workspace_id AND id = :run AND parent_id = :parent"


def begin_child(tx: Tx, parent: Loaded, path: str, name: str, data: Any) -> tuple[UUID, bool]:
    """Start the run of a flow for a step of another run; return its id, and whether it is one that others had started.

    That is one which has its idempotency key: the step waits for it too, and nothing else is its own to do with it.

    Raises:
        Permanent: FLOW_DEPTH, FLOW_GONE, FLOW_INPUT, FLOW_KEY, LOOP_DETECTED.
        EvaluationError: the expression of the key cannot be evaluated.

    """
    if parent.depth >= DEEPEST:
        raise Permanent(f"flows start flows {DEEPEST} deep at most", code=FLOW_DEPTH, source="flow")
    row = tx.one(_FIND, name=name)
    if row is None:
        raise Permanent(f"there is no active flow {name}", code=FLOW_GONE, source="flow")
    flow = flow_of(row.body)
    check_input(name, flow.input, data)
    run = NewFlowRun(
        id=new_uuid(),
        workspace_id=parent.workspace_id,
        flow_id=row.id,
        flow=name,
        definition_version=row.definition_version,
        cause="flow",
        data=write_json(data),
        principal=parent.principal,
        correlation_id=parent.correlation_id,
        key=key_of(flow, {"event": None, "data": data}),
        parent=(parent.id, path),
        depth=parent.depth + 1,
        priority=flow.priority,
        trail=parent.trail.through(f"flow/{parent.flow_name}"),
        at=HELD if row.state in HELD_STATES else None,
    )
    there = starting.start(tx.conn, [run])[run.id]
    joined = there != run.id and tx.one(_MINE, run=there, parent=parent.id) is None
    if joined:
        progress.lock(tx.conn, [there])  # it ends before this transaction, or sees the wait
        waits.begin(tx.conn, [_wait_for(parent, path, there)])
    return there, joined


def _wait_for(parent: Loaded, path: str, run: UUID) -> NewWait:
    return NewWait(
        workspace_id=parent.workspace_id,
        run_id=parent.id,
        path=path,
        type=waits.RUN_ENDS,
        needed=1,
        field=waits.RUN_ID,
        value=str(run),
    )


def check_input(name: str, schema: Any, data: Any) -> None:
    """Check what a flow is started with.

    Raises:
        Permanent: FLOW_INPUT.

    """
    errors = Schema(dict(schema)).errors(data) if schema else []
    if errors:
        found = [{"pointer": each.pointer, "message": each.message, "code": SCHEMA_VIOLATION} for each in errors]
        message = f"{name} is started with something wrong at {found[0]['pointer'] or '/'}: {found[0]['message']}"
        raise Permanent(message, code=FLOW_INPUT, source="flow", errors=found)
