"""Any version can be re-applied: as a new one, checked against the workspace of today."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from server.authoring import versions
from server.kernel.errors import Conflict, Invalid, NotFound
from tests.support.definitions import ALL, ORDER_CREATED, ORDERS, SIGNED, WAREHOUSE, changed

if TYPE_CHECKING:
    from server.authoring.applying import Done
    from tests.authoring_db.conftest import Hand


def back(hand: Hand, kind: str, name: str, version: int | None = None) -> Done | None:
    with hand.begin("user:oncall") as tx:
        return versions.rollback(tx, hand.world, kind, name, version)


def history(hand: Hand, kind: str, name: str) -> list[tuple[int, str, str]]:
    with hand.begin() as tx:
        return [(each.version, each.action, each.by) for each in versions.history(tx, kind, name)]


def test_a_rollback_is_a_new_version_with_the_content_of_the_one_before(hand: Hand) -> None:
    hand.apply(WAREHOUSE)
    hand.apply(changed(WAREHOUSE, "description: new"))
    done = back(hand, "Integration", "warehouse")
    assert done is not None
    assert (done.action, done.version) == ("rollback", 3)
    assert history(hand, "Integration", "warehouse") == [
        (3, "rollback", "user:oncall"),
        (2, "change", "user:anna"),
        (1, "create", "user:anna"),
    ]
    (row,) = hand.rows("SELECT body, definition_version FROM integrations")
    assert ("description" in row.body, row.definition_version) == (False, 3)
    assert hand.rows("SELECT origin FROM definitions")[0].origin == "folder:main"


def test_any_version_can_be_named(hand: Hand) -> None:
    for text in ("a", "b", "c"):
        hand.apply(changed(WAREHOUSE, f"description: {text}"))
    back(hand, "Integration", "warehouse", 1)
    assert hand.rows("SELECT body FROM integrations")[0].body["description"] == "a"


def test_rolling_back_to_what_is_there_writes_nothing(hand: Hand) -> None:
    hand.apply(WAREHOUSE)
    before = hand.snapshot()
    assert back(hand, "Integration", "warehouse", 1) is None
    assert hand.snapshot() == before


def test_a_rollback_twice_goes_back_and_forth(hand: Hand) -> None:
    hand.apply(WAREHOUSE)
    hand.apply(changed(WAREHOUSE, "description: new"))
    back(hand, "Integration", "warehouse")
    back(hand, "Integration", "warehouse")
    assert hand.rows("SELECT body FROM integrations")[0].body["description"] == "new"


@pytest.mark.parametrize(("name", "version"), [("warehouse", 7), ("nobody", None), ("nobody", 1)])
def test_what_never_was_is_not_found(hand: Hand, name: str, version: int | None) -> None:
    hand.apply(WAREHOUSE)
    with pytest.raises(NotFound):
        back(hand, "Integration", name, version)


def test_without_an_earlier_version_there_is_nothing_to_go_back_to(hand: Hand) -> None:
    hand.apply(WAREHOUSE)
    with pytest.raises(Conflict) as refused:
        back(hand, "Integration", "warehouse")
    assert refused.value.code == "NO_EARLIER_VERSION"


def test_an_older_version_that_refers_to_what_is_gone_is_refused_with_a_pointer(hand: Hand) -> None:
    hand.apply(*ALL)
    moved = ORDERS.replace("integration: warehouse", "url: https://hooks.example.com/orders")
    hand.apply(ORDER_CREATED, moved, prune=True)
    with pytest.raises(Invalid) as refused:
        back(hand, "Webhook", "orders")
    (error,) = refused.value.details["errors"]
    assert (error["pointer"], error["code"]) == ("/integration", "UNKNOWN_REFERENCE")


def test_an_older_version_whose_secret_is_gone_is_refused(hand: Hand) -> None:
    hand.secret("HOOK_KEY")
    hand.apply(*ALL, SIGNED)
    hand.apply(*ALL, ORDERS.replace("name: orders", "name: signed"))
    hand.rows("DELETE FROM secrets RETURNING name")
    with pytest.raises(Invalid) as refused:
        back(hand, "Webhook", "signed")
    assert refused.value.code == "SECRET_MISSING"
    assert refused.value.details["errors"][0]["pointer"] == "/sign/key/secret"


def test_a_paused_webhook_stays_paused_when_it_is_rolled_back(hand: Hand) -> None:
    from server.authoring import crud

    hand.apply(*ALL)
    hand.apply(WAREHOUSE, ORDER_CREATED, changed(ORDERS, "description: new"))
    with hand.begin() as tx:
        crud.act(tx, "Webhook", "orders", "pause", lambda _: None)
    back(hand, "Webhook", "orders")
    assert hand.state("webhooks", "orders") == "paused"


def test_event_types_have_versions_of_their_text_too(hand: Hand) -> None:
    hand.apply(ORDER_CREATED)
    hand.apply(changed(ORDER_CREATED, "description: new"))
    back(hand, "EventType", "order.created@1")
    assert len(history(hand, "EventType", "order.created@1")) == 3


def test_a_removed_definition_keeps_its_versions_but_is_not_rolled_back(hand: Hand) -> None:
    hand.apply(WAREHOUSE)
    hand.apply(prune=True)
    assert [action for _, action, _ in history(hand, "Integration", "warehouse")] == ["remove", "create"]
    with pytest.raises(NotFound):
        back(hand, "Integration", "warehouse")
