"""The asynchronous sender of deliveries: requests over pooled connections, under the same rules as `sync`.

send ─▶ vet URL, method, headers ─▶ pool (or dialling: look up, vet, dial, TLS) ─▶ connection ─▶ Answer
"""

from __future__ import annotations

import asyncio
import ssl
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from server.transport.connection import Connection, LostError
from server.transport.dialling import Dialler
from server.transport.failures import answer_broken, proxy_failed, tls_failed
from server.transport.limits import DELIVERY_LIMITS, Limits
from server.transport.messages import KEPT, Answer, Headers, Heads, Message, Request
from server.transport.names import Lookups, Resolver, shared_resolver
from server.transport.pool import Key, Pool
from server.transport.proxy import AUTHENTICATION_REQUIRED
from server.transport.tls import client_tls
from server.transport.urls import vet_url

if TYPE_CHECKING:
    from server.transport.addresses import AddressPolicy
    from server.transport.connection import Raw
    from server.transport.urls import Target

_CLOSING_SECONDS = 2.0

__all__ = ["KEPT", "Answer", "AsyncSender", "Request"]


class AsyncSender:
    """Sends requests from one event loop; close it there.

    `policy` is the default; `send` takes another one for a workspace with a list of its own. Connections are pooled
    per policy, so that one workspace's allowed address is never reached over another's idle connection, and per
    client certificate.
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
        self._heads = Heads(user_agent)
        self._pool = Pool()
        self._live: set[Connection] = set()
        self._closed = False
        self._dialler = Dialler(Lookups(resolver or shared_resolver()), limits, tls or client_tls())

    async def send(self, request: Request, policy: AddressPolicy | None = None) -> Answer:
        """Send one request and return its answer, whatever its final status.

        A request on an idle connection that turns out closed, with no byte of an answer, is sent once more on a fresh
        one: the receiver closed it while we wrote. Deliveries carry `webhook-id`, so a receiver that did take the
        first one sees the same message again, as after any lost answer.

        Raises:
            Retryable, Permanent: see `failures`; a 2xx whose body is larger than is read is ANSWER_TOO_LARGE.

        """
        started = time.perf_counter()
        loop = asyncio.get_running_loop()
        target = vet_url(request.url)
        policy = policy or self._policy
        head = self._heads.build(request, target, policy.proxy)
        seconds = min(request.timeout, self._limits.total)
        now = loop.time()
        message = Message(head, request.body, now + seconds, seconds, request.method == "HEAD")
        key = Key(target.origin, policy, request.tls)
        connection, looked_up, connected = self._pool.take(key, now), 0.0, 0.0
        raw = await _unless_lost(connection, message) if connection is not None else None
        if connection is None or raw is None:
            connection, looked_up = await self._open(target, key, message.until)
            connected = time.perf_counter()
            raw = await _fresh(connection, message, target.host)
        if connection.reusable:
            self._pool.give(key, connection, loop)
        if raw.status == AUTHENTICATION_REQUIRED and policy.proxy is not None and target.scheme == "http":
            raise proxy_failed("it wants other credentials")
        return _answer(raw, connection.address, started, connected, looked_up)

    async def _open(self, target: Target, key: Key, until: float) -> tuple[Connection, float]:
        connection, looked_up = await self._dialler.open(target, key.policy, key.tls, until)
        if self._closed:
            connection.abort()
            raise answer_broken("the sender was closed")
        self._live.add(connection)
        connection.when_closed(self._live.discard)
        return connection, looked_up

    async def close(self) -> None:
        """Close every connection; what is under way, and what comes later, fails as ANSWER_BROKEN."""
        self._closed = True
        self._pool.close()
        live = list(self._live)
        for each in live:
            each.abort()
        self._dialler.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSING_SECONDS):
                for each in live:
                    await each.closed()


async def _unless_lost(connection: Connection, message: Message) -> Raw | None:
    try:
        return await connection.exchange(message)
    except LostError:
        return None


async def _fresh(connection: Connection, message: Message, host: str) -> Raw:
    try:
        return await connection.exchange(message)
    except LostError as error:
        if isinstance(error.cause, ssl.SSLError):  # TLS 1.3 refuses a client's certificate after the handshake
            raise tls_failed(host, error.cause.reason or "refused by the other side") from error
        raise answer_broken(getattr(error.cause, "strerror", None) or str(error)) from error


def _answer(raw: Raw, address: str, started: float, connected: float, looked_up: float) -> Answer:
    timings = {
        "connect": round((connected - started) * 1000, 2) if connected else 0.0,
        "first_byte": round((raw.first_byte - started) * 1000, 2),
        "total": round((time.perf_counter() - started) * 1000, 2),
    }
    if looked_up:
        timings["dns"] = looked_up
    return Answer(raw.status, Headers(raw.headers), raw.kept, timings, address)
