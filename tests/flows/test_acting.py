"""What people do about runs, and what the engine does about itself: cancel, retry, pause, time-outs, kills, neighbours."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from server.flows import acting, forgetting, holding
from server.flows.reopening import ReopeningRuns
from server.kernel.errors import Conflict, Forbidden, NotFound
from server.queue import dead_letters
from server.sdk import Permanent, Retryable
from tests.flows.test_engine import do

if TYPE_CHECKING:
    from uuid import UUID

    from tests.flows.running import Flowing

SLEEP = {"id": "s", "sleep": "1d"}
ASK = {"id": "q", "approve": {"message": "ok?", "roles": ["admin"]}}


def act(flows: Flowing, action: Any, run: UUID, *args: Any, **more: Any) -> Any:
    with flows.product.tx() as tx:
        return action(tx, run, *args, flows.core.hint, **more)


def letters(flows: Flowing) -> list[tuple[str, str, str | None]]:
    rows = flows.product.rows("SELECT kind, reason, resolution FROM dead_letters ORDER BY id")
    return [(row.kind, row.reason, row.resolution) for row in rows]


def told(flows: Flowing) -> list[str]:
    rows = flows.product.rows("SELECT type FROM events WHERE type LIKE 'crossdock.flow_run.%' ORDER BY uid")
    return [row.type.rpartition(".")[2] for row in rows]


def test_a_cancelled_run_is_undone_or_left_as_it_is(flows: Flowing) -> None:
    flow = flows.flow("f", [do("a"), SLEEP, do("b")])
    for undo, names in ((True, ["do a", "undo a"]), (False, ["do a"])):
        flows.pretend.calls.clear()
        run = flows.start(flow)
        flows.until(run, lambda row: row.state == "waiting")
        act(flows, acting.cancel, run, undo=undo)
        row = flows.ended(run)
        assert (row.state, row.cancelled_by) == ("cancelled", "test")
        assert flows.pretend.names() == names
        with pytest.raises(Conflict):
            act(flows, acting.cancel, run)
    assert not flows.product.rows("SELECT 1 FROM due WHERE kind = 'flow'")


def test_a_run_that_is_cancelled_while_it_calls_finds_out_what_the_call_did(flows: Flowing) -> None:
    asked, goes_on = threading.Event(), threading.Event()

    def slow(given: dict[str, Any]) -> dict[str, Any]:
        asked.set()
        goes_on.wait(5)
        return given

    flows.pretend.answers["thing.do"] = slow
    run = flows.start(flows.flow("f", [do("a"), do("b")]))
    flows.engine.drain()
    assert asked.wait(5)
    act(flows, acting.cancel, run)
    goes_on.set()
    assert flows.ended(run).state == "cancelled"
    assert flows.pretend.names() in (["do a", "undo a"], ["do a", "do a", "undo a"])
    assert flows.steps(run) == {"a": "undone"}


def test_a_run_that_is_over_its_time_is_undone(flows: Flowing) -> None:
    row = flows.run([do("a"), SLEEP], timeout="300ms")
    assert (row.state, row.error["code"]) == ("compensated", "RUN_TIMEOUT")
    assert flows.pretend.names() == ["do a", "undo a"]
    assert told(flows) == ["compensated"]


def test_a_run_that_failed_goes_on_where_it_broke(flows: Flowing) -> None:
    flows.pretend.fails["thing.do"] = [None, Permanent("no", code="NO_CREDIT")]
    row = flows.run([do("a"), do("b", on_error="fail"), do("c")])
    assert (row.state, told(flows), letters(flows)) == ("failed", ["failed"], [("flow", "refused", None)])
    with flows.product.tx() as tx:
        ids = [each.id for each in tx.all("SELECT id FROM dead_letters WHERE workspace_id = :workspace_id")]
        refs = [ref for _, ref in dead_letters.resolve(tx, ids, "replayed")]
        ReopeningRuns(flows.core.hint).reopen(tx, refs)
    assert flows.ended(row.id).state == "completed"
    assert flows.pretend.names() == ["do a", "do b", "do b", "do c"]
    assert [(key or "").rpartition(":")[2] for _, _, key in flows.pretend.calls] == ["", "", "~2", "~2"]
    assert letters(flows) == [("flow", "refused", "replayed")]


def test_a_run_is_done_again_from_a_step_once_what_followed_is_undone(flows: Flowing) -> None:
    flows.pretend.fails["thing.do"] = [None, None, Permanent("no")]
    row = flows.run([do("a"), do("b"), do("c", on_error="fail")])
    with pytest.raises(NotFound):
        act(flows, acting.retry, row.id, from_step="z")
    act(flows, acting.retry, row.id, from_step="b")
    assert flows.ended(row.id).state == "completed"
    assert flows.pretend.names() == ["do a", "do b", "do c", "undo b", "do b", "do c"]


def test_a_failed_run_is_undone_when_a_person_says_so(flows: Flowing) -> None:
    flows.pretend.fails["thing.do"] = [None, Permanent("no")]
    row = flows.run([do("a"), do("b", on_error="fail")])
    act(flows, acting.compensate, row.id)
    assert flows.ended(row.id).state == "compensated"
    assert flows.pretend.names() == ["do a", "do b", "undo a"]
    assert letters(flows) == [("flow", "refused", "replayed")]


def test_an_undo_that_fails_lets_the_others_be_undone_and_waits_for_a_person(flows: Flowing) -> None:
    flows.pretend.fails["thing.do"] = [None, None, Permanent("no")]
    flows.pretend.fails["thing.undo"] = [Permanent("locked", code="LOCKED")]
    row = flows.run([do("a"), do("b"), do("c")])
    assert (row.state, letters(flows)) == ("compensation_failed", [("flow", "compensation_failed", None)])
    assert flows.steps(row.id) == {"a": "undone", "b": "undo_failed", "c": "failed"}
    assert told(flows) == ["compensation_failed"]
    with pytest.raises(Conflict, match="undone"):
        act(flows, acting.retry, row.id, from_step="b")
    act(flows, acting.retry, row.id)
    assert flows.ended(row.id).state == "compensated"
    assert flows.pretend.names() == ["do a", "do b", "do c", "undo b", "undo a", "undo b"]
    assert letters(flows) == [("flow", "compensation_failed", "replayed")]


def test_an_undo_is_tried_again(flows: Flowing) -> None:
    flows.pretend.fails["thing.do"] = [None, Permanent("no")]
    flows.pretend.fails["thing.undo"] = [Retryable("busy"), Retryable("busy")]
    assert flows.run([do("a"), do("b")]).state == "compensated"
    assert flows.pretend.names() == ["do a", "do b", "undo a", "undo a", "undo a"]
    assert len({key for name, _, key in flows.pretend.calls if name == "thing.undo"}) == 1


def test_runs_of_a_paused_flow_end_their_step_and_go_on_when_it_is_resumed(flows: Flowing) -> None:
    flow = flows.flow("f", [do("a"), SLEEP, do("b")])
    run = flows.start(flow)
    flows.until(run, lambda row: row.state == "waiting")
    flows.pause("f")
    flows.product.rows("SELECT 1")
    with flows.core.engine.connect() as conn:
        conn.exec_driver_sql("UPDATE flow_steps SET note = '{\"until\": \"2020-01-01T00:00:00Z\"}' WHERE path = 's'")
    flows.engine = flows.another()  # another worker, which has not looked yet
    flows.hurry(run)
    held = "SELECT 1 FROM due WHERE kind = 'flow' AND due_at = 'infinity'"
    flows.until(run, lambda _: flows.product.rows(held))
    assert flows.pretend.names() == ["do a"]
    flows.pause("f", "active")
    with flows.product.tx() as tx:
        assert holding.release(tx, flow) == 1
    flows.engine = flows.another()
    assert flows.ended(run).state == "completed"


def test_a_run_keeps_the_version_that_it_began_with(flows: Flowing) -> None:
    flow = flows.flow("f", [do("a"), {"id": "s", "sleep": "300ms"}, do("b")])
    run = flows.start(flow)
    flows.until(run, lambda row: row.state == "waiting")
    flows.flow("f", [do("z")], version=2)
    flows.engine = flows.another()
    assert flows.ended(run).state == "completed"
    assert flows.pretend.names() == ["do a", "do b"]
    assert flows.ended(flows.start(flow, version=2)).state == "completed"
    assert flows.pretend.names()[-1] == "do z"


def test_who_lost_the_lease_records_nothing_and_nothing_is_done_twice(flows: Flowing) -> None:
    asked, goes_on = threading.Event(), threading.Event()

    def slow(given: dict[str, Any]) -> dict[str, Any]:
        if given["of"] == "b" and not asked.is_set():
            asked.set()
            goes_on.wait(8)
        return given

    flows.pretend.answers["thing.read"] = slow
    steps = [do("a"), {"id": "b", "call": "erp.thing.read", "with": {"of": {"value": "b"}}}, do("c")]
    run = flows.start(flows.flow("f", steps))
    flows.engine.drain()
    assert asked.wait(5)
    with flows.core.engine.connect() as conn:  # its lease ends
        conn.exec_driver_sql("UPDATE due SET due_at = now(), leased = false, epoch = epoch + 1 WHERE kind = 'flow'")
    flows.engine = flows.another()
    assert flows.ended(run).state == "completed"
    goes_on.set()
    time.sleep(0.3)
    assert flows.pretend.names() == ["do a", "read b", "read b", "do c"]
    assert flows.steps(run) == {"a": "done", "b": "done", "c": "done"}


def test_a_neighbour_sees_no_run_and_changes_none(flows: Flowing) -> None:
    run = flows.start(flows.flow("f", [ASK]))
    flows.until(run, lambda row: row.state == "waiting")
    rival = flows.product.workspace("default", "rival")
    for action, more in (
        (acting.cancel, {}),
        (acting.retry, {}),
        (acting.compensate, {}),
    ):
        with flows.product.tx(rival) as tx, pytest.raises(NotFound):
            action(tx, run, flows.core.hint, **more)  # type: ignore[operator]
    with flows.product.tx(rival) as tx, pytest.raises(NotFound):
        acting.decide(tx, run, "q", flows.core.hint, approved=True, roles=["admin"])
    with flows.product.tx() as tx, pytest.raises(Forbidden):
        acting.decide(tx, run, "q", flows.core.hint, approved=True, roles=["viewer"])
    assert flows.row(run).state == "waiting"


def test_runs_that_ended_long_ago_are_forgotten(flows: Flowing) -> None:
    row = flows.run([do("a")])
    assert forgetting.forget(flows.core.engine, 30) == 0
    with flows.core.engine.connect() as conn:
        conn.exec_driver_sql("UPDATE flow_runs SET ended_at = now() - interval '31 days'")
    assert forgetting.forget(flows.core.engine, 30) == 1
    assert not flows.product.rows("SELECT 1 FROM flow_runs UNION ALL SELECT 1 FROM flow_steps")
    assert row.state == "completed"


def test_a_result_that_is_too_large_fails_the_step_and_is_undone(flows: Flowing) -> None:
    flows.pretend.answers["thing.do"] = lambda given: {**given, "big": "x" * 300_000}
    row = flows.run([do("a")])
    assert (row.state, row.error["code"]) == ("compensated", "FLOW_RESULT_LIMIT")
    assert flows.pretend.names() == ["do a", "undo a"]
