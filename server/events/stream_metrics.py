"""What streams count."""

from __future__ import annotations

from typing import TYPE_CHECKING

from server.telemetry import metrics

if TYPE_CHECKING:
    from server.events.hub import Listener
    from server.store import Scope

STREAMS = metrics.counter(
    "crossdock_streams_total",
    "Streams that have ended, by kind (sse, websocket) and reason: gone where the client left, else the code.",
    "workspace",
    "kind",
    "reason",
)


def ended(scope: Scope, kind: str, listener: Listener) -> None:
    """Count one stream that has ended."""
    STREAMS.add(workspace=str(scope), kind=kind, reason=listener.why.code if listener.why else "gone")
