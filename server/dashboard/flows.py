"""Flows: what each does, its runs, and one run on a line of time and as a graph, with what a person can do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Blueprint, render_template, request, url_for
from markupsafe import Markup

from server.authoring import crud
from server.dashboard.listing import PAGE, argument, back, before, identity, turns
from server.flows import acting, drawing, graph, queries, run_schemas, runs_api, timeline
from server.flows.flow import flow_of
from server.flows.repository import FLOWS
from server.flows.states import RUN, UNDER_WAY
from server.kernel.errors import NotFound
from server.store.values import write_json
from server.web import current, paging
from server.web.permissions import requires

if TYPE_CHECKING:
    from collections.abc import Callable

    from werkzeug.wrappers import Response

    from server.kernel.clock import Clock
    from server.kernel.lifecycle import Action
    from server.store import Store

REFRESH_SECONDS = 5
"""How often the page of a run that is under way asks for itself."""
ACTIONS: dict[str, Action] = {"pause": "pause", "resume": "resume", "activate": "activate"}
_FLOWS = "flows"
_RUNS = "flow-runs"
_LONGEST = 2000


def add(pages: Blueprint, store: Store, clock: Clock, hint: Callable[[], None]) -> None:
    """Add the pages."""
    _listing(pages, store)
    _run(pages, store, clock)
    _acting(pages, store, hint)
    _deciding(pages, store, hint)


def _listing(pages: Blueprint, store: Store) -> None:
    @pages.get("/flows")
    @requires("deliveries:read")
    def flows() -> str:
        text = argument("cursor", _LONGEST)
        after = str(paging.read(text, _FLOWS, str)[0]) if text else ""
        with store.begin(current.scope(), current.cause()) as tx:
            found = queries.flows(tx, after, PAGE + 1)
            last = {
                each.id: run_schemas.shown(queries.run_of(tx, each.last))
                for each in found[:PAGE]
                if each.last is not None
            }
        more = None
        if len(found) > PAGE:
            more = url_for("dashboard.flows", cursor=paging.write(_FLOWS, [found[PAGE - 1].name]))
        return render_template("dashboard/flows.html", flows=found[:PAGE], last=last, more=more)

    @pages.get("/flows/<name>")
    @requires("deliveries:read")
    def flow(name: str) -> str:
        state = argument("state")
        with store.begin(current.scope(), current.cause()) as tx:
            found = FLOWS.get(tx, name)
            rows = queries.page(tx, before(_RUNS), PAGE + 1, flow=found.id, state=state if state in RUN else None)
        return render_template(
            "dashboard/flow.html",
            flow=found,
            actions=[
                each for each in found.allowed() if each in ACTIONS and (each, found.state) != ("activate", "draft")
            ],
            runs=[run_schemas.shown(row) for row in rows[:PAGE]],
            picture=Markup(drawing.svg(flow_of(found.body))),  # noqa: S704 - made by us, every text in it escaped
            states=list(RUN),
            state=state,
            **turns(rows, _RUNS, name=name),
        )


def _run(pages: Blueprint, store: Store, clock: Clock) -> None:
    @pages.get("/flow-runs/<run_id>")
    @requires("deliveries:read")
    def flow_run(run_id: str) -> str:
        key = identity("run", run_id)
        with store.begin(current.scope(), current.cause()) as tx:
            run = runs_api.whole(tx, key)
            of = runs_api.flow_of_run(tx, key)
            states = graph.colours(queries.states(tx, key))
        return render_template(
            "dashboard/flow_run.html",
            run=run,
            under_way=run["state"] in UNDER_WAY,
            bars=timeline.bars(of, run, run["steps"], clock.now()),
            asks=[
                each for each in run["steps"] if each["waits"] and "message" in each["waits"] and not each["decision"]
            ],
            own_steps=[each.id for each in of.steps],
            picture=Markup(drawing.svg(of, states)),  # noqa: S704 - as above
            mermaid=graph.mermaid(of, states),
            json=_json,
            refresh=REFRESH_SECONDS if run["state"] in UNDER_WAY and request.args.get("refresh") != "0" else None,
        )


def _acting(pages: Blueprint, store: Store, hint: Callable[[], None]) -> None:
    @pages.post("/flows/<name>/<action>")
    @requires("flows:operate")
    def move_flow(name: str, action: str) -> Response:
        if action not in ACTIONS:
            raise NotFound("there is no such action here", source="dashboard")
        with store.begin(current.scope(), current.cause()) as tx:
            crud.act(tx, "Flow", name, ACTIONS[action], lambda _version: None, "on the dashboard")
        return back("flow", f"flow-{action}", name=name)

    @pages.post("/flow-runs/<run_id>/cancel")
    @requires("flows:operate")
    def cancel_flow(run_id: str) -> Response:
        with store.begin(current.scope(), current.cause()) as tx:
            acting.cancel(tx, identity("run", run_id), hint, undo=request.form.get("undo") != "no")
        return back("flow_run", "flow-cancelled", run_id=run_id)

    @pages.post("/flow-runs/<run_id>/retry")
    @requires("flows:operate")
    def retry_flow(run_id: str) -> Response:
        with store.begin(current.scope(), current.cause()) as tx:
            acting.retry(tx, identity("run", run_id), hint, from_step=request.form.get("from_step") or None)
        return back("flow_run", "flow-retried", run_id=run_id)

    @pages.post("/flow-runs/<run_id>/compensate")
    @requires("flows:operate")
    def undo_flow(run_id: str) -> Response:
        with store.begin(current.scope(), current.cause()) as tx:
            acting.compensate(tx, identity("run", run_id), hint)
        return back("flow_run", "flow-undone", run_id=run_id)


def _deciding(pages: Blueprint, store: Store, hint: Callable[[], None]) -> None:
    @pages.post("/flow-runs/<run_id>/decide/<path:path>")
    @requires("flows:operate")
    def decide_flow_step(run_id: str, path: str) -> Response:
        said = request.form.get("decision")
        if said not in ("approve", "reject"):
            raise NotFound("there is no such decision", source="dashboard")
        comment = request.form.get("comment", "").strip()[:_LONGEST] or None
        with store.begin(current.scope(), current.cause()) as tx:
            key, roles = identity("run", run_id), runs_api.roles_of(current.principal())
            acting.decide(tx, key, path, hint, approved=said == "approve", roles=roles, comment=comment)
        return back("flow_run", "flow-approved" if said == "approve" else "flow-rejected", run_id=run_id)


def _json(value: Any) -> str:
    return "" if value is None else write_json(value)
