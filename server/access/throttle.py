"""Failed authentications per client address: 20 in a minute, counted in Redis so that every process sees the same figure.

While Redis is away each process counts for itself, in a table of bounded size. Valid tokens are never refused: 160 bits cannot
be guessed, so the limit guards the database and the log, and one bad client behind a shared address locks nobody out.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from ipaddress import IPv6Address, ip_address
from threading import Lock
from typing import TYPE_CHECKING

import structlog
from redis.exceptions import RedisError

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis

LIMIT = 20
WINDOW = 60
_MOST_ADDRESSES = 10_000
_REDIS_PAUSE = 5.0
_log = structlog.get_logger(__name__)


class AuthenticationFailures:
    """Implements `web.principals.Failures`. The Redis client should have time-outs well under a second."""

    def __init__(self, redis: Redis | None = None, *, clock: Callable[[], float] = time.time) -> None:
        self._redis = redis
        self._clock = clock
        self._mine: OrderedDict[str, int] = OrderedDict()
        self._lock = Lock()
        self._redis_from = 0.0

    def failed(self, address: str) -> float | None:
        """Count one more failure of an address; return the seconds to wait when there were more than 20 this minute."""
        now = self._clock()
        window = int(now // WINDOW)
        key = f"crossdock:auth-failures:{_network(address)}:{window}"
        count = self._count_shared(key, now)
        if count is None:
            count = self._count_here(key)
        return (window + 1) * WINDOW - now if count > LIMIT else None

    def _count_shared(self, key: str, now: float) -> int | None:
        if self._redis is None or now < self._redis_from:
            return None
        try:
            pipeline = self._redis.pipeline(transaction=False)
            pipeline.incr(key)
            pipeline.expire(key, WINDOW)
            return int(pipeline.execute()[0])
        except RedisError as error:
            self._redis_from = now + _REDIS_PAUSE
            _log.warning("authentication failures are counted per process", reason=type(error).__name__)
            return None

    def _count_here(self, key: str) -> int:
        with self._lock:
            count = self._mine.pop(key, 0) + 1
            self._mine[key] = count
            while len(self._mine) > _MOST_ADDRESSES:
                self._mine.popitem(last=False)
            return count


def _network(address: str) -> str:
    """Return what counts as one client: an IPv4 address, or the /64 of an IPv6 one."""
    try:
        parsed = ip_address(address.strip("[]").partition("%")[0])
    except ValueError:
        return "unknown"
    if isinstance(parsed, IPv6Address):
        return str(parsed.ipv4_mapped or IPv6Address(int(parsed) >> 64 << 64))
    return str(parsed)
