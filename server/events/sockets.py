"""The live tail over a websocket: the same events, for clients that change what they want while they listen.

A client sends JSON objects, and for each gets an answer: `{"token": …}` first where no Authorization header came (a token never
stands in a URL), `{"subscribe": "order"}` or `{"unsubscribe": "order"}`, `{"ping": …}`. The first subscription may say `"after"`:
the id of the last event that it had. The text `subscribe:order` is understood too. Events come as `{"id": …, "event": {…}}`.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Any

import orjson
from granian.rsgi import ProtocolClosed  # type: ignore[attr-defined]

from server.events.hub import Listener
from server.events.matching import matches
from server.events.position import Position
from server.events.stream_metrics import ended
from server.events.wanted import MOST, patterns_of
from server.kernel.errors import CrossdockError, Invalid, Malformed, NotFound, Unauthenticated, code

if TYPE_CHECKING:
    from server.events.envelope import Event
    from server.events.feed import Batch, Caller, Feeds

COMMAND_INVALID = code("COMMAND_INVALID", "A message to the websocket is not one of those that it takes.")
PATH = "/api/v1/stream/ws"
TOKEN_SECONDS = 10.0
FIRST_SECONDS = 60.0
SEND_SECONDS = 20.0
LONGEST_MESSAGE = 32_768
_CLOSED, _TEXT = 0, 2  # kinds of messages, as the server in front numbers them


class Sockets:
    """Holds websockets; each message that a client gets is a JSON object."""

    def __init__(self, feeds: Feeds) -> None:
        self.feeds = feeds

    async def serve(self, scope: Any, protocol: Any) -> None:
        """Hold one websocket until it ends.

        Raises:
            NotFound, Unauthenticated, Forbidden, TooMany, Invalid: before it was accepted.

        """
        if scope.path != PATH:
            raise NotFound("there is no such path", source="web")
        if scope.query_string:
            raise Invalid("a websocket takes no query: say what you want in messages", source="web")
        address = str(scope.client).rpartition(":")[0]
        given = scope.headers.get("authorization")
        caller = None if given is None else await self.feeds.caller(given.partition(" ")[2].strip(), address)
        socket = _Socket(await protocol.accept())
        try:
            if caller is None:
                caller = await self._introduced(socket, address)
            with self.feeds.hub.place(caller.principal.workspace_id):
                await _Session(self.feeds, socket, caller).run()
        except CrossdockError as error:
            await socket.refuse(error)
        except (ProtocolClosed, TimeoutError):  # the client has gone, or reads nothing any more
            pass
        finally:
            protocol.close()
            socket.drop()

    async def _introduced(self, socket: _Socket, address: str) -> Caller:
        """Wait for the token.

        Raises:
            Unauthenticated: none came in time, or not first.

        """
        try:
            async with asyncio.timeout(TOKEN_SECONDS):
                message = await socket.receive()
        except TimeoutError as error:
            raise Unauthenticated("no token came in time", source="access") from error
        token = message.get("token") if message else None
        if not isinstance(token, str):
            raise Unauthenticated("the first message must be the token", source="access")
        caller = await self.feeds.caller(token, address)
        await socket.send({"workspace": str(caller.principal.scope)})
        return caller


class _Session:
    """One accepted websocket of one caller."""

    def __init__(self, feeds: Feeds, socket: _Socket, caller: Caller) -> None:
        self.feeds = feeds
        self.socket = socket
        self.caller = caller
        self.wanted: dict[str, tuple[str, ...]] = {}
        self.listener = Listener(caller.principal.workspace_id, self._wants)
        self.begun: asyncio.Future[Position | None] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        """Obey and tell until one of the two ends."""
        tasks = [asyncio.ensure_future(self._obey()), asyncio.ensure_future(self._tell())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            self.feeds.hub.leave(self.listener)
            ended(self.caller.principal.scope, "websocket", self.listener)

    async def _obey(self) -> None:
        while (message := await self.socket.receive()) is not None:
            try:
                answer = self._answer(message)
            except CrossdockError as error:
                answer = {"error": error.failure.as_dict()}
            await self.socket.send(answer)

    def _answer(self, message: dict[str, Any]) -> dict[str, Any]:
        if "ping" in message:
            return {"pong": message["ping"]}
        word = "subscribe" if "subscribe" in message else "unsubscribe"
        entity = message.get(word)
        if not isinstance(entity, str) or message.keys() - {word, "after"}:
            raise Malformed("one of subscribe, unsubscribe and ping is taken", code=COMMAND_INVALID, source="events")
        if word == "unsubscribe":
            self.wanted.pop(entity, None)
            return {"unsubscribed": entity}
        patterns = patterns_of(entity)
        if len(self.wanted) >= MOST and entity not in self.wanted:
            raise Invalid(f"at most {MOST} subscriptions are taken", code=COMMAND_INVALID, source="events")
        position = self._position(message.get("after"))
        self.wanted[entity] = patterns
        if not self.begun.done():
            self.begun.set_result(position)
        return {"subscribed": entity}

    def _position(self, after: Any) -> Position | None:
        if after is None:
            return None
        if self.begun.done() or not isinstance(after, str):
            raise Invalid("only the first subscription says after which id", code=COMMAND_INVALID, source="events")
        return Position.read(after)

    async def _tell(self) -> None:
        async with asyncio.timeout(FIRST_SECONDS):
            position = await self.begun
        async with aclosing(self.feeds.follow(self.caller, self.listener, position)) as batches:
            async for batch in batches:
                await self._batch(batch)
        if self.listener.why is not None:
            await self.socket.send({"error": self.listener.why.as_dict()})

    async def _batch(self, batch: Batch) -> None:
        for frame in batch.frames:
            await self.socket.write(b'{"id":"%b","event":%b}' % (frame.id.encode(), frame.body))
        if batch.beat or not batch.frames:
            await self.socket.send({"id": batch.id})

    def _wants(self, event: Event) -> bool:
        return any(matches(pattern, event.type) for patterns in self.wanted.values() for pattern in patterns)


class _Socket:
    """JSON objects in and out."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport

    async def receive(self) -> dict[str, Any] | None:
        """Return the next message; None when the client has closed.

        Raises:
            Malformed: COMMAND_INVALID.

        """
        message = await self._transport.receive()
        if message.kind == _CLOSED:
            return None
        text = message.data if message.kind == _TEXT else ""
        word, colon, entity = text.partition(":")
        if colon and word in ("subscribe", "unsubscribe"):
            return {word: entity}
        try:
            value = orjson.loads(text) if len(text) <= LONGEST_MESSAGE else None
        except orjson.JSONDecodeError:
            value = None
        if not isinstance(value, dict):
            raise Malformed("a message is a JSON object", code=COMMAND_INVALID, source="events")
        return value

    async def send(self, value: dict[str, Any]) -> None:
        """Send a JSON object."""
        await self.write(orjson.dumps(value))

    async def write(self, body: bytes) -> None:
        """Send JSON text; who does not take it in time is gone.

        Raises:
            TimeoutError.

        """
        async with asyncio.timeout(SEND_SECONDS):
            await self._transport.send_str(body.decode())

    def drop(self) -> None:
        """Let go of the connection at once, not when somebody collects the garbage: the client waits for its end."""
        self._transport = None

    async def refuse(self, error: CrossdockError) -> None:
        """Say why it ends."""
        with suppress(ProtocolClosed, TimeoutError):
            await self.send({"error": error.failure.as_dict()})
