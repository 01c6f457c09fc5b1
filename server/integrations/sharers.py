"""How many processes share the limits of integrations: counted in Redis, remembered for when it is away."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    import redis

KEY = "crossdock:sharers"
NOTED_SECONDS = 5.0
FORGOTTEN_SECONDS = 30.0
UNKNOWN = 2  # as long as Redis never said: a worker and an API

# KEYS[1] who shares; ARGV this process, seconds until one that was not seen is forgotten. Returns how many there are.
_NOTE = """
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
redis.call('ZADD', KEYS[1], string.format('%.6f', now), ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.6f', now - ARGV[2]))
redis.call('EXPIRE', KEYS[1], 3600)
return redis.call('ZCARD', KEYS[1])
"""


class Sharers:
    """This process among those that use limits. Whoever just spoke with Redis notes it here."""

    def __init__(self, connection: redis.Redis | None, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.count = UNKNOWN
        self._note = connection.register_script(_NOTE) if connection is not None else None
        self._monotonic = monotonic
        self._name = f"{os.uname().nodename}-{os.getpid()}-{os.urandom(4).hex()}"
        self._next = 0.0

    def note(self) -> None:
        """Say that we are here, and count, every five seconds.

        Raises:
            RedisError, OSError: Redis is away; the count stays what it was.

        """
        if self._note is None or self._monotonic() < self._next:
            return
        self._next = self._monotonic() + NOTED_SECONDS
        answer: Any = self._note(keys=[KEY], args=[self._name, FORGOTTEN_SECONDS])
        self.count = max(int(answer), 1)
