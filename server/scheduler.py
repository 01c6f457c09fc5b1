"""The scheduler process: a timer over chores. Many may run; a lease per chore decides which of them does it."""

from __future__ import annotations

import contextlib
import signal
import threading
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
    """Ticks every two seconds until it is told to stop. What is due, and who does it, is known to the database alone."""

    def __init__(self, timer: Timer) -> None:
        self.process = timer.process
        self.store = timer.store
        self.chores = {f"chore:{chore.name}": chore for chore in timer.chores}
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
            processes.gone(conn, self.process)
        return 0

    def tick(self) -> None:
        """Say that we live, and do the chores whose time has come and whose lease we get.

        Raises:
            Unavailable: the database is away; a chore that it has broken off is due again once its hold is over.

        """
        with self.store.connect() as conn:
            self.store.measured(processes.seen(conn, self.process))
            due = leases.due(conn, list(self.chores))
        for name in due:
            if self._stop.is_set():
                return
            self._do(name)

    def _do(self, name: str) -> None:
        with self.store.connect() as conn:
            epoch = leases.take(conn, name, self.process.id)
        if epoch is None:
            return
        chore = self.chores[name]
        did = chore.run()
        with self.store.connect() as conn:
            leases.done(conn, name, self.process.id, epoch, chore.every)
        if did:
            log.info("chore done", chore=chore.name, did=did)


def run(settings: Settings) -> int:
    """Build a scheduler and let it tick until SIGTERM; return the exit status."""
    return Scheduler(bootstrap.scheduler(settings)).run()
