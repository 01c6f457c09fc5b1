"""The socket under `requests`: dialled by number, bound by one deadline and one number of bytes per exchange."""

from __future__ import annotations

import io
import socket
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from server.transport.failures import answer_broken, answer_too_large, connect_failed, timed_out

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server.transport.addresses import AddressPolicy
    from server.transport.limits import Limits
    from server.transport.names import Resolver
    from server.transport.urls import Target

_CHUNK = 64 * 1024


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
        """Return a connected socket; the address vetted is the address dialled.

        Raises:
            Retryable: DNS_FAILED, CONNECT_FAILED, TIMEOUT.
            Permanent: ADDRESS_REFUSED.

        """
        exchange = self.exchange
        if exchange.target.literal:
            self.policy.vet(host, port)
            addresses = [host]
        else:
            seconds = exchange.remaining("dns", exchange.limits.dns)
            addresses = self.resolver.resolve(host, port, self.policy, seconds)
        until = time.monotonic() + exchange.remaining("connect", exchange.limits.connect)
        return self._first(addresses, host, port, until)

    def _first(self, addresses: list[str], host: str, port: int, until: float) -> socket.socket:
        reason = ""
        for address in addresses:
            left = until - time.monotonic()
            if left <= 0:
                break
            try:
                return self._connect(address, port, left)
            except TimeoutError:
                reason = ""
            except OSError as error:
                reason = error.strerror or type(error).__name__
        if reason:
            raise connect_failed(host, reason)
        raise timed_out("connect", self.exchange.limits.connect)

    def _connect(self, address: str, port: int, seconds: float) -> socket.socket:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        connection = socket.socket(family, socket.SOCK_STREAM)
        try:
            connection.settimeout(seconds)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.connect((address, port))
            self.policy.vet(str(connection.getpeername()[0]), port)
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
            raise timed_out("total", exchange.seconds) from error
        exchange.take(count or 0)
        return count

    def close(self) -> None:
        self._file.close()
        super().close()
