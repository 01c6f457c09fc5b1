"""Reads bodies on the event loop: each within a deadline, all together within a share of memory."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self

from server.kernel.errors import BodyTimeout, TooLarge, Unavailable

if TYPE_CHECKING:
    from types import TracebackType

BODY_SECONDS = 20.0
BUFFERED_BYTES = 256 * 1024 * 1024
"""What the bodies of all requests under way may take together."""
_LONGEST_NUMBER = 15


class Reading:
    """The bodies of a process. `seconds` is what one may take to arrive."""

    def __init__(self, seconds: float = BODY_SECONDS, most: int = BUFFERED_BYTES) -> None:
        self.seconds = seconds
        self.most = most
        self.buffered = 0

    def of(self, scope: Any, protocol: Any) -> Body:
        """Begin with one request; its memory is given back when the `with` ends."""
        return Body(self, scope.headers, protocol)


class Body:
    """The body of one request."""

    def __init__(self, reading: Reading, headers: Any, protocol: Any) -> None:
        self.reading = reading
        self.protocol = protocol
        self.length: str | None = headers.get("content-length")
        self.chunked = self.length is None and "transfer-encoding" in headers
        self._taken = 0

    def __enter__(self) -> Self:
        """Hold what is read until the end."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the memory back."""
        self.reading.buffered -= self._taken

    async def read(self, limit: int) -> bytes:
        """Return the whole body; see `web.direct.Read`."""
        size = self._size(limit)
        if size is None:
            raise TooLarge("the body is too large", source="web", limit=limit)
        body = await self.read_at_most(limit)
        if len(body) > limit:
            raise TooLarge("the body is too large", source="web", limit=limit)
        return body

    async def read_at_most(self, limit: int) -> bytes:
        """Return the body; nothing of one whose length is over the limit, a little over the limit of one without a length.

        Raises:
            Unavailable: the bodies under way take all the memory that they may.
            BodyTimeout: it did not come in time.

        """
        size = self._size(limit)
        if not size:
            return b""
        if self.reading.buffered + size > self.reading.most:
            raise Unavailable("too many bodies are arriving", source="web", after=1)
        self._taken += size
        self.reading.buffered += size
        try:
            async with asyncio.timeout(self.reading.seconds):
                return bytes(await self.protocol()) if not self.chunked else await self._pieces(limit)
        except TimeoutError:
            raise BodyTimeout("the body did not come in time", source="web") from None

    def _size(self, limit: int) -> int | None:
        """Return how many bytes to be ready for; None for a length over the limit, or that is none."""
        if self.length is None:
            return limit if self.chunked else 0
        known = self.length.isdigit() and len(self.length) <= _LONGEST_NUMBER and int(self.length) <= limit
        return int(self.length) if known else None

    async def _pieces(self, limit: int) -> bytes:
        parts, size = [], 0
        async for part in self.protocol:
            parts.append(part)
            size += len(part)
            if size > limit:
                break
        return b"".join(parts)
