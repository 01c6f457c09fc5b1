"""Deletes that cross over: what one side has no more goes on the other, within a guard, and never what was edited there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from server.syncs import crossing
from server.syncs.guarding import GUARD_STOPPED
from server.syncs.repository import SYNC_JOBS
from tests.syncs.pairing import Sides, pair, prepare

if TYPE_CHECKING:
    from tests.syncs.running import Syncing

DELETES = {"action": "delete", "max_percent": 50}


@pytest.fixture
def syncing(syncing: Syncing) -> Syncing:
    prepare(syncing)
    return syncing


def world(syncing: Syncing, cursors: bool = True, **deletes: Any) -> Sides:
    """Make a job both ways, with six records on both sides."""
    pair(syncing, cursors=cursors, deletes={**DELETES, **deletes})
    sides = Sides(syncing)
    for number in range(1, 7):
        sides.edit("source", number)
    assert syncing.run().state == "succeeded"
    assert set(sides.rows("target")) == set(range(1, 7))
    return sides


def gone(syncing: Syncing, side: str, *numbers: int) -> None:
    for number in numbers:
        if side == "source":
            syncing.old("DELETE FROM customers WHERE id = ?", number)
        else:
            syncing.new("DELETE FROM shop.customers WHERE external_id = %s", str(number))


def change(syncing: Syncing, **body: Any) -> None:
    with syncing.product.tx() as tx:
        job = SYNC_JOBS.get(tx, "customers")
        job.change({**job.body, **body}, job.definition_version + 1, {})
        SYNC_JOBS.save(tx, job)


def later(syncing: Syncing) -> Any:
    """Run when it is time to look for deletes again."""
    syncing.ours("UPDATE sync_states SET snapshot_at = snapshot_at - interval '25 hours'")
    return syncing.run()


@pytest.mark.parametrize("cursors", [True, False])
def test_what_is_deleted_on_one_side_goes_on_the_other_and_stays_away(syncing: Syncing, cursors: bool) -> None:
    sides = world(syncing, cursors)
    gone(syncing, "source", 1)
    gone(syncing, "target", 2)
    gone(syncing, "source", 3)
    gone(syncing, "target", 3)
    row = later(syncing)
    assert (row.state, row.deleted) == ("succeeded", 2), row.error
    for _ in range(2):
        assert set(sides.rows("source")) == set(sides.rows("target")) == {4, 5, 6}
        assert later(syncing).deleted == 0
    left = syncing.product.rows("SELECT key FROM sync_records WHERE gone_at IS NULL ORDER BY key")
    assert [each.key for each in left] == ["[4]", "[5]", "[6]"]


def test_keys_are_compared_as_often_as_the_job_says(syncing: Syncing) -> None:
    sides = world(syncing, every="1h")
    gone(syncing, "source", 1)
    assert syncing.run().deleted == 0
    assert 1 in sides.rows("target")
    assert later(syncing).deleted == 1


def test_an_edit_outlives_a_delete(syncing: Syncing) -> None:
    sides = world(syncing)
    gone(syncing, "source", 1)
    gone(syncing, "target", 2)
    sides.edit("target", 1, name="kept")
    sides.edit("source", 2, name="kept too")
    assert later(syncing).deleted == 0
    names = {number: row["name"] for number, row in sides.rows("source").items() if number < 3}
    assert names == {1: "kept", 2: "kept too"}
    assert sides.rows("source") == sides.rows("target")


def test_what_was_edited_after_it_was_read_is_not_removed_either(
    syncing: Syncing, monkeypatch: pytest.MonkeyPatch
) -> None:
    sides = world(syncing)
    gone(syncing, "source", 1)
    count = crossing.lost_count

    def edited_meanwhile(*given: Any) -> int:
        sides.edit("target", 1, name="late")
        return count(*given)

    monkeypatch.setattr(crossing, "lost_count", edited_meanwhile)
    row = later(syncing)
    assert (row.state, row.deleted) == ("succeeded", 0)
    monkeypatch.undo()
    syncing.run()
    assert sides.rows("source")[1]["name"] == "late"


@pytest.mark.parametrize(("of", "left"), [("source", {1, 3, 4, 5, 6}), ("target", {2, 3, 4, 5, 6})])
def test_only_the_deletes_of_the_side_that_is_named_cross(syncing: Syncing, of: str, left: set[int]) -> None:
    sides = world(syncing, of=of)
    gone(syncing, "source", 2)
    gone(syncing, "target", 1)
    assert later(syncing).deleted == 1
    assert set(sides.rows("source")) | set(sides.rows("target")) == left


def test_more_than_the_guard_allows_is_not_deleted(syncing: Syncing) -> None:
    sides = world(syncing)
    gone(syncing, "source", 1, 2, 3, 4)
    row = later(syncing)
    assert (row.state, row.error["code"], row.deleted) == ("failed", GUARD_STOPPED, 0)
    assert set(sides.rows("target")) == set(range(1, 7))


def test_what_never_was_on_both_sides_is_nobodys_delete(syncing: Syncing) -> None:
    sides = world(syncing)
    syncing.new("ALTER TABLE shop.customers ADD CONSTRAINT short CHECK (length(name) < 5)")
    change(syncing, guards={"max_error_percent": 100})
    sides.edit("source", 7, name="too long a name")
    row = later(syncing)
    assert (row.state, row.refused, row.deleted) == ("succeeded", 1, 0)
    assert later(syncing).deleted == 0
    assert 7 in sides.rows("source")


def test_what_is_archived_on_the_other_side_stays_archived_there(syncing: Syncing) -> None:
    syncing.new("ALTER TABLE shop.customers ADD COLUMN gone boolean DEFAULT false")
    sides = world(syncing, of="source", action="archive")
    target = {"call": "new.table.write", "schema": "shop", "table": "customers", "match_on": ["external_id"]}
    change(syncing, target={**target, "archive_field": "gone"})
    gone(syncing, "source", 1)
    assert later(syncing).deleted == 1
    syncing.new("UPDATE shop.customers SET changed_at = now() WHERE external_id = '1'")
    assert later(syncing).deleted == 0
    assert 1 not in sides.rows("source")
    assert syncing.new("SELECT external_id FROM shop.customers WHERE gone") == [("1",)]


def test_a_run_that_dies_after_it_has_removed_ends_as_if_it_had_not(
    syncing: Syncing, monkeypatch: pytest.MonkeyPatch
) -> None:
    sides = world(syncing)
    gone(syncing, "source", 1)
    gone(syncing, "target", 2)

    def die(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(crossing, "settle", die)
    syncing.ours("UPDATE sync_states SET snapshot_at = snapshot_at - interval '25 hours'")
    row = syncing.run(slices=1)
    assert row.state == "running"
    assert 1 not in sides.rows("target")
    monkeypatch.undo()
    syncing.ours("UPDATE due SET due_at = now(), leased = false WHERE kind = 'sync'")
    while syncing.slice():
        pass
    assert syncing.row(row.id).state == "succeeded"
    assert set(sides.rows("source")) == set(sides.rows("target")) == {3, 4, 5, 6}
