"""A worker or scheduler with something strange about it, as a process: `python -m tests.support.strange ROLE OPTION…`.

ROLE is `worker` or `scheduler`. Options: `--clock SECONDS` shifts the clock of its host (what the product asks, and Python's
`time.time`), SIGUSR1 steps it back by an hour; `--deadly TEXT` has the process die, as if by
kill -9, when a worker is about to send a body with TEXT in it; `--slots NUMBER:SECONDS:FILE` gives the scheduler so many chores of such
a period, which only write a line to the file: name, monotonic seconds, process id.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

_now = time.time
_HOUR = 3600.0


class ShiftedClock:
    """The system's clock and a shift; `time.time` follows it."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        time.time = lambda: _now() + self.seconds
        signal.signal(signal.SIGUSR1, self.step)

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.seconds)

    def step(self, *_: Any) -> None:
        self.seconds -= _HOUR


class DeadlySender:
    """Sends everything but what holds a text: that ends the process, as a kernel that has no memory left would."""

    def __init__(self, sender: Any, text: str) -> None:
        self._sender = sender
        self._text = text.encode()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sender, name)

    async def send(self, request: Any, *rest: Any, **more: Any) -> Any:
        if self._text in request.body:
            os._exit(137)
        return await self._sender.send(request, *rest, **more)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=["worker", "scheduler"])
    parser.add_argument("--clock", type=float)
    parser.add_argument("--deadly", default="")
    parser.add_argument("--slots", default="")
    options = parser.parse_args(arguments)
    clock = None if options.clock is None else ShiftedClock(options.clock)

    from server import bootstrap, scheduler, worker  # here: under the clock that was asked for
    from server.config import Settings
    from server.operations.retention import Chore

    settings = Settings.from_env(os.environ)
    core = bootstrap.core(settings, clock=clock)
    if options.role == "worker":
        parts = bootstrap.worker(settings, built=core)
        if options.deadly:
            parts.deliveries.sending.sender = DeadlySender(parts.deliveries.sending.sender, options.deadly)
        return worker.Runtime(parts).run()

    timer = bootstrap.scheduler(settings, built=core)
    if options.slots:
        number, seconds, file = options.slots.split(":")
        names = [f"slot-{each}" for each in range(int(number))]
        chores = [Chore(each, float(seconds), partial(count, each, file)) for each in names]
        timer = bootstrap.Timer(timer.process, timer.store, chores)
    return scheduler.Scheduler(timer).run()


def count(name: str, file: str) -> int:
    """Write a line: what one run of a chore does."""
    with Path(file).open("a") as lines:
        lines.write(f"{name} {time.monotonic()} {os.getpid()}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
