"""Whether a call of an integration may go now: its breaker, its places and its buckets, asked in that order."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import structlog

from server.integrations.breakers import Guarded
from server.integrations.policies import PRESETS
from server.kernel.errors import Unavailable

if TYPE_CHECKING:
    from uuid import UUID

    from server.integrations.breakers import Breakers, Ticket
    from server.integrations.buckets import Buckets
    from server.integrations.places import Places
    from server.integrations.policies import Policy, RateFigures

log = structlog.get_logger("crossdock.integrations")


@dataclass(frozen=True, slots=True)
class Limited:
    """What has a bucket of its own beside the integration's: a webhook."""

    id: UUID
    rate: RateFigures


@dataclass(frozen=True, slots=True)
class Link:
    """The integration behind a call, with its policy. `own` is the caller's bucket; without an integration all that counts."""

    workspace_id: int
    integration_id: UUID | None
    policy: Policy
    own: Limited | None = None

    @property
    def guarded(self) -> Guarded | None:
        """What the breaker needs."""
        if self.integration_id is None:
            return None
        return Guarded(self.workspace_id, self.integration_id, self.policy.breaker)

    @property
    def buckets(self) -> tuple[Limited, ...]:
        """What must have a token each."""
        own = () if self.own is None else (self.own,)
        if self.integration_id is None or self.policy.rate is None:
            return own
        return (*own, Limited(self.integration_id, self.policy.rate))

    @property
    def places(self) -> tuple[UUID, int] | None:
        """Whose places are needed, and how many there are."""
        if self.integration_id is None or self.policy.concurrency is None:
            return None
        return self.integration_id, self.policy.concurrency


def limited(link: Link | None, workspace_id: int, owner_id: UUID, rate: RateFigures | None) -> Link | None:
    """Return the link of what has a bucket of its own, with an integration or without."""
    if rate is None:
        return link
    own = Limited(owner_id, rate)
    return Link(workspace_id, None, PRESETS["default"], own) if link is None else replace(link, own=own)


@dataclass(frozen=True, slots=True)
class Wait:
    """Not now: `reason` is `breaker`, `rate` or `concurrency`."""

    seconds: float
    reason: str


class Gate(Protocol):
    """What the delivery engine and the guarded call ask."""

    def clear(self, link: Link) -> bool:
        """Tell, without asking anybody, that a call may go and that its success need not be recorded."""
        ...

    def wait(self, link: Link, ticket: Ticket) -> Wait | None:
        """Return None to go ahead, and then `record` what became of it."""
        ...

    def record(self, link: Link, ticket: Ticket, *, succeeded: bool | None) -> None:
        """Count an outcome; None: there was none, or none that says anything of the system."""
        ...


class SharedGate:
    """The gate that all processes share. May block for a statement or a command: call it outside of event loops."""

    def __init__(self, breakers: Breakers, buckets: Buckets, places: Places) -> None:
        self.breakers = breakers
        self.buckets = buckets
        self.places = places

    def clear(self, link: Link) -> bool:
        """Tell whether there is nothing to ask: no bucket, no places, and a breaker that was clean a moment ago. Never blocks."""
        guarded = link.guarded
        known = guarded is None or self.breakers.is_clean(guarded.integration_id)
        return known and link.places is None and not link.buckets

    def wait(self, link: Link, ticket: Ticket) -> Wait | None:
        """Ask the breaker, then for a place, then for tokens. Who is refused holds nothing.

        Raises:
            Unavailable: the database is away.

        """
        guarded = link.guarded
        seconds = self.breakers.wait(guarded, ticket) if guarded is not None else None
        if seconds is not None:
            return Wait(seconds, "breaker")
        if link.places is not None:
            seconds = self.places.take(link.workspace_id, *link.places)
            if seconds is not None:
                self._probe_back(guarded, ticket)
                return Wait(seconds, "concurrency")
        seconds = self._tokens(link)
        if seconds is None:
            return None
        self._leave(link)
        self._probe_back(guarded, ticket)
        return Wait(seconds, "rate")

    def record(self, link: Link, ticket: Ticket, *, succeeded: bool | None) -> None:
        """Count an outcome, and give the place back. Without the database it is not counted: what the call brought counts more."""
        self._leave(link)
        try:
            if link.guarded is not None:
                self.breakers.record(link.guarded, ticket, succeeded=succeeded)
        except Unavailable as error:
            log.warning("a breaker could not be told", code=error.code, integration=str(link.integration_id))

    def _tokens(self, link: Link) -> float | None:
        taken: list[Limited] = []
        for each in link.buckets:
            seconds = self.buckets.wait(link.workspace_id, each.id, each.rate)
            if seconds is not None:
                for other in taken:
                    self.buckets.give_back(other.id)
                return seconds
            taken.append(each)
        return None

    def _leave(self, link: Link) -> None:
        if link.places is not None:
            self.places.release(link.workspace_id, link.places[0])

    def _probe_back(self, guarded: Guarded | None, ticket: Ticket) -> None:
        if guarded is not None:
            self.breakers.record(guarded, ticket, succeeded=None)
