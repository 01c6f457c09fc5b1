"""When to try again: pure rules over figures; the state they need is handed in.

Source of the default schedule: Standard Webhooks specification, section on deliverability.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
STANDARD_SCHEDULE = tuple(float(s) for s in (5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400))


@lru_cache(maxsize=4096)
def parse_duration(text: str) -> float:
    """Read `500ms`, `5s`, `2h`, `1h30m` as seconds.

    Raises:
        ValueError: not a duration.

    """
    position, total = 0, 0.0
    for match in _DURATION.finditer(text):
        if match.start() != position:
            break
        total += float(match[1]) * _SECONDS[match[2]]
        position = match.end()
    if position != len(text) or not text:
        raise ValueError(f"not a duration like 500ms, 5s, 2h or 1h30m: {text!r}")
    return total


@dataclass(frozen=True, slots=True)
class RetrySchedule:
    """The pauses between tries, in seconds; tries = 1 + number of pauses. Jitter adds up to that share of a pause."""

    delays: tuple[float, ...] = STANDARD_SCHEDULE
    jitter: float = 0.2

    @classmethod
    def exponential(
        cls, retries: int, initial: float, multiplier: float, maximum: float, jitter: float
    ) -> RetrySchedule:
        """Build delay n = min(initial × multiplier^n, maximum), for `retries` pauses."""
        return cls(tuple(min(initial * multiplier**n, maximum) for n in range(retries)), jitter)

    @property
    def tries(self) -> int:
        """How many tries the schedule allows in all."""
        return 1 + len(self.delays)

    def pause(self, attempts: int, random: float) -> timedelta | None:
        """Return the pause after `attempts` tries, or None when they are used up; `random` is in [0, 1)."""
        if attempts > len(self.delays):
            return None
        return timedelta(seconds=self.delays[attempts - 1] * (1 + self.jitter * random))


@dataclass(frozen=True, slots=True)
class Growing:
    """What a `retry` of growing pauses means where it says nothing; without `attempts` it must say how many."""

    initial: str
    max: str
    attempts: int | None = None
    multiplier: int = 2
    jitter: Decimal = Decimal("0.2")

    def schedule(self, retry: Mapping[str, Any]) -> RetrySchedule:
        """Return the schedule of a checked `retry`."""
        return RetrySchedule.exponential(
            int(retry["attempts"] if self.attempts is None else retry.get("attempts", self.attempts)) - 1,
            parse_duration(retry.get("initial", self.initial)),
            float(retry.get("multiplier", self.multiplier)),
            parse_duration(retry.get("max", self.max)),
            float(retry.get("jitter", self.jitter)),
        )


def schedule_from(texts: Sequence[str], jitter: float) -> RetrySchedule:
    """Build a schedule from durations as text."""
    return RetrySchedule(tuple(parse_duration(text) for text in texts), jitter)
