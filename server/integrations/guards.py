"""A call, and what guards it beside the gate: keys. What each promises stands at it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from server.kernel.errors import code

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from server.integrations.gates import Link
    from server.kernel.errors import Permanent
    from server.sdk.plugin import Plugin
    from server.store import Scope
    from server.transport.addresses import AddressPolicy

CIRCUIT_OPEN = code("CIRCUIT_OPEN", "The integration fails, so its calls wait until a probe succeeds.")
THROTTLED = code("THROTTLED", "The integration's rate limit is used up for now; the call waits.")
CONCURRENCY = code(
    "CONCURRENCY", "As many calls of the integration are under way as its policy allows; the call waits."
)
UNKNOWN_OPERATION = code(
    "UNKNOWN_OPERATION", "The plugin has no operation of that name; the answer lists those it has."
)
LONGEST_BY_HAND = 60.0
"""Seconds that a call may take for which a person waits: it holds one of the few threads that answer requests."""
REFUSALS = {
    "breaker": (CIRCUIT_OPEN, "the integration fails; calls wait until a probe succeeds"),
    "rate": (THROTTLED, "the rate limit is used up for now"),
    "concurrency": (CONCURRENCY, "as many calls are under way as the policy allows"),
}
"""What the gate's reasons are called in a synchronous call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of one operation: by whom, of what, with what, and within which bounds.

    `config` has its secrets resolved, `secrets` are their values, to be kept out of every message. `timeout` (seconds)
    bounds the whole call; `link` leads to the integration's breaker and bucket.
    `addresses` is the workspace's policy. `idempotency_key` is the same at every try of a write, `run:step:item`; a person's
    try anew after a mend has a new one, since a refusal is kept under the old. `patience` (seconds, 2 at most) is how long
    to wait for another call with the same key: 0 for a step that may be due again. `scope` is whose call it is: with it the
    server shows who we are where the plugin leaves that to it.
    """

    organization: str
    workspace: str
    integration: str
    plugin: Plugin
    operation: str
    input: Mapping[str, Any] = field(repr=False)
    config: Mapping[str, Any] = field(repr=False)
    addresses: AddressPolicy = field(repr=False)
    correlation_id: str
    secrets: tuple[str, ...] = field(default=(), repr=False)
    timeout: float = 30.0
    link: Link | None = None
    scope: Scope | None = None
    user: str | None = None
    retry_count: int = 0
    idempotency_key: str | None = None
    patience: float = 2.0
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def source(self) -> str:
        """What failures name as their source."""
        return f"integration/{self.integration}"

    def at_try(self, number: int) -> Call:
        """Return the same call as its try of that number, from 0."""
        return replace(self, retry_count=number)

    def within(self, seconds: float) -> Call:
        """Return the same call with at most so much time."""
        return replace(self, timeout=min(self.timeout, seconds))

    @property
    def place(self) -> tuple[str, str, str]:
        """The integration, whole: organization, workspace, name."""
        return (self.organization, self.workspace, self.integration)


@dataclass(frozen=True, slots=True)
class Hold:
    """A key that is ours: `owner` is of this one call, which may take so many `seconds`; `epoch` rises with every owner."""

    workspace_id: int
    integration_id: UUID
    key: str
    owner: UUID
    epoch: int = 0
    source: str = ""
    seconds: float = 0.0

    def at(self, epoch: int) -> Hold:
        """Return the hold with its epoch."""
        return replace(self, epoch=epoch)


@dataclass(frozen=True, slots=True)
class Claimed:
    """What a claim gave: the output that is kept, or a hold; neither, and nothing is kept of this call."""

    output: dict[str, Any] | None = None
    hold: Hold | None = None


class Keys(Protocol):
    """Keeps the result of a write under the call's idempotency key."""

    def claim(self, call: Call) -> Claimed:
        """Return the kept output, or hold the key; raise a kept failure, or Postponed while another holds it."""
        ...

    def keep(self, hold: Hold, output: dict[str, Any]) -> dict[str, Any]:
        """Keep the output and let the key go; return the output that counts."""
        ...

    def fail(self, hold: Hold, error: Permanent) -> None:
        """Keep a failure that the same again would only repeat, and let the key go."""
        ...

    def free(self, hold: Hold) -> None:
        """Let the key go without a result."""
        ...


class NoKeys:
    """Keeps nothing."""

    def claim(self, call: Call) -> Claimed:  # noqa: ARG002 - the port's signature
        """Never know a result."""
        return Claimed()

    def keep(self, hold: Hold, output: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG002 - the port's signature
        """Forget."""
        return output

    def fail(self, hold: Hold, error: Permanent) -> None:
        """Forget."""

    def free(self, hold: Hold) -> None:
        """Forget."""
