"""A person starts a run of a flow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from server.flows import starting
from server.flows.children import check_input
from server.flows.flow import flow_of
from server.flows.keys import key_of
from server.flows.starting import NewFlowRun
from server.integrations.holding import HELD
from server.kernel.errors import Invalid, Permanent
from server.kernel.ids import new_uuid
from server.kernel.lifecycle import HELD_STATES
from server.store.values import write_json

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from server.flows.aggregate import Flow
    from server.store import Tx


def start_run(tx: Tx, flow: Flow, data: Any, hint: Callable[[], None], *, key: str | None = None) -> tuple[UUID, bool]:
    """Start a run with data; return its id, or that of the run that has its key, and whether it is that one.

    Without a key it is what `idempotency_key` of the flow makes of the data. The run of a flow that is paused is held.

    Raises:
        Invalid: FLOW_INPUT, FLOW_KEY, or an expression failed on the data.

    """
    typed = flow_of(flow.body)
    try:
        check_input(flow.name, typed.input, data)
        if key is None and typed.idempotency_key is not None:
            key = key_of(typed, {"event": None, "data": data})
    except Permanent as error:
        raise Invalid(error.message, code=error.code, source="flow", **error.failure.details) from error
    run = NewFlowRun(
        id=new_uuid(),
        workspace_id=tx.scope.workspace_id,
        flow_id=flow.id,
        flow=flow.name,
        definition_version=flow.definition_version,
        cause="person",
        data=write_json(data),
        principal=tx.cause.principal,
        correlation_id=tx.cause.correlation_id,
        key=key,
        priority=typed.priority,
        at=HELD if flow.state in HELD_STATES else None,
    )
    there = starting.start(tx.conn, [run])[run.id]
    tx.after_commit("hint", hint)
    return there, there != run.id
