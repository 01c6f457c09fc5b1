"""What happened, in JSON lines, and the judge of it.

A history is a list of records, each a JSON object with `what` and `at` (seconds of one monotonic clock):

    sent   event                       the client has begun to send this event
    try    event, status, seconds      one request of the client: its status, or the name of the error
    hit    event, message, path        one request came to the receiver; `message` is its `webhook-id`
    fault  name, until                 what was done to the product, from `at` until `until`

An event is accepted once a try of it was answered 2xx. From that the judge counts:

    lost         accepted, and never came                          promise 1: none
    unexpected   came, and was never sent                          none
    duplicated   requests beyond the first of their event          promise 2: bounded by what was in flight
    recovered    came, although the client was never told 2xx      allowed: the answer was lost, not the event
    split        one event under more than one `webhook-id`        promise 4: none
    recovery     the longest silence at the receiver around a fault, in seconds
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

Record = dict[str, Any]
AROUND_SECONDS = 30.0
"""A silence that begins so long after a fault is not counted as its work."""


@dataclass(frozen=True)
class Verdict:
    """What the history says. `repeated` counts by event the requests that were not needed."""

    accepted: int
    received: int
    lost: set[str]
    unexpected: set[str]
    repeated: dict[str, int]
    recovered: set[str]
    split: set[str]
    recovery: float
    silence: float
    slowest: float

    @property
    def duplicates(self) -> int:
        """Requests that were not needed."""
        return sum(self.repeated.values())

    @property
    def sound(self) -> tuple[set[str], set[str], set[str]]:
        """What has to be empty whatever happened: lost, unexpected, split."""
        return self.lost, self.unexpected, self.split


NOTHING: tuple[set[str], set[str], set[str]] = (set(), set(), set())


def write(path: Path, records: Iterable[Record]) -> None:
    """Write a history, oldest first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps(each) for each in sorted(records, key=lambda each: float(each["at"])))
    path.write_text("".join(f"{line}\n" for line in lines))


def read(path: Path) -> list[Record]:
    """Read a history."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def judge(records: Sequence[Record]) -> Verdict:
    """Compare what was sent and accepted with what came."""
    by: dict[str, list[Record]] = defaultdict(list)
    for each in records:
        by[each["what"]].append(each)
    sent = {each["event"] for each in by["sent"]}
    accepted: dict[str, float] = {}
    for each in by["try"]:
        if isinstance(each["status"], int) and 200 <= each["status"] < 300:
            accepted.setdefault(each["event"], each["at"] + each["seconds"])
    came = Counter(each["event"] for each in by["hit"])
    messages: dict[str, set[str]] = defaultdict(set)
    first: dict[str, float] = {}
    for each in by["hit"]:
        messages[each["event"]].add(each["message"])
        first[each["event"]] = min(first.get(each["event"], each["at"]), each["at"])
    begun = min((each["at"] for each in by["sent"]), default=0.0)
    times = sorted([begun, *(each["at"] for each in by["hit"])]) if by["hit"] else []
    gaps = list(pairwise(times))
    return Verdict(
        accepted=len(accepted),
        received=len(came),
        lost=set(accepted) - set(came),
        unexpected=set(came) - sent,
        repeated={event: count - 1 for event, count in came.items() if count > 1},
        recovered=(set(came) & sent) - set(accepted),
        split={event for event, ids in messages.items() if len(ids) > 1},
        recovery=_recovery(gaps, by["fault"]),
        silence=max((after - before for before, after in gaps), default=0.0),
        slowest=max((first[event] - at for event, at in accepted.items() if event in first), default=0.0),
    )


def _recovery(gaps: Sequence[tuple[float, float]], faults: Sequence[Record]) -> float:
    """Return the longest gap that overlaps a fault or the time shortly after it."""
    return max(
        (
            after - before
            for before, after in gaps
            for fault in faults
            if after >= fault["at"] and before <= fault["until"] + AROUND_SECONDS
        ),
        default=0.0,
    )
