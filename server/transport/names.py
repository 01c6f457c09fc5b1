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

    from server.transport.addresses import AddressPolicy

    Lookup = Callable[[str, int], list[str]]

_THREADS = 32


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
        pending = self._pool.submit(self._lookup, host, port)
        try:
            answers = pending.result(seconds)
        except TimeoutError as error:
            pending.cancel()
            raise timed_out("dns", seconds) from error
        return _vetted(host, port, answers, policy)

    async def resolve_async(self, host: str, port: int, policy: AddressPolicy, seconds: float) -> list[str]:
        """Do as `resolve`, without holding the event loop."""
        pending = asyncio.get_running_loop().run_in_executor(self._pool, self._lookup, host, port)
        try:
            async with asyncio.timeout(seconds):
                answers = await pending
        except TimeoutError as error:
            raise timed_out("dns", seconds) from error
        return _vetted(host, port, answers, policy)

    def close(self) -> None:
        """Give the threads back; look-ups under way are left to end by themselves."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _vetted(host: str, port: int, answers: list[str], policy: AddressPolicy) -> list[str]:
    if not answers:
        raise dns_failed(host, "no answer")
    for address in answers:
        policy.vet(address, port)
    return answers


@functools.cache
def shared_resolver() -> Resolver:
    """Return the process's resolver."""
    return Resolver()
