"""What receiving counts. A request to no endpoint is counted without names: anybody can make some up."""

from __future__ import annotations

from server.telemetry import metrics

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


def received(workspace: str, webhook: str, outcome: str) -> None:
    """Count one request that was answered."""
    RECEIVED.add(workspace=workspace, webhook=webhook, outcome=outcome)


def stored(number: int, seconds: float) -> None:
    """Count one batch."""
    BATCHES.observe(seconds)
    BATCHED.add(number)
