"""The asynchronous sender of deliveries: one aiohttp pool per address policy, under the same rules as `sync`."""

from __future__ import annotations

import asyncio
import functools
import io
import socket
import time
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from server.transport.failures import (
    answer_broken,
    answer_too_large,
    connect_failed,
    timed_out,
    tls_failed,
    url_refused,
)
from server.transport.headers import vet_headers, vet_method
from server.transport.limits import DELIVERY_LIMITS, Limits
from server.transport.names import Resolver, shared_resolver
from server.transport.tls import client_tls
from server.transport.urls import Target, vet_url

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    from aiohttp.client import ClientTimeout
    from aiohttp.client_reqrep import ClientRequest
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace

    from server.kernel.errors import CrossdockError
    from server.transport.addresses import AddressPolicy

KEPT = 4096
_SKIPPED = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")
_INTERIM_LIMIT = 8
_FIRST_FINAL = 200
_OK = range(200, 300)
_HEADERS_LIMIT = 128
_IDLE_SECONDS = 4.0  # below the 5 s after which common servers close an idle connection
_IDLE_CONNECTIONS = 512
_POLICIES = 64
_LARGE = 1_048_576  # more than this is sent in pieces, so that the event loop goes on


@dataclass(frozen=True, slots=True)
class Request:
    """One request. `timeout` is the total in seconds; header values are plain ASCII."""

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    timeout: float = DELIVERY_LIMITS.total


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `body` is the first 4 KiB as they came; `timings` are milliseconds from the start:

    `connect` (the connection stood, names and TLS included; 0 when it was reused), `first_byte`, `total`, and `dns`
    where a name was looked up. `address` is the one that was dialled.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    timings: dict[str, float]
    address: str


class _Course:
    """What one request in flight learns on its way; the connector writes it, since aiohttp's traces are dear."""

    __slots__ = ("address", "connected", "dns", "started")

    def __init__(self) -> None:
        self.started = time.perf_counter()
        self.dns = self.connected = 0.0
        self.address = ""


_course: ContextVar[_Course] = ContextVar("course")


class AsyncSender:
    """Sends requests from one event loop; close it there.

    `policy` is the default; `send` takes another one for a workspace with a list of its own. Connections are pooled
    per policy, so that one workspace's allowed address is never reached over another's idle connection.
    """

    def __init__(
        self,
        policy: AddressPolicy,
        limits: Limits = DELIVERY_LIMITS,
        *,
        resolver: Resolver | None = None,
        tls: ssl.SSLContext | None = None,
        user_agent: str = "crossdock",
    ) -> None:
        self._policy = policy
        self._limits = limits
        self._resolver = resolver or shared_resolver()
        self._tls = tls or client_tls()
        self._headers = {"User-Agent": user_agent, "Accept": "*/*", "Accept-Encoding": "identity"}
        self._sessions: dict[AddressPolicy, aiohttp.ClientSession] = {}
        self._retiring: set[asyncio.Task[None]] = set()
        self._timeout = functools.lru_cache(maxsize=256)(self._timeout_of)

    async def send(self, request: Request, policy: AddressPolicy | None = None) -> Answer:
        """Send one request and return its answer, whatever its final status.

        Raises:
            Retryable, Permanent: see `failures`; a 2xx whose body is larger than is read is ANSWER_TOO_LARGE.

        """
        target = vet_url(request.url)
        vet_method(request.method)
        vet_headers(request.headers)
        course = _Course()
        token = _course.set(course)
        try:
            return await self._exchange(request, target, policy or self._policy, course)
        except (aiohttp.ClientError, HttpProcessingError, TimeoutError, OSError) as error:
            raise self._failure(error, target, request, course) from error
        finally:
            _course.reset(token)

    async def _exchange(self, request: Request, target: Target, policy: AddressPolicy, course: _Course) -> Answer:
        session = self._sessions.get(policy) or self._open(policy)
        async with session.request(
            request.method,
            URL(target.url, encoded=True),
            data=io.BytesIO(request.body) if len(request.body) > _LARGE else request.body or None,
            headers=request.headers,
            timeout=self._timeout(request.timeout),
            allow_redirects=False,
        ) as response:
            first_byte = time.perf_counter()
            if response.status < _FIRST_FINAL:
                response.close()
                raise answer_broken(f"it ended with the interim status {response.status}")
            body = await self._read(response)
        done = time.perf_counter()
        timings = {
            "connect": _milliseconds(course.started, course.connected),
            "first_byte": _milliseconds(course.started, first_byte),
            "total": _milliseconds(course.started, done),
        }
        if course.dns:
            timings["dns"] = course.dns
        return Answer(response.status, response.headers, body, timings, course.address)

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        kept, size = b"", 0
        while chunk := await response.content.readany():
            size += len(chunk)
            if len(kept) < KEPT:
                kept = (kept + chunk)[:KEPT]
            if size > self._limits.body:
                response.close()
                if response.status in _OK:
                    raise answer_too_large(self._limits.body)
                break
        return kept

    def _open(self, policy: AddressPolicy) -> aiohttp.ClientSession:
        if len(self._sessions) >= _POLICIES:
            oldest = next(iter(self._sessions))
            task = asyncio.get_running_loop().create_task(self._retire(self._sessions.pop(oldest)))
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)
        session = aiohttp.ClientSession(
            connector=_GuardedConnector(policy, self._resolver, self._limits, self._tls),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=self._headers,
            skip_auto_headers=_SKIPPED,
            auto_decompress=False,
            trust_env=False,
            max_line_size=8190,
            max_field_size=8190,
            max_headers=_HEADERS_LIMIT,
        )
        self._sessions[policy] = session
        return session

    async def _retire(self, session: aiohttp.ClientSession) -> None:
        """Close a pool once what is under way on it must have ended."""
        try:
            await asyncio.sleep(self._limits.total + 1)
        finally:
            await session.close()

    def _timeout_of(self, total: float) -> aiohttp.ClientTimeout:
        total = min(total, self._limits.total)
        first_byte = self._limits.first_byte
        return aiohttp.ClientTimeout(
            total=total,
            connect=self._limits.connect + self._limits.dns,
            sock_connect=self._limits.connect,
            sock_read=first_byte if first_byte < total else None,  # a timer less per request where it says nothing
            ceil_threshold=3600,
        )

    def _failure(self, error: Exception, target: Target, request: Request, course: _Course) -> CrossdockError:
        """Turn what aiohttp raises into the one table."""
        if isinstance(error, TimeoutError):
            return self._timed_out(error, request, course)
        if isinstance(error, aiohttp.ClientSSLError):
            return tls_failed(target.host, _reason(error))
        if isinstance(error, aiohttp.ClientConnectorError):
            return connect_failed(target.host, _reason(error))
        if isinstance(error, aiohttp.InvalidURL):
            return url_refused("the host is no host name")
        return answer_broken(_reason(error))

    def _timed_out(self, error: TimeoutError, request: Request, course: _Course) -> CrossdockError:
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            return timed_out("connect", self._limits.connect)
        if isinstance(error, aiohttp.SocketTimeoutError):
            return timed_out("first_byte", self._limits.first_byte)
        return timed_out("total" if course.address else "connect", min(request.timeout, self._limits.total))

    async def close(self) -> None:
        """Close every connection."""
        sessions, self._sessions = list(self._sessions.values()), {}
        for session in sessions:
            await session.close()
        retiring = list(self._retiring)
        for task in retiring:
            task.cancel()
        await asyncio.gather(*retiring, return_exceptions=True)


class _VettingResolver(AbstractResolver):
    def __init__(self, resolver: Resolver, policy: AddressPolicy, limits: Limits) -> None:
        self._resolver = resolver
        self._policy = policy
        self._seconds = limits.dns

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        started = time.perf_counter()
        addresses = await self._resolver.resolve_async(host, port, self._policy, self._seconds)
        _course.get().dns = _milliseconds(started, time.perf_counter())
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0)
            for address in addresses
        ]

    async def close(self) -> None:
        """Leave the threads: they belong to the process."""


class _Protocol(ResponseHandler):
    """An HTTP/1 connection that does not let itself be flooded with interim answers (1xx)."""

    _interim = 0

    def set_response_params(self, **options: Any) -> None:
        self._interim = 0
        super().set_response_params(**options)

    def feed_data(self, data: Any, size: int = 0) -> None:
        if data[0].code < _FIRST_FINAL:
            self._interim += 1
            if self._interim > _INTERIM_LIMIT:
                self.close()
                self.set_exception(aiohttp.ClientPayloadError("too many interim answers"))
                return
        super().feed_data(data, size)


class _GuardedConnector(aiohttp.TCPConnector):
    """Dials only what the policy allows, literal addresses too: each socket is made for a vetted address."""

    def __init__(self, policy: AddressPolicy, resolver: Resolver, limits: Limits, tls: ssl.SSLContext) -> None:
        super().__init__(
            ssl=tls,
            resolver=_VettingResolver(resolver, policy, limits),
            socket_factory=self._socket,
            limit=0,  # how many requests are in flight is the delivery engine's affair
            keepalive_timeout=_IDLE_SECONDS,
            timeout_ceil_threshold=3600,
        )
        self._policy = policy
        self._factory = functools.partial(_Protocol, loop=asyncio.get_running_loop())  # type: ignore[assignment]

    def _socket(self, info: Any) -> socket.socket:
        family, kind, protocol, _, address = info
        self._policy.vet(address[0], address[1])
        return socket.socket(family, kind, protocol)

    async def connect(self, req: ClientRequest, traces: list[Trace], timeout: ClientTimeout) -> Connection:  # noqa: ASYNC109 - aiohttp's signature
        connection = await super().connect(req, traces, timeout)
        peer = connection.transport.get_extra_info("peername") if connection.transport else None
        if peer:
            _course.get().address = peer[0]
        return connection

    async def _create_connection(
        self,
        req: ClientRequest,
        traces: list[Trace],
        timeout: ClientTimeout,  # noqa: ASYNC109 - as above
    ) -> ResponseHandler:
        protocol = await super()._create_connection(req, traces, timeout)
        _course.get().connected = time.perf_counter()
        return protocol

    def _release(self, key: Any, protocol: ResponseHandler, *, should_close: bool = False) -> None:
        crowded = len(self._conns) >= _IDLE_CONNECTIONS and key not in self._conns
        super()._release(key, protocol, should_close=should_close or crowded)


def _milliseconds(start: float, end: float) -> float:
    return round((end - start) * 1000, 2) if end else 0.0


def _reason(error: BaseException) -> str:
    """Return a short cause without the addresses and objects that the library prints into its messages."""
    inner = getattr(error, "os_error", None) or getattr(error, "certificate_error", None) or error
    text = getattr(inner, "verify_message", None) or getattr(inner, "strerror", None) or getattr(inner, "reason", None)
    return str(text) if text else type(error).__name__
