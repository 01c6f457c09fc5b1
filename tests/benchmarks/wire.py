"""A wire between a process and PostgreSQL that counts round trips: each time the client speaks after the server has.

What is sent in one go without waiting for an answer (a pipeline) is one trip, as it is on the network. The statement that a
trip began with is read from the messages (Query, Parse, Bind of what was parsed before), so that it is known what they were.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from typing import Any, Self
from urllib.parse import urlsplit

_SHOWN = 72


class Wire:
    """Listens on a port of its own and passes everything on. A context manager."""

    def __init__(self, database_url: str) -> None:
        place = urlsplit(database_url)
        self.host, self.port = str(place.hostname), int(place.port or 5432)
        self.trips: Counter[str] = Counter()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        serving = self._loop.create_server(lambda: _Client(self), "127.0.0.1", 0)
        server = asyncio.run_coroutine_threadsafe(serving, self._loop).result(10)
        self.listening = int(server.sockets[0].getsockname()[1])
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def url(self, database_url: str) -> str:
        """Return the URL with which a process comes through here."""
        return database_url.replace(f":{self.port}/", f":{self.listening}/")

    def total(self) -> int:
        """Return the trips so far."""
        return sum(self.trips.values())


class _Server(asyncio.Protocol):
    """The side of the database."""

    def __init__(self, client: _Client) -> None:
        self.client = client

    def data_received(self, data: bytes) -> None:
        self.client.answered = True
        self.client.transport.write(data)

    def connection_lost(self, _: Exception | None) -> None:
        self.client.transport.close()


class _Client(asyncio.Protocol):
    """The side of the process."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.answered = True
        self.server: Any = None
        self.waiting: list[bytes] = []
        self.prepared: dict[bytes, str] = {}
        self.started = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self._dialling = asyncio.get_running_loop().create_task(self._dial())

    async def _dial(self) -> None:
        loop = asyncio.get_running_loop()
        self.server, _ = await loop.create_connection(lambda: _Server(self), self.wire.host, self.wire.port)
        for data in self.waiting:
            self.server.write(data)

    def data_received(self, data: bytes) -> None:
        if self.answered:
            self.answered = False
            self.wire.trips[self._statement(data)] += 1
        else:
            self._statement(data)
        if self.server is None:
            self.waiting.append(data)
        else:
            self.server.write(data)

    def connection_lost(self, _: Exception | None) -> None:
        if self.server is not None:
            self.server.close()

    def _statement(self, data: bytes) -> str:
        """Return the first statement of what was sent; remember what is parsed under a name."""
        if data[:1] == b"\0":
            return "(connect)"
        first, at = "", 0
        while at + 5 <= len(data):
            kind, size = data[at : at + 1], int.from_bytes(data[at + 1 : at + 5], "big")
            body = data[at + 5 : at + 1 + size]
            said = self._said(kind, body)
            first = first or said
            at += 1 + max(size, 4)
        return first or f"({data[:1].decode(errors='replace')})"

    def _said(self, kind: bytes, body: bytes) -> str:
        if kind == b"Q":
            return _short(body.rstrip(b"\0"))
        if kind == b"P":
            name, _, rest = body.partition(b"\0")
            self.prepared[name] = _short(rest.partition(b"\0")[0])
            return self.prepared[name]
        if kind == b"B":
            return self.prepared.get(body.split(b"\0", 2)[1], "(bind)")
        return {b"d": "(copy data)", b"S": "", b"E": "", b"D": ""}.get(kind, "")


def _short(statement: bytes) -> str:
    return " ".join(statement.decode(errors="replace").split())[:_SHOWN]
