"""Loops: a chain of events that comes back to itself is stopped, and its path is shown. Pure; nothing here costs a plain event.

A chain is known by what its events carry: `crossdockpath`, the definitions that it has passed, and `crossdockhops`, how often it
has left over HTTP and come back. Whoever publishes an event because of another one extends the other's trail by itself
(`Trail.through`); an event from outside has none. Where the other system drops our headers nothing is carried: then it shows
in the rhythm, an event of the same type and subject soon after each delivery of the one before (`echoes`).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from server.kernel.errors import Failure, Permanent, code

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

LOOP_DETECTED = code(
    "LOOP_DETECTED", "A chain of events came back to itself and was stopped; `details` has the rule and the path."
)
REASON = "loop"
"""The reason of what is stopped: a dead letter, which goes on when it is replayed."""
MOST_PASSES = 10
DEEPEST = 32
MOST_HOPS = 5
MOST_ECHOES = 10
ECHO_SECONDS = 5.0
PATH, HOPS = "crossdockpath", "crossdockhops"
_JOINT = " "


@dataclass(frozen=True, slots=True)
class Trail:
    """The definitions that a chain has passed, oldest first (`webhook/orders-in`), and its hops over HTTP."""

    path: tuple[str, ...] = ()
    hops: int = 0

    def refusal(self, definition: str) -> Failure | None:
        """Return why the chain may not pass a definition once more, or None."""
        if self.path.count(definition) >= MOST_PASSES:
            return self._stopped("definition", f"the chain has passed {definition} {MOST_PASSES} times", definition)
        if len(self.path) >= DEEPEST:
            return self._stopped("depth", f"the chain is {DEEPEST} definitions deep", definition)
        return None

    def through(self, definition: str) -> Trail:
        """Return the trail of what a definition publishes because of this.

        Raises:
            Permanent: LOOP_DETECTED; it becomes a dead letter whose reason is `loop`.

        """
        failure = self.refusal(definition)
        if failure is not None:
            raise Permanent(failure.message, code=failure.code, source=failure.source, **failure.details)
        return Trail((*self.path, definition), self.hops)

    def extensions(self) -> dict[str, Any]:
        """Return what an event carries of it."""
        path = {PATH: _JOINT.join(self.path)} if self.path else {}
        return {**path, HOPS: self.hops} if self.hops else path

    @property
    def full(self) -> bool:
        """Whether there may be a definition that it may not pass any more."""
        return len(self.path) >= DEEPEST or any(self.path.count(each) >= MOST_PASSES for each in set(self.path))

    def came_back(self, definition: str) -> Failure:
        """Describe that an endpoint of ours refused the delivery of a definition for its hops."""
        hops = f"it came back over HTTP {self.hops + 1} times"
        return self._stopped("hops", f"the receiver says that the chain is a loop: {hops}", definition)

    def _stopped(self, rule: str, message: str, definition: str) -> Failure:
        details = {"rule": rule, "path": [*self.path, definition], "hops": self.hops}
        return Failure(LOOP_DETECTED, message, "loops", details)


NOWHERE = Trail()


def trail_of(extensions: Mapping[str, Any] | None) -> Trail:
    """Return the trail that an event carries."""
    if not extensions or (PATH not in extensions and HOPS not in extensions):
        return NOWHERE
    path, hops = extensions.get(PATH), extensions.get(HOPS)
    return Trail(
        tuple(path.split(_JOINT)) if isinstance(path, str) and path else (), hops if isinstance(hops, int) else 0
    )


@dataclass(frozen=True, slots=True)
class Heard:
    """One of several events of one type and subject: when it came, and when the first try to deliver it began, if one did."""

    id: str
    correlation_id: str
    recorded_at: datetime
    told_at: datetime | None = None


def echoes(heard: Sequence[Heard]) -> int:
    """Count the events that came after the one before them had been told outside, each under a correlation of its own.

    However large a burst is, it does not wait for its deliveries, so it has few.
    """
    count = 0
    for before, after in pairwise(heard):
        told = before.told_at is not None and before.told_at <= after.recorded_at
        count += told and before.correlation_id != after.correlation_id
    return count


def echo_failure(type_: str, subject: str, heard: Sequence[Heard]) -> Failure:
    """Describe a loop whose correlation was lost: the events that came one after the other are its path."""
    message = f"{type_} of {subject} came back after each delivery, {len(heard)} times within {ECHO_SECONDS:g} s"
    details = {"rule": "echo", "type": type_, "subject": subject, "path": [each.id for each in heard[-DEEPEST:]]}
    return Failure(LOOP_DETECTED, message, "loops", details)
