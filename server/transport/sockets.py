"""The socket under `requests`: dialled by number, bound by one deadline and one number of bytes per exchange."""

from __future__ import annotations

import io
import socket
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from server.kernel.errors import CrossdockError
from server.transport.failures import answer_broken, answer_too_large, connect_failed, proxy_failed, timed_out
from server.transport.proxy import unknown_here, vet_tunnel, whole

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server.transport.addresses import AddressPolicy
    from server.transport.limits import Limits
    from server.transport.names import Resolver
    from server.transport.proxy import Proxy
    from server.transport.urls import Target

_CHUNK = 64 * 1024
_INSTANT = 0.001


@dataclass(slots=True)
class Exchange:
    """One request and its answer: until when it may last and how many bytes of answer it may still take."""

    target: Target
    limits: Limits
    seconds: float
    started: float = field(default_factory=time.monotonic)
    left: int = 0

    def __post_init__(self) -> None:
        self.left = self.limits.head + self.limits.body

    def remaining(self, phase: str = "total", at_most: float | None = None) -> float:
        """Return the seconds left, never more than `at_most`.

        Raises:
            Retryable: TIMEOUT when none are.

        """
        left = self.started + self.seconds - time.monotonic()
        if left <= 0:
            raise timed_out(phase, self.seconds)
        return left if at_most is None else min(left, at_most)

    @property
    def begun(self) -> bool:
        """Whether there is anything of an answer."""
        return self.left < self.limits.head + self.limits.body

    def take(self, count: int) -> None:
        """Count bytes of the answer.

        Raises:
            Permanent: ANSWER_TOO_LARGE.

        """
        self.left -= count
        if self.left < 0:
            raise answer_too_large(self.limits.body)


class Guard:
    """What the connections of one session share: the policy, the resolver and the exchange of each thread."""

    def __init__(self, policy: AddressPolicy, resolver: Resolver) -> None:
        self.policy = policy
        self.resolver = resolver
        self.proxy = policy.proxy
        self._local = threading.local()

    @property
    def exchange(self) -> Exchange:
        """The exchange of this thread.

        Raises:
            RuntimeError: a read outside an exchange; answers are read whole before they are handed out.

        """
        exchange: Exchange | None = getattr(self._local, "exchange", None)
        if exchange is None:
            raise RuntimeError("the connection is used outside an exchange")
        return exchange

    @contextmanager
    def during(self, exchange: Exchange) -> Iterator[None]:
        """Make `exchange` the one of this thread."""
        self._local.exchange = exchange
        try:
            yield
        finally:
            self._local.exchange = None

    def dial(self, host: str, port: int) -> socket.socket:
        """Return a connected socket; the address vetted is the address dialled, or the proxy's.

        Raises:
            Retryable: DNS_FAILED, CONNECT_FAILED, PROXY_FAILED, TIMEOUT.
            Permanent: ADDRESS_REFUSED.

        """
        exchange = self.exchange
        addresses = self._addresses(host, port)
        until = time.monotonic() + exchange.remaining("connect", exchange.limits.connect)
        if self.proxy is None:
            return self._first(addresses, host, port, until, self.policy)
        return self._through(self.proxy, until)

    def _addresses(self, host: str, port: int) -> list[str]:
        """Return where to dial; behind a proxy this only vets what can be vetted from here."""
        if self.exchange.target.literal:
            self.policy.vet(host, port)
            return [host]
        try:
            return self.resolver.resolve(host, port, self.policy, self._look_up_seconds())
        except CrossdockError as error:
            if self.proxy is not None and unknown_here(error):
                return []
            raise

    def _look_up_seconds(self) -> float:
        return self.exchange.remaining("dns", self.exchange.limits.dns)

    def _first(
        self, addresses: list[str], host: str, port: int, until: float, policy: AddressPolicy | None
    ) -> socket.socket:
        """Connect to the first address that answers; each has its share of the time, so that none eats it all."""
        reason = ""
        for number, address in enumerate(addresses):
            left = until - time.monotonic()
            if left <= 0:
                break
            try:
                return _connect(address, port, left / (len(addresses) - number), policy)
            except TimeoutError:
                reason = ""
            except OSError as error:
                reason = error.strerror or type(error).__name__
        if reason:
            raise connect_failed(host, reason)
        raise timed_out("connect", self.exchange.limits.connect)

    def _through(self, proxy: Proxy, until: float) -> socket.socket:
        """Return a socket to the proxy, with a tunnel to the target where TLS is to be spoken."""
        try:
            answers = [proxy.host]
            if not proxy.literal:
                answers = self.resolver.answers(proxy.host, proxy.port, self._look_up_seconds())
            raw = self._first(answers, proxy.host, proxy.port, until, None)
        except CrossdockError as error:
            raise proxy_failed(error.message) from error
        if self.exchange.target.scheme == "http":
            return raw
        try:
            self._tunnel(raw, proxy, until)
        except BaseException as error:  # whatever it was, the socket does not stay open; it goes on up
            raw.close()
            if isinstance(error, OSError):
                raise proxy_failed(error.strerror or "no answer in time") from error
            raise
        return raw

    def _tunnel(self, raw: socket.socket, proxy: Proxy, until: float) -> None:
        raw.sendall(proxy.connect(self.exchange.target))
        head = b""
        while not whole(head):
            raw.settimeout(max(until - time.monotonic(), _INSTANT))
            piece = raw.recv(_CHUNK)
            if not piece:
                raise proxy_failed("it closed the connection")
            head += piece
        vet_tunnel(head)


def _connect(address: str, port: int, seconds: float, policy: AddressPolicy | None) -> socket.socket:
    """Connect to a numeric address; without a policy it is the operator's own proxy."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    connection = socket.socket(family, socket.SOCK_STREAM)
    try:
        connection.settimeout(seconds)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.connect((address, port))
        if policy is not None:
            policy.vet(str(connection.getpeername()[0]), port)
    except BaseException:  # whatever it was, no socket that was not vetted stays open; it goes on up
        connection.close()
        raise
    return connection


class BoundedSocket:
    """A connected socket whose every read and write keeps to the exchange of its thread.

    A time-out is raised inside the read, so an answer that was cut can never look complete.
    """

    def __init__(self, inner: socket.socket, guard: Guard) -> None:
        self._inner = inner
        self._guard = guard

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def settimeout(self, _seconds: float | None) -> None:
        """Ignore the time-outs of the layers above: the exchange has the only clock."""

    def arm(self) -> None:
        """Give the next system call what is left of the time."""
        self._inner.settimeout(self._guard.exchange.remaining())

    def sendall(self, data: Any) -> None:
        """Send all of `data` within the exchange's time."""
        view = memoryview(data).cast("B")
        try:
            while view:
                self.arm()
                view = view[self._inner.send(view[:_CHUNK]) :]
        except TimeoutError as error:
            raise timed_out("total", self._guard.exchange.seconds) from error

    def makefile(self, _mode: str = "rb", *_args: Any, **_options: Any) -> io.BufferedReader:
        """Return the reading side; the connection closes when this file and the socket are both closed."""
        return _WholeLines(_BoundedReader(self, self._inner.makefile("rb", buffering=0), self._guard))

    def close(self) -> None:
        """Close the socket."""
        self._inner.close()


class _WholeLines(io.BufferedReader):
    """Refuses a last line without an end: http.client takes a head that was cut for a whole one."""

    def readline(self, size: int | None = -1, /) -> bytes:
        line = super().readline(size)
        if not line.endswith(b"\n") and len(line) != size:
            raise answer_broken("the connection was closed in the middle of it" if line else "there was none")
        return line


class _BoundedReader(io.RawIOBase):
    def __init__(self, owner: BoundedSocket, inner: socket.SocketIO, guard: Guard) -> None:
        self._owner = owner
        self._file = inner
        self._guard = guard

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        exchange = self._guard.exchange
        self._owner.arm()
        try:
            count = self._file.readinto(buffer)
        except TimeoutError as error:
            raise timed_out("total" if exchange.begun else "first_byte", exchange.seconds) from error
        exchange.take(count or 0)
        return count

    def close(self) -> None:
        self._file.close()
        super().close()
