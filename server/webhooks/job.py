"""One claimed delivery, on its way through the engine."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from server.events.upcasting import STANDING
from server.store import Cause, Scope

if TYPE_CHECKING:
    from server.events.envelope import Event
    from server.events.upcasting import Ladder
    from server.queue.claims import Claim
    from server.webhooks.targets import Key


@dataclass(slots=True)
class Job:
    """One claimed delivery with its event and what is known of its webhook. `target` is what its target is known by.

    `began` is when it was claimed, on this process's own clock.
    """

    claim: Claim
    row: Any
    event: Event
    ladder: Ladder = STANDING
    scope: Scope = field(init=False)
    target: Key = field(init=False)
    began: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        row = self.row
        self.scope = Scope(row.organization_id, row.workspace_id, row.organization, row.workspace)
        versions = row.webhook_version, row.integration_version, row.secrets_version, row.pinned_version
        self.target = row.webhook_id, *versions

    @property
    def cause(self) -> Cause:
        """A worker acts, because of the event."""
        return Cause("worker", self.event.correlation_id, self.event.id)
