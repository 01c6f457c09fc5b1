"""The token bucket of an integration or a webhook: in Redis, granted in blocks; without Redis each process has its share.

A block is a twentieth of a second's tokens, one at least: a busy process asks Redis twenty times a second, not per call.
Whoever is refused is told when its turn comes, each a token later than the one before, so that a backlog does not come back
all at once; nobody is sent away for longer than a quarter of an hour, or until the next token.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import redis
import structlog

from server.integrations.sharers import Sharers

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from server.integrations.policies import RateFigures

log = structlog.get_logger("crossdock.integrations")
_REDIS_PAUSE = 5.0
_BUCKETS = 10_000
_BLOCKS_PER_SECOND = 20
_LONGEST_PAUSE = 900

# KEYS[1] the bucket; ARGV capacity, tokens a second, wanted, longest pause. Returns {granted, milliseconds to wait}.
_TAKE = """
local capacity, rate, wanted = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local held = redis.call('HMGET', KEYS[1], 'tokens', 'at', 'turn')
local tokens = math.min(capacity, (tonumber(held[1]) or capacity) + (now - (tonumber(held[2]) or now)) * rate)
local granted = math.min(wanted, math.floor(tokens))
tokens = tokens - granted
redis.call('HSET', KEYS[1], 'tokens', tostring(tokens), 'at', string.format('%.6f', now))
redis.call('EXPIRE', KEYS[1], math.ceil(capacity / rate) + 1000)
if granted > 0 then
  if tokens >= 1 then redis.call('HDEL', KEYS[1], 'turn') end
  return {granted, 0}
end
local turn = math.max(now + (1 - tokens) / rate, math.min((tonumber(held[3]) or 0) + 1 / rate, now + ARGV[4]))
redis.call('HSET', KEYS[1], 'turn', string.format('%.6f', turn))
return {0, math.ceil((turn - now) * 1000)}
"""


@dataclass(slots=True)
class _Local:
    """What this process has of one bucket: tokens granted by Redis, and its own share for when Redis is away."""

    granted: int = 0
    share: float = 0.0
    at: float = 0.0


class Buckets:
    """The buckets of all integrations and webhooks, from any thread."""

    def __init__(
        self,
        connection: redis.Redis | None,
        sharers: Sharers | None = None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sharers = sharers or Sharers(connection)
        self._take = connection.register_script(_TAKE) if connection is not None else None
        self._monotonic = monotonic
        self._local: dict[UUID, _Local] = {}
        self._quiet_until = 0.0
        self._lock = threading.Lock()

    def wait(self, workspace_id: int, owner_id: UUID, figures: RateFigures) -> float | None:
        """Take one token; return None when there was one, else the seconds to wait."""
        with self._lock:
            if owner_id not in self._local and len(self._local) >= _BUCKETS:
                self._local.clear()
            share = figures.capacity / self._sharers.count
            local = self._local.setdefault(owner_id, _Local(0, share, self._monotonic()))
            if local.granted > 0:
                local.granted -= 1
                return None
            shared = self._shared(workspace_id, owner_id, figures)
            if shared is None:
                return self._own_share(local, figures)
            granted, milliseconds = shared
            if granted == 0:
                return milliseconds / 1000
            local.granted = granted - 1
            return None

    def give_back(self, owner_id: UUID) -> None:
        """Give a token back that was taken and not used."""
        with self._lock:
            if owner_id in self._local:
                self._local[owner_id].granted += 1

    def _shared(self, workspace_id: int, owner_id: UUID, figures: RateFigures) -> tuple[int, int] | None:
        if self._take is None or self._monotonic() < self._quiet_until:
            return None
        block = max(1, int(figures.per_second / _BLOCKS_PER_SECOND))
        key = f"crossdock:bucket:{workspace_id}:{owner_id}"
        try:
            answer: Any = self._take(keys=[key], args=[figures.capacity, figures.per_second, block, _LONGEST_PAUSE])
            self._sharers.note()
        except (redis.RedisError, OSError) as error:
            self._quiet_until = self._monotonic() + _REDIS_PAUSE
            log.warning("rates are kept per process: Redis is away", error=type(error).__name__)
            return None
        return int(answer[0]), int(answer[1])

    def _own_share(self, local: _Local, figures: RateFigures) -> float | None:
        now = self._monotonic()
        sharers = self._sharers.count
        rate = figures.per_second / sharers
        most = max(1.0, figures.capacity / sharers)  # less than a token would never be one
        local.share = min(most, local.share + (now - local.at) * rate)
        local.at = now
        if local.share >= 1:
            local.share -= 1
            return None
        return (1 - local.share) / rate
