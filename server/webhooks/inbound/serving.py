"""Serves `/in/…` on the API process's event loop: see `web.direct`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from server.telemetry import traces
from server.webhooks.inbound.arriving import PREFIX, Proxies, head_of

if TYPE_CHECKING:
    import asyncio

    from server.web.direct import Read
    from server.webhooks.inbound.answers import Answer
    from server.webhooks.inbound.arriving import Head
    from server.webhooks.inbound.receiving import Receiver


class InboundEndpoints:
    """Implements `web.direct.Direct`."""

    def __init__(self, receiver: Receiver, proxies: Proxies) -> None:
        self.receiver = receiver
        self.proxies = proxies

    @property
    def prefix(self) -> str:
        """Return the beginning of all paths."""
        return PREFIX

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start the threads that store, inside the process that serves."""
        self.receiver.storer.start(loop)

    async def serve(self, scope: Any, protocol: Any, read: Read) -> None:
        """Answer one request."""
        if scope.proto != "http":
            protocol.close(404)
            return
        answer = await self._received(head_of(scope, self.proxies), read)
        protocol.response_bytes(answer.status, answer.whole(), answer.body)

    async def _received(self, head: Head, read: Read) -> Answer:
        """Receive a request, measured below the sender's span where traces go anywhere."""
        if not traces.on():
            return await self.receiver.receive(head, read)
        about = {"http.request.method": head.method, "crossdock.workspace": "/".join(head.names)}
        with traces.span("inbound", traces.read_traceparent(head.headers), **about):
            return await self.receiver.receive(head, read)
