"""The scheduler process: a timer over chores. Many may run; a lease per chore decides which of them does it."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import structlog

from server.kernel.errors import Unavailable
from server.store import leases, processes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from server.store import Store
    from server.store.processes import Process

log = structlog.get_logger("crossdock.scheduler")
TICK_SECONDS = 2.0


@dataclass(slots=True)
class Chore:
    """Something to do every so many seconds, by one process at a time. `run` returns how much it did."""

    name: str
    every: float
    run: Callable[[], int]
    next_at: float = field(default=0.0)


class Scheduler:
    """Ticks every two seconds until it is told to stop."""

    def __init__(self, process: Process, store: Store, chores: Sequence[Chore]) -> None:
        self.process = process
        self.store = store
        self.chores = list(chores)
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
            if now < chore.next_at or self._stop.is_set():
                continue
            chore.next_at = now + chore.every
            with self.store.connect() as conn:
                mine = leases.hold(conn, f"chore:{chore.name}", self.process.id, chore.every * 1.5 + TICK_SECONDS)
            if mine is not None:
                did = chore.run()
                if did:
                    log.info("chore done", chore=chore.name, did=did)
