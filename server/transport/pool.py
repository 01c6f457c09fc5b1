"""Idle connections, per origin and policy: the youngest is used first, none is kept for long, and not too many."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import asyncio
    import ssl

    from server.transport.addresses import AddressPolicy
    from server.transport.connection import Connection

IDLE_SECONDS = 4.0  # below the 5 s after which common servers close an idle connection
IDLE_CONNECTIONS = 1024


class Key(NamedTuple):
    """What two requests must share to share a connection: where to, what is allowed, and who we are there."""

    origin: str
    policy: AddressPolicy
    tls: ssl.SSLContext | None


class Pool:
    """The connections of one sender that wait for their next request."""

    def __init__(self) -> None:
        self._idle: dict[Key, list[Connection]] = {}
        self._count = 0
        self._sweeper: asyncio.TimerHandle | None = None

    def take(self, key: Key, now: float) -> Connection | None:
        """Return the connection that was used last, or None; `now` is the loop's time."""
        idle = self._idle.get(key)
        while idle:
            found = idle.pop()
            self._count -= 1
            if found.reusable and now - found.idle_since < IDLE_SECONDS:
                return found
            found.abort()
        return None

    def give(self, key: Key, connection: Connection, loop: asyncio.AbstractEventLoop) -> None:
        """Keep a connection for the next request."""
        if self._count >= IDLE_CONNECTIONS:
            connection.abort()
            return
        connection.idle_since = loop.time()
        idle = self._idle.get(key)
        if idle is None:
            idle = self._idle[key] = []
        idle.append(connection)
        self._count += 1
        if self._sweeper is None:
            self._sweeper = loop.call_later(IDLE_SECONDS, self._sweep, loop)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        """Close what has waited too long or was closed by its receiver; without idle connections no timer runs."""
        self._sweeper = None
        oldest = loop.time() - IDLE_SECONDS
        for key, idle in list(self._idle.items()):
            kept = [each for each in idle if each.reusable and each.idle_since > oldest]
            for each in idle:
                if not (each.reusable and each.idle_since > oldest):
                    each.abort()
            self._count -= len(idle) - len(kept)
            if kept:
                self._idle[key] = kept
            else:
                del self._idle[key]
        if self._idle:
            self._sweeper = loop.call_later(IDLE_SECONDS / 4, self._sweep, loop)

    def close(self) -> None:
        """Close them all."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        idle, self._idle, self._count = self._idle, {}, 0
        for connections in idle.values():
            for each in connections:
                each.abort()
