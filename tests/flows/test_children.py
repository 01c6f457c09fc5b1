"""Runs that a step starts: one each, whatever dies, one per idempotency key, and none is left behind when its time is over."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from server.flows import acting
from tests.flows.test_acting import act
from tests.flows.test_engine import do

if TYPE_CHECKING:
    from uuid import UUID

    from tests.flows.running import Flowing

SLEEP = {"id": "s", "sleep": "1d"}
CALLS = {"id": "child", "flow": "inner", "with": {"n": "data.n"}}
_BACKENDS = "SELECT pid FROM pg_locks WHERE relation = 'flow_steps'::regclass AND NOT granted"


def children(flows: Flowing) -> list[Any]:
    return list(
        flows.product.rows(
            "SELECT r.* FROM flow_runs r JOIN flows f ON f.id = r.flow_id WHERE f.name = 'inner' ORDER BY r.id"
        )
    )


def waits(flows: Flowing, run: UUID) -> None:
    flows.until(run, lambda row: row.state == "waiting")


def test_a_kill_between_the_start_of_a_child_and_its_being_noted_starts_no_second_one(flows: Flowing) -> None:
    flows.flow("inner", [do("x")])
    run = flows.start(flows.flow("f", [CALLS]), {"n": 1})
    engine = flows.core.engine
    with engine.connect() as conn:  # what is noted of steps waits for this one
        conn.exec_driver_sql("SET LOCAL ROLE NONE")
        conn.exec_driver_sql("LOCK TABLE flow_steps IN SHARE MODE")
        flows.engine.drain()
        until = time.monotonic() + 8
        while not (found := conn.exec_driver_sql(_BACKENDS).all()) and time.monotonic() < until:
            time.sleep(0.01)
        assert found, "the run was started, and its step is about to be noted"
        for row in found:
            conn.exec_driver_sql("SELECT pg_terminate_backend(%s)", (row.pid,))
    flows.engine = flows.another()
    with engine.connect() as conn:
        conn.exec_driver_sql("UPDATE due SET due_at = now(), leased = false, epoch = epoch + 1 WHERE kind = 'flow'")
    assert flows.ended(run).state == "completed"
    assert len(children(flows)) == 1
    assert flows.pretend.names() == ["do x"]


def test_a_worker_that_died_after_it_had_started_a_child_leaves_that_one_to_be_waited_for(flows: Flowing) -> None:
    flows.flow("inner", [do("x"), SLEEP])
    run = flows.start(flows.flow("f", [CALLS, do("y")]), {"n": 1})
    waits(flows, run)
    with flows.core.engine.connect() as conn:
        conn.exec_driver_sql("UPDATE due SET due_at = now(), leased = false, epoch = epoch + 1 WHERE kind = 'flow'")
    flows.engine = flows.another()
    waits(flows, run)
    assert len(children(flows)) == 1


@pytest.mark.parametrize("first_ends", [True, False])
def test_runs_whose_children_have_one_key_share_one_and_only_who_started_it_undoes_it(
    flows: Flowing, *, first_ends: bool
) -> None:
    inner = flows.flow(
        "inner", [do("x"), *([] if first_ends else [SLEEP])], idempotency_key="data.n", output={"of": "steps.x.of"}
    )
    outer = flows.flow("f", [CALLS, SLEEP], output={"of": "steps.child.of"})
    one, two = flows.start(outer, {"n": 7}), None
    waits(flows, one)
    if first_ends:
        flows.until(one, lambda _: flows.steps(one).get("s") == "waiting")
    two = flows.start(outer, {"n": 7})
    waits(flows, two)
    [child] = children(flows)
    assert (child.key, child.parent_id, child.flow_id) == ("7", one, inner)
    if not first_ends:
        waits(flows, child.id)
        with flows.core.engine.connect() as conn:  # the day is over
            conn.exec_driver_sql(
                "UPDATE flow_steps SET note = '{\"until\": \"2020-01-01T00:00:00Z\"}' WHERE path = 's'"
            )
        flows.hurry(child.id)
    flows.until(two, lambda _: flows.steps(two).get("s") == "waiting")
    assert flows.step(two, "child").result == {"of": "x"}
    act(flows, acting.cancel, two)
    assert flows.ended(two).state == "cancelled"
    assert children(flows)[0].state == "completed"
    act(flows, acting.cancel, one)
    assert flows.ended(one).state == "cancelled"
    assert children(flows)[0].state == "compensated"
    assert flows.pretend.names() == ["do x", "undo x"]


@pytest.mark.parametrize(
    ("more", "state"),
    [
        ({"on_error": "continue"}, "completed"),
        ({"on_error": "fail"}, "failed"),
        ({"undo": "none"}, "compensated"),
        ({}, "compensated"),
        ({"on_error": {"call": "erp.thing.instead", "with": {"of": {"value": "i"}}}}, "completed"),
    ],
)
def test_a_child_whose_time_is_over_is_cancelled_and_undone(flows: Flowing, more: dict[str, Any], state: str) -> None:
    flows.flow("inner", [do("x"), SLEEP])
    run = flows.start(flows.flow("f", [{**CALLS, "timeout": "400ms", **more}]), {"n": 1})
    assert flows.ended(run).state == state
    assert flows.step(run, "child").error["code"] == "STEP_TIMEOUT"
    [child] = children(flows)
    assert flows.ended(child.id).state == "cancelled"
    assert [name for name in flows.pretend.names() if name != "instead i"] == ["do x", "undo x"]


def test_a_child_is_stopped_with_the_branch_that_it_lies_in(flows: Flowing) -> None:
    flows.flow("inner", [do("x"), SLEEP])
    begun = threading.Event()
    flows.pretend.answers["thing.do"] = lambda given: begun.set() or given
    asks = {"id": "q", "approve": {"message": "ok?"}, "on_error": "fail"}
    both = {"id": "p", "parallel": {"a": [CALLS], "b": [asks]}}
    run = flows.start(flows.flow("f", [both]), {"n": 1})
    flows.until(run, lambda row: row.state == "waiting" and begun.is_set())
    act(flows, acting.decide, run, "q", approved=False, roles=["admin"])
    assert flows.ended(run).state == "failed"
    [child] = children(flows)
    assert flows.ended(child.id).state == "cancelled"
