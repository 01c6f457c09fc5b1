"""Of any number of schedulers one does each chore, once per period, whoever dies and whatever their clocks say."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from sqlalchemy import text

from server.bootstrap import Timer
from server.operations.retention import Chore
from server.scheduler import Scheduler
from server.store import leases, processes

if TYPE_CHECKING:
    from tests.support.product import Product

NAME = "chore:tidy"


def test_a_chore_is_taken_by_one_and_due_again_a_period_after_it_was_taken(product: Product) -> None:
    mine, yours = uuid4(), uuid4()
    with product.core.engine.connect() as conn:
        assert leases.due(conn, ["chore:other", NAME]) == ["chore:other", NAME]
        epoch = leases.take(conn, NAME, mine)
        assert epoch is not None
        assert leases.take(conn, NAME, yours) is None
        assert leases.due(conn, ["chore:other", NAME]) == ["chore:other"]
        assert leases.done(conn, NAME, mine, epoch, 300.0)
        assert not leases.done(conn, NAME, yours, epoch, 300.0)
    [row] = product.rows("SELECT extract(epoch FROM until - now())::float AS wait FROM leases")
    assert 290 < row.wait <= 300


def test_who_comes_back_after_its_hold_changes_nothing(product: Product) -> None:
    mine, yours = uuid4(), uuid4()
    with product.core.engine.connect() as conn:
        old = leases.take(conn, NAME, mine)
        assert old is not None
        conn.execute(text("UPDATE leases SET until = now()"))
        new = leases.take(conn, NAME, yours)
        assert new == old + 1
        assert not leases.done(conn, NAME, mine, old, 1.0)
        assert leases.done(conn, NAME, yours, new, 300.0)


def test_a_scheduler_that_came_too_late_asks_again_with_the_next_tick_and_not_a_period_later(product: Product) -> None:
    done: list[str] = []
    first, second = (
        Scheduler(
            Timer(
                processes.Process("scheduler"),
                product.core.engine,
                [Chore("tidy", 3600.0, lambda name=name: done.append(name) or 1)],
            )
        )
        for name in ("first", "second")
    )
    first.tick()
    second.tick()
    assert done == ["first"]
    with product.core.engine.engine.begin() as conn:  # an hour later the first one is dead
        conn.execute(text("UPDATE leases SET until = until - interval '1 hour'"))
    second.tick()
    assert done == ["first", "second"]


@pytest.mark.parametrize("schedulers", [1, 3])
def test_many_schedulers_do_a_chore_once_per_period(product: Product, schedulers: int) -> None:
    """A period of an hour, and everybody ticks at once, many times."""
    done: list[int] = []
    start = threading.Barrier(schedulers)
    chore = Chore("tidy", 3600.0, lambda: done.append(1) or 1)
    all_of_them = [
        Scheduler(Timer(processes.Process("scheduler"), product.core.engine, [chore])) for _ in range(schedulers)
    ]

    def tick(each: Scheduler) -> None:
        start.wait(10)
        for _ in range(5):
            each.tick()

    threads = [threading.Thread(target=tick, args=(each,)) for each in all_of_them]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert done == [1]
