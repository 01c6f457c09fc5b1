"""The application behind the real server with streams that look after their tokens often, and a client of its streams.

`python -m tests.support.streams HOME PORT`, settings in the environment.
"""

from __future__ import annotations

import http.client
import json
import socket
import sys
import threading
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlencode

from server import bootstrap
from server.app import create_app
from server.config import Settings
from server.events.feed import Feeds
from server.events.sockets import Sockets
from server.events.stream import Stream
from server.runtime.api import serve_api

if TYPE_CHECKING:
    from flask import Flask

BEAT_SECONDS = 0.5
OF_WORKSPACE = 220


def make(settings: Settings) -> Flask:
    """Build the application as it is, with other figures for its streams."""
    api = bootstrap.api(settings)
    feeds = Feeds(
        api.core.engine,
        api.store,
        api.authenticate,
        api.failures,
        beat_seconds=BEAT_SECONDS,
        most_of_workspace=OF_WORKSPACE,
    )
    return create_app(replace(api, directs=[Stream(feeds, Sockets(feeds))]))


class Tail:
    """One client of the stream: reads in a thread of its own until the stream ends or the block does."""

    def __init__(self, port: int, token: str, last: str | None = None, **query: str) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self.path = "/api/v1/stream" + (f"?{urlencode(query)}" if query else "")
        self.headers = {"Authorization": f"Bearer {token}"} | ({"Last-Event-ID": last} if last else {})
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.last = last or ""
        self.end: dict[str, Any] | None = None
        self.closed = threading.Event()

    def __enter__(self) -> Self:
        self.begin()
        self.status = self.answer.status
        if self.status != 200:
            self.problem = json.loads(self.answer.read())
            self.closed.set()
            return self
        self._block()  # how soon to come again
        self._block()  # the first place to go on from: from here on it listens
        threading.Thread(target=self.read, daemon=True).start()
        return self

    def begin(self) -> None:
        """Ask, and read nothing of the stream yet."""
        self.connection.request("GET", self.path, headers=self.headers)
        self.sock = self.connection.sock
        self.answer = self.connection.getresponse()

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # the thread that reads is woken by that, and by no close
            self.sock.shutdown(socket.SHUT_RDWR)
        self.answer.close()
        self.connection.close()

    @property
    def ids(self) -> list[str]:
        return [event["id"] for _, event in list(self.told)]

    def read(self) -> None:
        """Read to the end of the stream."""
        with suppress(OSError, http.client.HTTPException, ValueError, AttributeError):
            while self._block():
                pass
        self.closed.set()

    def _block(self) -> bool:
        block: dict[str, str] = {}
        while line := self.answer.readline().decode().rstrip("\n"):
            name, _, value = line.partition(": ")
            block[name] = value
        if not block:
            return False
        if block.get("event") == "end":
            self.end = json.loads(block["data"])
        elif "data" in block:
            self.told.append((block["id"], json.loads(block["data"])))
        self.last = block.get("id", self.last)
        return True


if __name__ == "__main__":
    home, port = sys.argv[1:]
    settings = replace(Settings.from_env(), home=Path(home))
    serve_api(settings, "127.0.0.1", int(port), factory="tests.support.streams:make")
