"""Names to addresses, once per connection: every answer is vetted, and one refused answer refuses the name."""

from __future__ import annotations

import asyncio
import functools
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from server.transport.failures import dns_failed, timed_out

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from server.transport.addresses import AddressPolicy

    Lookup = Callable[[str, int], list[str]]

_THREADS = 32
_KEPT_NAMES = 4096
_KEPT_SECONDS = 5.0


def system_lookup(host: str, port: int) -> list[str]:
    """Ask the operating system; return numeric addresses in its order of preference.

    Raises:
        Retryable: DNS_FAILED.

    """
    try:
        answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise dns_failed(host, getattr(error, "strerror", None) or "not a name") from error
    return list(dict.fromkeys(str(answer[4][0]) for answer in answers))


class Resolver:
    """Looks names up in threads of its own, so that a name server that hangs cannot hold the caller.

    A look-up that timed out keeps its thread until the operating system gives up (`resolv.conf`, seconds).
    """

    def __init__(self, lookup: Lookup = system_lookup, *, threads: int = _THREADS) -> None:
        self._lookup = lookup
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="resolver")

    def resolve(self, host: str, port: int, policy: AddressPolicy, seconds: float) -> list[str]:
        """Return the addresses of `host`, all of them allowed by `policy`.

        Raises:
            Retryable: DNS_FAILED, TIMEOUT.
            Permanent: ADDRESS_REFUSED when any of the answers is refused.

        """
        return vetted(host, port, self.answers(host, port, seconds), policy)

    def answers(self, host: str, port: int, seconds: float) -> list[str]:
        """Return the addresses of `host` as they are, for what needs no vetting: the operator's own proxy."""
        pending = self._pool.submit(self._lookup, host, port)
        try:
            return pending.result(seconds)
        except TimeoutError as error:
            pending.cancel()
            raise timed_out("dns", seconds) from error

    def submit(self, host: str, port: int) -> Future[list[str]]:
        """Begin a look-up; its answers are not vetted yet."""
        return self._pool.submit(self._lookup, host, port)

    def close(self) -> None:
        """Give the threads back; look-ups under way are left to end by themselves."""
        self._pool.shutdown(wait=False, cancel_futures=True)


class Lookups:
    """The look-ups of one event loop: who asks for the same name waits for the same answer, which is kept for seconds.

    What is kept are answers, not permissions: each answer is vetted by the policy of whoever asks, for every dialling.
    """

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._under_way: dict[tuple[str, int], asyncio.Future[list[str]]] = {}
        self._kept: dict[tuple[str, int], tuple[float, list[str]]] = {}

    async def addresses(self, host: str, port: int, policy: AddressPolicy, seconds: float) -> list[str]:
        """Return the addresses of `host`, all of them allowed by `policy`.

        Raises:
            Retryable: DNS_FAILED, TIMEOUT.
            Permanent: ADDRESS_REFUSED when any of the answers is refused.

        """
        return vetted(host, port, await self.answers(host, port, seconds), policy)

    async def answers(self, host: str, port: int, seconds: float) -> list[str]:
        """Return the addresses of `host` as they are, for what needs no vetting: the operator's own proxy."""
        key, loop = (host.lower(), port), asyncio.get_running_loop()
        until, answers = self._kept.get(key, (0.0, []))
        if loop.time() < until:
            return answers
        pending = self._under_way.get(key)
        if pending is None:
            pending = self._under_way[key] = asyncio.wrap_future(self._resolver.submit(host, port))
            pending.add_done_callback(functools.partial(self._done, key))
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.shield(pending)
        except TimeoutError as error:
            raise timed_out("dns", seconds) from error
        except asyncio.CancelledError:
            if pending.cancelled():  # by `close`, not whoever waits here
                raise dns_failed(host, "given up") from None
            raise

    def close(self) -> None:
        """Give up the look-ups under way: their threads end when the operating system answers."""
        for pending in list(self._under_way.values()):
            pending.cancel()

    def _done(self, key: tuple[str, int], pending: asyncio.Future[list[str]]) -> None:
        del self._under_way[key]
        if pending.cancelled() or pending.exception() is not None:
            return
        if len(self._kept) >= _KEPT_NAMES:
            self._kept.clear()
        self._kept[key] = (asyncio.get_running_loop().time() + _KEPT_SECONDS, pending.result())


def vetted(host: str, port: int, answers: list[str], policy: AddressPolicy) -> list[str]:
    """Return the answers when `policy` allows all of them.

    Raises:
        Retryable: DNS_FAILED when there is none.
        Permanent: ADDRESS_REFUSED when any of the answers is refused.

    """
    if not answers:
        raise dns_failed(host, "no answer")
    for address in answers:
        policy.vet(address, port)
    return answers


@functools.cache
def shared_resolver() -> Resolver:
    """Return the process's resolver."""
    return Resolver()
