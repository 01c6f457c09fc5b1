"""What sync jobs add to the tree of an event: its runs, and what became of their records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from server.events import queries, tree
from server.events.envelope import NewEvent
from server.events.routes import touch_routes
from server.kernel.ids import show
from server.syncs.branches import SyncBranch

if TYPE_CHECKING:
    from tests.syncs.running import Syncing

ONE = {"events": ["customer.changed"], "on_event": {"one": "data.id"}}


def publish(syncing: Syncing, *ids: int) -> None:
    """Publish an event for each number, and do what they owe."""
    product = syncing.product
    with product.tx() as tx:
        touch_routes(tx)
    with product.tx() as tx:
        news = [NewEvent(type="customer.changed", id=f"e{each}", data=f'{{"id": {each}}}') for each in ids]
        product.core.publisher.publish(tx, news)
    while syncing.slice():
        pass


def below(syncing: Syncing, event: str, scope: Any = None) -> list[dict[str, Any]]:
    with syncing.product.tx(scope) as tx:
        found, *_ = tree.tree_of(tx, [SyncBranch()], queries.one(tx, event, None)).view()["trees"]
    children: list[dict[str, Any]] = found["children"]
    return children


def test_runs_stand_below_their_event_and_records_below_their_run(syncing: Syncing) -> None:
    syncing.job(**ONE)
    syncing.put(1)
    syncing.put(2, name=None)
    publish(syncing, 1, 2)
    [run] = below(syncing, "e1")
    assert (run["kind"], run["name"], run["state"], run["details"]["key"]) == (
        "sync_run",
        "customers",
        "succeeded",
        "[1]",
    )
    assert (run["details"]["written"], run["details"]["refused"]) == (1, 0)
    [record] = run["children"]
    assert (record["kind"], record["name"], record["state"]) == ("record", "[1]", "inserted")
    [refusal] = below(syncing, "e2")[0]["children"]
    assert (refusal["name"], refusal["state"], refusal["details"]["code"]) == ("[2]", "dead", "EXPR_MISSING")
    [letter] = syncing.product.rows("SELECT id FROM dead_letters")
    assert refusal["details"]["dead_letter"] == show("dead", letter.id)


def test_a_whole_run_tells_of_every_record_that_it_wrote_over(syncing: Syncing) -> None:
    syncing.job(events=["customer.changed"])
    for number in range(3):
        syncing.put(number)
    publish(syncing, 1)
    [run] = below(syncing, "e1")
    assert sorted(each["name"] for each in run["children"]) == ["[0]", "[1]", "[2]"]
    syncing.put(1, name="changed", second=9)
    publish(syncing, 5)
    [again] = below(syncing, "e5")
    assert [(each["name"], each["state"]) for each in again["children"]] == [("[1]", "updated")]


def test_where_nothing_is_kept_of_what_was_there_the_record_of_a_run_of_one_is_told_all_the_same(
    syncing: Syncing,
) -> None:
    target = {"call": "new.table.write", "schema": "shop", "table": "customers", "match_on": ["external_id"]}
    syncing.job(**ONE, target={**target, "revertible": "0s"})
    syncing.put(1)
    publish(syncing, 1)
    assert [(each["name"], each["state"]) for each in below(syncing, "e1")[0]["children"]] == [("[1]", "written")]


def test_a_run_is_found_as_a_cause_and_by_no_neighbour(syncing: Syncing) -> None:
    syncing.job(**ONE)
    syncing.put(1)
    publish(syncing, 1)
    [run] = below(syncing, "e1")
    with syncing.product.tx() as tx:
        [found] = SyncBranch().causes(tx, [run["id"], "run_no", "evt_1"])
        event = queries.one(tx, "e1", None)
    assert (found.id, found.parent) == (run["id"], tree.key_of(event))
    with syncing.product.tx(syncing.product.workspace("rival", "main")) as tx:
        assert SyncBranch().causes(tx, [run["id"]]) == []
        assert SyncBranch().effects(tx, [event], 100) == []
