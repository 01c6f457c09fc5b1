"""A plan says what an apply would do, and touches nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from server.authoring import crud, planning, versions
from tests.support.definitions import ALL, ORDER_CREATED, ORDERS, SIGNED, WAREHOUSE, changed

if TYPE_CHECKING:
    from server.authoring.planning import Plan
    from tests.authoring_db.conftest import Hand


INBOUND = """
kind: Webhook
name: sender
direction: inbound
path: 'in/{a}'
verify: {scheme: none}
emit: {type: thing.changed, data: {id: body.id}}
"""


def steps(plan: Plan) -> list[tuple[str, str, str]]:
    return [(each.action, each.kind, each.name) for each in plan.changes]


def diff(plan: Plan, number: int = 0) -> list[dict[str, Any]]:
    return [each.as_dict() for each in plan.changes[number].diff]


def test_in_an_empty_workspace_all_is_created_what_is_referred_to_first(hand: Hand) -> None:
    plan = hand.plan(ORDERS, WAREHOUSE, ORDER_CREATED)
    assert steps(plan) == [
        ("create", "EventType", "order.created@1"),
        ("create", "Integration", "warehouse"),
        ("create", "Webhook", "orders"),
    ]
    assert (plan.unchanged, plan.findings, plan.kept) == (0, (), ())
    assert diff(plan, 1) == [
        {"path": "/plugin", "after": "http"},
        {"path": "/config", "after": {"base_url": "https://warehouse.example.com/api"}},
    ]


def test_a_plan_touches_nothing(hand: Hand) -> None:
    hand.apply(*ALL)
    before = hand.snapshot()
    hand.plan(changed(WAREHOUSE, "description: new"), ORDERS, prune=True)
    assert hand.snapshot() == before


def test_what_is_applied_is_unchanged_in_whatever_order_it_is_written(hand: Hand) -> None:
    hand.apply(*ALL)
    assert hand.plan(*ALL).changes == ()
    assert hand.plan(*ALL).unchanged == 3
    as_json = '{"plugin": "http", "kind": "Integration", "name": "warehouse", "config": {"base_url": "https://warehouse.example.com/api"}}'
    assert hand.plan(as_json).changes == ()


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (["description: a"], ["description: b"], [{"path": "/description", "before": "a", "after": "b"}]),
        ([], ["description: b"], [{"path": "/description", "after": "b"}]),
        (["description: a"], [], [{"path": "/description", "before": "a"}]),
        (["tags: [a, b]"], ["tags: [a, c]"], [{"path": "/tags/1", "before": "b", "after": "c"}]),
        (["tags: [a, b]"], ["tags: [a]"], [{"path": "/tags/1", "before": "b"}]),
        (["metadata: {a/b: 1}"], ["metadata: {a/b: '1'}"], [{"path": "/metadata/a~1b", "before": 1, "after": "1"}]),
        (["metadata: {a: 1}"], ["metadata: {a: true}"], [{"path": "/metadata/a", "before": 1, "after": True}]),
    ],
)
def test_a_change_shows_each_field_that_differs(
    hand: Hand, before: list[str], after: list[str], expected: list[dict[str, Any]]
) -> None:
    hand.apply(changed(WAREHOUSE, *before))
    plan = hand.plan(changed(WAREHOUSE, *after))
    assert steps(plan) == [("change", "Integration", "warehouse")]
    assert diff(plan) == expected


def test_without_prune_what_no_file_has_is_kept_and_named(hand: Hand) -> None:
    hand.apply(*ALL)
    plan = hand.plan(WAREHOUSE)
    assert plan.changes == ()
    assert plan.kept == (("EventType", "order.created@1"), ("Webhook", "orders"))


def test_prune_removes_what_refers_before_what_it_refers_to(hand: Hand) -> None:
    hand.apply(*ALL)
    assert steps(hand.plan(prune=True)) == [
        ("remove", "Webhook", "orders"),
        ("remove", "Integration", "warehouse"),
        ("remove", "EventType", "order.created@1"),
    ]


def test_an_endpoint_that_moved_to_another_file_needs_the_old_one_pruned(hand: Hand) -> None:
    hand.apply(INBOUND.replace("{a}", "{b}"))
    new = INBOUND.replace("name: sender", "name: other")
    with pytest.raises(AssertionError, match="ROUTE_CONFLICT"):
        hand.apply(new)
    hand.apply(new.replace("in/{a}", "in/c"))
    hand.apply(new, prune=True)


def test_prune_leaves_what_others_own(hand: Hand) -> None:
    hand.apply(WAREHOUSE, origin="folder:other")
    hand.apply(ORDER_CREATED, origin="api")
    assert hand.plan(prune=True).changes == ()


@pytest.mark.parametrize(
    ("owner", "way"), [("folder:other", "apply that with --prune"), ("api", "delete it over the API first")]
)
def test_what_another_origin_owns_is_an_error_that_names_it_and_the_way_out(hand: Hand, owner: str, way: str) -> None:
    hand.apply(WAREHOUSE, origin=owner)
    plan = hand.plan(ORDER_CREATED, WAREHOUSE)
    (finding,) = plan.errors
    assert (finding.code, finding.file, finding.line, finding.col) == ("OWNED_ELSEWHERE", "f1.yaml", 1, 1)
    assert f"integration/warehouse belongs to {owner}" in finding.message
    assert way in finding.message


def test_a_secret_that_the_workspace_lacks_is_an_error_with_its_place(hand: Hand) -> None:
    hand.apply(*ALL)
    (finding,) = hand.plan(SIGNED).errors
    assert str(finding).startswith("f0.yaml:10:17 SECRET_MISSING the workspace has no secret HOOK_KEY")
    hand.secret("HOOK_KEY")
    assert hand.plan(SIGNED).errors == []


def test_a_secret_of_another_workspace_does_not_help(hand: Hand, neighbour: Hand) -> None:
    neighbour.secret("HOOK_KEY")
    hand.apply(*ALL)
    assert [each.code for each in hand.plan(SIGNED).errors] == ["SECRET_MISSING"]


def test_a_field_of_the_data_that_is_called_secret_is_no_secret(hand: Hand) -> None:
    hand.apply(*ALL)
    mapped = changed(ORDERS, "map: {secret: data.order_id}")
    assert hand.plan(mapped).errors == []


def test_removing_what_another_origin_refers_to_is_an_error(hand: Hand) -> None:
    hand.apply(WAREHOUSE, ORDER_CREATED)
    hand.apply(ORDERS, origin="folder:other")
    plan = hand.plan(prune=True)
    assert [each.code for each in plan.errors] == ["STILL_REFERRED", "STILL_REFERRED"]
    messages = " ".join(each.message for each in plan.errors)
    assert "integration/warehouse cannot be removed: webhook/orders of folder:other refers to it" in messages
    assert "event-type/order.created cannot be removed" in messages


def test_a_removed_event_type_that_a_file_refers_to_is_an_error_at_that_file(hand: Hand) -> None:
    hand.apply(*ALL)
    (finding,) = hand.plan(WAREHOUSE, ORDERS, prune=True).errors
    assert (finding.code, finding.file) == ("STILL_REFERRED", "f1.yaml")


def test_one_version_of_an_event_type_may_go_while_another_stays(hand: Hand) -> None:
    hand.apply(*ALL)
    plan = hand.plan(WAREHOUSE, ORDER_CREATED.replace("version: 1", "version: 2"), ORDERS, prune=True)
    assert plan.errors == []
    assert steps(plan) == [("create", "EventType", "order.created@2"), ("remove", "EventType", "order.created@1")]


def test_the_base_moves_with_the_origin_and_with_no_other(hand: Hand) -> None:
    first = hand.plan(*ALL).base
    assert hand.plan(WAREHOUSE, prune=True).base == first
    hand.apply(ORDER_CREATED, origin="folder:other")
    assert hand.plan(WAREHOUSE).base == first
    hand.apply(WAREHOUSE)
    second = hand.plan(WAREHOUSE).base
    assert second != first
    assert hand.plan(WAREHOUSE, origin="folder:other").base not in (first, second)


def test_what_was_rolled_back_shows_as_drift_until_the_folder_agrees(hand: Hand) -> None:
    hand.apply(WAREHOUSE)
    hand.apply(changed(WAREHOUSE, "description: new"))
    with hand.begin("user:oncall") as tx:
        versions.rollback(tx, hand.world, "Integration", "warehouse")
    (change,) = hand.plan(changed(WAREHOUSE, "description: new")).changes
    assert change.drift is not None
    assert change.drift.startswith("rolled back over api by user:oncall at 2")
    assert hand.plan(WAREHOUSE).changes == ()


def test_what_was_forced_over_the_api_shows_as_drift(hand: Hand) -> None:
    hand.apply(WAREHOUSE)
    body = {"name": "warehouse", "plugin": "http", "description": "by hand"}
    with hand.begin("user:oncall") as tx:
        crud.replace(tx, hand.world, "Integration", "warehouse", body, lambda _: None, force=True)
    (change,) = hand.plan(WAREHOUSE).changes
    assert change.drift is not None
    assert change.drift.startswith("changed over api by user:oncall at 2")
    with hand.begin("user:oncall") as tx:
        crud.remove(tx, "Integration", "warehouse", lambda _: None, force=True)
    (change,) = hand.plan(WAREHOUSE).changes
    assert change.action == "create"
    assert change.drift is not None
    assert change.drift.startswith("removed over api by user:oncall at 2")


def test_a_draft_that_its_file_wants_active_is_a_change_and_a_paused_one_is_none(hand: Hand) -> None:
    hand.apply(changed(WAREHOUSE, "active: false"))
    with hand.begin() as tx:
        crud.act(tx, "Integration", "warehouse", "activate", lambda _: None)
    (change,) = hand.plan(changed(WAREHOUSE, "active: false")).changes
    assert [each.as_dict() for each in change.diff] == [{"path": "/active", "before": True, "after": False}]
    hand.apply(WAREHOUSE)
    with hand.begin() as tx:
        crud.act(tx, "Integration", "warehouse", "pause", lambda _: None)
    assert hand.plan(WAREHOUSE).changes == ()


def test_two_workspaces_plan_apart(hand: Hand, neighbour: Hand) -> None:
    hand.apply(*ALL)
    assert len(neighbour.plan(*ALL).changes) == 3
    assert neighbour.plan(prune=True).changes == ()


def test_kinds_are_written_as_people_write_them() -> None:
    assert planning.label("EventType", "order.created@1") == "event-type/order.created@1"
    assert planning.label("SyncJob", "customers") == "sync-job/customers"
