"""Runs of flows over HTTP: start, see, cancel, retry, have undone, decide."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from server.flows import acting, graph, queries, run_schemas, timeline
from server.flows.by_hand import start_run
from server.flows.flow import flow_of
from server.flows.queries import read_id
from server.flows.repository import FLOWS
from server.integrations.pinned import body_of
from server.kernel.errors import NotFound
from server.kernel.ids import show
from server.store.repository import insist
from server.web import current, paging
from server.web.answers import answer
from server.web.idempotency import remember
from server.web.permissions import ROLES, TOKEN_ROLES, requires
from server.web.room import Room

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from flask import Response

    from server.flows.flow import Flow
    from server.store import Store, Tx
    from server.web.principals import Principal

_LISTING = "flow-runs"
_STEPS = "steps"


def blueprint(store: Store, hint: Callable[[], None]) -> Room:
    """Make the room of runs."""
    room = Room("flow-runs", description="Runs of flows.")
    _starting(room, store, hint)
    _reading(room, store)
    _drawing(room, store)
    _acting(room, store, hint)
    _deciding(room, store, hint)
    return room


def _starting(room: Room, store: Store, hint: Callable[[], None]) -> None:
    @room.route("/api/v1/flows/<name>/runs", methods=["POST"])
    @requires("flows:operate")
    @room.arguments(run_schemas.StartFlowSchema)
    @room.response(202, run_schemas.StartedSchema)
    def start_flow_run(body: dict[str, Any], name: str) -> Response:
        """Start a run; one that has the same idempotency key is answered instead. That of a paused flow waits for its resume."""
        with store.begin(current.scope(), current.cause()) as tx:
            run, duplicate = started(tx, name, body["data"], hint, key=body["idempotency_key"])
            return remember(
                tx, answer(run_schemas.StartedSchema, {"id": show("run", run), "duplicate": duplicate}, 202)
            )

    @room.route("/api/v1/flows/<name>/runs")
    @requires("definitions:read")
    @room.arguments(run_schemas.FlowRunQuery, location="query")
    @room.response(200, run_schemas.FlowRunPage)
    def list_runs_of_flow(query: dict[str, Any], name: str) -> dict[str, Any]:
        """List the runs of a flow, newest first."""
        with store.begin(current.scope(), current.cause()) as tx:
            return _page(tx, query, FLOWS.get(tx, name).id)


def _reading(room: Room, store: Store) -> None:
    @room.route("/api/v1/flow-runs")
    @requires("definitions:read")
    @room.arguments(run_schemas.AllRunsQuery, location="query")
    @room.response(200, run_schemas.FlowRunPage)
    def list_flow_runs(query: dict[str, Any]) -> dict[str, Any]:
        """List runs of all flows, newest first."""
        with store.begin(current.scope(), current.cause()) as tx:
            if query.get("flow") is not None:
                insist(tx, FLOWS, query["flow"])
            return _page(tx, query)

    @room.route("/api/v1/flow-runs/<run_id>")
    @requires("definitions:read")
    @room.response(200, run_schemas.FlowRunWholeSchema)
    def get_flow_run(run_id: str) -> dict[str, Any]:
        """Read one run with its first steps."""
        with store.begin(current.scope(), current.cause()) as tx:
            return whole(tx, read_id(run_id))

    @room.route("/api/v1/flow-runs/<run_id>/steps")
    @requires("definitions:read")
    @room.arguments(paging.PageQuery, location="query")
    @room.response(200, run_schemas.StepPage)
    def list_flow_steps(query: dict[str, Any], run_id: str) -> dict[str, Any]:
        """List all steps of a run, in the order in which they began."""
        position = paging.after(query, _STEPS, int)
        skip = min(int(position[0]), queries.MOST_SHOWN) if position else 0
        with store.begin(current.scope(), current.cause()) as tx:
            run = queries.run_of(tx, read_id(run_id))
            rows = queries.steps(tx, run.id, skip, query["limit"] + 1)
        last = [skip + min(len(rows), query["limit"])]
        return paging.page(rows, query["limit"], _STEPS, lambda _: last, run_schemas.shown_step)


def _drawing(room: Room, store: Store) -> None:
    @room.route("/api/v1/flow-runs/<run_id>/graph")
    @requires("definitions:read")
    @room.response(200, run_schemas.GraphSchema)
    def get_flow_run_graph(run_id: str) -> dict[str, Any]:
        """Draw a run: the definition that it began with, each step in the colour of its state."""
        with store.begin(current.scope(), current.cause()) as tx:
            run = read_id(run_id)
            return {"mermaid": graph.mermaid(flow_of_run(tx, run), graph.colours(queries.states(tx, run)))}

    @room.route("/api/v1/flows/<name>/graph")
    @requires("definitions:read")
    @room.response(200, run_schemas.GraphSchema)
    def get_flow_graph(name: str) -> dict[str, Any]:
        """Draw a flow."""
        with store.begin(current.scope(), current.cause()) as tx:
            return {"mermaid": graph.mermaid(flow_of(FLOWS.get(tx, name).body))}


def _acting(room: Room, store: Store, hint: Callable[[], None]) -> None:
    @room.route("/api/v1/flow-runs/<run_id>/cancel", methods=["POST"])
    @requires("flows:operate")
    @room.arguments(run_schemas.CancelSchema)
    @room.response(200, run_schemas.FlowRunSchema)
    def cancel_flow_run(body: dict[str, Any], run_id: str) -> Response:
        """End a run; what it did is undone first, newest first."""
        with store.begin(current.scope(), current.cause()) as tx:
            acting.cancel(tx, read_id(run_id), hint, undo=body["undo"])
            return _answered(tx, run_id)

    @room.route("/api/v1/flow-runs/<run_id>/retry", methods=["POST"])
    @requires("flows:operate")
    @room.arguments(run_schemas.RetryFlowSchema)
    @room.response(200, run_schemas.FlowRunSchema)
    def retry_flow_run(body: dict[str, Any], run_id: str) -> Response:
        """Let a run that failed go on where it broke, or from a step; one whose undo failed goes on undoing."""
        with store.begin(current.scope(), current.cause()) as tx:
            acting.retry(tx, read_id(run_id), hint, from_step=body["from_step"])
            return _answered(tx, run_id)

    @room.route("/api/v1/flow-runs/<run_id>/compensate", methods=["POST"])
    @requires("flows:operate")
    @room.response(200, run_schemas.FlowRunSchema)
    def compensate_flow_run(run_id: str) -> Response:
        """Undo what a run that failed did."""
        with store.begin(current.scope(), current.cause()) as tx:
            acting.compensate(tx, read_id(run_id), hint)
            return _answered(tx, run_id)


def _deciding(room: Room, store: Store, hint: Callable[[], None]) -> None:
    def decide(run_id: str, path: str, comment: str | None, *, approved: bool) -> Response:
        roles = roles_of(current.principal())
        with store.begin(current.scope(), current.cause()) as tx:
            acting.decide(tx, read_id(run_id), path, hint, approved=approved, roles=roles, comment=comment)
            return _answered(tx, run_id)

    @room.route("/api/v1/flow-runs/<run_id>/steps/<path:path>/approve", methods=["POST"])
    @requires("flows:operate")
    @room.arguments(run_schemas.DecisionSchema)
    @room.response(200, run_schemas.FlowRunSchema)
    def approve_flow_step(body: dict[str, Any], run_id: str, path: str) -> Response:
        """Approve what a step asks for: the run goes on."""
        return decide(run_id, path, body["comment"], approved=True)

    @room.route("/api/v1/flow-runs/<run_id>/steps/<path:path>/reject", methods=["POST"])
    @requires("flows:operate")
    @room.arguments(run_schemas.DecisionSchema)
    @room.response(200, run_schemas.FlowRunSchema)
    def reject_flow_step(body: dict[str, Any], run_id: str, path: str) -> Response:
        """Reject what a step asks for: the step has failed."""
        return decide(run_id, path, body["comment"], approved=False)


def started(tx: Tx, name: str, data: Any, hint: Callable[[], None], *, key: str | None = None) -> tuple[UUID, bool]:
    """Start a run of a flow by its name; return its id, and whether it was there already.

    Raises:
        NotFound.
        Conflict: WRONG_STATE, the flow is a draft, disabled or archived.
        Invalid: FLOW_INPUT, FLOW_KEY.

    """
    flow = FLOWS.get(tx, name)
    run, duplicate = start_run(tx, flow, data, hint, key=key)
    if not duplicate:
        flow.trigger(tx.cause.principal, show("run", run))
        FLOWS.save(tx, flow)
    return run, duplicate


def whole(tx: Tx, run: UUID) -> dict[str, Any]:
    """Return a run with its first steps.

    Raises:
        NotFound: there is none.

    """
    found = run_schemas.shown(queries.run_of(tx, run))
    steps = [run_schemas.shown_step(row) for row in queries.steps(tx, run, 0, run_schemas.MOST_STEPS)]
    return {**found, "steps": timeline.in_order(flow_of_run(tx, run), steps) if steps else []}


def flow_of_run(tx: Tx, run: UUID) -> Flow:
    """Return the flow as it was when a run began.

    Raises:
        NotFound: there is no such run, or its definition is not kept.

    """
    flow_id, version = queries.definition_of(tx, run)
    body = body_of(tx.conn, tx.scope.workspace_id, "flow", flow_id, version)
    if body is None:
        raise NotFound("the definition that the run began with is not kept", source="flow")
    return flow_of(body)


def roles_of(principal: Principal) -> Sequence[str]:
    """Return the roles that a principal has: their own, and those that may less."""
    return [role for role in TOKEN_ROLES if ROLES[role] <= ROLES[principal.role]]


def _page(tx: Tx, query: dict[str, Any], flow: UUID | None = None) -> dict[str, Any]:
    position = paging.after(query, _LISTING, UUID)
    rows = queries.page(
        tx,
        position[0] if position else None,
        query["limit"] + 1,
        flow=flow,
        name=query.get("flow"),
        state=query.get("state"),
        correlation=query.get("correlation_id"),
        key=query.get("key"),
    )
    return paging.page(rows, query["limit"], _LISTING, lambda row: [str(row.id)], run_schemas.shown)


def _answered(tx: Tx, run_id: str) -> Response:
    return remember(tx, answer(run_schemas.FlowRunSchema, run_schemas.shown(queries.run_of(tx, read_id(run_id)))))
