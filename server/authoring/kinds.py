"""Every kind of definition that there is, in the order of the reference page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from server.events.spec import EVENT_TYPE
from server.flows.spec import FLOW
from server.integrations.spec import INTEGRATION
from server.syncs.spec import SYNC_JOB
from server.webhooks.spec import INBOUND, OUTBOUND

if TYPE_CHECKING:
    from server.documents.kinds import Kind


def default_kinds() -> tuple[Kind, ...]:
    """Return every kind, those that are planned too."""
    return (EVENT_TYPE, INTEGRATION, OUTBOUND, INBOUND, SYNC_JOB, FLOW)
