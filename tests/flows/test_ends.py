"""Every run ends: a long one though its workers die again and again, and one whose integration is gone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from server.flows import acting
from server.flows.drain import MOST_CLAIMS
from server.integrations.repository import INTEGRATIONS
from server.sdk import Retryable
from tests.flows.test_acting import act, letters
from tests.flows.test_engine import do

if TYPE_CHECKING:
    from tests.flows.running import Flowing

QUICK = {"attempts": 2, "initial": "10ms", "jitter": 0}


def kill_in(flows: Flowing, *steps: str, claims: int = 0) -> None:
    """Let the worker die in the calls of these steps, as often as they are named, and as if `claims` others had died before it."""
    left = list(steps)

    def dies(given: dict[str, Any]) -> dict[str, Any]:
        if given["of"] in left:
            left.remove(given["of"])
            flows.engine.stop()
            with flows.core.engine.connect() as conn:  # its lease ends, and another has the run
                conn.exec_driver_sql(
                    """UPDATE due SET due_at = now(), leased = false, epoch = epoch + 1, claims = claims + %s
                       WHERE kind = 'flow'""",
                    (claims,),
                )
            flows.engine = flows.another()
        return given

    flows.pretend.answers["thing.do"] = flows.pretend.answers["thing.read"] = dies


def test_a_run_that_gets_on_between_kills_is_no_poison(flows: Flowing) -> None:
    kill_in(flows, "b", "c", "d", claims=MOST_CLAIMS // 2)
    assert flows.run([do(step) for step in "abcde"]).state == "completed"


def test_a_run_that_kills_its_worker_at_one_step_ends_as_poison(flows: Flowing) -> None:
    kill_in(flows, "b", "b", claims=MOST_CLAIMS // 2)
    reads = {"id": "b", "call": "erp.thing.read", "with": {"of": {"value": "b"}}}  # what writes was kept under its key
    row = flows.run([do("a"), reads])
    assert (row.state, row.error["code"]) == ("failed", "FLOW_POISON")


def archive(flows: Flowing, action: str = "archive") -> None:
    with flows.product.tx() as tx:
        found = INTEGRATIONS.find(tx, "erp") or INTEGRATIONS.find(tx, "erp", deleted=True)
        assert found is not None
        found.aggregate.act(action)  # type: ignore[arg-type]
        if action == "restore":
            found.aggregate.activate()
        INTEGRATIONS.save(tx, found.aggregate)
    flows.engine = flows.another()  # what is declared is remembered for a second


def test_a_step_whose_integration_is_archived_fails_and_says_so(flows: Flowing) -> None:
    archive(flows)
    row = flows.run([do("a")])
    assert (row.state, row.error["code"], row.error["source"]) == ("compensated", "INTEGRATION_GONE", "integration/erp")


@pytest.mark.parametrize("known", [True, False])
def test_an_undo_whose_integration_is_archived_is_a_dead_letter_until_it_is_restored(
    flows: Flowing, *, known: bool
) -> None:
    undo = {"call": "erp.thing.undo", "with": {"of": {"value": "a"}}, "retry": QUICK}
    if not known:
        flows.pretend.fails["thing.do"] = [Retryable("lost")]
    lost = {"retry": {**QUICK, "attempts": 2, "initial": "1h"}}
    run = flows.start(flows.flow("f", [do("a", undo=undo, **lost), {"id": "s", "sleep": "1d"}]))
    flows.until(run, lambda row: row.state == "waiting")
    archive(flows)
    act(flows, acting.cancel, run)
    assert flows.ended(run).state == "compensation_failed"
    assert letters(flows) == [("flow", "compensation_failed", None)]
    [letter] = flows.product.rows("SELECT error FROM dead_letters")
    assert (letter.error["code"], letter.error["details"]["call"]) == (
        "INTEGRATION_GONE",
        "erp.thing.undo" if known else "erp.thing.do",
    )
    [step] = flows.product.rows("SELECT undo_tries FROM flow_steps WHERE path = 'a'")
    assert step.undo_tries == 2
    archive(flows, "restore")
    act(flows, acting.retry, run)
    assert flows.ended(run).state == "cancelled"
    assert flows.pretend.names()[-1] == "undo a"
