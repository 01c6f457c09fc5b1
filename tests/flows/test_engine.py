"""Runs of flows on a real database: each step once, whatever fails, and all of them undone where they should be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from server.sdk import Permanent, Retryable

if TYPE_CHECKING:
    from tests.flows.running import Flowing

UNDO = {"call": "erp.thing.undo", "with": {"of": "result.of"}}


def do(id_: str, **more: Any) -> dict[str, Any]:
    return {"id": id_, "call": "erp.thing.do", "with": {"of": {"value": id_}}, "undo": UNDO, **more}


def test_steps_are_done_one_after_the_other_and_the_output_is_made_of_them(flows: Flowing) -> None:
    row = flows.run([do("a"), do("b", **{"with": {"of": "steps.a.id"}})], output={"last": "steps.b.of"})
    assert row.state == "completed"
    assert flows.pretend.names() == ["do a", "do thing.do-a"]
    assert row.output == {"last": "thing.do-a"}
    assert [key.rpartition(":")[0].rpartition(":")[2] for _, _, key in flows.pretend.calls if key] == ["a", "b"]


def test_what_was_done_is_undone_newest_first(flows: Flowing) -> None:
    flows.pretend.fails["thing.do"] = [None, None, None, Permanent("no credit", code="CREDIT_LIMIT")]
    items = do("each", for_each="data.items", **{"with": {"of": "item"}}, limit=1)
    row = flows.run([do("a"), items, do("c")], {"items": ["x", "y"]})
    assert row.state == "compensated"
    assert row.error["code"] == "CREDIT_LIMIT"
    assert flows.pretend.names() == ["do a", "do x", "do y", "do c", "undo y", "undo x", "undo a"]
    assert not flows.product.rows("SELECT 1 FROM dead_letters")
    assert not flows.product.rows("SELECT 1 FROM due WHERE kind = 'flow'")


def test_what_may_pass_is_tried_again_with_the_same_key(flows: Flowing) -> None:
    flows.pretend.fails["thing.do"] = [Retryable("busy"), Retryable("busy")]
    row = flows.run([do("a")])
    assert row.state == "completed"
    assert len(flows.pretend.calls) == 3
    assert len({key for _, _, key in flows.pretend.calls}) == 1


def test_a_call_whose_outcome_is_unknown_is_asked_again_and_then_undone(flows: Flowing) -> None:
    flows.pretend.fails["thing.do"] = [Retryable("lost")] * 3
    row = flows.run([do("a")])
    assert row.state == "compensated"
    assert flows.pretend.names() == ["do a", "do a", "do a", "do a", "undo a"]
