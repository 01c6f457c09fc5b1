"""What a worker's own calls tell it of outboxes: which are worth a look, and which somebody else looks into just now."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from uuid import UUID

    from server.integrations.guards import Call

_SOON, _LATER = 0.05, 1.0


class _Asked(NamedTuple):
    """When to ask for an outbox, by the monotonic clock, and how long that was put off."""

    at: float
    pause: float


class Nudges:
    """Integrations that were just called: their outboxes are worth a look. Of one process, and no promise.

    `noted` is called when there is something: other processes know nothing of it, so a hint to one of them would be in vain. What
    somebody looks into just now is put off, and is nothing until it is time; calls meanwhile change nothing of that.
    """

    def __init__(self) -> None:
        self.noted: Callable[[], None] = _unheard
        self._lock = threading.Lock()
        self._asked: dict[UUID, _Asked] = {}

    def __bool__(self) -> bool:
        now = time.monotonic()
        with self._lock:
            return any(each.at <= now for each in self._asked.values())

    def __call__(self, call: Call) -> None:
        """Note that a call ended well."""
        if call.link is not None and call.link.integration_id is not None:
            self.again({call.link.integration_id})
            self.ring()

    def again(self, ids: set[UUID]) -> None:
        """Note integrations for the next look."""
        now = time.monotonic()
        with self._lock:
            for each in ids:
                self._asked.setdefault(each, _Asked(now, 0.0))

    def later(self, pauses: Mapping[UUID, float]) -> None:
        """Put integrations off for twice as long as they were: soon at first, for most looks are over soon, then each second."""
        now = time.monotonic()
        with self._lock:
            for each, before in pauses.items():
                pause = min(max(2 * before, _SOON), _LATER)
                self._asked[each] = _Asked(now + pause, pause)

    def taken(self, identity: UUID) -> bool:
        """Forget one integration; say whether it was noted."""
        with self._lock:
            return self._asked.pop(identity, None) is not None

    def ended(self, identity: UUID) -> None:
        """Say that we have looked into an outbox: what was put off for that is asked for now."""
        with self._lock:
            if identity in self._asked:
                self._asked[identity] = _Asked(time.monotonic(), 0.0)
        self.ring()

    def ring(self) -> None:
        """Let what was noted be looked at soon."""
        if self:
            self.noted()

    def take(self) -> dict[UUID, float]:
        """Return what was noted, with how long each was put off, and forget it."""
        now = time.monotonic()
        with self._lock:
            taken = {identity: each.pause for identity, each in self._asked.items() if each.at <= now}
            for each in taken:
                del self._asked[each]
        return taken


def _unheard() -> None:
    """Wake nobody."""
