"""Apply is one transaction: versions, aggregates and their events together, or nothing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from sqlalchemy.exc import DBAPIError

from server.authoring import applying, crud
from server.kernel.errors import Conflict, Invalid
from server.store import journal
from server.webhooks.repository import WEBHOOKS
from tests.support.definitions import ALL, ORDER_CREATED, ORDERS, SIGNED, WAREHOUSE, changed

if TYPE_CHECKING:
    from tests.authoring_db.conftest import Hand


def done(applied: applying.Applied) -> list[tuple[str, str, int]]:
    return [(each.action, each.name, each.version) for each in applied.changes]


def apply_and_break(hand: Hand) -> None:
    with hand.begin() as tx:
        applying.apply(tx, hand.define(tx, ALL), "folder:main")
        tx.run("SELECT 1 / 0")


def test_what_is_applied_is_active_and_journalled(hand: Hand) -> None:
    applied = hand.apply(*ALL)
    assert done(applied) == [("create", "order.created@1", 1), ("create", "warehouse", 1), ("create", "orders", 1)]
    assert (hand.state("integrations", "warehouse"), hand.state("webhooks", "orders")) == ("active", "active")
    assert hand.types() == [
        "crossdock.integration.created",
        "crossdock.integration.activated",
        "crossdock.webhook.created",
        "crossdock.webhook.activated",
    ]
    assert [row.type for row in hand.rows("SELECT type FROM events ORDER BY uid")] == hand.types()


def test_the_aggregate_has_the_body_its_version_and_its_metadata(hand: Hand) -> None:
    hand.apply(*ALL)
    with hand.begin() as tx:
        webhook = WEBHOOKS.get(tx, "orders")
        assert (webhook.definition_version, webhook.metadata) == (1, {"team": "sales"})
        assert webhook.body["retry"]["jitter"] == Decimal("0.20")
        assert vars(journal.load(tx, type(webhook), webhook.id)) == vars(webhook)
        assert [each.aggregate.name for each in WEBHOOKS.page(tx, metadata={"team": "sales"})] == ["orders"]


def test_unchanged_definitions_write_nothing_at_all(hand: Hand) -> None:
    hand.apply(*ALL)
    before = hand.snapshot()
    applied = hand.apply(*ALL, prune=True)
    assert (applied.changes, applied.unchanged) == ((), 3)
    assert hand.snapshot() == before


def test_of_many_only_the_changed_one_is_written(hand: Hand) -> None:
    hand.apply(*ALL)
    before = hand.snapshot()
    applied = hand.apply(changed(WAREHOUSE, "description: new"), ORDER_CREATED, ORDERS)
    assert (done(applied), applied.unchanged) == ([("change", "warehouse", 2)], 2)
    after = hand.snapshot()
    assert after["webhooks"] == before["webhooks"]
    kept = [row for row in after["definitions"] if row in before["definitions"]]
    assert len(kept) == 2
    assert hand.types()[-1:] == ["crossdock.integration.changed"]


def test_a_failing_last_definition_leaves_nothing(hand: Hand) -> None:
    hand.apply(ORDER_CREATED)
    with hand.begin() as tx:
        tx.run("SELECT 1")
    before = hand.snapshot()
    with pytest.raises(Invalid) as refused:
        hand.apply(WAREHOUSE, changed(ORDER_CREATED, "description: new"), ORDERS, SIGNED)
    assert refused.value.code == "SECRET_MISSING"
    assert [each["line"] for each in refused.value.details["findings"]] == [10]
    assert hand.snapshot() == before


def test_a_database_that_fails_at_the_last_step_leaves_nothing(hand: Hand) -> None:
    before = hand.snapshot()
    with pytest.raises(DBAPIError):
        apply_and_break(hand)
    assert hand.snapshot() == before


def test_versions_count_up_and_keep_each_body_and_who_made_it(hand: Hand) -> None:
    hand.apply(WAREHOUSE)
    hand.apply(changed(WAREHOUSE, "description: b"))
    hand.apply(prune=True)
    rows = hand.rows("SELECT version, action, origin, by, body FROM definition_versions ORDER BY version")
    assert [(row.version, row.action) for row in rows] == [(1, "create"), (2, "change"), (3, "remove")]
    assert {(row.origin, row.by) for row in rows} == {("folder:main", "user:anna")}
    assert [row.body.get("description") for row in rows] == [None, "b", "b"]


def test_prune_archives_softly_and_applying_again_restores_the_same_one(hand: Hand) -> None:
    hand.apply(*ALL)
    (first,) = hand.rows("SELECT id FROM webhooks")
    assert done(hand.apply(prune=True))[0] == ("remove", "orders", 2)
    (gone,) = hand.rows("SELECT state, deleted_at, deleted_by FROM webhooks")
    assert (gone.state, gone.deleted_at is not None, gone.deleted_by) == ("archived", True, "user:anna")
    assert done(hand.apply(*ALL))[-1] == ("create", "orders", 3)
    (back,) = hand.rows("SELECT id, state, deleted_at, definition_version FROM webhooks")
    assert (back.id, back.state, back.deleted_at, back.definition_version) == (first.id, "active", None, 3)


def test_a_moved_base_is_refused_and_nothing_is_applied(hand: Hand) -> None:
    base = hand.plan(WAREHOUSE).base
    hand.apply(ORDER_CREATED)
    before = hand.snapshot()
    with pytest.raises(Conflict) as refused:
        hand.apply(WAREHOUSE, base=base)
    assert refused.value.code == "BASE_MOVED"
    assert hand.snapshot() == before
    hand.apply(WAREHOUSE, base=refused.value.details["current"])
    assert hand.state("integrations", "warehouse") == "active"


def test_another_origins_definition_is_a_conflict(hand: Hand) -> None:
    hand.apply(WAREHOUSE, origin="folder:other")
    with pytest.raises(Conflict) as refused:
        hand.apply(changed(WAREHOUSE, "description: mine"))
    assert refused.value.code == "OWNED_ELSEWHERE"
    hand.apply(origin="folder:other", prune=True)
    hand.apply(WAREHOUSE)
    assert hand.rows("SELECT origin FROM definitions")[0].origin == "folder:main"


def test_several_kinds_of_error_come_under_one_code_with_every_place(hand: Hand) -> None:
    hand.apply(WAREHOUSE, origin="folder:other")
    with pytest.raises(Conflict) as refused:
        hand.apply(changed(WAREHOUSE, "description: mine"), SIGNED)
    assert refused.value.code == "PLAN_REFUSED"
    assert [each["code"] for each in refused.value.details["findings"]] == ["OWNED_ELSEWHERE", "SECRET_MISSING"]


@pytest.mark.parametrize(
    ("moves", "kept"),
    [(["pause"], "paused"), (["disable"], "disabled"), ([], "active")],
)
def test_a_new_version_leaves_what_a_person_did(hand: Hand, moves: list[str], kept: str) -> None:
    hand.apply(*ALL)
    for action in moves:
        with hand.begin() as tx:
            crud.act(tx, "Webhook", "orders", action, lambda _: None)  # type: ignore[arg-type]
    hand.apply(WAREHOUSE, ORDER_CREATED, changed(ORDERS, "description: new"))
    assert hand.state("webhooks", "orders") == kept


def test_active_false_is_the_one_state_that_a_file_sets(hand: Hand) -> None:
    hand.apply(WAREHOUSE, ORDER_CREATED, changed(ORDERS, "active: false"))
    assert hand.state("webhooks", "orders") == "draft"
    hand.apply(*ALL)
    assert hand.state("webhooks", "orders") == "active"
    with hand.begin() as tx:
        crud.act(tx, "Webhook", "orders", "pause", lambda _: None)
    hand.apply(WAREHOUSE, ORDER_CREATED, changed(ORDERS, "active: false"))
    assert hand.state("webhooks", "orders") == "draft"


def test_a_state_set_by_hand_against_the_file_is_put_right_without_a_new_version(hand: Hand) -> None:
    off = changed(WAREHOUSE, "active: false")
    hand.apply(off)
    with hand.begin() as tx:
        crud.act(tx, "Integration", "warehouse", "activate", lambda _: None)
    assert done(hand.apply(off)) == [("change", "warehouse", 1)]
    assert hand.state("integrations", "warehouse") == "draft"
    assert len(hand.rows("SELECT FROM definition_versions")) == 1


def test_each_change_raises_the_version_of_the_routes_and_nothing_else_does(hand: Hand) -> None:
    start = hand.routes()
    hand.apply(*ALL)
    assert hand.routes() == start + 1
    hand.apply(*ALL)
    assert hand.routes() == start + 1
    with hand.begin() as tx:
        crud.act(tx, "Webhook", "orders", "pause", lambda _: None)
    assert hand.routes() == start + 2
    hand.apply(prune=True)
    assert hand.routes() == start + 3


def test_an_integration_that_goes_between_check_and_apply_is_noticed(hand: Hand) -> None:
    hand.apply(WAREHOUSE, origin="api")
    with hand.begin() as tx:
        checked = hand.define(tx, [ORDERS])
    hand.apply(origin="api", prune=True)
    with pytest.raises(Conflict) as refused, hand.begin() as tx:
        applying.apply(tx, checked, "folder:main")
    assert refused.value.code == "BASE_MOVED"
    assert hand.state("webhooks", "orders") is None


def test_two_applies_at_once_wait_for_each_other(hand: Hand) -> None:
    def apply(number: int) -> int:
        return len(hand.apply(changed(WAREHOUSE, f"description: v{number % 2}")).changes)

    with ThreadPoolExecutor(6) as pool:
        changes = list(pool.map(apply, range(6)))
    versions = hand.rows("SELECT count(*) AS n FROM definition_versions")[0].n
    assert sum(changes) == versions
    (row,) = hand.rows("SELECT definition_version, version FROM integrations")
    assert row.definition_version == versions
    assert row.version == versions + 1


def test_two_workspaces_apply_apart(hand: Hand, neighbour: Hand) -> None:
    hand.apply(*ALL)
    neighbour.apply(WAREHOUSE)
    neighbour.apply(prune=True)
    assert hand.state("integrations", "warehouse") == "active"
    assert len(hand.rows("SELECT FROM definitions")) == 3
