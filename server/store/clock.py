"""The database's time, told by any process without asking for it: what decides when something is due must be one clock.

Leases, due times and expiries are compared in the database. A host whose clock is an hour off would plan a retry an hour too
late or at once, and let deliveries expire that have time. So a process takes the database's time with each new connection and
sign of life, and counts on from there by a clock that nobody can set.
"""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from server.kernel.clock import Clock


def elapsed() -> float:
    """Return seconds that only go forward, also while the machine sleeps where the system can tell."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class DatabaseClock:
    """Tells the database's time; before the first measurement that of `clock`."""

    def __init__(self, clock: Clock, counter: Callable[[], float] = elapsed) -> None:
        self._clock = clock
        self._counter = counter
        self._measured: tuple[datetime, float] | None = None

    def now(self) -> datetime:
        """Return the present moment, aware, in UTC."""
        measured = self._measured
        if measured is None:
            return self._clock.now()
        return measured[0] + timedelta(seconds=self._counter() - measured[1])

    def measured(self, moment: datetime) -> None:
        """Take what the database has just told; from any thread."""
        self._measured = (moment, self._counter())
