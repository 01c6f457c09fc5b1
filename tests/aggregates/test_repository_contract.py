"""One contract for repositories, held in SQL and in memory."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from server.kernel.errors import Conflict, NotFound, PreconditionFailed
from server.kernel.ids import new_uuid
from server.webhooks.aggregate import Webhook

if TYPE_CHECKING:
    from server.store import Scope
    from tests.aggregates.conftest import Kept

BODY = {"events": ["order.created"], "retry": {"jitter": Decimal("0.20")}}


@pytest.fixture
def here(two_scopes: tuple[Scope, Scope]) -> Scope:
    return two_scopes[0]


def webhook(name: str = "orders", **metadata: object) -> Webhook:
    aggregate = Webhook(new_uuid())
    aggregate.create(name, BODY, 1, metadata)
    return aggregate


def put(kept: Kept, scope: Scope, *aggregates: Webhook) -> None:
    with kept.begin(scope) as tx:
        for aggregate in aggregates:
            kept.repository.add(tx, aggregate)


def restore(kept: Kept, scope: Scope) -> None:
    with kept.begin(scope) as tx:
        gone = kept.repository.find(tx, "orders", deleted=True)
        assert gone is not None
        gone.aggregate.act("restore")
        kept.repository.save(tx, gone.aggregate)


def names(kept: Kept, scope: Scope, **filters: object) -> list[str]:
    with kept.begin(scope) as tx:
        return [each.aggregate.name for each in kept.repository.page(tx, **filters)]  # type: ignore[arg-type]


def test_what_was_added_is_read_back_whole(kept: Kept, here: Scope) -> None:
    new = webhook(team="sales")
    new.activate()
    put(kept, here, new)
    with kept.begin(here) as tx:
        found = kept.repository.get(tx, "orders")
    assert found is not new
    assert (found.id, found.name, found.state, found.version) == (new.id, "orders", "active", 2)
    assert (found.body, found.metadata, found.definition_version) == (BODY, {"team": "sales"}, 1)
    assert str(found.body["retry"]["jitter"]) == "0.20"
    assert (found.uncommitted, found.stored_version, new.stored_version) == ([], 2, 2)


def test_a_stamp_says_who_created_and_who_changed(kept: Kept, here: Scope) -> None:
    put(kept, here, webhook())
    with kept.begin(here) as tx:
        found = kept.repository.find(tx, "orders")
        assert found is not None
        stamp = found.stamp
        assert (stamp.created_by, stamp.updated_by, stamp.deleted_by) == ("user:anna", "user:anna", None)
        assert stamp.created_at == stamp.updated_at
        assert stamp.created_at.tzinfo is not None
        assert stamp.deleted_at is None


def test_a_name_is_taken_once(kept: Kept, here: Scope) -> None:
    put(kept, here, webhook())
    with pytest.raises(Conflict) as refused:
        put(kept, here, webhook())
    assert refused.value.code == "NAME_TAKEN"


def test_what_is_not_there_is_not_found(kept: Kept, here: Scope) -> None:
    with kept.begin(here) as tx:
        assert kept.repository.find(tx, "nobody") is None
        assert kept.repository.find(tx, "nobody", deleted=True) is None
        with pytest.raises(NotFound):
            kept.repository.get(tx, "nobody")


def test_of_two_writers_of_one_version_the_first_wins(kept: Kept, here: Scope) -> None:
    put(kept, here, webhook())
    with kept.begin(here) as tx:
        first = kept.repository.get(tx, "orders")
        second = kept.repository.get(tx, "orders")
    with kept.begin(here) as tx:
        first.activate()
        kept.repository.save(tx, first)
    second.act("archive")
    with pytest.raises(PreconditionFailed), kept.begin(here) as tx:
        kept.repository.save(tx, second)
    with kept.begin(here) as tx:
        assert kept.repository.get(tx, "orders").state == "active"


def test_saving_what_was_never_added_fails(kept: Kept, here: Scope) -> None:
    with pytest.raises(PreconditionFailed), kept.begin(here) as tx:
        kept.repository.save(tx, webhook())


def test_one_can_be_saved_twice_in_a_transaction(kept: Kept, here: Scope) -> None:
    put(kept, here, webhook())
    for action in ("activate", "pause"):
        with kept.begin(here) as tx:
            found = kept.repository.get(tx, "orders")
            found.act(action)  # type: ignore[arg-type]
            kept.repository.save(tx, found)
    with kept.begin(here) as tx:
        assert (kept.repository.get(tx, "orders").state, kept.repository.get(tx, "orders").version) == ("paused", 3)


def test_archiving_hides_and_restoring_brings_back_as_a_draft(kept: Kept, here: Scope) -> None:
    put(kept, here, webhook())
    with kept.begin(here) as tx:
        found = kept.repository.get(tx, "orders")
        found.act("archive")
        kept.repository.save(tx, found)
    assert names(kept, here) == []
    with kept.begin(here) as tx:
        assert kept.repository.find(tx, "orders") is None
        gone = kept.repository.find(tx, "orders", deleted=True)
        assert gone is not None
        assert gone.stamp.deleted_at is not None
        assert gone.stamp.deleted_by == "user:anna"
    restore(kept, here)
    with kept.begin(here) as tx:
        back = kept.repository.find(tx, "orders")
        assert back is not None
        assert (back.aggregate.state, back.stamp.deleted_at, back.stamp.deleted_by) == ("draft", None, None)


def test_an_archived_name_may_be_used_anew(kept: Kept, here: Scope) -> None:
    put(kept, here, webhook())
    with kept.begin(here) as tx:
        live = kept.repository.get(tx, "orders")
        live.act("archive")
        kept.repository.save(tx, live)
    newer = webhook()
    put(kept, here, newer)
    with kept.begin(here) as tx:
        assert kept.repository.get(tx, "orders").id == newer.id
    with pytest.raises(Conflict) as refused:
        restore(kept, here)
    assert refused.value.code == "NAME_TAKEN"


def test_lists_go_by_name_in_pages(kept: Kept, here: Scope) -> None:
    put(kept, here, webhook("c"), webhook("a"), webhook("b"))
    assert names(kept, here) == ["a", "b", "c"]
    assert names(kept, here, limit=2) == ["a", "b"]
    assert names(kept, here, after="b") == ["c"]


def test_lists_are_filtered_by_state_and_by_every_metadata_pair(kept: Kept, here: Scope) -> None:
    active = webhook("active", team="sales", tier=1)
    active.activate()
    put(kept, here, active, webhook("draft", team="sales"), webhook("other", team="it"))
    assert names(kept, here, state="active") == ["active"]
    assert names(kept, here, metadata={"team": "sales"}) == ["active", "draft"]
    assert names(kept, here, metadata={"team": "sales", "tier": 1}) == ["active"]
    assert names(kept, here, metadata={"team": "sales"}, state="draft") == ["draft"]
    assert names(kept, here, metadata={"team": "'; DROP TABLE webhooks"}) == []


def test_what_was_deleted_is_listed_by_its_state_alone(kept: Kept, here: Scope) -> None:
    put(kept, here, webhook("b", team="it"), webhook("a"), webhook("live"))
    for each in ("a", "b"):
        delete(kept, here, each)
    put(kept, here, webhook("b"))
    delete(kept, here, "b")
    assert (names(kept, here), names(kept, here, state="draft")) == (["live"], ["live"])
    assert names(kept, here, state="archived") == ["a", "b"]
    assert names(kept, here, state="archived", limit=1) == ["a"]
    assert names(kept, here, state="archived", after="a") == ["b"]
    with kept.begin(here) as tx:
        [_, last] = kept.repository.page(tx, state="archived")
        newest = kept.repository.find(tx, "b", deleted=True)
        assert newest is not None
        assert last.aggregate.id == newest.aggregate.id


def delete(kept: Kept, scope: Scope, name: str) -> None:
    with kept.begin(scope) as tx:
        found = kept.repository.get(tx, name)
        found.act("archive")
        kept.repository.save(tx, found)


def test_two_workspaces_cannot_see_or_change_each_other(kept: Kept, two_scopes: tuple[Scope, Scope]) -> None:
    mine, theirs = two_scopes
    put(kept, mine, webhook())
    with kept.begin(mine) as tx:
        stolen = kept.repository.get(tx, "orders")
    assert names(kept, theirs) == []
    with kept.begin(theirs) as tx:
        assert kept.repository.find(tx, "orders") is None
    stolen.act("archive")
    with pytest.raises(PreconditionFailed), kept.begin(theirs) as tx:
        kept.repository.save(tx, stolen)
    put(kept, theirs, webhook())
    assert names(kept, mine) == names(kept, theirs) == ["orders"]
