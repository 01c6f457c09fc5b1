"""The token bucket of an integration: in Redis, granted in blocks; while Redis is away each process has its share.

A block is a twentieth of a second's tokens, one at least: a busy process asks Redis twenty times a second, not per call.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import redis
import structlog

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from server.integrations.policies import RateFigures

log = structlog.get_logger("crossdock.integrations")
_REDIS_PAUSE = 5.0
_BUCKETS = 10_000
_BLOCKS_PER_SECOND = 20
_SHARERS = 2  # while Redis cannot say how many processes share a rate

# KEYS[1] the bucket; ARGV capacity, tokens a second, wanted. Returns {granted, milliseconds until one more}.
_TAKE = """
local capacity, rate, wanted = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local held = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens = math.min(capacity, (tonumber(held[1]) or capacity) + (now - (tonumber(held[2]) or now)) * rate)
local granted = math.min(wanted, math.floor(tokens))
tokens = tokens - granted
redis.call('HSET', KEYS[1], 'tokens', tostring(tokens), 'at', string.format('%.6f', now))
redis.call('EXPIRE', KEYS[1], math.ceil(capacity / rate) + 60)
return {granted, granted > 0 and 0 or math.ceil((1 - tokens) / rate * 1000)}
"""


@dataclass(slots=True)
class _Local:
    """What this process has of one bucket: tokens granted by Redis, and its own share for when Redis is away."""

    granted: int = 0
    share: float = 0.0
    at: float = 0.0


class Buckets:
    """The buckets of all integrations, from any thread."""

    def __init__(self, connection: redis.Redis | None, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._redis = connection
        self._take = connection.register_script(_TAKE) if connection is not None else None
        self._monotonic = monotonic
        self._local: dict[UUID, _Local] = {}
        self._quiet_until = 0.0
        self._lock = threading.Lock()

    def wait(self, workspace_id: int, integration_id: UUID, figures: RateFigures) -> float | None:
        """Take one token; return None when there was one, else the seconds until the next."""
        with self._lock:
            if integration_id not in self._local and len(self._local) >= _BUCKETS:
                self._local.clear()
            local = self._local.setdefault(integration_id, _Local(0, figures.capacity / _SHARERS, self._monotonic()))
            if local.granted > 0:
                local.granted -= 1
                return None
            shared = self._shared(workspace_id, integration_id, figures)
            if shared is None:
                return self._own_share(local, figures)
            granted, milliseconds = shared
            if granted == 0:
                return milliseconds / 1000
            local.granted = granted - 1
            return None

    def _shared(self, workspace_id: int, integration_id: UUID, figures: RateFigures) -> tuple[int, int] | None:
        if self._take is None or self._monotonic() < self._quiet_until:
            return None
        block = max(1, int(figures.per_second / _BLOCKS_PER_SECOND))
        key = f"crossdock:bucket:{workspace_id}:{integration_id}"
        try:
            answer: Any = self._take(keys=[key], args=[figures.capacity, figures.per_second, block])
        except (redis.RedisError, OSError) as error:
            self._quiet_until = self._monotonic() + _REDIS_PAUSE
            log.warning("rates are kept per process: Redis is away", error=type(error).__name__)
            return None
        return int(answer[0]), int(answer[1])

    def _own_share(self, local: _Local, figures: RateFigures) -> float | None:
        now = self._monotonic()
        rate = figures.per_second / _SHARERS
        local.share = min(figures.capacity / _SHARERS, local.share + (now - local.at) * rate)
        local.at = now
        if local.share >= 1:
            local.share -= 1
            return None
        return (1 - local.share) / rate
