"""Whether a call of an integration may go now: its breaker and its bucket, asked in that order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from server.integrations.breakers import Guarded

if TYPE_CHECKING:
    from uuid import UUID

    from server.integrations.breakers import Breakers
    from server.integrations.buckets import Buckets
    from server.integrations.policies import Policy


@dataclass(frozen=True, slots=True)
class Link:
    """The integration behind a call, with its policy."""

    workspace_id: int
    integration_id: UUID
    policy: Policy

    @property
    def guarded(self) -> Guarded:
        """What the breaker needs."""
        return Guarded(self.workspace_id, self.integration_id, self.policy.breaker)


@dataclass(frozen=True, slots=True)
class Wait:
    """Not now: `reason` is `breaker` or `rate`."""

    seconds: float
    reason: str


class Gate(Protocol):
    """What the delivery engine and the guarded call ask."""

    def wait(self, link: Link) -> Wait | None:
        """Return None to go ahead, and then `record` what became of it."""
        ...

    def record(self, link: Link, *, succeeded: bool | None) -> None:
        """Count an outcome; None: there was none."""
        ...


class SharedGate:
    """The gate that all processes share. May block for a statement or a command: call it outside of event loops."""

    def __init__(self, breakers: Breakers, buckets: Buckets) -> None:
        self.breakers = breakers
        self.buckets = buckets

    def wait(self, link: Link) -> Wait | None:
        """Ask the breaker, then the bucket.

        Raises:
            Unavailable: the database is away.

        """
        seconds = self.breakers.wait(link.guarded)
        if seconds is not None:
            return Wait(seconds, "breaker")
        if link.policy.rate is None:
            return None
        seconds = self.buckets.wait(link.workspace_id, link.integration_id, link.policy.rate)
        if seconds is None:
            return None
        self.breakers.record(link.guarded, succeeded=None)
        return Wait(seconds, "rate")

    def record(self, link: Link, *, succeeded: bool | None) -> None:
        """Count an outcome.

        Raises:
            Unavailable: the database is away.

        """
        self.breakers.record(link.guarded, succeeded=succeeded)
