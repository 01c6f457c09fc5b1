"""Every kind of step on the engine: waits, moments, branches, blocks, other flows, people, and calls that belong together."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from server.flows import acting
from server.kernel.ids import read
from server.sdk import Permanent
from server.sdk.adapter import FieldError, Transaction, Validation
from tests.flows.test_engine import UNDO, do

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.flows.running import Flowing

WAIT = {
    "event": "thing.made",
    "where": "arrived.data.order == data.order && arrived.data.good",
    "count": "data.count",
    "timeout": "1d",
}


def wait(**more: Any) -> dict[str, Any]:
    return {"id": "w", "wait_for": {**WAIT, **more}}


def test_what_came_before_counts_and_what_comes_later_wakes(flows: Flowing) -> None:
    flow = flows.flow("f", [wait(), do("a", **{"with": {"of": "steps.w.count"}})])
    run = flows.start(flow, {"order": "o1", "count": 3})
    flows.product.publish({"order": "o1", "good": True}, type_="thing.made")
    flows.until(run, lambda row: row.state == "waiting")
    held = flows.product.rows("SELECT due_at > now() + interval '1 hour' AS far FROM due WHERE kind = 'flow'")
    assert [row.far for row in held] == [True]
    things = [{"order": "o1", "good": False}, {"order": "o2", "good": True}, {"order": "o1", "good": True}]
    flows.product.publish(*things, type_="thing.made")
    assert flows.until(run, lambda row: row.state == "waiting" and not flows.waking.drain()).state == "waiting"
    flows.product.publish({"order": "o1", "good": True}, type_="thing.made")
    assert flows.ended(run).state == "completed"
    assert flows.pretend.names() == ["do 3"]
    result = flows.step(run, "w").result
    assert [each["data"]["order"] for each in result["events"]] == ["o1"] * 3
    assert result["data"] == {"order": "o1", "good": True}
    assert not flows.product.rows("SELECT 1 FROM flow_waits UNION ALL SELECT 1 FROM flow_arrivals")


def test_a_wait_that_is_over_fails_and_what_was_done_is_undone(flows: Flowing) -> None:
    row = flows.run([do("a"), wait(timeout="100ms")], {"order": 1, "count": 1})
    assert (row.state, row.error["code"]) == ("compensated", "WAIT_TIMEOUT")
    assert flows.pretend.names() == ["do a", "undo a"]


def test_a_wait_for_none_is_done_at_once(flows: Flowing) -> None:
    assert flows.run([wait(), do("a")], {"order": 1, "count": 0}).state == "completed"


def test_a_sleep_goes_on_at_its_moment(flows: Flowing) -> None:
    row = flows.run([{"id": "s", "sleep": "200ms"}, do("a")])
    assert row.state == "completed"
    assert (row.ended_at - row.started_at).total_seconds() >= 0.2


def test_branches_go_side_by_side_and_what_they_gave_is_seen_after_them(flows: Flowing) -> None:
    steps = [
        {"id": "p", "parallel": {"left": [do("a"), do("b")], "right": [do("c")]}},
        {"id": "s", "set": {"all": "steps.p.left.b.of", "one": "steps.c.of"}},
        {"id": "e", "emit": {"type": "thing.done", "subject": "steps.s.one", "data": {"all": "steps.s.all"}}},
    ]
    assert flows.run(steps).state == "completed"
    (event,) = flows.product.rows("SELECT subject, data, extensions FROM events WHERE type = 'thing.done'")
    assert (event.subject, event.data) == ("c", '{"all":"b"}')
    assert event.extensions["crossdockpath"] == "flow/f"


def test_a_branch_that_fails_stops_those_that_wait_and_undoes_those_that_are_done(flows: Flowing) -> None:
    flows.pretend.fails["thing.read"] = [Permanent("no")]
    broken = {"id": "r", "call": "erp.thing.read"}
    row = flows.run([{"id": "p", "parallel": {"a": [do("a")], "w": [wait()], "r": [broken]}}], {"order": 1, "count": 1})
    assert row.state == "compensated"
    assert flows.steps(row.id) == {"p": "failed", "a": "undone", "w": "failed", "r": "failed"}


def test_the_first_branch_whose_condition_is_true_is_chosen(flows: Flowing) -> None:
    chosen = [
        {"when": "data.n > `5`", "steps": [do("a")]},
        {"when": "data.n > 1", "steps": [do("b")]},
        {"steps": [do("c")]},
    ]
    flow = flows.flow("f", [{"id": "x", "choose": chosen}], output={"a": "steps.a", "b": "steps.x.b.of"})
    assert flows.ended(flows.start(flow, {"n": 2})).output == {"a": None, "b": "b"}
    assert flows.ended(flows.start(flow, {"n": 0})).output == {"a": None, "b": None}
    assert flows.pretend.names() == ["do b", "do c"]


def test_blocks_go_over_items_and_items_in_items(flows: Flowing) -> None:
    part = do("y", for_each="item.parts", **{"with": {"of": "item"}})
    steps = [
        {"id": "lines", "for_each": "data.lines", "limit": 2, "steps": [do("x", **{"with": {"of": "item.id"}}), part]}
    ]
    lines = [{"id": n, "parts": [n * 10, n * 10 + 1]} for n in range(3)]
    row = flows.run(steps, {"lines": lines}, output={"last": "steps.lines[2].y[1].of"})
    assert (row.state, row.output) == ("completed", {"last": 21})
    keys = [key.partition(":")[2] for _, given, key in flows.pretend.calls if key and given["of"] == 21]
    assert keys == ["y:2.1"]
    assert "lines[2]/y[1]" in flows.steps(row.id)


def test_an_item_that_fails_undoes_the_items_before(flows: Flowing) -> None:
    flows.pretend.answers["thing.do"] = _refuse_third
    steps = [{"id": "lines", "for_each": "data.lines", "limit": 1, "steps": [do("x", **{"with": {"of": "item"}})]}]
    row = flows.run(steps, {"lines": [1, 2, 3, 4]})
    assert row.state == "compensated"
    assert flows.pretend.names() == ["do 1", "do 2", "do 3", "undo 2", "undo 1"]


def _refuse_third(given: dict[str, Any]) -> dict[str, Any]:
    if given["of"] == 3:
        raise Permanent("not this one")
    return dict(given)


def test_another_flow_is_a_step_and_is_undone_with_it(flows: Flowing) -> None:
    flows.flow("child", [do("c", **{"with": {"of": "data.n"}})], output={"made": "steps.c.of"})
    flows.pretend.fails["thing.read"] = [None, Permanent("no")]
    last = {"id": "r", "call": "erp.thing.read", "with": {"of": "steps.k.made"}}
    flow = flows.flow("f", [{"id": "k", "flow": "child", "with": {"n": "data.n"}}, last])
    assert flows.ended(flows.start(flow, {"n": 1})).state == "completed"
    assert flows.ended(flows.start(flow, {"n": 2})).state == "compensated"
    assert flows.pretend.names() == ["do 1", "read 1", "do 2", "read 2", "undo 2"]
    rows = flows.product.rows("SELECT state, depth FROM flow_runs WHERE parent_id IS NOT NULL ORDER BY id")
    assert [(row.state, row.depth) for row in rows] == [("completed", 1), ("compensated", 1)]


def test_a_flow_that_starts_itself_ends_at_the_depth_that_is_allowed(flows: Flowing) -> None:
    flow = flows.flow("f", [{"id": "k", "flow": "f"}])
    assert flows.ended(flows.start(flow)).state == "compensated"
    assert flows.product.rows("SELECT max(depth) AS n FROM flow_runs")[0].n == 8


def test_a_person_approves_or_rejects(flows: Flowing) -> None:
    ask = {"id": "q", "approve": {"message": "Send {{ data.n }}?", "timeout": "1d", "roles": ["admin"]}}
    flow = flows.flow("f", [do("a"), ask, do("b", **{"with": {"of": "steps.q.by"}})])
    for approved, state in ((True, "completed"), (False, "compensated")):
        run = flows.start(flow, {"n": 5})
        flows.until(run, lambda row: row.state == "waiting")
        assert flows.step(run, "q").note["message"] == "Send 5?"
        with flows.product.tx() as tx:
            acting.decide(tx, run, "q", flows.core.hint, approved=approved, roles=["admin"], comment="ok")
        row = flows.ended(run)
        assert row.state == state
    assert row.error["code"] == "REJECTED"
    assert flows.pretend.names() == ["do a", "do test", "do a", "undo a"]
    asked = flows.product.rows("SELECT count(*) AS n FROM events WHERE type = 'crossdock.flow_run.approval_requested'")
    assert asked[0].n == 2


class _Together(Transaction):
    def __init__(self, adapter: Any) -> None:
        self.adapter = adapter

    def call(self, request: Any, key: str) -> dict[str, Any]:
        self.adapter.calls.append((request.operation, dict(request.input), key))
        if request.input["of"] == "bad":
            raise Permanent("refused inside")
        return {"of": request.input["of"]}


def test_calls_that_belong_together_are_one_and_are_undone_one_by_one(flows: Flowing) -> None:
    @contextmanager
    def transaction(_context: Any) -> Iterator[Transaction]:
        yield _Together(flows.pretend)

    flows.pretend.transaction = transaction  # type: ignore[assignment]
    inner = [do("x"), do("y", **{"with": {"of": "steps.x.of"}})]
    flow = flows.flow("f", [{"id": "t", "atomic": inner}, do("z", **{"with": {"of": "data.of"}})])
    assert flows.ended(flows.start(flow, {"of": "fine"})).state == "completed"
    assert flows.pretend.names() == ["do x", "do x", "do fine"]
    flows.pretend.calls.clear()
    flows.pretend.fails["thing.do"] = [Permanent("no")]
    run = flows.ended(flows.start(flow, {"of": "bad"}))
    assert run.state == "compensated"
    assert flows.pretend.names() == ["do x", "do x", "do bad", "undo x", "undo x"]
    assert {key.partition(":")[2] for _, _, key in flows.pretend.calls if key} == {
        "x:",
        "y:",
        "z:",
        "x::undo",
        "y::undo",
    }


def test_calls_that_cannot_be_made_together_tell_nothing_of_their_system(flows: Flowing) -> None:
    @contextmanager
    def transaction(_context: Any) -> Iterator[Transaction]:
        yield _Together(flows.pretend)

    with flows.core.engine.connect() as conn:
        conn.exec_driver_sql(
            "INSERT INTO breakers (workspace_id, integration_id, state, failures, opened_at)"
            " SELECT workspace_id, id, 'open', 5, now() - interval '1 hour' FROM integrations"
        )
    flow = flows.flow("f", [{"id": "t", "atomic": [do("x")]}])
    assert flows.ended(flows.start(flow, {})).error["code"] == "ATOMIC_NOT_OFFERED"
    flows.pretend.transaction = transaction  # type: ignore[assignment]
    flows.pretend.validate = lambda _request: Validation((FieldError("/of", "no"),))  # type: ignore[method-assign]
    assert flows.ended(flows.start(flow, {})).error["code"] == "INPUT_INVALID"
    assert [row.state for row in flows.product.rows("SELECT state FROM breakers")] == ["half-open"]


def test_something_else_is_called_instead_or_the_run_goes_on_without(flows: Flowing) -> None:
    flows.pretend.fails["thing.do"] = [Permanent("no", code="NO_CREDIT"), Permanent("no")]
    instead = {"call": "erp.thing.instead", "with": {"of": "error.code"}}
    steps = [
        do("a", on_error=instead),
        do("b", on_error="continue"),
        {"id": "s", "set": {"a": "steps.a.of", "b": "steps.b"}},
    ]
    row = flows.run(steps, output={"s": "steps.s"})
    assert (row.state, row.output) == ("completed", {"s": {"a": "NO_CREDIT", "b": None}})
    assert flows.steps(row.id) == {"a": "done", "b": "failed", "s": "done"}


def test_an_expression_that_cannot_be_evaluated_ends_the_run_by_name(flows: Flowing) -> None:
    row = flows.run([do("a"), do("b", **{"with": {"of": {"from": "data.none", "required": True}}})])
    assert (row.state, row.error["code"]) == ("compensated", "EXPR_MISSING")
    assert UNDO["call"] == "erp.thing.undo"
    assert read("run", flows.pretend.calls[0][2].partition(":")[0]) == row.id  # type: ignore[union-attr]
