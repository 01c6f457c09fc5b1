"""A breaking change of a schema is refused by every way in, unless the version is raised."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from server.authoring import crud, versions
from server.events.compatibility import SCHEMA_BREAKING
from server.kernel.errors import Invalid
from tests.support.definitions import ORDER_CREATED

if TYPE_CHECKING:
    from tests.authoring_db.conftest import Hand

GROWN = ORDER_CREATED.replace("order_id: {type: string}", "order_id: {type: string}, total: {type: number}")
CLOSED = ORDER_CREATED.replace("type: object,", "type: object, additionalProperties: false,")
NARROWED = ORDER_CREATED.replace("{type: string}", "{type: string, maxLength: 5}")


def body(hand: Hand, text: str) -> dict[str, Any]:
    with hand.begin() as tx:
        [definition] = hand.define(tx, [text])
    found: dict[str, Any] = {key: value for key, value in definition.body.items() if key != "kind"}
    return found


def anything(_: int) -> None:
    """Expect no certain version."""


def test_a_plan_names_every_broken_place_and_an_apply_refuses(hand: Hand) -> None:
    hand.apply(ORDER_CREATED)
    text = NARROWED.replace("[order_id]", "[order_id, total]")
    found = hand.plan(text).errors
    assert [(each.code, each.file, each.line) for each in found] == [(SCHEMA_BREAKING, "f0.yaml", 4)] * 2
    assert "`maxLength` is narrower than it was" in found[1].message
    assert "total is required now" in found[0].message
    before = hand.snapshot()
    with pytest.raises(Invalid) as refused:
        hand.apply(text)
    assert refused.value.code == SCHEMA_BREAKING
    assert hand.snapshot() == before


def test_what_grows_is_applied_and_so_is_the_same_under_a_new_version(hand: Hand) -> None:
    hand.apply(ORDER_CREATED)
    hand.apply(GROWN)
    hand.apply(GROWN, NARROWED.replace("version: 1", "version: 2"))
    assert [row.name for row in hand.rows("SELECT name FROM definitions ORDER BY name")] == [
        "order.created@1",
        "order.created@2",
    ]


def test_what_was_removed_has_promised_too(hand: Hand) -> None:
    hand.apply(ORDER_CREATED)
    hand.apply(prune=True)
    assert [each.code for each in hand.plan(CLOSED).errors] == [SCHEMA_BREAKING]
    assert hand.plan(GROWN).errors == []


def test_rest_refuses_it_with_a_pointer(hand: Hand) -> None:
    with hand.begin() as tx:
        crud.create(tx, hand.world, "EventType", body(hand, ORDER_CREATED))
    for text, pointer in (
        (CLOSED, "/schema/additionalProperties"),
        (NARROWED, "/schema/properties/order_id/maxLength"),
    ):
        with pytest.raises(Invalid) as refused, hand.begin() as tx:
            crud.replace(tx, hand.world, "EventType", "order.created@1", body(hand, text), anything)
        assert (refused.value.code, refused.value.details["errors"][0]["pointer"]) == (SCHEMA_BREAKING, pointer)
    with hand.begin() as tx:
        assert crud.replace(tx, hand.world, "EventType", "order.created@1", body(hand, GROWN), anything)


def test_a_schema_that_has_grown_is_not_rolled_back(hand: Hand) -> None:
    hand.apply(ORDER_CREATED)
    hand.apply(GROWN)
    with pytest.raises(Invalid) as refused, hand.begin() as tx:
        versions.rollback(tx, hand.world, "EventType", "order.created@1")
    assert refused.value.code == SCHEMA_BREAKING
    assert "total was taken away" in refused.value.message


def test_a_schema_of_older_rules_may_be_mended(hand: Hand) -> None:
    hand.apply(ORDER_CREATED)
    old = hand.rows("SELECT body::text AS body FROM definitions")[0].body.replace('"string"', '"strange"')
    with hand.begin() as tx:
        tx.run("UPDATE definitions SET body = CAST(:body AS json), hash = 'x'", body=old)
    assert hand.plan(ORDER_CREATED).errors == []


def test_another_workspace_promised_nothing(hand: Hand, neighbour: Hand) -> None:
    hand.apply(ORDER_CREATED)
    assert neighbour.plan(CLOSED).errors == []
