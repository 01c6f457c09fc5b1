"""From a target to an open connection: look up, vet, dial by number, TLS. The address vetted is the address dialled."""

from __future__ import annotations

import asyncio
import functools
import socket
import ssl
import time
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from server.kernel.errors import CrossdockError
from server.transport import proxy as proxies
from server.transport.connection import Connection, Place
from server.transport.failures import connect_failed, proxy_failed, timed_out, tls_failed

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from server.transport.addresses import AddressPolicy
    from server.transport.limits import Limits
    from server.transport.names import Lookups
    from server.transport.proxy import Proxy
    from server.transport.urls import Target

_HEAD_START = 0.25  # seconds that an address has before the next one is tried beside it (RFC 8305)
_ADDRESSES = 8
_BLOCK = 4096
_T = TypeVar("_T")


class Dialler:
    """Opens connections under the rules of one sender."""

    def __init__(self, lookups: Lookups, limits: Limits, tls: ssl.SSLContext) -> None:
        self._lookups = lookups
        self._limits = limits
        self._tls = tls
        self._place = Place()

    async def open(
        self, target: Target, policy: AddressPolicy, tls: ssl.SSLContext | None, until: float
    ) -> tuple[Connection, float]:
        """Return a connection to the target and the milliseconds of the look-up (0: none was needed).

        `until` is the loop's time at which the whole request ends.

        Raises:
            Retryable: DNS_FAILED, CONNECT_FAILED, PROXY_FAILED, TLS_FAILED, TIMEOUT.
            Permanent: ADDRESS_REFUSED.

        """
        began = time.perf_counter()
        addresses = await self._addresses(target, policy, until)
        looked_up = 0.0 if target.literal else round((time.perf_counter() - began) * 1000, 2)
        if policy.proxy is None:
            raw = await self._within("connect", until, self._first(addresses, target.host, target.port, policy))
        else:
            raw = await self._through(policy.proxy, target, until)
        try:
            return await self._connection(raw, target, tls, until), looked_up
        except BaseException:  # cancelled, too: no socket stays open; it goes on up
            raw.close()
            raise

    def close(self) -> None:
        """Give up the look-ups under way."""
        self._lookups.close()

    async def _addresses(self, target: Target, policy: AddressPolicy, until: float) -> list[str]:
        """Return where to dial; behind a proxy this only vets what can be vetted from here."""
        if target.literal:
            policy.vet(target.host, target.port)
            return [target.host]
        try:
            return await self._lookups.addresses(target.host, target.port, policy, self._look_up_seconds(until))
        except CrossdockError as error:
            if policy.proxy is not None and proxies.unknown_here(error):
                return []
            raise

    def _look_up_seconds(self, until: float) -> float:
        return max(min(self._limits.dns, until - asyncio.get_running_loop().time()), 0.0)

    async def _within(self, phase: str, until: float, work: Awaitable[_T]) -> _T:
        loop = asyncio.get_running_loop()
        limit: float = getattr(self._limits, phase)
        seconds = max(min(limit, until - loop.time()), 0.0)
        try:
            async with asyncio.timeout(seconds):
                return await work
        except TimeoutError as error:
            raise timed_out(phase, round(seconds, 3)) from error

    async def _first(self, addresses: list[str], host: str, port: int, policy: AddressPolicy | None) -> socket.socket:
        """Connect to the first address that answers; each gets a head start over the next."""
        left = _alternating(addresses)[:_ADDRESSES]
        if len(left) == 1:
            try:
                return await _connect(left[0], port, policy)
            except OSError as error:
                raise connect_failed(host, _reason(error)) from error
        pending: set[asyncio.Task[socket.socket]] = set()
        failed: OSError | None = None
        try:
            while left or pending:
                if left:
                    pending.add(asyncio.create_task(_connect(left.pop(0), port, policy)))
                head_start = _HEAD_START if left else None
                done, _ = await asyncio.wait(pending, timeout=head_start, return_when=asyncio.FIRST_COMPLETED)
                for each in done:
                    pending.discard(each)
                    try:
                        return each.result()
                    except OSError as error:
                        failed = error
        finally:
            await _drop(pending)
        raise connect_failed(host, _reason(failed) if failed else "no address") from failed

    async def _through(self, proxy: Proxy, target: Target, until: float) -> socket.socket:
        """Return a socket to the proxy, with a tunnel to the target where TLS is to be spoken."""
        try:
            answers = [proxy.host]
            if not proxy.literal:
                answers = await self._lookups.answers(proxy.host, proxy.port, self._look_up_seconds(until))
            raw = await self._within("connect", until, self._first(answers, proxy.host, proxy.port, None))
        except CrossdockError as error:
            raise proxy_failed(error.message) from error
        if target.scheme == "http":
            return raw
        try:
            await self._within("connect", until, _tunnel(raw, proxy, target))
        except BaseException as error:  # cancelled, too: no socket stays open; it goes on up
            raw.close()
            if isinstance(error, OSError):
                raise proxy_failed(_reason(error)) from error
            raise
        return raw

    async def _connection(
        self, raw: socket.socket, target: Target, tls: ssl.SSLContext | None, until: float
    ) -> Connection:
        loop = asyncio.get_running_loop()
        make = functools.partial(Connection, loop, self._limits, self._place, str(raw.getpeername()[0]))
        if target.scheme == "http":
            try:
                return (await loop.create_connection(make, sock=raw))[1]
            except OSError as error:
                raise connect_failed(target.host, _reason(error)) from error
        name = target.host.removesuffix(".")
        opening = loop.create_connection(make, sock=raw, ssl=tls or self._tls, server_hostname=name)
        try:
            return (await self._within("tls", until, opening))[1]
        except (OSError, ssl.CertificateError) as error:
            raise tls_failed(target.host, _reason(error)) from error


async def _connect(address: str, port: int, policy: AddressPolicy | None) -> socket.socket:
    """Connect to a numeric address; without a policy it is the operator's own proxy."""
    if policy is not None:
        policy.vet(address, port)
    raw = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    try:
        raw.setblocking(False)  # noqa: FBT003 - the library's signature
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(raw, (address, port))
        if policy is not None:
            policy.vet(str(raw.getpeername()[0]), port)
    except BaseException:  # whatever it was, no socket that was not vetted stays open; it goes on up
        raw.close()
        raise
    return raw


async def _tunnel(raw: socket.socket, proxy: Proxy, target: Target) -> None:
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(raw, proxy.connect(target))
    head = b""
    while not proxies.whole(head):
        piece = await loop.sock_recv(raw, _BLOCK)
        if not piece:
            raise proxy_failed("it closed the connection")
        head += piece
    proxies.vet_tunnel(head)


async def _drop(pending: set[asyncio.Task[socket.socket]]) -> None:
    """Give up the slower ones; a socket that one of them just got is closed."""
    for each in pending:
        each.cancel()
    for each in pending:
        with suppress(OSError, CrossdockError, asyncio.CancelledError):
            (await each).close()


def _alternating(addresses: list[str]) -> list[str]:
    """Return the addresses with both families in turn, the first one's first."""
    first = [each for each in addresses if (":" in each) == (":" in addresses[0])]
    other = [each for each in addresses if each not in first]
    mixed = [each for pair in zip(first, other, strict=False) for each in pair]
    return [*mixed, *first[len(other) :], *other[len(first) :]]


def _reason(error: BaseException) -> str:
    """Return a short cause without addresses and objects."""
    text = getattr(error, "verify_message", None) or getattr(error, "strerror", None) or getattr(error, "reason", None)
    return str(text) if text else type(error).__name__
