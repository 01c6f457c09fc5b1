"""Hints over RQ: "there is due work", to one live worker's own queue. They only cut latency; nothing depends on them.

A hint carries ids only. While Redis is away hints are dropped for five seconds at a time, so that publishers never wait for it;
the workers' two-second timer finds the work.
"""

from __future__ import annotations

import random
import threading
import time
from typing import TYPE_CHECKING, Any

import redis
import structlog
from redis.backoff import NoBackoff
from redis.retry import Retry
from rq import Queue
from rq.serializers import JSONSerializer

if TYPE_CHECKING:
    from collections.abc import Callable

log = structlog.get_logger("crossdock.queue")
WORKERS = "crossdock:workers"
JOB = "server.worker.drain"
_PAUSE_SECONDS = 5.0
_ALIVE_SECONDS = 6.0
_LIST_SECONDS = 1.0
_HINT_MILLISECONDS = 2000
_FORGOTTEN_SECONDS = 60
_AWAKE_MILLISECONDS = 3000
TRUSTED_SECONDS = 0.05
"""How long one hint, or the word of one worker that it looks by itself, speaks for all that this process publishes: a worker that goes
to sleep looks once more when that time is over."""


def connect(url: str) -> redis.Redis:
    """Connect with short time-outs and no retries: a hint that cannot be given at once is not worth waiting for."""
    return redis.Redis.from_url(
        url, socket_connect_timeout=0.5, socket_timeout=0.5, retry=Retry(NoBackoff(), 0), health_check_interval=30
    )


def queue_name(worker: str) -> str:
    """Return the name of a worker's own queue: a worker on one queue moves jobs by BLMOVE and loses none."""
    return f"crossdock-{worker}"


class Hints:
    """Tells a worker that there is work; at most one hint is under way per worker.

    While one is, or while a worker looks by itself, Redis is asked once in a while only, not for each event.
    """

    def __init__(self, connection: redis.Redis, clock: Callable[[], float] = time.monotonic) -> None:
        self.connection = connection
        self._clock = clock
        self._quiet_until = 0.0
        self._trusted_until = 0.0
        self._listed_at = -_LIST_SECONDS
        self._workers: list[str] = []
        self._away = False
        self._trying = threading.Lock()
        self.dropped = 0

    def __call__(self) -> None:
        """Give a hint to one live worker, or drop it: never raises, never waits for long."""
        now = self._clock()
        if now < self._trusted_until:
            return
        if now < self._quiet_until:
            self.dropped += 1
        elif not self._away:
            self._try()
        elif self._trying.acquire(
            blocking=False
        ):  # one thread finds out whether Redis is back, no other waits for that
            try:
                self._try()
            finally:
                self._trying.release()
        else:
            self.dropped += 1

    def _try(self) -> None:
        try:
            self._give()
            self._away = False
        except Exception as error:  # noqa: BLE001 - what it is given for is committed: nobody may take that for undone
            self._quiet_until = self._clock() + _PAUSE_SECONDS
            self._away = True
            self.dropped += 1
            log.warning("hints pause: Redis is away", error=type(error).__name__, seconds=_PAUSE_SECONDS)

    def _give(self) -> None:
        workers = self._alive()
        if not workers:
            self.dropped += 1
            return
        worker = random.choice(workers)  # noqa: S311 - spreads load, keeps no secret
        asked = self._clock()
        if self.connection.set(_key(worker), 1, nx=True, px=_HINT_MILLISECONDS):
            queue = Queue(queue_name(worker), connection=self.connection, serializer=JSONSerializer)
            queue.enqueue_call(JOB, args=(worker,), timeout=30, result_ttl=0, ttl=10, failure_ttl=60)
        self._trusted_until = asked + TRUSTED_SECONDS

    def _alive(self) -> list[str]:
        if self._clock() - self._listed_at >= _LIST_SECONDS:
            names: Any = self.connection.zrangebyscore(WORKERS, _now(self.connection) - _ALIVE_SECONDS, "+inf")
            self._workers = [name.decode() for name in names]
            self._listed_at = self._clock()
        return self._workers


def announce(connection: redis.Redis, worker: str) -> None:
    """Say that a worker is alive; called every two seconds."""
    now = _now(connection)
    connection.zadd(WORKERS, {worker: now})
    dead: Any = connection.zrangebyscore(WORKERS, "-inf", now - _FORGOTTEN_SECONDS)
    for name in dead:
        leave(connection, name.decode())


def _now(connection: redis.Redis) -> float:
    """Return the time of Redis: clocks of hosts may differ."""
    moment: Any = connection.time()
    return float(moment[0]) + float(moment[1]) / 1e6


def leave(connection: redis.Redis, worker: str) -> None:
    """Take a worker that has ended off the list, and its queue with it."""
    connection.zrem(WORKERS, worker)
    Queue(queue_name(worker), connection=connection, serializer=JSONSerializer).delete(delete_jobs=True)


class Watch:
    """Says for a worker whether it looks for work by itself just now: then nobody needs to ring for it."""

    def __init__(self, connection: redis.Redis, worker: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._connection = connection
        self._key = _key(worker)
        self._clock = clock
        self._quiet_until = 0.0

    def awake(self) -> None:
        """Say so for the next three seconds; while Redis is away nothing is said, and nobody waits for it."""
        self._say(lambda: self._connection.set(self._key, 1, px=_AWAKE_MILLISECONDS))

    def asleep(self) -> None:
        """Let hints come again; look for work once more after it, so that none falls between."""
        self._say(lambda: self._connection.delete(self._key))

    def _say(self, command: Callable[[], object]) -> None:
        if self._clock() < self._quiet_until:
            return
        try:
            command()
        except (redis.RedisError, OSError):
            self._quiet_until = self._clock() + _PAUSE_SECONDS


def _key(worker: str) -> str:
    return f"crossdock:hint:{worker}"
