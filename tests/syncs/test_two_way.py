"""Both sides of a two-way job may change: they come together, no edit is lost, and nothing goes back and forth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from server.syncs import progress
from server.syncs.ends import TargetEnd
from tests.syncs.pairing import Sides, pair, prepare

if TYPE_CHECKING:
    from tests.syncs.running import Syncing


@pytest.fixture
def syncing(syncing: Syncing) -> Syncing:
    prepare(syncing)
    return syncing


@pytest.fixture
def sides(syncing: Syncing) -> Sides:
    return Sides(syncing)


def both(sides: Sides) -> dict[int, dict[str, Any]]:
    """Return what both sides hold, which is the same."""
    assert sides.rows("source") == sides.rows("target")
    return sides.rows("source")


@pytest.mark.parametrize("cursors", [False, True])
def test_what_is_new_or_changed_on_either_side_comes_to_the_other(syncing, sides, cursors):
    pair(syncing, cursors=cursors)
    for number in range(12):
        sides.edit("source", number, name=f"s{number}")
    sides.edit("target", 50, name="t50")
    row = syncing.run()
    assert (row.state, row.written, row.refused) == ("succeeded", 13, 0), row.error
    assert len(both(sides)) == 13
    sides.edit("source", 1, name="changed here")
    sides.edit("target", 2, email="changed there")
    sides.edit("target", 1, email="other field")
    assert syncing.run().written == 2
    found = both(sides)
    assert (found[1]["name"], found[1]["email"]) == ("changed here", "other field")
    assert found[2] == {"name": "s2", "email": "changed there", "credit": "1.00"}
    row = syncing.run()
    assert (row.written, row.refused) == (0, 0), "what we wrote ourselves is no change"


def test_what_we_wrote_and_is_read_again_as_new_is_no_change(syncing, sides):
    syncing.new(
        """CREATE FUNCTION shop.touch() RETURNS trigger LANGUAGE plpgsql AS
           'BEGIN NEW.changed_at := clock_timestamp(); RETURN NEW; END'"""
    )
    syncing.new("CREATE TRIGGER t BEFORE INSERT OR UPDATE ON shop.customers FOR EACH ROW EXECUTE FUNCTION shop.touch()")
    pair(syncing, cursors=True)
    for number in range(5):
        sides.edit("source", number)
    syncing.run()
    row = syncing.run()
    assert row.written == 0
    assert row.read >= 1


@pytest.mark.parametrize(
    ("policy", "first", "wins"),
    [
        ("source_wins", "source", "source"),
        ("source_wins", "target", "source"),
        ("target_wins", "source", "target"),
        ("newest", "source", "target"),
        ("newest", "target", "source"),
    ],
)
def test_a_field_changed_on_both_sides_goes_by_its_policy(syncing, sides, policy, first, wins):
    pair(syncing, fields={"email": policy})
    sides.edit("source", 1)
    syncing.run()
    second = "target" if first == "source" else "source"
    sides.edit(first, 1, email=first)
    sides.edit(second, 1, email=second, name="only one side")
    syncing.run()
    assert both(sides)[1] == {"name": "only one side", "email": wins, "credit": "1.00"}


def test_a_manual_conflict_waits_and_the_other_fields_go_on(syncing, sides):
    pair(syncing, fields={"email": "manual"})
    sides.edit("source", 1)
    syncing.run()
    sides.edit("source", 1, email="mine", name="new")
    sides.edit("target", 1, email="theirs", credit="7.00")
    row = syncing.run()
    assert row.written == 1
    assert sides.rows("source")[1] == {"name": "new", "email": "mine", "credit": "7.00"}
    assert sides.rows("target")[1] == {"name": "new", "email": "theirs", "credit": "7.00"}
    [conflict] = syncing.product.rows("SELECT * FROM sync_conflicts")
    assert (conflict.state, conflict.source_key) == ("open", [1])
    assert conflict.fields == {"email": {"base": "e", "source": "mine", "target": "theirs"}}
    assert syncing.run().written == 0
    assert len(syncing.product.rows("SELECT * FROM sync_conflicts")) == 1
    sides.edit("target", 1, email="mine")
    syncing.run()
    assert both(sides)[1]["email"] == "mine"
    [conflict] = syncing.product.rows("SELECT * FROM sync_conflicts")
    assert conflict.state == "resolved", "people settled it over there"


@pytest.mark.parametrize("at", range(1, 8))
def test_an_edit_after_a_kill_between_writing_and_checkpoint_is_not_taken_for_a_conflict(
    syncing, sides, monkeypatch, at
):
    pair(syncing, default="target_wins")
    sides.edit("source", 1)
    syncing.run()
    sides.edit("source", 1, name="mine")
    sides.edit("target", 1, email="theirs")
    with monkeypatch.context() as patch:
        dying(patch, at)
        died = died_in(syncing.run)
    written = sides.rows("target")[1]["name"] == "mine"
    sides.edit("source", 1, name="again")
    syncing.ours("UPDATE due SET due_at = now() - interval '1 minute'")
    while syncing.slice():
        pass
    syncing.run()
    assert both(sides)[1] == {"name": "again", "email": "theirs", "credit": "1.00"}, (died, written)


def dying(patch: pytest.MonkeyPatch, at: int) -> None:
    """Die after the nth write or before the nth checkpoint, whichever comes as number `at`."""
    calls: list[int] = []
    write, save = TargetEnd.write, progress.save

    def step() -> None:
        calls.append(1)
        if len(calls) == at:
            raise SystemExit

    def writes(self: Any, to: Any, batch: Any) -> Any:
        result = write(self, to, batch)
        step()
        return result

    def saves(conn: Any, run: Any) -> None:
        step()
        save(conn, run)

    patch.setattr(TargetEnd, "write", writes)
    patch.setattr(progress, "save", saves)


def died_in(work: Any) -> bool:
    try:
        work()
    except SystemExit:
        return True
    return False
