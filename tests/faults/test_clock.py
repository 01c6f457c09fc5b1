"""The clock of a process is the database's, whatever its host says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from server import bootstrap
from server.kernel.clock import ManualClock
from server.store.clock import DatabaseClock, elapsed

if TYPE_CHECKING:
    from tests.support.product import Product

WRONG = datetime(2001, 1, 1, tzinfo=UTC)
RIGHT = datetime(2026, 6, 1, tzinfo=UTC)


def test_it_counts_on_from_what_the_database_has_told() -> None:
    host, counter = ManualClock(WRONG), [100.0]
    clock = DatabaseClock(host, lambda: counter[0])
    assert clock.now() == WRONG
    clock.measured(RIGHT)
    counter[0] += 5
    host.advance(-3600)
    assert clock.now() == RIGHT + timedelta(seconds=5)


def test_its_counter_goes_forward() -> None:
    first = elapsed()
    assert elapsed() >= first > 0


def test_the_first_connection_sets_it(product: Product) -> None:
    core = bootstrap.core(product.settings, clock=ManualClock(WRONG))
    assert core.clock.now() == WRONG
    for store in (core.engine, core.tenant):
        with store.connect() as conn:
            there = conn.exec_driver_sql("SELECT clock_timestamp()").scalar_one()
        assert abs(core.clock.now() - there) < timedelta(seconds=2)
        store.close()
