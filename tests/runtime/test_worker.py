"""When a worker's chores come round: at once for what only this process knows of, and no more often than is worth it."""

from __future__ import annotations

import contextlib
import threading
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from server.bootstrap.worker_role import Chore
from server.integrations.nudges import Nudges
from server.kernel.ids import new_uuid
from server.queue import claims
from server.worker import Runtime

if TYPE_CHECKING:
    from collections.abc import Iterator


class Worker:
    """A runtime whose only chore takes what was noted, and remembers when it came round; no database has anything due."""

    def __init__(self) -> None:
        self.rounds: list[float] = []
        self.nudges = Nudges()
        deliveries: Any = SimpleNamespace(
            pace=SimpleNamespace(turned=None),
            awake=False,
            wake=lambda: None,
            stop=lambda: None,
            store=SimpleNamespace(statements=contextlib.nullcontext),
        )
        parts: Any = SimpleNamespace(
            process=SimpleNamespace(name="w"),
            redis_url="redis://127.0.0.1:1",
            deliveries=deliveries,
            flows=SimpleNamespace(stop=lambda: None),
            nudges=self.nudges,
            chores=[Chore("noted", None, self._round)],
        )
        self.runtime = Runtime(parts)

    def _round(self) -> int:
        self.rounds.append(time.monotonic())
        self.nudges.take()
        return 0

    def note(self) -> None:
        self.nudges.again({new_uuid()})
        self.nudges.ring()


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[Worker]:
    monkeypatch.setattr(claims, "due_kinds", lambda *_: set())
    made = Worker()
    thread = threading.Thread(target=made.runtime._chores, daemon=True)
    thread.start()
    time.sleep(0.3)
    yield made
    made.runtime.stop()
    thread.join(5)
    assert not thread.is_alive()


def test_what_was_called_here_is_looked_into_at_once(worker: Worker) -> None:
    assert len(worker.rounds) == 1, "it rests"
    began = time.monotonic()
    worker.note()
    while len(worker.rounds) < 2 and time.monotonic() < began + 5:
        time.sleep(0.005)
    assert worker.rounds[1] - began < 0.5
    assert not worker.nudges


def test_whoever_calls_all_the_time_does_not_make_it_go_round_all_the_time(worker: Worker) -> None:
    began = time.monotonic()
    while time.monotonic() < began + 1:
        worker.note()
        time.sleep(0.001)
    assert 3 <= len(worker.rounds) <= 1 + 20 + 1, "each twentieth of a second"
