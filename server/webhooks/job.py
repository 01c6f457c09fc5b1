"""One claimed delivery, on its way through the engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from server.store import Cause, Scope

if TYPE_CHECKING:
    from server.events.envelope import Event
    from server.queue.claims import Claim
    from server.webhooks.targets import Key


@dataclass(frozen=True, slots=True)
class Job:
    """One claimed delivery with its event and what is known of its webhook."""

    claim: Claim
    row: Any
    event: Event

    @property
    def scope(self) -> Scope:
        """The tenant of the delivery."""
        row = self.row
        return Scope(row.organization_id, row.workspace_id, row.organization, row.workspace)

    @property
    def cause(self) -> Cause:
        """A worker acts, because of the event."""
        return Cause("worker", self.event.correlation_id, self.event.id)

    @property
    def target(self) -> Key:
        """What the target is known by."""
        row = self.row
        return row.webhook_id, row.webhook_version, row.integration_version, row.secrets_version, row.pinned_version
