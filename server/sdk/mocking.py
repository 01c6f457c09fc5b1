"""Mocks are product code: each plays the system that its plugin talks to, well and badly."""

from __future__ import annotations

import abc
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Literal, Self
from urllib.parse import parse_qsl, urlsplit

from server.kernel.errors import Permanent

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

Scenario = Literal["ok", "pages", "401", "404", "429", "500", "slow", "broken_json"]
SCENARIOS: tuple[Scenario, ...] = ("ok", "pages", "401", "404", "429", "500", "slow", "broken_json")
PAUSE = 7
_SLOW_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceStage:
    """What reads the rows that the mock was given; `cursor` is empty for a source without cursor fields."""

    options: Mapping[str, Any]
    primary_key: tuple[str, ...]
    cursor: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetStage:
    """What writes to an empty place of the mock; `record(number, text)` makes a record that fits it.

    The number alone decides the values of `match_on`; another text makes the record another.
    """

    options: Mapping[str, Any]
    match_on: tuple[str, ...]
    record: Callable[[int, str], dict[str, Any]]


def _unset(operation: str) -> Permanent:
    return Permanent(f"the mock sets no stage for {operation}", source="mock")


class Mock(abc.ABC):
    """Plays the other system inside a `with` block; `play` says how it behaves from then on."""

    secrets: tuple[str, ...] = ()
    """Every secret in `config`: the contract looks for them in what the plugin says."""
    folder: Path | None = None
    """Where the mock keeps files that the plugin is to reach, as the folder of a workspace."""

    @property
    @abc.abstractmethod
    def config(self) -> dict[str, Any]:
        """The integration's config that leads to this mock, with secrets resolved."""

    @abc.abstractmethod
    def play(self, scenario: Scenario) -> None:
        """Behave so from now on."""

    def source(self, operation: str, ticks: Sequence[int]) -> SourceStage:  # noqa: ARG002 - for subclasses
        """Let the source have just these rows, made new: row N has key N (from 0) and its cursor at second `ticks[N]`.

        For a plugin with sources; the cursor is a time or a number that grows with the tick.
        """
        raise _unset(operation)

    def target(self, operation: str) -> TargetStage:
        """Let the target be empty. For a plugin with targets."""
        raise _unset(operation)

    def stored(self, operation: str) -> Sequence[Mapping[str, Any]]:
        """Return what the target holds: each record with at least the fields that were written."""
        raise _unset(operation)

    @abc.abstractmethod
    def __enter__(self) -> Self: ...

    @abc.abstractmethod
    def __exit__(self, *_exc: object) -> None: ...


@dataclass(frozen=True, slots=True)
class Received:
    """A request that the mock got; header names are lower case."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of the mock: JSON, unless `raw` is set."""

    status: int = 200
    json: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    raw: bytes | None = None


class HttpMock(Mock):
    """A mock that speaks real HTTP on a loopback port. A plugin's mock says what `ok` and `pages` answer."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.connections: set[tuple[str, int]] = set()
        self._scenario: Scenario = "ok"
        self._over = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_for(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    @property
    def url(self) -> str:
        """The base URL."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def play(self, scenario: Scenario) -> None:
        self._scenario = scenario

    @abc.abstractmethod
    def answer(self, request: Received) -> Reply:
        """Answer as the well system does."""

    def reply(self, request: Received) -> Reply:
        """Answer as the scenario says."""
        self.received.append(request)
        plain = {
            "401": Reply(401, {"error": "unauthorized"}),
            "404": Reply(404, {"error": "not found"}),
            "429": Reply(429, {"error": "slow down"}, {"Retry-After": str(PAUSE)}),
            "500": Reply(500, {"error": "internal"}),
            "broken_json": Reply(200, raw=b'{"broken": [1, 2'),
        }
        if self._scenario == "slow":
            self._over.wait(_SLOW_SECONDS)
        return plain.get(self._scenario) or self.answer(request)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _handler_for(mock: HttpMock) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # or a body waits 40 ms for its head to be acknowledged

        def _serve(self) -> None:
            mock.connections.add(self.client_address)
            url = urlsplit(self.path)
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = self.rfile.read(int(headers.get("content-length", "0")))
            query = dict(parse_qsl(url.query, keep_blank_values=True))
            reply = mock.reply(Received(self.command, url.path, query, headers, body))
            content = json.dumps(reply.json).encode() if reply.raw is None else reply.raw
            try:
                self._send(reply, content)
            except OSError:
                self.close_connection = True  # the caller has gone, as in the slow scenario

        def _send(self, reply: Reply, content: bytes) -> None:
            self.send_response(reply.status)
            for name, value in {"Content-Type": "application/json", **reply.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = _serve  # noqa: N815 - http.server asks for these names

        def log_message(self, *_args: Any) -> None:
            """Say nothing."""

    return Handler
