"""Runs over HTTP: started once per key, seen with their steps, cancelled, retried, decided; a paused flow's wait."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from server.app import create_app
from server.config import Settings
from server.flows.runs_api import blueprint
from server.kernel.ids import read
from server.sdk import Permanent
from tests.authoring_db.conftest import Client, Frame
from tests.flows.test_engine import UNDO, do

if TYPE_CHECKING:
    from flask import Flask

    from tests.flows.running import Flowing

ASK = {"id": "ok", "approve": {"message": "Ship {{ data.n }}?", "roles": ["editor"]}}


@pytest.fixture
def app(flows: Flowing) -> Flask:
    core = flows.core
    scopes = {"main": flows.product.scope, "rival": flows.product.workspace("rival", "rival")}
    return create_app(Frame(Settings(), core.tenant, [blueprint(core.tenant, core.hint)], scopes))


@pytest.fixture
def api(app: Flask) -> Client:
    return Client(app.test_client(), "operator")


def run_of(answer: Any) -> Any:
    return read("run", answer["id"])


def test_a_run_is_started_once_per_key_and_seen_with_its_steps(api: Client, flows: Flowing) -> None:
    flows.flow("f", [do("a")], idempotency_key="data.of", output={"made": "steps.a.id"})
    first = api("POST", "/flows/f/runs", {"data": {"of": "x"}}, status=202)
    again = api("POST", "/flows/f/runs", {"data": {"of": "x"}}, status=202)
    other = api("POST", "/flows/f/runs", {"data": {"of": "x"}, "idempotency_key": "other"}, status=202)
    assert again == {"id": first["id"], "duplicate": True}
    assert (first["duplicate"], other["duplicate"]) == (False, False)
    flows.ended(run_of(first))
    run = api("GET", f"/flow-runs/{first['id']}")
    assert (run["state"], run["flow"], run["cause"], run["key"], run["data"]) == (
        "completed",
        "f",
        "person",
        "x",
        {"of": "x"},
    )
    assert run["output"] == {"made": "thing.do-a"}
    [step] = run["steps"]
    assert (step["path"], step["state"], step["input"], run["steps_total"]) == ("a", "done", {"of": "a"}, 1)
    assert [each["id"] for each in api("GET", "/flows/f/runs")["items"]] == [other["id"], first["id"]]
    assert [each["id"] for each in api("GET", "/flow-runs?flow=f&key=x")["items"]] == [first["id"]]
    assert api("GET", "/flow-runs?state=failed")["items"] == []
    api("GET", "/flow-runs?flow=no-such", status=404)


def test_data_that_breaks_the_input_starts_nothing(api: Client, flows: Flowing) -> None:
    flows.flow("f", [do("a")], input={"type": "object", "required": ["of"]}, idempotency_key="data.of")
    assert api("POST", "/flows/f/runs", {"data": {}}, status=422)["code"] == "FLOW_INPUT"
    assert api("POST", "/flows/f/runs", {"data": {"of": [1]}}, status=422)["code"] == "FLOW_KEY"
    assert api("GET", "/flow-runs")["items"] == []


def test_steps_have_pages(api: Client, flows: Flowing) -> None:
    flows.flow("f", [do("a", for_each="data.list", **{"with": {"of": "item"}})])
    run = api("POST", "/flows/f/runs", {"data": {"list": list(range(5))}}, status=202)
    flows.ended(run_of(run))
    seen, path = [], f"/flow-runs/{run['id']}/steps?limit=4"
    while path:
        page = api("GET", path)
        seen += [each["path"] for each in page["items"]]
        path = page["next"] and f"/flow-runs/{run['id']}/steps?limit=4&cursor={page['next']}"
    assert sorted(seen) == ["a", *(f"a[{n}]" for n in range(5))]


def test_a_run_is_cancelled_and_what_it_did_is_undone(api: Client, flows: Flowing) -> None:
    flows.flow("f", [do("a", undo=UNDO), {"id": "later", "sleep": "1h"}])
    run = api("POST", "/flows/f/runs", {"data": {"of": "x"}}, status=202)
    flows.until(run_of(run), lambda row: row.state == "waiting")
    assert api("POST", f"/flow-runs/{run['id']}/cancel", {})["state"] == "cancelling"
    assert flows.ended(run_of(run)).state == "cancelled"
    assert flows.pretend.names() == ["do a", "undo a"]
    assert flows.steps(run_of(run))["a"] == "undone"
    assert api("POST", f"/flow-runs/{run['id']}/cancel", {}, status=409)["code"] == "WRONG_STATE"
    assert api("GET", f"/flow-runs/{run['id']}")["cancelled_by"]


def test_a_failed_run_goes_on_where_it_broke_or_is_undone(api: Client, flows: Flowing) -> None:
    flows.flow("f", [do("a", undo=UNDO), do("b", on_error="fail")])
    runs = []
    for number in range(2):
        flows.pretend.fails["thing.do"] = [None, Permanent("no", code="NO", source="erp")]
        run = api("POST", "/flows/f/runs", {"data": {"of": number}}, status=202)
        assert flows.ended(run_of(run)).state == "failed"
        runs.append(run)
    assert api("POST", f"/flow-runs/{runs[0]['id']}/retry", {})["state"] == "running"
    assert flows.ended(run_of(runs[0])).state == "completed"
    assert api("POST", f"/flow-runs/{runs[1]['id']}/compensate")["state"] == "compensating"
    assert flows.ended(run_of(runs[1])).state == "compensated"
    assert api("POST", f"/flow-runs/{runs[1]['id']}/retry", {"from_step": "a"}, status=409)["code"] == "WRONG_STATE"


def test_who_lacks_the_role_may_not_decide_and_who_has_it_does(app: Flask, api: Client, flows: Flowing) -> None:
    flows.flow("f", [ASK, do("a")])
    run = api("POST", "/flows/f/runs", {"data": {"n": 7, "of": "x"}}, status=202)
    flows.until(run_of(run), lambda row: row.state == "waiting")
    [step] = api("GET", f"/flow-runs/{run['id']}")["steps"]
    assert step["waits"]["message"] == "Ship 7?"
    path = f"/flow-runs/{run['id']}/steps/ok"
    assert api("POST", f"{path}/approve", {}, status=403)
    editor = Client(app.test_client(), "editor")
    editor("POST", f"{path}/approve", {"comment": "go"})
    assert flows.ended(run_of(run)).state == "completed"
    assert editor("POST", f"{path}/reject", {}, status=409)["code"] == "STEP_NOT_ASKING"
    decided = api("GET", f"/flow-runs/{run['id']}")["steps"][0]
    assert (decided["decision"]["approved"], decided["decision"]["comment"], decided["waits"]) == (True, "go", None)


def test_a_rejection_fails_the_step(app: Flask, api: Client, flows: Flowing) -> None:
    flows.flow("f", [ASK])
    run = api("POST", "/flows/f/runs", {"data": {"n": 7}}, status=202)
    flows.until(run_of(run), lambda row: row.state == "waiting")
    admin = Client(app.test_client(), "admin")
    admin("POST", f"/flow-runs/{run['id']}/steps/ok/reject", {"comment": "too early"})
    assert flows.ended(run_of(run)).state == "compensated"
    assert api("GET", f"/flow-runs/{run['id']}")["error"]["code"] == "REJECTED"


def test_a_run_is_drawn_in_the_colours_of_its_states(api: Client, flows: Flowing) -> None:
    flows.flow("f", [do("a"), do("b", when="data.of == 'y'")])
    run = api("POST", "/flows/f/runs", {"data": {"of": "x"}}, status=202)
    flows.ended(run_of(run))
    drawn = api("GET", f"/flow-runs/{run['id']}/graph")["mermaid"]
    assert "class s_a done" in drawn
    assert "class s_b skipped" in drawn
    assert "class s_a" not in api("GET", "/flows/f/graph")["mermaid"]


def test_another_workspace_sees_nothing_of_it(api: Client, flows: Flowing) -> None:
    flows.flow("f", [ASK])
    run = api("POST", "/flows/f/runs", {"data": {"n": 1}}, status=202)
    rival = api.as_("admin@rival")
    for method, path in (
        ("GET", ""),
        ("GET", "/steps"),
        ("GET", "/graph"),
        ("POST", "/cancel"),
        ("POST", "/steps/ok/approve"),
    ):
        rival(method, f"/flow-runs/{run['id']}{path}", {} if method == "POST" else None, status=404)
    assert rival("GET", "/flow-runs")["items"] == []
    assert (
        rival("GET", f"/flow-runs?correlation_id={api('GET', '/flow-runs')['items'][0]['correlation_id']}")["items"]
        == []
    )


def test_the_run_of_a_paused_flow_is_held(api: Client, flows: Flowing) -> None:
    flows.flow("f", [do("a")])
    flows.pause("f")
    api("POST", "/flows/f/runs", {"data": {"of": "x"}}, status=202)
    [due] = flows.product.rows("SELECT due_at = 'infinity' AS held FROM due WHERE kind = 'flow'")
    assert due.held
    flows.pause("f", "archived")
    assert api("POST", "/flows/f/runs", {}, status=409)["code"] == "WRONG_STATE"


def test_runs_their_steps_and_what_they_emit_stand_in_the_tree_of_the_event(flows: Flowing) -> None:
    flows.flow("child", [do("b")])
    steps = [
        do("a"),
        {"id": "c", "flow": "child", "with": {}},
        {"id": "e", "emit": {"type": "thing.made", "data": {"n": 1}}},
    ]
    flows.flow("f", steps, events=["order.created"])
    [event] = flows.product.publish({"of": "x"})
    [run] = flows.product.rows("SELECT id FROM flow_runs WHERE parent_id IS NULL")
    flows.ended(run.id)
    made = flows.product.rows("SELECT id FROM events WHERE type = 'thing.made'")[0].id
    for asked in (event, made):
        tree = flows.product.client().get(f"/api/v1/events/{asked}/tree").json["trees"][0]
        [node] = tree["children"]
        assert (node["kind"], node["name"], node["state"]) == ("flow_run", "f", "completed")
        below = {(each["kind"], each["name"], each["state"]) for each in node["children"]}
        steps = {("step", name, "done") for name in ("a", "c", "e")}
        assert below == {*steps, ("flow_run", "child", "completed"), ("event", "thing.made", None)}
        [child] = [each for each in node["children"] if each["kind"] == "flow_run"]
        assert [each["name"] for each in child["children"]] == ["b"]
