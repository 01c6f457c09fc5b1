"""How many calls of an integration are under way over all processes: each takes a place in Redis, leased and renewed.

Whoever finds none is told when its turn comes: the k-th to be refused waits k times as long as a place takes to come free.
A process that dies stops renewing, and its places are free after the lease. While Redis is away each process has its share
of the places, one at least; those that it holds are in Redis again with the next renewal, an emptied Redis too.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import redis
import structlog

from server.integrations.renewal import Renewal
from server.integrations.sharers import Sharers
from server.transport.limits import PLUGIN_LIMITS

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

log = structlog.get_logger("crossdock.integrations")
LEASE_SECONDS = 15.0
LONGEST_SECONDS = PLUGIN_LIMITS.total + 60.0  # no call takes longer: what is held beyond that was forgotten
LONGEST_PAUSE = 10.0
_OWN_PAUSE = 0.5
_REDIS_PAUSE = 5.0
_FIRST_GUESS = 0.2  # seconds that a call takes, until one was measured

# KEYS the places, the turns; ARGV limit, member, lease, longest pause, first guess. Returns {taken, milliseconds to wait}.
_TAKE = """
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local limit = tonumber(ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.6f', now))
local held = redis.call('ZCARD', KEYS[1])
if held < limit then
  redis.call('ZADD', KEYS[1], string.format('%.6f', now + ARGV[3]), ARGV[2])
  redis.call('EXPIRE', KEYS[1], math.ceil(ARGV[3]) + 60)
  if held + 1 < limit then redis.call('HDEL', KEYS[2], 'at') end
  return {1, 0}
end
local turn = redis.call('HMGET', KEYS[2], 'at', 'takes')
local step = math.max((tonumber(turn[2]) or tonumber(ARGV[5])) / limit, 0.005)
local at = math.min(math.max(now, tonumber(turn[1]) or now) + step, now + ARGV[4])
redis.call('HSET', KEYS[2], 'at', string.format('%.6f', at))
redis.call('EXPIRE', KEYS[2], 3600)
return {0, math.ceil((at - now) * 1000)}
"""
# KEYS as above; ARGV member, seconds that the call took.
_RELEASE = """
redis.call('ZREM', KEYS[1], ARGV[1])
local takes = tonumber(redis.call('HGET', KEYS[2], 'takes'))
redis.call('HSET', KEYS[2], 'takes', tostring(takes and takes * 0.8 + ARGV[2] * 0.2 or ARGV[2]))
redis.call('EXPIRE', KEYS[2], 3600)
"""
# KEYS[1] the places; ARGV lease, members.
_RENEW = """
local time = redis.call('TIME')
local until_ = string.format('%.6f', time[1] + time[2] / 1000000 + ARGV[1])
for n = 2, #ARGV do redis.call('ZADD', KEYS[1], until_, ARGV[n]) end
redis.call('EXPIRE', KEYS[1], math.ceil(ARGV[1]) + 60)
"""

Where = tuple[int, "UUID"]


@dataclass(frozen=True, slots=True)
class _Place:
    member: str
    taken_at: float


class Places:
    """The places of all integrations, from any thread."""

    def __init__(
        self,
        connection: redis.Redis | None,
        sharers: Sharers | None = None,
        *,
        lease: float = LEASE_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._redis = connection
        self._sharers = sharers or Sharers(connection)
        self._lease = lease
        self._monotonic = monotonic
        self._held: dict[Where, deque[_Place]] = {}
        self._quiet_until = 0.0
        self._lock = threading.Lock()
        self._renewal = Renewal("places", lease / 3, self._renew)
        if connection is not None:
            self._take = connection.register_script(_TAKE)
            self._give = connection.register_script(_RELEASE)
            self._again = connection.register_script(_RENEW)

    def take(self, workspace_id: int, integration_id: UUID, limit: int) -> float | None:
        """Take a place; return None when there was one, which `release` gives back, else the seconds to wait."""
        where, member = (workspace_id, integration_id), uuid4().hex
        args: list[str | float] = [limit, member, self._lease, LONGEST_PAUSE, _FIRST_GUESS]
        answer = self._ask(lambda: self._take(keys=_keys(where), args=args))
        with self._lock:
            mine = self._held.setdefault(where, deque())
            if answer is None:
                seconds = None if len(mine) < max(limit // self._sharers.count, 1) else _OWN_PAUSE
            else:
                seconds = None if answer[0] else answer[1] / 1000
            if seconds is None:
                mine.append(_Place(member, self._monotonic()))
            elif not mine:
                del self._held[where]
        if seconds is None:
            self._renewal.start()
        return seconds

    def release(self, workspace_id: int, integration_id: UUID) -> None:
        """Give one of this process's places back, the oldest; nothing happens when it has none."""
        where = (workspace_id, integration_id)
        with self._lock:
            mine = self._held.get(where)
            if not mine:
                return
            place = mine.popleft()
            if not mine:
                del self._held[where]
        took = self._monotonic() - place.taken_at
        self._ask(lambda: self._give(keys=_keys(where), args=[place.member, f"{took:.6f}"]))

    def _ask(self, command: Callable[[], Any]) -> Any:
        """Return Redis's answer, or None while it is away."""
        if self._redis is None or self._monotonic() < self._quiet_until:
            return None
        try:
            answer = command()
            self._sharers.note()
        except (redis.RedisError, OSError) as error:
            self._quiet_until = self._monotonic() + _REDIS_PAUSE
            log.warning("places for calls are counted per process: Redis is away", error=type(error).__name__)
            return None
        return answer if answer is not None else ()

    def _renew(self) -> bool:
        long_ago = self._monotonic() - LONGEST_SECONDS
        with self._lock:
            for where, places in list(self._held.items()):
                self._held[where] = deque(each for each in places if each.taken_at > long_ago)
                if not self._held[where]:
                    del self._held[where]
            held = {where: [each.member for each in places] for where, places in self._held.items()}
        for where, members in held.items():
            self._renew_members(where, members)
        return bool(held)

    def _renew_members(self, where: Where, members: list[str]) -> None:
        if self._ask(lambda: self._again(keys=_keys(where)[:1], args=[self._lease, *members])) is None:
            return
        with self._lock:
            still = {each.member for each in self._held.get(where, ())}
        gone = [each for each in members if each not in still]
        if gone and self._redis is not None:  # given back while we renewed: not to be held for another lease
            connection = self._redis
            self._ask(lambda: connection.zrem(_keys(where)[0], *gone))


def _keys(where: Where) -> list[str]:
    place = f"{where[0]}:{where[1]}"
    return [f"crossdock:places:{place}", f"crossdock:turns:{place}"]
