"""Questions to parts that may hang: each is asked in a thread of its own, never twice at once, and its answer is kept a while.

So a caller waits for its time-out and no longer, many callers cost one question, and what hangs costs one thread until it ends.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

MOST = 256
"""Questions under way at once; more are not asked."""
_KEPT = 4096


@dataclass(slots=True)
class Flight:
    """One question under way or answered. `seconds` is how long the answer took."""

    started: float
    done: threading.Event = field(default_factory=threading.Event)
    seconds: float = 0.0
    value: Any = None
    error: Exception | None = None

    def wait(self, until: float) -> bool:
        """Wait for the answer until a moment of the flights' clock; say whether it is there."""
        return self.done.wait(max(0.0, until - time.monotonic()))


class Flights:
    """All questions of one process, by key."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._flights: dict[str, Flight] = {}

    def ask(self, key: str, question: Callable[[], Any], fresh: float) -> Flight | None:
        """Return the answer that is at most `fresh` seconds old, the question under way, or a new one; None: too many."""
        now = time.monotonic()
        with self._lock:
            known = self._flights.get(key)
            if known is not None and (not known.done.is_set() or now < known.started + known.seconds + fresh):
                return known
            if sum(not each.done.is_set() for each in self._flights.values()) >= self._most:
                return None
            if len(self._flights) >= _KEPT:
                self._flights = {name: each for name, each in self._flights.items() if not each.done.is_set()}
            flight = self._flights[key] = Flight(now)
        threading.Thread(target=_fly, args=(flight, question), name=f"ask-{key}", daemon=True).start()
        return flight


def _fly(flight: Flight, question: Callable[[], Any]) -> None:
    try:
        flight.value = question()
    except Exception as error:  # noqa: BLE001 - the border of the thread: whatever comes is the answer
        flight.error = error
    flight.seconds = time.monotonic() - flight.started
    flight.done.set()
