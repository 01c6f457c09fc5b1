"""The live tail over HTTP: server-sent events, and the way to the websocket. Served on the event loop, without a thread each.

A stream ends when its token does, when its reader is too slow, and after some megabytes: the server in front takes whatever it is
handed and does not tell how much of it a client has read. Whoever comes again with `Last-Event-ID` misses nothing.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import orjson
from granian.rsgi import ProtocolClosed  # type: ignore[attr-defined]
from marshmallow import ValidationError

from server.events.hub import Listener
from server.events.position import Position
from server.events.schemas import StreamQuery
from server.events.stream_metrics import ended
from server.events.wanted import Wanted, read_patterns
from server.kernel.errors import Failure, NotAllowed, NotFound, code
from server.web import guard, problems
from server.web.current import made

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Sequence

    from server.events.feed import Batch, Caller, Feeds
    from server.events.hub import Frame
    from server.events.sockets import Sockets
    from server.web.direct import Read

STREAM_TURN = code("STREAM_TURN", "This answer has grown large enough: go on from the last id that you have.")
PATH = "/api/v1/stream"
MOST_SENT = 4 * 1024 * 1024
"""Bytes of one answer. All of them may wait in memory for a client that reads nothing."""
AGAIN_MILLISECONDS = 1000
_HEADERS = [
    ("content-type", "text/event-stream"),
    ("x-accel-buffering", "no"),  # nginx would keep events until it has a page of them
    ("connection", "close"),
]


class Stream:
    """Implements `web.direct.Direct` for the paths of the stream."""

    prefix = PATH

    def __init__(self, feeds: Feeds, sockets: Sockets, *, most_sent: int = MOST_SENT) -> None:
        self.feeds = feeds
        self.sockets = sockets
        self.most_sent = most_sent

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin: threads are made when somebody listens."""

    async def serve(self, scope: Any, protocol: Any, read: Read) -> None:
        """Answer one request: a stream, or an error before it begins."""
        del read  # there is no body
        if scope.proto == "ws":
            await self.sockets.serve(scope, protocol)
            return
        if scope.path != PATH:
            raise NotFound("there is no such path", source="web")
        if scope.method != "GET":
            raise NotAllowed("a stream is read by GET", source="web")
        caller = await self.feeds.caller(bearer(scope.headers.get("authorization")), address_of(scope))
        query = read_query(scope.query_string)
        wanted = Wanted(read_patterns(query["types"]), query["subject"])
        last = scope.headers.get("last-event-id")
        position = Position.read(last) if last else None
        if position is None and query["since"] is not None:
            position = await self.feeds.start(caller.principal.scope, query["since"])
        with self.feeds.hub.place(caller.principal.workspace_id):
            await self._listen(scope, protocol, caller, wanted, position, upcast=query["upcast"])

    async def _listen(
        self, scope: Any, protocol: Any, caller: Caller, wanted: Wanted, position: Position | None, *, upcast: bool
    ) -> None:
        listener = Listener(caller.principal.workspace_id, wanted)
        gone = asyncio.ensure_future(protocol.client_disconnect())
        gone.add_done_callback(lambda _: listener.end())
        try:
            async with aclosing(self._batches(caller, listener, position, upcast=upcast)) as batches:
                first = await anext(batches)  # what is wrong with the position is answered before a stream begins
                out = _Out(protocol.response_stream(200, [*_HEADERS, *_guarded(scope)]))
                await out.begin(first)
                await self._send(out, batches, listener)
            del out
            if listener.why is not None:  # what the client has not read yet takes memory: so its place stays taken
                await gone
        except ProtocolClosed:  # the client has just gone
            pass
        finally:
            self.feeds.hub.leave(listener)
            gone.cancel()
            ended(caller.principal.scope, "sse", listener)

    async def _batches(
        self, caller: Caller, listener: Listener, position: Position | None, *, upcast: bool
    ) -> AsyncGenerator[Batch]:
        async with aclosing(self.feeds.follow(caller, listener, position)) as batches:
            async for batch in batches:
                if upcast and batch.frames:
                    yield batch._replace(frames=await self.feeds.newest(caller.principal.scope, batch.frames))
                else:
                    yield batch

    async def _send(self, out: _Out, batches: AsyncIterator[Batch], listener: Listener) -> None:
        async for batch in batches:
            await out.batch(batch)
            if out.sent >= self.most_sent:
                listener.end(Failure(STREAM_TURN, "go on from the last id", "events", retryable=True))
                break
        if listener.why is not None:
            await out.end(listener.why)


def _guarded(scope: Any) -> list[tuple[str, str]]:
    """Return what every answer has."""
    now = made(scope.headers.get("x-correlation-id") or "", scope.headers.get("traceparent") or "")
    return guard.headers_of(now.request_id, now.correlation_id)


class _Out:
    """Writes server-sent events and counts their bytes."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._last = ""
        self.sent = 0

    async def begin(self, batch: Batch) -> None:
        await self._write(b"retry: %d\n\n" % AGAIN_MILLISECONDS)
        await self.batch(batch._replace(beat=True))

    async def batch(self, batch: Batch) -> None:
        """Write a batch; as a heartbeat also the id to go on from, which without data tells the reader nothing else."""
        if batch.frames:
            await self._write(written(batch.frames))
        if batch.beat:
            await self._write(written_place(batch.id))

    async def end(self, why: Failure) -> None:
        await self._write(b"event: end\ndata: %b\n\n" % orjson.dumps(why.as_dict()))

    async def _write(self, data: bytes) -> None:
        self.sent += len(data)
        await self._transport.send_bytes(data)


def written(frames: Sequence[Frame]) -> bytes:
    """Write frames as server-sent events."""
    return b"".join(b"id: %b\ndata: %b\n\n" % (frame.id.encode(), frame.body) for frame in frames)


def written_place(id_: str) -> bytes:
    """Write where to go on, and that the stream lives."""
    return b": alive\nid: %b\n\n" % id_.encode()


def bearer(given: str | None) -> str | None:
    """Return the token of an Authorization header; an empty text for any other scheme; None without the header."""
    if given is None:
        return None
    scheme, _, token = given.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def address_of(scope: Any) -> str:
    """Return the address of the client."""
    return str(scope.client).rpartition(":")[0]


def read_query(text: str) -> dict[str, Any]:
    """Read the query of a stream as any other route's is read.

    Raises:
        Invalid: an unknown or repeated parameter, or a value that none can be.

    """
    given: dict[str, str] = {}
    for key, value in parse_qsl(text, keep_blank_values=True):
        if key in given:
            raise problems.by_location({"query": {key: ["Given more than once."]}})
        given[key] = value
    try:
        read: dict[str, Any] = StreamQuery().load(given)
    except ValidationError as error:
        raise problems.by_location({"query": error.messages}) from error
    return read
