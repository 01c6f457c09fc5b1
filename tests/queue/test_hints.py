"""Redis is asked once in a while, not for each event; what one worker says is good for no longer than it listens after it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import redis

from server.queue import hints
from server.queue.hints import TRUSTED_SECONDS, Hints, Watch

if TYPE_CHECKING:
    from collections.abc import Iterator

WORKER = "worker-1"


class Time:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def connection(redis_url: str) -> Iterator[redis.Redis]:
    with hints.connect(redis_url) as connection:
        hints.announce(connection, WORKER)
        yield connection


def rung(connection: redis.Redis) -> int:
    """Return how many hints wait for the worker, and take them away."""
    waiting = connection.llen(f"rq:queue:{hints.queue_name(WORKER)}")
    connection.delete(f"rq:queue:{hints.queue_name(WORKER)}")
    return int(waiting)  # type: ignore[arg-type]


def test_one_hint_speaks_for_all_that_is_published_just_after(connection: redis.Redis) -> None:
    time = Time()
    hint = Hints(connection, time)
    hint()
    assert rung(connection) == 1
    Watch(connection, WORKER).asleep()
    for _ in range(5):
        time.now += TRUSTED_SECONDS / 6
        hint()
    assert rung(connection) == 0
    time.now += TRUSTED_SECONDS / 6
    hint()
    assert rung(connection) == 1
    assert hint.dropped == 0


def test_a_worker_that_says_that_it_looks_is_taken_at_its_word_for_a_moment_only(connection: redis.Redis) -> None:
    time = Time()
    hint, watch = Hints(connection, time), Watch(connection, WORKER)
    watch.awake()
    hint()
    watch.asleep()
    hint()
    assert rung(connection) == 0
    time.now += TRUSTED_SECONDS
    hint()
    assert rung(connection) == 1


def test_where_there_is_no_worker_the_next_event_asks_again(redis_url: str) -> None:
    time = Time()
    with hints.connect(redis_url) as connection:
        hint = Hints(connection, time)
        hint()
        assert hint.dropped == 1
        hints.announce(connection, WORKER)
        time.now += 1.0
        hint()
        assert rung(connection) == 1


def test_a_redis_that_is_away_is_left_alone_for_a_while(connection: redis.Redis) -> None:
    time = Time()
    away = redis.Redis(port=1, socket_connect_timeout=0.2, retry=None)
    hint = Hints(away, time)
    hint()
    hint()
    assert hint.dropped == 2
    hint.connection = connection
    time.now += 5.0
    hint()
    assert rung(connection) == 1


def test_whatever_breaks_in_a_hint_is_nobody_elses_fault(
    connection: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    time = Time()
    hint = Hints(connection, time)
    monkeypatch.setattr(Hints, "_give", lambda _: 1 / 0)
    hint()
    assert hint.dropped == 1
