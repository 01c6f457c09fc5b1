"""The worker process: one runtime of pools, loop and caches. RQ jobs and a two-second timer make it drain due work.

RQ is only the bell: its worker runs in a thread of its own, may lose Redis and come back, and nothing depends on it.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

import redis
import structlog
from rq import Queue, SimpleWorker
from rq.serializers import JSONSerializer
from rq.timeouts import TimerDeathPenalty

from server import bootstrap
from server.kernel.errors import Unavailable
from server.queue import hints
from server.store import processes

if TYPE_CHECKING:
    from server.bootstrap import Worker
    from server.config import Settings

log = structlog.get_logger("crossdock.worker")
TIMER_SECONDS = 2.0
STOP_SECONDS = 18.0
_RQ_WAIT = 30  # RQ blocks half of it on its queue
_REDIS_BACK = 1.0
_RUNTIMES: dict[str, Runtime] = {}


def drain(worker: str) -> None:
    """Do what is due, now: the RQ job. Whoever is not this process any more has nothing to do."""
    runtime = _RUNTIMES.get(worker)
    if runtime is not None:
        runtime.wake()


class _Bell(SimpleWorker):
    """RQ's worker without a fork, outside of the main thread: no signal handlers, a timer instead of SIGALRM."""

    death_penalty_class = TimerDeathPenalty

    def _install_signal_handlers(self) -> None:
        pass


class Runtime:
    """Threads of one worker process: the delivery loop, the chores, the bell, and the sign of life."""

    def __init__(self, parts: Worker) -> None:
        self.parts = parts
        self.name = parts.process.name
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._redis = hints.connect(parts.redis_url)

    def wake(self) -> None:
        """Look for due work now; called from any thread."""
        with contextlib.suppress(redis.RedisError, OSError):
            hints.taken(self._redis, self.name)
        self._wake.set()
        self.parts.deliveries.wake()

    def stop(self, *_: Any) -> None:
        """Claim nothing more and end once what is in flight is recorded."""
        self._stop.set()
        self._wake.set()
        self.parts.deliveries.stop()

    def run(self) -> int:
        """Work until SIGTERM or SIGINT; return the exit status."""
        _RUNTIMES[self.name] = self
        signal.signal(signal.SIGTERM, self.stop)
        signal.signal(signal.SIGINT, self.stop)
        loop = threading.Thread(target=self._deliver, name="deliveries", daemon=True)
        chores = threading.Thread(target=self._chores, name="chores", daemon=True)
        for thread in (loop, chores):
            thread.start()
        for target, name in ((self._ring, "bell"), (self._live, "life")):
            threading.Thread(target=target, name=name, daemon=True).start()
        log.info("worker is at work", worker=self.name)
        while loop.is_alive() and not self._stop.is_set():
            self._stop.wait(1.0)
        crashed = not self._stop.is_set()
        self.stop()
        deadline = time.monotonic() + STOP_SECONDS
        for thread in (loop, chores):
            thread.join(max(0.0, deadline - time.monotonic()))
        self._leave()
        log.info("worker has stopped", worker=self.name, drained=not loop.is_alive())
        return 1 if crashed else 0

    def _deliver(self) -> None:
        asyncio.run(self.parts.deliveries.run())

    def _chores(self) -> None:
        while not self._stop.is_set():
            did = 0
            for chore in self.parts.chores:
                try:
                    did += chore()
                except Unavailable as error:
                    log.warning("a chore waits", chore=getattr(chore, "__name__", "chore"), code=error.code)
            if did:
                self.parts.deliveries.wake()
                continue
            self._wake.wait(TIMER_SECONDS)
            self._wake.clear()

    def _ring(self) -> None:
        """Listen for hints; Redis may go away for as long as it likes."""
        while not self._stop.is_set():
            connection = redis.Redis.from_url(self.parts.redis_url, socket_connect_timeout=2, socket_timeout=_RQ_WAIT)
            try:
                queue = Queue(hints.queue_name(self.name), connection=connection, serializer=JSONSerializer)
                bell = _Bell(
                    [queue], connection=connection, name=self.name, serializer=JSONSerializer, worker_ttl=_RQ_WAIT
                )
                bell.log_result_lifespan = False
                bell.work(logging_level="WARNING", with_scheduler=False)
            except (redis.RedisError, OSError, ValueError) as error:  # ValueError: RQ still knows our name after a loss
                log.warning("no hints for now: Redis is away", error=type(error).__name__)
            finally:
                connection.close()
            self._stop.wait(_REDIS_BACK)

    def _live(self) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(redis.RedisError, OSError):
                hints.announce(self._redis, self.name)
            try:
                with self.parts.store.connect() as conn:
                    processes.seen(conn, self.parts.process)
            except Unavailable as error:
                log.warning("cannot say that we live", code=error.code)
            self._stop.wait(TIMER_SECONDS)

    def _leave(self) -> None:
        with contextlib.suppress(redis.RedisError, OSError):
            hints.leave(self._redis, self.name)
        with contextlib.suppress(Unavailable), self.parts.store.connect() as conn:
            processes.gone(conn, self.parts.process)


def run(settings: Settings) -> int:
    """Build a worker and let it work until SIGTERM; return the exit status."""
    return Runtime(bootstrap.worker(settings)).run()
