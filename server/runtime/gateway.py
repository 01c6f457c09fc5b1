"""Between granian and Flask: reads each request whole, within limits, before a thread is given to it.

Granian can call a WSGI application itself, and somewhat faster (9,000 small posts/s to 6,400 on 2 cores), but then each
body is read by the thread that answers, without a deadline: a handful of clients that send a byte a minute hold all
threads. Here slow clients cost a task of an event loop each, and are answered 408 when their time is over. The
environment of the process, which WSGI servers show to the application, is not part of a request here.
"""

from __future__ import annotations

import asyncio
import io
import queue
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import structlog
from granian.rsgi import ProtocolClosed  # type: ignore[attr-defined]

from server.kernel import garbage
from server.kernel.errors import INTERNAL, BodyTimeout, CrossdockError, Failure, Rejected, Unavailable
from server.runtime.reading import BODY_SECONDS, Reading
from server.telemetry import logs
from server.web import guard, problems
from server.web.current import made

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from server.web.current import Current
    from server.web.direct import Direct, Door

SWITCH_SECONDS = 0.0005
THREADS = 32
"""Requests that one process works on at once: they mostly wait for the database."""
STREAMS = 128
"""Answers without a length (server-sent events) that one process sends at once."""
WAITING = 1024
"""Requests that may wait for a thread; more are answered 503 at once, since they would wait too long."""
_log = structlog.get_logger(__name__)


class _Request(NamedTuple):
    """What a thread works on."""

    scope: Any
    body: bytes
    length: str
    future: asyncio.Future[_Answer]


class _Answer(NamedTuple):
    """A status, headers, and either the body or what makes it."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes = b""
    stream: Iterator[bytes] | None = None
    close: Callable[[], None] = lambda: None

    def next(self) -> bytes | None:
        """Return the next piece of a stream, None at its end."""
        return next(self.stream, None) if self.stream else None


class Gateway:
    """The application as granian calls it (RSGI). `body_limit` is in bytes; the application answers what is larger.

    What begins with a prefix of `directs` never gets to the application, and what a door answers does not either: see
    `web.direct`.
    """

    def __init__(
        self,
        application: Callable[..., Iterable[bytes]],
        body_limit: int,
        body_seconds: float = BODY_SECONDS,
        directs: Sequence[Direct] = (),
        doors: Sequence[Door] = (),
    ) -> None:
        self.application = application
        self.body_limit = body_limit
        self.reading = Reading(body_seconds)
        self.directs = directs
        self.doors = doors
        self.requests: queue.SimpleQueue[_Request] = queue.SimpleQueue()
        self._lines = logs.Bound()

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start the threads: inside the process that serves.

        A request goes to the database and to Redis ten times, and each time it comes back it must wait until another
        thread lets it run: for Python's 5 ms that would be most of its time.
        """
        sys.setswitchinterval(SWITCH_SECONDS)
        garbage.settle()
        self.loop = loop
        self.streams = ThreadPoolExecutor(STREAMS, "stream")
        self.open_streams = 0
        for direct in self.directs:
            direct.start(loop)
        for door in self.doors:
            door.start(loop)
        for number in range(THREADS):
            threading.Thread(target=self._work, name=f"request-{number}", daemon=True).start()

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        """Answer one request."""
        for direct in self.directs:
            if scope.path.startswith(direct.prefix):
                return await self._direct(direct, scope, protocol)
        if scope.proto == "http":
            await self._called(scope, protocol)
        else:
            protocol.close(404)
        return None

    async def _called(self, scope: Any, protocol: Any) -> None:
        """Let a thread call the application."""
        if self.requests.qsize() >= WAITING:
            error = Unavailable("too many requests are waiting", source="web", after=1)
            return _send(protocol, self._failed(scope, error))
        with self.reading.of(scope, protocol) as body:
            try:
                read = await body.read_at_most(self.body_limit)
                for door in self.doors:
                    if door.takes(scope) and (plain := await _through(door, scope, read)) is not None:
                        return _send(protocol, _Answer(*plain))
                shown = body.length if body.length is not None else str(len(read))
                request = _Request(scope, read, shown, self.loop.create_future())
                self.requests.put(request)
                answer = await request.future
            except Rejected as error:
                return _send(protocol, self._failed(scope, error))
            except ProtocolClosed:  # the client went away
                return None
        return _send(protocol, answer) if answer.stream is None else await self._stream(scope, protocol, answer)

    async def _direct(self, direct: Direct, scope: Any, protocol: Any) -> None:
        """Let a handler of the loop's own answer; what it did not foresee is answered here."""
        with self.reading.of(scope, protocol) as body:
            try:
                return await direct.serve(scope, protocol, body.read)
            except ProtocolClosed:
                return None
            except CrossdockError as error:
                answer = self._failed(scope, error)
            except Exception:  # noqa: BLE001 - the border of the loop: one request must not end it
                answer = _broke(scope, "a handler failed", direct.prefix)
        with suppress(ProtocolClosed, RuntimeError):  # it has answered before it failed
            _send(protocol, answer) if scope.proto == "http" else protocol.close(answer.status)
        return None

    async def _stream(self, scope: Any, protocol: Any, answer: _Answer) -> None:
        """Send an answer of unknown length piece by piece, until it ends or nobody listens any more."""
        if self.open_streams >= STREAMS:
            answer.close()
            error = Unavailable("too many streams are open", source="web", after=1)
            return _send(protocol, self._failed(scope, error))
        self.open_streams += 1
        gone = asyncio.ensure_future(protocol.client_disconnect())
        try:
            transport = protocol.response_stream(answer.status, answer.headers)
            while not gone.done() and (part := await self.loop.run_in_executor(self.streams, answer.next)) is not None:
                await transport.send_bytes(part)
        except ProtocolClosed:  # the client has just gone
            pass
        finally:
            self.open_streams -= 1
            gone.cancel()
            self.streams.submit(answer.close)
        return None

    def _failed(self, scope: Any, error: CrossdockError) -> _Answer:
        """Answer a refusal, whose line in the log has its id; in a flood of them not each has a line."""
        now, status = _begun(scope), problems.status_of(error)
        if self._lines.admits():
            ids = {"request_id": now.request_id, "correlation_id": now.correlation_id}
            _log.info("a request was refused", method=scope.method, status=status, code=error.code, **ids)
        answer = _refusal(now, status, error.failure, error.after)
        if isinstance(error, BodyTimeout):  # what still comes would pass for the next request
            answer = answer._replace(headers=[*answer.headers, ("connection", "close")])
        return answer

    def _work(self) -> None:
        """Answer requests, one after the other: what each thread does for ever."""
        while True:
            request = self.requests.get()
            try:
                answer = self._call(request)
            except Exception:  # noqa: BLE001 (the application has caught its own already, and a thread must not end)
                answer = _broke(request.scope, "the application failed", request.scope.path)
            with suppress(RuntimeError):  # the loop is closed: the process ends
                self.loop.call_soon_threadsafe(_settle, request.future, answer)

    def _call(self, request: _Request) -> _Answer:
        started: list[tuple[str, list[tuple[str, str]]]] = []

        def start(status: str, headers: list[tuple[str, str]], _error: Any = None) -> None:
            started.append((status, headers))

        result = self.application(_environ(request), start)
        close = getattr(result, "close", lambda: None)
        status, headers = started[-1]
        lower = [(name.lower(), value) for name, value in headers]
        if any(name == "content-length" for name, _ in lower):
            try:
                return _Answer(int(status[:3]), lower, b"".join(result))
            finally:
                close()
        return _Answer(int(status[:3]), lower, stream=iter(result), close=close)


async def _through(door: Door, scope: Any, body: bytes) -> tuple[int, list[tuple[str, str]], bytes] | None:
    """Let a door answer; what it did not foresee may have been done, so nobody else does it again."""
    try:
        return await door.answer(scope, body)
    except Exception:  # noqa: BLE001 - the border of the loop: one request must not end it
        return _broke(scope, "a door failed", scope.path)[:3]


def _settle(future: asyncio.Future[_Answer], answer: _Answer) -> None:
    if not future.done():
        future.set_result(answer)


def _environ(request: _Request) -> dict[str, Any]:
    """Return the WSGI environment (PEP 3333) of a request."""
    scope = request.scope
    host, _, port = scope.server.rpartition(":")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": scope.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": scope.path.encode("utf-8", "surrogateescape").decode("latin-1"),
        "QUERY_STRING": scope.query_string,
        "REMOTE_ADDR": scope.client.rpartition(":")[0],
        "SERVER_NAME": host,
        "SERVER_PORT": port,
        "SERVER_PROTOCOL": f"HTTP/{scope.http_version}",
        "CONTENT_LENGTH": request.length,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.scheme,
        "wsgi.input": io.BytesIO(request.body),
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for name, value in scope.headers.items():
        if "_" in name:  # it would pass for the header with a hyphen, which a proxy in front may have vouched for
            continue
        key = "CONTENT_TYPE" if name == "content-type" else f"HTTP_{name.upper().replace('-', '_')}"
        if name in ("content-length", "transfer-encoding"):
            continue
        environ[key] = f"{environ[key]},{value}" if key in environ else value
    return environ


def _send(protocol: Any, answer: _Answer) -> None:
    protocol.response_bytes(answer.status, answer.headers, answer.body)


def _broke(scope: Any, what: str, path: str) -> _Answer:
    """Answer the exception at hand, which nobody foresaw: the log has it, the caller gets the request id."""
    now = _begun(scope)
    _log.exception(what, path=path, request_id=now.request_id, correlation_id=now.correlation_id)
    return _refusal(now, 500, Failure(INTERNAL, f"the log has it under {now.request_id}", "web"))


def _begun(scope: Any) -> Current:
    """Begin the record of a request that the application, which begins its own, has not answered."""
    return made(scope.headers.get("x-correlation-id") or "", scope.headers.get("traceparent") or "")


def _refusal(now: Current, status: int, failure: Failure, after: float | None = None) -> _Answer:
    """Make an answer without the application, in the form and with the headers that it uses too."""
    response = problems.answer(failure, status, after=after, of=now)
    headers = [(name.lower(), value) for name, value in response.headers]
    return _Answer(status, [*headers, *guard.headers_of(now.request_id, now.correlation_id)], response.get_data())
