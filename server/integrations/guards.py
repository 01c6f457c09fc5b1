"""A call, and what guards it beside the gate: keys. What each promises stands at it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from server.kernel.errors import code

if TYPE_CHECKING:
    from collections.abc import Mapping

    from server.integrations.gates import Link
    from server.sdk.plugin import Plugin
    from server.transport.addresses import AddressPolicy

CIRCUIT_OPEN = code("CIRCUIT_OPEN", "The integration fails, so its calls wait until a probe succeeds.")
THROTTLED = code("THROTTLED", "The integration's rate limit is used up for now; the call waits.")
REFUSALS = {
    "breaker": (CIRCUIT_OPEN, "the integration fails; calls wait until a probe succeeds"),
    "rate": (THROTTLED, "the rate limit is used up for now"),
}
"""What the gate's reasons are called in a synchronous call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of one operation: by whom, of what, with what, and within which bounds.

    `config` has its secrets resolved, `secrets` are their values, to be kept out of every message. `timeout` (seconds)
    bounds the whole call; `link` leads to the integration's breaker and bucket.
    `addresses` is the workspace's policy. `idempotency_key` is the same at every try.
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
    user: str | None = None
    retry_count: int = 0
    idempotency_key: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def source(self) -> str:
        """What failures name as their source."""
        return f"integration/{self.integration}"

    @property
    def place(self) -> tuple[str, str, str]:
        """The integration, whole: organization, workspace, name."""
        return (self.organization, self.workspace, self.integration)


class Keys(Protocol):
    """Keeps the result of a write under the call's idempotency key."""

    def claim(self, call: Call) -> dict[str, Any] | None:
        """Return the kept output, or None and hold the key; raise Postponed while another holds it."""

    def keep(self, call: Call, output: dict[str, Any]) -> None:
        """Keep the output and let the key go."""

    def free(self, call: Call) -> None:
        """Let the key go without a result."""


class NoKeys:
    """Keeps nothing."""

    def claim(self, call: Call) -> dict[str, Any] | None:  # noqa: ARG002 - the port's signature
        """Never know a result."""
        return None

    def keep(self, call: Call, output: dict[str, Any]) -> None:
        """Forget."""

    def free(self, call: Call) -> None:
        """Forget."""
