"""One HTTP/1.1 connection of the asynchronous sender: writes a request, reads its answer, strictly and to a limit.

Written for few steps per exchange: the answer is parsed where it was received (llhttp, through httptools), and a
connection has one timer that is only moved forward when it fires, not set and cancelled for every request.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, NamedTuple, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from server.transport.failures import answer_broken, answer_too_large, timed_out
from server.transport.messages import KEPT

if TYPE_CHECKING:
    from collections.abc import Callable

    from server.transport.limits import Limits
    from server.transport.messages import Message

INTERIM_LIMIT = 8
HEADERS_LIMIT = 128
LINE_LIMIT = 8190
_FIRST_FINAL = 200
_OK = range(200, 300)
_BLOCK = 64 * 1024
_FRAMING = 8  # bytes on the wire for one of the body at most: the smallest chunks have 5 round each


class Place:
    """Where the connections of one event loop read into, one after the other: each parses what it read at once."""

    __slots__ = ("arrived", "view")

    def __init__(self) -> None:
        self.arrived = bytearray(_BLOCK)
        self.view = memoryview(self.arrived)


class Raw(NamedTuple):
    """An answer as it came: `kept` is the beginning of its body, `first_byte` a moment of `time.perf_counter`."""

    status: int
    headers: list[tuple[bytes, bytes]]
    kept: bytes
    first_byte: float


class LostError(Exception):
    """The connection was closed before a single byte of an answer came; `cause` is what the transport says of it."""

    def __init__(self, cause: Exception | None = None) -> None:
        super().__init__("the connection was closed before any of it came")
        self.cause = cause


class _BadAnswerError(Exception):
    """Leaves the parser from within one of its callbacks; the message is the reason."""


class Connection(asyncio.BufferedProtocol):
    """A connection to one origin. `reusable` says whether another request may follow on it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, limits: Limits, place: Place, address: str) -> None:
        self.address = address
        self.reusable = False
        self.idle_since = 0.0
        self._loop = loop
        self._limits = limits
        self._wire_limit = limits.body * _FRAMING + limits.head
        self._arrived, self._view = place.arrived, place.view
        self._parser = HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._gone: asyncio.Future[None] = loop.create_future()
        self._waiter: asyncio.Future[Raw] | None = None
        self._room: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = self._deadline = self._total = 0.0
        self._writing = self._head_only = False
        self._reset()

    def _reset(self) -> None:
        self._status = self._interim = self._wire = self._head = self._size = 0
        self._first_at = 0.0
        self._headers: list[tuple[bytes, bytes]] = []
        self._kept = b""
        self._headed = self._complete = self._more = False

    async def exchange(self, message: Message) -> Raw:
        """Send a request and return its answer.

        Raises:
            Retryable: TIMEOUT, ANSWER_BROKEN.
            Permanent: ANSWER_TOO_LARGE.
            LostError: the connection closed without a byte of an answer.

        """
        transport = self._transport
        if transport is None or self._gone.done():
            raise LostError
        self.reusable = False
        self._reset()
        waiter: asyncio.Future[Raw] = self._loop.create_future()
        self._waiter = waiter
        head, body, until, self._total, self._head_only = message
        self._set_deadline(until)
        try:
            if len(body) <= _BLOCK:
                transport.write(head + body)
            else:
                await self._write_pieces(transport, head, body, waiter)
            return await waiter
        except BaseException:  # cancelled, too: what is half sent or half read is never used again; it goes on up
            self.abort()
            raise
        finally:
            self._waiter = None
            del waiter  # a failure in it would hold this frame, and this frame the failure

    async def _write_pieces(
        self, transport: asyncio.Transport, head: bytes, body: bytes, waiter: asyncio.Future[Raw]
    ) -> None:
        """Write as fast as the receiver reads; an answer or a failure in between ends the writing."""
        self._writing = True
        transport.write(head)
        view = memoryview(body)
        for start in range(0, len(body), _BLOCK):
            if self._room is not None:
                await asyncio.wait((self._room, waiter), return_when=asyncio.FIRST_COMPLETED)
            if waiter.done():
                return
            transport.write(view[start : start + _BLOCK])
        self._writing = False

    def _set_deadline(self, deadline: float) -> None:
        self._deadline = deadline
        if self._timer is not None:
            if self._timer_at <= deadline:
                return
            self._timer.cancel()
        self._timer_at = deadline
        self._timer = self._loop.call_at(deadline, self._tick)

    def _tick(self) -> None:
        self._timer = None
        if self._waiter is None or self._waiter.done():
            return
        if self._loop.time() < self._deadline:
            self._set_deadline(self._deadline)
        else:
            self._fail(timed_out("total" if self._first_at else "first_byte", self._total))

    def _fail(self, error: Exception) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(error)
        self.abort()

    def _finish(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(Raw(self._status, self._headers, self._kept, self._first_at))
        if not self.reusable:
            self.abort()

    def abort(self) -> None:
        """Close at once."""
        self.reusable = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._transport is not None:
            self._transport.abort()

    def when_closed(self, call: Callable[[Connection], object]) -> None:
        """Have `call` called with this connection once it is closed."""
        self._gone.add_done_callback(lambda _: call(self))

    async def closed(self) -> None:
        """Return once the connection is closed."""
        await asyncio.shield(self._gone)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def get_buffer(self, sizehint: int) -> bytearray:  # noqa: ARG002 - the loop's signature
        """Give the place to read into."""
        return self._arrived

    def buffer_updated(self, nbytes: int) -> None:
        """Parse what has arrived."""
        waiter = self._waiter
        if waiter is None or waiter.done():
            self.abort()  # nobody asked: it belongs to no request
            return
        if not self._first_at:
            self._first_at = time.perf_counter()
        self._wire += nbytes
        try:
            self._parser.feed_data(self._view[:nbytes])
        except HttpParserUpgrade:
            self._fail(answer_broken("it wants to go on with another protocol"))
            return
        except HttpParserError as error:
            if self._complete:  # what follows the answer is none of it
                self._more = True
            else:
                self._fail(answer_broken(_reason(error)))
                return
        if self._size > self._limits.body or self._wire > self._wire_limit:
            self._too_large()
        elif self._complete:
            self.reusable = self.reusable and not self._more and not self._writing
            self._finish()
        elif self._wire > self._limits.head and not self._headed:
            self._fail(answer_broken(f"its head is larger than {self._limits.head} bytes"))

    def _too_large(self) -> None:
        """Of a success all must be seen; a failure is one however long its page is."""
        self.reusable = False
        if self._headed and self._status not in _OK:
            self._finish()
        else:
            self._fail(answer_too_large(self._limits.body))

    def eof_received(self) -> None:
        """Take the end of the connection for the end of an answer that has no other; the transport closes itself."""
        waiter = self._waiter
        if waiter is not None and not waiter.done() and self._headed and self._ends_with_connection():
            self._finish()
        self.reusable = False

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever waits."""
        self.reusable = False
        if not self._gone.done():
            self._gone.set_result(None)
        if self._waiter is not None and not self._waiter.done():
            reason = getattr(exc, "strerror", None) or "the connection was closed in the middle of it"
            self._waiter.set_exception(answer_broken(reason) if self._first_at else LostError(exc))
        self.resume_writing()
        self.abort()
        self._transport = None
        del self._parser  # it holds our methods: without this a closed connection would wait for the garbage collector

    def pause_writing(self) -> None:
        """Hold a large body back."""
        if self._room is None:
            self._room = self._loop.create_future()

    def resume_writing(self) -> None:
        """Let a large body go on."""
        room, self._room = self._room, None
        if room is not None and not room.done():
            room.set_result(None)

    def on_message_begin(self) -> None:
        """Notice a second answer to one request."""
        if self._complete:
            raise _BadAnswerError("more than one answer came")

    def on_status(self, reason: bytes) -> None:
        """Bound the status line."""
        if len(reason) > LINE_LIMIT:
            raise _BadAnswerError("its status line is too long")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header, trailers only counted."""
        size = len(name) + len(value)
        self._head += size + 4
        if size > LINE_LIMIT or self._head > self._limits.head or len(self._headers) >= HEADERS_LIMIT:
            raise _BadAnswerError("its headers are too many or too long")
        if not self._headed:
            self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Take the status of a final answer."""
        status = self._parser.get_status_code()
        if status >= _FIRST_FINAL:
            self._status = status
            self._headed = True
            if self._head_only:
                self._complete = True

    def on_body(self, data: bytes) -> None:
        """Keep the beginning and count the rest."""
        self._size += len(data)
        if len(self._kept) < KEPT:
            self._kept = (self._kept + data)[:KEPT]

    def on_message_complete(self) -> None:
        """End the answer, or go on after an interim one."""
        if self._headed:
            self._complete = True
            self.reusable = self._parser.should_keep_alive()
            return
        self._interim += 1
        status = self._parser.get_status_code()
        if self._interim > INTERIM_LIMIT or status == 101:  # noqa: PLR2004 - Switching Protocols
            raise _BadAnswerError(f"it ended with the interim status {status}")
        self._headers.clear()

    def _ends_with_connection(self) -> bool:
        return not any(name.lower() in {b"content-length", b"transfer-encoding"} for name, _ in self._headers)


def _reason(error: HttpParserError) -> str:
    cause = error.__context__
    return str(cause) if isinstance(cause, _BadAnswerError) else "it is no HTTP/1 answer"
