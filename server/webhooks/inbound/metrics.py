"""What receiving and mapping count. A request to no endpoint is counted without names: anybody can make some up."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from server.telemetry import metrics

if TYPE_CHECKING:
    from collections.abc import Iterable

RECEIVED = metrics.counter(
    "crossdock_inbound_requests_total",
    "Requests to inbound endpoints, by outcome: stored, duplicate, handshake, or the code of the refusal.",
    "workspace",
    "webhook",
    "outcome",
)
BATCHES = metrics.histogram("crossdock_inbound_store_seconds", "How long storing a batch of requests took.")
BATCHED = metrics.counter(
    "crossdock_inbound_batched_total", "Requests in batches; by the count of batches, their size."
)

MAPPED = metrics.counter(
    "crossdock_inbound_mapped_total",
    "Requests that were mapped, by how they ended: emitted, skipped, stale, dead.",
    "workspace",
    "webhook",
    "state",
)


def received(workspace: str, webhook: str, outcome: str) -> None:
    """Count one request that was answered."""
    RECEIVED.add(workspace=workspace, webhook=webhook, outcome=outcome)


def stored(number: int, seconds: float) -> None:
    """Count one batch."""
    BATCHES.observe(seconds)
    BATCHED.add(number)


def mapped(workspace: str, ended: Iterable[tuple[str, str]]) -> None:
    """Count requests that have ended, as (webhook, state)."""
    for (webhook, state), number in Counter(ended).items():
        MAPPED.add(number, workspace=workspace, webhook=webhook, state=state)
