"""The worker process: one runtime of pools, loop and caches. RQ jobs and a two-second timer make it drain due work.

RQ is only the bell: its worker runs in a thread of its own, may lose Redis and come back, and nothing depends on it.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

import redis
import structlog
import uvloop
from rq import Queue, SimpleWorker
from rq.serializers import JSONSerializer
from rq.timeouts import TimerDeathPenalty

from server import bootstrap
from server.kernel import garbage
from server.kernel.errors import Unavailable
from server.queue import claims, hints
from server.store import processes
from server.transport.limits import allow_open_files
from server.webhooks.pace import TIMER_SECONDS

if TYPE_CHECKING:
    from server.bootstrap import Worker
    from server.config import Settings

log = structlog.get_logger("crossdock.worker")
_LOOK_SECONDS = 0.05
STOP_SECONDS = 7.0  # `up` gives a worker 8 s; what a slow receiver still holds then is due again by its lease
_RQ_WAIT = 30  # RQ blocks half of it on its queue
_REDIS_BACK = 1.0
_REDIS_LONGEST = 5.0  # hints are there again 10 s after Redis at most: this, and the time-out of one try
_RUNTIMES: dict[str, Runtime] = {}


def drain(worker: str) -> None:
    """Do what is due, now: the RQ job. Whoever is not this process any more has nothing to do."""
    runtime = _RUNTIMES.get(worker)
    if runtime is not None:
        runtime.wake()


class _Bell(SimpleWorker):
    """RQ's worker without a fork, outside of the main thread: no signal handlers, a timer instead of SIGALRM.

    It takes no commands over Redis either, and never waits long for a Redis that was away.
    """

    death_penalty_class = TimerDeathPenalty
    max_connection_wait_time = _REDIS_LONGEST

    def _install_signal_handlers(self) -> None:
        pass

    def subscribe(self) -> None:
        pass


class Runtime:
    """Threads of one worker process: the delivery loop, the chores, the bell, and the sign of life."""

    def __init__(self, parts: Worker) -> None:
        self.parts = parts
        self.name = parts.process.name
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._rung = False
        self._began = 0.0
        parts.deliveries.pace.turned = parts.nudges.noted = self._wake.set
        self._redis = hints.connect(parts.redis_url)

    def wake(self) -> None:
        """Look for due work now; called from any thread."""
        self._rung = True
        self._wake.set()
        self.parts.deliveries.wake()

    def stop(self, *_: Any) -> None:
        """Claim nothing more and end once what is in flight is recorded."""
        self._stop.set()
        self._wake.set()
        self.parts.deliveries.stop()
        self.parts.flows.stop()

    def run(self) -> int:
        """Work until SIGTERM or SIGINT; return the exit status: 1 when a part of ours broke, so that we are started anew."""
        open_files = allow_open_files()
        garbage.settle()
        _RUNTIMES[self.name] = self
        signal.signal(signal.SIGTERM, self.stop)
        signal.signal(signal.SIGINT, self.stop)
        parts = {"deliveries": self._deliver, "chores": self._chores, "bell": self._ring, "life": self._live}
        threads = {name: threading.Thread(target=part, name=name, daemon=True) for name, part in parts.items()}
        for thread in threads.values():
            thread.start()
        log.info("worker is at work", worker=self.name, open_files=open_files)
        while all(thread.is_alive() for thread in threads.values()) and not self._stop.is_set():
            self._stop.wait(1.0)
        crashed = not self._stop.is_set()
        self.stop()
        deadline = time.monotonic() + STOP_SECONDS
        for name in ("deliveries", "chores"):
            threads[name].join(max(0.0, deadline - time.monotonic()))
        self._leave()
        log.info("worker has stopped", worker=self.name, drained=not threads["deliveries"].is_alive())
        return 1 if crashed else 0

    def _deliver(self) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self.parts.deliveries.run())

    def _chores(self) -> None:
        while not self._stop.is_set():
            did = 0
            self._began = time.monotonic()
            due = self._due()
            for chore in self.parts.chores:
                if chore.kind is not None and chore.kind not in due:
                    continue
                try:
                    did += chore()
                except Unavailable as error:
                    log.warning("a chore waits", chore=chore.name, code=error.code)
                except Exception:  # one chore that breaks must stop neither the others nor the deliveries
                    log.exception("a chore broke", chore=chore.name)
            if did:
                self.parts.deliveries.wake()
                continue
            self._rest()

    def _rest(self) -> None:
        """Wait for a hint; while events come nobody gives any, so we look ourselves, by one question for all chores."""
        until = time.monotonic() + TIMER_SECONDS
        while time.monotonic() < until and not self._stop.is_set():
            self._wake.wait(_LOOK_SECONDS if self.parts.deliveries.awake else TIMER_SECONDS)
            self._wake.clear()
            if self._rung:
                break
            if self.parts.nudges:  # of this process: nobody else knows of them; and a busy one has some all the time
                self._stop.wait(self._began + _LOOK_SECONDS - time.monotonic())
                break
            if self._due():
                break
        self._rung = False

    def _due(self) -> set[str]:
        """Return the kinds of chores of which work is due; none while the database is away."""
        kinds = [each.kind for each in self.parts.chores if each.kind is not None]
        with (
            contextlib.suppress(Unavailable),
            self.parts.deliveries.store.statements() as conn,
        ):  # by index: a backlog waits
            return claims.due_kinds(conn, kinds)
        return set()

    def _ring(self) -> None:
        """Listen for hints; Redis may go away for as long as it likes."""
        pause = _REDIS_BACK
        for number in itertools.count(1):
            if self._stop.is_set():
                return
            connection = redis.Redis.from_url(self.parts.redis_url, socket_connect_timeout=2, socket_timeout=_RQ_WAIT)
            try:
                self._redis.ping()  # with its short time-outs and in one line, before RQ says it in twenty
                pause = _REDIS_BACK
                queue = Queue(hints.queue_name(self.name), connection=connection, serializer=JSONSerializer)
                name = f"{self.name}-{number}"  # RQ remembers for 90 s a name that it has lost, and refuses it
                bell = _Bell([queue], connection=connection, name=name, serializer=JSONSerializer, worker_ttl=_RQ_WAIT)
                bell.log_result_lifespan = False
                bell.work(logging_level="WARNING", with_scheduler=False)
            except Exception as error:  # noqa: BLE001 - whatever breaks in RQ costs hints for a second, never the worker
                log.warning("no hints for now: Redis is away", error=type(error).__name__)
            finally:
                connection.close()
            self._stop.wait(pause)
            pause = min(2 * pause, _REDIS_LONGEST)

    def _live(self) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(redis.RedisError, OSError):
                hints.announce(self._redis, self.name)
            try:
                with self.parts.store.connect() as conn:
                    self.parts.store.measured(processes.seen(conn, self.parts.process))
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
