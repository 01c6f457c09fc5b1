"""What a killed process held, and how long it takes until somebody else has it."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

from tests.faults.forms import Form
from tests.support.product import until

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from tests.faults.burst import Burst
    from tests.support.fleet import Fleet

Leases = set[tuple["UUID", int]]


def gone(fleet: Fleet, leases: Leases, seconds: float = 30.0) -> float:
    """Return the seconds until none of these leases is there any more: done, or claimed anew."""
    started = time.monotonic()
    until(
        lambda: not leases & set(fleet.rows("SELECT ref, epoch FROM due WHERE kind = 'delivery'")),
        seconds,
        "orphaned leases are claimed anew",
    )
    return time.monotonic() - started


def events_of(fleet: Fleet, leases: Leases) -> set[str]:
    """Return the ids of the events behind leases."""
    refs = [ref for ref, _ in leases]
    sql = "SELECT e.id FROM deliveries d JOIN events e ON e.uid = d.event_uid WHERE d.id = ANY(%s)"
    return {event for (event,) in fleet.rows(sql, refs)}


def stuck(fleet: Fleet, seconds: float = 12.0) -> int:
    """Return how many leases ran out so long ago and nobody took them: two leases are 12 s."""
    sql = "SELECT count(*) FROM due WHERE leased AND due_at < now() - %s * interval '1 second'"
    [(count,)] = fleet.rows(sql, seconds)
    return int(count)


def assert_hints_arrive(shoot: Callable[..., Burst]) -> list[float]:
    """Send single events, slower than they are delivered and faster than the timer; return how long each took."""
    burst = shoot(Form(12, 3.7, 1), clients=1)
    burst.sent()
    until(lambda: len(burst.waits()) == burst.count, 10, "all have come")
    waits = burst.waits()
    assert statistics.median(waits) < 0.5, waits
    return waits
