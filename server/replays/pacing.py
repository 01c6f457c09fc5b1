"""The rate cap of a replay: how many deliveries may be made now, given up to when those before are paid for. Pure.

Each delivery costs 1/rate seconds. Paid time lags at most `BURST_SECONDS` behind, so that a worker that looks every two seconds
keeps the rate, and a job that stood still does not catch up at once. The first second is given in advance.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

ADVANCE_SECONDS = 1.0
BURST_SECONDS = 5.0
_PAUSE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Pace:
    """`count` may be made now. Call `paid(made)` for the new moment, and `again(made)` for when to come back."""

    now: datetime
    start: datetime
    per_second: int
    count: int

    def paid(self, made: int) -> datetime:
        """Return up to when it is paid once so many were made."""
        return self.start + timedelta(seconds=made / self.per_second)

    def again(self, made: int) -> datetime:
        """Return when the next are due: at once while more may go, else in about a second."""
        more = self.count - made
        return self.now if more > 0 else max(self.now, self.paid(made) + timedelta(seconds=_PAUSE_SECONDS))


def pace(now: datetime, paid_until: datetime | None, per_second: int) -> Pace:
    """Return how many deliveries may be made at `now`."""
    first = now - timedelta(seconds=ADVANCE_SECONDS)
    start = first if paid_until is None else max(paid_until, now - timedelta(seconds=BURST_SECONDS))
    return Pace(now, start, per_second, max(0, int((now - start).total_seconds() * per_second)))
