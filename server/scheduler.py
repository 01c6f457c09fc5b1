"""The scheduler process: a timer over chores. Many may run; a lease per chore decides which of them does it."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

import structlog

from server import bootstrap
from server.kernel.errors import Unavailable
from server.store import leases, processes

if TYPE_CHECKING:
    from server.bootstrap import Timer
    from server.config import Settings

log = structlog.get_logger("crossdock.scheduler")
TICK_SECONDS = 2.0


class Scheduler:
    """Ticks every two seconds until it is told to stop."""

    def __init__(self, timer: Timer) -> None:
        self.process = timer.process
        self.store = timer.store
        self.chores = timer.chores
        self._next = dict.fromkeys((chore.name for chore in timer.chores), 0.0)
        self._stop = threading.Event()

    def stop(self, *_: Any) -> None:
        """End after the present chore."""
        self._stop.set()

    def run(self) -> int:
        """Tick until SIGTERM or SIGINT; return the exit status."""
        signal.signal(signal.SIGTERM, self.stop)
        signal.signal(signal.SIGINT, self.stop)
        log.info("scheduler is at work", scheduler=self.process.name)
        while not self._stop.is_set():
            try:
                self.tick()
            except Unavailable as error:
                log.warning("the tick waits", code=error.code)
            self._stop.wait(TICK_SECONDS)
        with contextlib.suppress(Unavailable), self.store.connect() as conn:
            for chore in self.chores:
                leases.release(conn, f"chore:{chore.name}", self.process.id)
            processes.gone(conn, self.process)
        return 0

    def tick(self) -> None:
        """Say that we live, and do the chores whose time has come and whose lease we get.

        Raises:
            Unavailable: the database is away.

        """
        with self.store.connect() as conn:
            processes.seen(conn, self.process)
        for chore in self.chores:
            now = time.monotonic()
            if now < self._next[chore.name] or self._stop.is_set():
                continue
            self._next[chore.name] = now + chore.every
            with self.store.connect() as conn:
                mine = leases.hold(conn, f"chore:{chore.name}", self.process.id, chore.every * 1.5 + TICK_SECONDS)
            if mine is not None:
                did = chore.run()
                if did:
                    log.info("chore done", chore=chore.name, did=did)


def run(settings: Settings) -> int:
    """Build a scheduler and let it tick until SIGTERM; return the exit status."""
    return Scheduler(bootstrap.scheduler(settings)).run()
