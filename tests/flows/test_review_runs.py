"""What goes wrong seldom: wakes that meet a run which is just given back, retries of what never began, outcomes that nobody knows."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from server.events.envelope import NewEvent
from server.flows import acting, forgetting, holding, starting, waking
from server.flows.advancing import Course
from server.flows.calling import Came, tell
from server.flows.flow import flow_of
from server.flows.rows import Run
from server.flows.starting import NewFlowRun
from server.integrations.holding import Holding
from server.kernel.errors import CrossdockError, NotFound
from server.kernel.ids import new_uuid
from server.queue import claims
from server.queue.claims import Due
from server.sdk import Permanent, Retryable
from tests.flows.test_acting import act
from tests.flows.test_engine import do

if TYPE_CHECKING:
    from tests.flows.running import Flowing
    from tests.support.product import Product

FAR = "2100-01-01T00:00:00Z"
NOW = datetime(2026, 11, 23, tzinfo=UTC)


def course_of(*steps: Any) -> Course:
    return Course.of(flow_of({"name": "f", "steps": list(steps)}), Run("run_1", "f"))


def due(product: Product, run: UUID, at: str | None = None, lane: UUID | None = None) -> None:
    with product.core.engine.connect() as conn:
        claims.add(conn, "flow", [Due(run, product.scope.workspace_id, lane or new_uuid(), at, 1000)])


def test_a_run_given_back_at_the_very_moment_of_its_wake_is_waked_all_the_same(flows: Flowing) -> None:
    product, engine = flows.product, flows.core.engine
    busy, other = sorted((new_uuid(), new_uuid()))
    due(product, busy)
    due(product, other, FAR)
    with engine.connect() as conn:
        mine = claims.claim(conn, "flow", 1)
    with product.tx() as tx:
        waking.wake(tx.conn, product.scope.workspace_id, [busy, other])
    waker = threading.Thread(target=flows.waking.drain)
    with engine.connect() as holds:
        holds.exec_driver_sql("SELECT 1 FROM due WHERE kind = 'flow' AND ref = %s FOR UPDATE", (other,))
        waker.start()
        time.sleep(0.4)  # it waits for the other run by now
        with engine.connect() as conn:
            claims.postpone(conn, "flow", mine, [FAR])
    waker.join()
    time.sleep(0.06)
    flows.waking.drain()
    assert not product.rows("SELECT ref FROM due WHERE kind = 'flow' AND due_at > now()")
    assert not product.rows("SELECT ref FROM due WHERE kind = 'flow_wake'")


def test_a_flow_with_very_many_runs_lets_others_have_their_turn(flows: Flowing) -> None:
    many, one = UUID(int=1), UUID(int=2)
    work = [Due(new_uuid(), flows.product.scope.workspace_id, many, None, 1000) for _ in range(400)]
    with flows.core.engine.connect() as conn:
        claims.add(conn, "flow", work)
    late = new_uuid()
    due(flows.product, late, lane=one)
    held = Holding(flows.core.engine, "flow", 32)
    seen: set[UUID] = set()
    for _ in range(3):
        mine = held.take(32)
        seen |= {each.ref for each in mine}
        with flows.core.engine.connect() as conn:
            claims.finish(conn, "flow", mine)
        for each in mine:
            held.let_go(each)
    assert late in seen


def test_a_flow_whose_calls_hang_leaves_room_for_others(flows: Flowing) -> None:
    goes_on = threading.Event()
    flows.pretend.answers["thing.do"] = lambda given: {"of": goes_on.wait(30) and given.get("of")}
    flow = flows.flow("slow", [do("a")])
    slow = [flows.start(flow, name="slow") for _ in range(40)]
    flows.engine.drain()
    quick = flows.start(flows.flow("quick", [{"id": "s", "set": {"x": 1}}]), name="quick")
    try:
        assert flows.ended(quick, 6).state == "completed"
    finally:
        goes_on.set()
    for run in slow:
        assert flows.ended(run, 20).state == "completed"


def test_a_container_that_never_began_begins_when_its_run_is_tried_again(flows: Flowing) -> None:
    flow = flows.flow("f", [do("a"), do("each", for_each="data.items", on_error="fail", **{"with": {"of": "item"}})])
    run = flows.start(flow, {"items": "no list"})
    assert flows.ended(run).error["code"] == "FLOW_ITEMS"
    act(flows, acting.retry, run)
    assert flows.ended(run).error["code"] == "FLOW_ITEMS"
    flow = flows.flow("g", [{"id": "c", "on_error": "fail", "choose": [{"when": "data.n > `1`", "steps": [do("x")]}]}])
    run = flows.start(flow, {"n": "text"}, "g")
    assert flows.ended(run).state == "failed"
    act(flows, acting.retry, run)
    assert flows.ended(run).state == "failed", "its condition is as false as before"


def test_what_was_done_and_answered_too_much_is_not_done_twice_by_a_retry(flows: Flowing) -> None:
    flows.pretend.answers["thing.do"] = lambda _: {"text": "x" * 300_000}
    row = flows.run([do("a", on_error="fail")])
    assert (row.state, row.error["code"]) == ("failed", "FLOW_RESULT_LIMIT")
    act(flows, acting.retry, row.id)
    assert flows.ended(row.id).state == "failed"
    assert len({key for _, _, key in flows.pretend.calls}) == 1


def test_what_was_done_but_answered_nonsense_is_undone(flows: Flowing) -> None:
    flows.pretend.answers["thing.do"] = lambda _: {"id": object()}
    row = flows.run([do("a", undo={"call": "erp.thing.undo", "with": {"of": {"value": "a"}}})])
    assert (row.state, row.error["code"]) == ("compensated", "OUTPUT_INVALID")
    assert flows.pretend.names() == ["do a", "undo a"]


@pytest.mark.parametrize("error", [NotFound("gone"), Retryable("lost")])
def test_an_outcome_is_not_known_because_the_integration_is_gone(error: CrossdockError) -> None:
    course = course_of(do("a"))
    (task,) = course.next(NOW).tasks
    tell(course, Came(task, error=Retryable("lost")), NOW)  # no policy: it is not tried again
    (task,) = course.next(NOW).tasks
    assert task.what == "resolve"
    tell(course, Came(task, error=error), NOW)
    assert (course.rows["a"].state, course.next(NOW).ended) == ("undoing", None)


@pytest.mark.parametrize("tries", [0, 1])
def test_what_was_sent_before_may_have_been_done_though_the_integration_is_gone_now(tries: int) -> None:
    course = course_of(do("a"))
    (task,) = course.next(NOW).tasks
    task.row.tries = tries
    tell(course, Came(task, error=NotFound("gone")), NOW)
    assert [each.what for each in course.next(NOW).tasks] == ["resolve"] * tries


def test_a_run_that_is_tried_again_lets_the_run_that_it_started_go_on_instead_of_another(flows: Flowing) -> None:
    flows.flow("part", [do("x"), do("y", on_error="fail")])
    flows.pretend.fails["thing.do"] = [None, Permanent("no")]
    row = flows.run([{"id": "c", "flow": "part", "on_error": "fail", "with": {"n": 1}}, do("z")])
    assert (row.state, row.error["code"]) == ("failed", "CHILD_FAILED")
    act(flows, acting.retry, row.id)
    assert flows.ended(row.id).state == "completed"
    assert flows.pretend.names() == ["do x", "do y", "do y", "do z"]
    assert len(flows.product.rows("SELECT 1 FROM flow_runs")) == 2


def test_a_run_that_is_tried_again_starts_another_where_the_one_that_it_had_started_is_undone(flows: Flowing) -> None:
    flows.flow("part", [do("x"), do("y")])
    flows.pretend.fails["thing.do"] = [None, Permanent("no")]
    row = flows.run([{"id": "c", "flow": "part", "on_error": "fail", "with": {"n": 1}}])
    act(flows, acting.retry, row.id)
    assert flows.ended(row.id).state == "completed"
    assert flows.pretend.names() == ["do x", "do y", "undo x", "do x", "do y"]


def test_a_run_is_kept_as_long_as_its_dead_letter_is_open_and_what_it_started_as_long_as_it_is(flows: Flowing) -> None:
    flows.flow("part", [do("x")])
    row = flows.run([{"id": "c", "flow": "part", "with": {"n": 1}}, do("a", call="gone.thing.do", on_error="fail")])
    assert (row.state, forgetting.forget(flows.core.engine, -1)) == ("failed", 0)
    act(flows, acting.compensate, row.id)
    assert flows.ended(row.id).state == "compensated", flows.steps(row.id)
    assert [forgetting.forget(flows.core.engine, -1) for _ in range(2)] == [2, 0]


def test_as_many_runs_are_forgotten_as_there_are(flows: Flowing) -> None:
    row = flows.run([{"id": "s", "set": {"x": 1}}])
    with flows.core.engine.connect() as conn:
        conn.exec_driver_sql(
            """INSERT INTO flow_runs (id, workspace_id, flow_id, definition_version, state, cause, data, priority, principal,
                                      correlation_id, ended_at)
               SELECT gen_random_uuid(), workspace_id, flow_id, 1, state, cause, data, priority, principal, correlation_id, ended_at
               FROM flow_runs, generate_series(1, 1100) WHERE id = %s""",
            (row.id,),
        )
    assert forgetting.forget(flows.core.engine, -1) == 1101


def test_a_run_that_is_taken_back_while_it_is_to_be_done_again_from_a_step_is_undone_for_good(flows: Flowing) -> None:
    flows.flow("part", [do("x"), do("y", on_error="fail")])
    flows.pretend.fails["thing.do"] = [None, Permanent("no")]
    row = flows.run([{"id": "c", "flow": "part", "on_error": "fail", "with": {"n": 1}}])
    (child,) = (each.id for each in flows.product.rows("SELECT id FROM flow_runs WHERE parent_id IS NOT NULL"))
    flows.pause("part")
    act(flows, acting.retry, child, from_step="y")
    act(flows, acting.compensate, row.id)
    flows.until(row.id, lambda _: "asked" in flows.step(row.id, "c").note)
    flows.pause("part", "active")
    holding.release_strays(flows.core.engine, flows.core.hint)
    assert flows.ended(row.id).state == "compensated"
    assert flows.row(child).state == "compensated"
    assert flows.pretend.names() == ["do x", "do y", "undo x"]


def test_a_run_that_is_cancelled_as_it_stands_takes_with_it_what_it_started(flows: Flowing) -> None:
    flows.flow("part", [do("x"), {"id": "s", "sleep": "1d"}])
    run = flows.start(flows.flow("f", [{"id": "c", "flow": "part", "with": {"n": 1}}]))
    flows.until(run, lambda _: flows.pretend.names() == ["do x"])
    act(flows, acting.cancel, run, undo=False)
    assert {each.state for each in flows.product.rows("SELECT state FROM flow_runs")} == {"cancelled"}
    assert not flows.product.rows("SELECT 1 FROM due WHERE kind = 'flow'")


def test_a_definition_that_cannot_be_read_any_more_stops_its_own_runs_alone(flows: Flowing) -> None:
    good = flows.start(flows.flow("good", [do("a")]), name="good")
    bad = flows.start(flows.flow("bad", [do("a", when="of_yesterday(data)")]), name="bad")
    assert flows.ended(good).state == "completed"
    assert flows.ended(bad).error["code"] == "FLOW_DEFINITION_GONE"


def test_events_are_taken_though_a_definition_cannot_be_read_any_more(flows: Flowing) -> None:
    flows.flow("bad", [do("a")], when="of_yesterday(data)", events=["deal.won"])
    flows.flow("good", [do("a")], events=["deal.won"])
    with flows.product.tx() as tx:
        flows.core.publisher.publish(tx, [NewEvent(type="deal.won", data="{}")])
    for run in flows.product.rows("SELECT r.id, f.name FROM flow_runs r JOIN flows f ON f.id = r.flow_id"):
        assert flows.ended(run.id).state == ("completed" if run.name == "good" else "failed")
    assert len(flows.product.rows("SELECT 1 FROM dead_letters")) == 1


def test_publishers_take_the_keys_of_runs_in_one_order(flows: Flowing) -> None:
    flow = flows.flow("f", [do("a")])

    def begin(*keys: str) -> None:
        with flows.product.tx() as tx:
            tx.run("SET LOCAL lock_timeout = '3s'")
            starting.start(tx.conn, [_keyed(flows, flow, key) for key in keys])

    with flows.product.tx() as tx:
        starting.start(tx.conn, [_keyed(flows, flow, "1")])
        other = threading.Thread(target=begin, args=("2", "1"))
        other.start()
        time.sleep(0.4)
        begin("2")  # whoever waits for "1" does not have "2" yet
    other.join()
    assert len(flows.product.rows("SELECT 1 FROM flow_runs")) == 2


def test_arrivals_that_came_too_late_go_with_their_run(flows: Flowing) -> None:
    row = flows.run([do("a")])
    with flows.core.engine.connect() as conn:
        conn.exec_driver_sql(
            "INSERT INTO flow_arrivals (workspace_id, run_id, path, event_uid) VALUES (%s, %s, 'w', %s)",
            (flows.product.scope.workspace_id, row.id, new_uuid()),
        )
    assert forgetting.forget(flows.core.engine, -1) == 1
    assert not flows.product.rows("SELECT 1 FROM flow_arrivals")


def _keyed(flows: Flowing, flow: UUID, key: str) -> NewFlowRun:
    return NewFlowRun(
        id=new_uuid(),
        workspace_id=flows.product.scope.workspace_id,
        flow_id=flow,
        flow="f",
        definition_version=1,
        cause="person",
        data="{}",
        principal="user:anna",
        correlation_id="cor_1",
        key=key,
    )
