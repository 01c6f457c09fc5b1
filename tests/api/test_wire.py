"""The whole application over a real socket: lying lengths, smuggled requests and bombs are refused, and the next one is served."""

from __future__ import annotations

import gzip
import json
import os
import socket
import subprocess
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from server.runtime.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.api.world import Place, World

EVENT = b'{"type": "wire.sent", "data": {}}'


class Wire:
    def __init__(self, port: int, token: str) -> None:
        self.port = port
        self.head = f"Host: localhost\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n".encode()

    def post(self, *headers: bytes, body: bytes = EVENT, more: bytes = b"") -> tuple[int, dict[str, Any]]:
        """Send a request to publish an event whose framing the headers say; `more` comes after the body."""
        lines = b"".join(each + b"\r\n" for each in headers)
        return self.raw(b"POST /api/v1/events HTTP/1.1\r\n" + self.head + lines + b"\r\n" + body + more)

    def raw(self, content: bytes) -> tuple[int, dict[str, Any]]:
        """Send bytes; return the status of the first answer (0: the connection was closed) and its problem."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=8) as connection:
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(content)
            answer = b""
            with suppress(ConnectionResetError):
                while b"\r\n\r\n" not in answer:
                    piece = connection.recv(65536)
                    if not piece:
                        return 0, {}
                    answer += piece
                head, _, body = answer.partition(b"\r\n\r\n")
                length = next(
                    (
                        int(each.split(b":")[1])
                        for each in head.split(b"\r\n")
                        if each.lower().startswith(b"content-length:")
                    ),
                    0,
                )
                while len(body) < length:
                    body += connection.recv(65536)
                shown = json.loads(body[:length]) if b"json" in head else {}
                return int(answer.split(b" ", 2)[1]), shown
        return 0, {}


@pytest.fixture(scope="module")
def wire(world: World, alpha: Place, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    port = free_port()
    home = tmp_path_factory.mktemp("home")
    environment = os.environ | {
        "DATABASE_URL": world.product.settings.database_url,
        "CROSSDOCK_KEYS": world.product.settings.keys,
    }
    process = subprocess.Popen([sys.executable, "-m", "tests.api.served", str(home), str(port)], env=environment)
    found = Wire(port, alpha.admin["Authorization"].split(" ")[1])
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        with suppress(OSError):
            if found.raw(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")[0] == 200:
                break
        time.sleep(0.2)
    yield found
    process.terminate()
    process.wait(20)


@pytest.fixture(autouse=True)
def _the_next_is_served_and_nothing_stored(world: World, alpha: Place, wire: Wire):
    before = world.rows_of(alpha)["events"]
    yield
    assert world.rows_of(alpha)["events"] == before
    status, body = wire.raw(b"GET /api/v1/me HTTP/1.1\r\n" + wire.head + b"\r\n")
    assert (status, body["workspace"]) == (200, "alpha")


LARGE = b'{"type": "a.b", "data": "' + b"x" * 1_100_000 + b'"}'
SIZE = str(len(EVENT)).encode()
FRAMINGS: dict[str, tuple[list[bytes], bytes, set[int]]] = {
    "longer than it is": ([b"Content-Length: 1000"], EVENT, {408}),
    "shorter than it is": ([b"Content-Length: 10"], EVENT, {400}),
    "over the limit and never sent": ([b"Content-Length: 1048577"], b"", {413}),
    "over the limit and sent": ([b"Content-Length: " + str(len(LARGE)).encode()], LARGE, {413}),
    "no number": ([b"Content-Length: abc"], EVENT, {0, 400}),
    "negative": ([b"Content-Length: -1"], EVENT, {0, 400}),
    "with a plus": ([b"Content-Length: +5"], EVENT, {0, 400}),
    "beyond 64 bits": ([b"Content-Length: 99999999999999999999"], EVENT, {0, 400}),
    "said twice": ([b"Content-Length: " + SIZE, b"Content-Length: 1"], EVENT, {0, 400}),
    "chunked over the limit": ([b"Transfer-Encoding: chunked"], b"11 0000\r\n" + b"x" * 0x110000 + b"\r\n0\r\n\r\n", {0, 400, 413}),
    "endless chunks": ([b"Transfer-Encoding: chunked"], (b"10000\r\n" + b"x" * 0x10000 + b"\r\n") * 17, {413}),
    "chunks that stop": ([b"Transfer-Encoding: chunked"], b"10000\r\nx", {408}),
    "chunks of no size": ([b"Transfer-Encoding: chunked"], b"zz\r\n{}\r\n0\r\n\r\n", {0, 400}),
    "chunked and a length": ([b"Transfer-Encoding: chunked", b"Content-Length: 3"], b"2\r\n{}\r\n0\r\n\r\n", {0, 400, 422}),
    "an unknown transfer coding": ([b"Transfer-Encoding: xchunked"], EVENT, {0, 400, 501}),
    "gzip as a transfer coding": ([b"Transfer-Encoding: gzip, chunked"], b"2\r\n{}\r\n0\r\n\r\n", {0, 400, 415, 422}),
    "no length at all": ([], b"", {400}),
}  # fmt: skip


@pytest.mark.parametrize("framing", FRAMINGS)
def test_a_body_whose_framing_lies_stores_nothing(wire: Wire, framing: str):
    headers, body, statuses = FRAMINGS[framing]
    began = time.monotonic()
    status, problem = wire.post(*headers, body=body)
    assert status in statuses, (status, problem)
    assert time.monotonic() - began < 6
    if status and problem:
        assert (problem["status"], "code" in problem) == (status, True)


def test_a_bomb_is_not_unpacked(wire: Wire):
    bomb = gzip.compress(b" " * 50_000_000)
    began = time.monotonic()
    status, problem = wire.post(b"Content-Encoding: gzip", b"Content-Length: " + str(len(bomb)).encode(), body=bomb)
    assert (status, problem["code"]) == (415, "ENCODING_REFUSED")
    assert time.monotonic() - began < 2


LINES: dict[str, tuple[bytes, set[int]]] = {
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", {0, 400}),
    "an unknown version": (b"GET / HTTP/9.9\r\nHost: x\r\n\r\n", {0, 400, 505}),
    "HTTP/2 at once": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {0, 400, 505}),
    "a space in the path": (b"GET /api/v1/me x HTTP/1.1\r\nHost: x\r\n\r\n", {0, 400}),
    "a folded header": (b"GET /api/v1/me HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n", {0, 400, 401}),
    "a space before the colon": (b"POST /api/v1/events HTTP/1.1\r\nHost: x\r\nContent-Length : 2\r\n\r\n{}", {0, 400}),
    "a bare carriage return": (b"GET /api/v1/me HTTP/1.1\r\nHost: x\r\nA: b\rC: d\r\n\r\n", {0, 400}),
    "NUL in a header": (b"GET /api/v1/me HTTP/1.1\r\nHost: x\r\nA: b\x00c\r\n\r\n", {0, 400}),
    "an absolute URL": (b"GET http://evil.example.com/api/v1/me HTTP/1.1\r\nHost: x\r\n\r\n", {400, 401, 404}),
    "no host": (b"GET /api/v1/me HTTP/1.1\r\n\r\n", {0, 400, 401}),
    "a path of bytes": (b"GET /api/v1/\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n", {0, 400, 404}),
    "a path without end": (b"GET /" + b"a" * 60_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", {0, 400, 414}),
    "a header without end": (b"GET /api/v1/me HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 200_000 + b"\r\n\r\n", {0, 400, 431}),
    "5,000 headers": (b"GET /api/v1/me HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 5000 + b"\r\n", {0, 400, 431}),
    "an upgrade": (b"GET /api/v1/me HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", {0, 400, 401}),
    "a tunnel": (b"CONNECT 169.254.169.254:80 HTTP/1.1\r\nHost: x\r\n\r\n", {0, 400, 404, 405}),
}  # fmt: skip


@pytest.mark.parametrize("line", LINES)
def test_what_breaks_http_is_refused(wire: Wire, line: str):
    content, statuses = LINES[line]
    status, problem = wire.raw(content)
    assert status in statuses, (status, problem)


def test_a_smuggled_request_is_not_served_as_somebody_else(wire: Wire, world: World, alpha: Place):
    smuggled = b"POST /api/v1/events HTTP/1.1\r\n" + wire.head + b"Content-Length: " + SIZE + b"\r\n\r\n" + EVENT
    status, _ = wire.post(b"Transfer-Encoding: chunked", b"Content-Length: 5", body=b"0\r\n\r\n", more=b"")
    assert status in (0, 400, 422)
    # A body that holds a request is a body: what counts is its length.
    status, problem = wire.post(b"Content-Length: " + str(len(smuggled)).encode(), body=smuggled)
    assert (status, problem["code"]) == (400, "MALFORMED")
