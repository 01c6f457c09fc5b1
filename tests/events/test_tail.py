"""The stream reads in the order of commits: nothing is lost, nothing comes twice, and no slow transaction holds it up."""

from __future__ import annotations

import random
import threading
import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from server.events import tail
from server.events.envelope import NewEvent
from server.events.position import Position
from server.kernel.errors import Conflict, Invalid

if TYPE_CHECKING:
    from server.store import Scope
    from tests.support.product import Product


def publish(product: Product, *ids: str, scope: Scope | None = None) -> None:
    with product.tx(scope) as tx:
        product.core.publisher.publish(tx, [NewEvent(type="order.created", data="{}", id=each) for each in ids])


def read_on(
    product: Product, position: Position, limit: int = 100, scope: Scope | None = None
) -> tuple[list[str], Position]:
    """Read page by page to the present end, each from the id of the page before as it stands on the wire."""
    ids: list[str] = []
    while True:
        with product.tx(scope) as tx:
            page = tail.page(tx.conn, [tx.scope.workspace_id], Position.read(str(position)), limit)
        ids += [told.event.id for told in page.told]
        position = page.rest
        if page.ended:
            return ids, position


def here(product: Product, since: datetime | None = None) -> Position:
    with product.tx() as tx:
        return tail.here(tx.conn, tx.scope.workspace_id, since)


def test_what_commits_late_with_an_older_id_is_not_lost_and_holds_up_nothing(product: Product) -> None:
    start = here(product)
    with ExitStack() as slow:
        tx = slow.enter_context(product.tx())
        product.core.publisher.publish(tx, [NewEvent(type="order.created", data="{}", id="slow")])
        publish(product, "quick-1", "quick-2")
        before, position = read_on(product, start)
        assert before == ["quick-1", "quick-2"]
        again, position = read_on(product, position)
        assert again == []
    publish(product, "later")
    after, position = read_on(product, position)
    assert after == ["slow", "later"]
    assert read_on(product, position)[0] == []


def test_a_page_that_ends_within_a_transaction_goes_on_within_it(product: Product) -> None:
    start = here(product)
    publish(product, *(f"e{number}" for number in range(7)))
    publish(product, "last")
    assert read_on(product, start, limit=3)[0] == [*(f"e{number}" for number in range(7)), "last"]


def test_the_past_comes_first_and_then_what_commits(product: Product) -> None:
    publish(product, "a", "b")
    with ExitStack() as slow:
        tx = slow.enter_context(product.tx())
        product.core.publisher.publish(tx, [NewEvent(type="order.created", data="{}", id="slow")])
        publish(product, "c")
        start = here(product, datetime.now(UTC) - timedelta(hours=1))
    assert read_on(product, start, limit=2)[0] == ["a", "b", "c", "slow"]
    assert read_on(product, here(product, datetime.now(UTC) + timedelta(hours=1)))[0] == []


def test_a_place_goes_no_further_than_the_last_event(product: Product) -> None:
    """A crash may take back transactions that nobody waited for, and their numbers are given out again."""
    start = here(product)
    publish(product, "a")
    [row] = product.rows("SELECT xid FROM events")
    for _ in range(5):
        with product.tx() as tx:
            tx.run("SELECT pg_current_xact_id()")
    ids, position = read_on(product, start)
    assert (ids, position) == (["a"], Position(int(row.xid) + 1))
    assert read_on(product, position) == ([], position)


def test_another_workspace_is_never_told(product: Product) -> None:
    other = product.workspace("acme", "other")
    start = here(product)
    publish(product, "ours")
    publish(product, "theirs", scope=other)
    assert read_on(product, start)[0] == ["ours"]
    assert read_on(product, start, scope=other)[0] == ["theirs"]
    with product.tx(other) as tx:  # even one that asks for ours gets nothing: the fence of the database holds
        assert tail.page(tx.conn, [product.scope.workspace_id], start, 10).told == []


def test_every_id_that_was_told_is_a_place_to_go_on_from(product: Product) -> None:
    """Publishers commit in any order, readers stop anywhere: each sees each event once, from whichever id it goes on."""
    start = here(product)
    stop = threading.Event()
    random_ = random.Random(7)
    seeds = [random_.random() for _ in range(4)]

    def publisher(number: int) -> None:
        mine = random.Random(seeds[number])
        for count in range(25):
            with product.tx() as tx:
                news = [
                    NewEvent(type="order.created", data="{}", id=f"{number}-{count}-{part}")
                    for part in range(mine.randint(1, 4))
                ]
                product.core.publisher.publish(tx, news)
                time.sleep(mine.random() * 0.02)

    def reader(number: int, seen: list[str]) -> None:
        mine = random.Random(number)
        position = start
        while True:
            last = stop.is_set()
            with product.tx() as tx:
                page = tail.page(tx.conn, [tx.scope.workspace_id], position, mine.randint(1, 9))
            kept = page.told[: mine.randint(0, len(page.told))]  # it breaks off, and goes on from the last that it had
            seen += [told.event.id for told in kept]
            whole = len(kept) == len(page.told)
            position = Position.read(str(page.rest if whole else kept[-1].position if kept else position))
            if last and whole and page.ended:
                return

    seen: list[list[str]] = [[], [], []]
    publishers = [threading.Thread(target=publisher, args=(number,)) for number in range(4)]
    readers = [threading.Thread(target=reader, args=(number, ids)) for number, ids in enumerate(seen)]
    for thread in (*publishers, *readers):
        thread.start()
    for thread in publishers:
        thread.join()
    stop.set()
    for thread in readers:
        thread.join(30)
    stored = sorted(row.id for row in product.rows("SELECT id FROM events"))
    assert len(stored) > 100
    assert [sorted(ids) for ids in seen] == [stored, stored, stored]


def test_what_a_restored_dump_says_of_transactions_is_forgotten(product: Product) -> None:
    publish(product, "old")
    with product.core.engine.connect() as conn:
        conn.exec_driver_sql("UPDATE events SET xid = '900000000000'")
    start = here(product)
    assert product.rows("SELECT xid FROM events")[0].xid is None
    publish(product, "new")
    assert read_on(product, start)[0] == ["new"]
    assert read_on(product, here(product, datetime.now(UTC) - timedelta(hours=1)))[0] == ["old", "new"]
    with pytest.raises(Conflict, match="later state"):
        read_on(product, Position(900_000_000_000))


TEXTS: list[Any] = [
    "",
    "x",
    "-1",
    "5-6",
    "5-0x",
    "5.p7-" + "0" * 32,
    "5.p4-00",
    "9" * 20,
    "5;DROP",
    "5\n",
    "٥",
    "5.s" + "0" * 31,
    "1" + "-1" * 9000,
]


@pytest.mark.parametrize("text", TEXTS)
def test_what_no_stream_gave_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="not an id"):
        Position.read(text)
