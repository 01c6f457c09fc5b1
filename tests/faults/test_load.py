"""F10, F17 and F18: without a fault, with what died brought back, and with faults at random for a long time."""

from __future__ import annotations

import random
import signal
import statistics
import time
from typing import TYPE_CHECKING, Any

import pytest
import redis
import requests

from tests.faults import figures
from tests.faults.forms import EVENTS, LONG_MINUTES, RECOVER_SECONDS, Form
from tests.faults.history import NOTHING
from tests.faults.orphans import stuck
from tests.support.product import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults.burst import Burst, Site
    from tests.support.fleet import Fleet

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600 + int(LONG_MINUTES * 60) + 300)]
MEGABYTE = 2**20
MANY = max(EVENTS // 10, 50)
PER_SECOND = 200
GROWTH_MB = 5.0


def test_f10_ten_thousand_events_arrive_once(fleet: Fleet, shoot: Callable[..., Burst]) -> None:
    form = Form(EVENTS, max(EVENTS / 20, 50.0))
    burst = shoot(form, clients=32)
    burst.sent()
    memory = fleet.memory()
    verdict = burst.settled(fleet)
    seconds = max(hit.at for hit in burst.site.hits_of(burst.path)) - burst.started
    told = burst.history.latency(0.99)
    waits = burst.waits()
    figures.note(
        figures.of(
            "F10",
            f"{form.rate:g} a second",
            verdict,
            seconds=0.0,
            all_received_after_s=seconds,
            ingest_p99_ms=1000 * told,
            received_p50_ms=1000 * waits[len(waits) // 2],
            received_p95_ms=1000 * waits[int(0.95 * len(waits))],
            largest_process_mb=max(memory.values()) // MEGABYTE,
        ),
        burst.records(),
    )
    assert (verdict.accepted, verdict.received, verdict.sound, verdict.repeated) == (EVENTS, EVENTS, NOTHING, {})
    assert seconds <= 30
    assert told <= 0.25
    assert max(memory.values()) <= 300 * MEGABYTE


def test_f17_a_thousand_dead_letters_go_out_once_more(fleet: Fleet, shoot: Callable[..., Burst], site: Site) -> None:
    burst = shoot(Form(MANY, 250), name="redriven", path="/redriven")
    site.closed.add(burst.path)
    try:
        burst.sent()
        letters = "SELECT count(*) FROM dead_letters WHERE owner = 'webhook/redriven' AND resolved_at IS NULL"
        until(lambda: fleet.rows(letters) == [(MANY,)], 60, "every delivery is a dead letter")
    finally:
        site.closed.discard(burst.path)
    sent = len(site.hits_of(burst.path))
    answers = twice(fleet, "/api/v1/dead-letters/retry", {"owner": "webhook/redriven"}, "redrive-1")
    until(lambda: len(site.hits_of(burst.path)) >= sent + MANY, 60, "all have come")
    time.sleep(2.5)  # whatever the second request had made would come now
    verdict = burst.judge()
    again = len(site.hits_of(burst.path)) - sent
    figures.note(figures.of("F17", f"{MANY} dead letters", verdict, refused=sent, seconds=None, sent_again=again))
    assert_first_answer_again(answers)
    assert (sent, again) == (MANY, MANY)
    assert (verdict.accepted, verdict.sound) == (MANY, NOTHING)
    assert fleet.rows(letters) == [(0,)]


def test_f17_a_thousand_events_are_replayed_once_at_their_rate(
    fleet: Fleet, shoot: Callable[..., Burst], site: Site
) -> None:
    burst = shoot(Form(MANY, 250), name="replayed", path="/replayed", webhook={"max_in_flight": 200})
    burst.settled(fleet)
    rows = "SELECT count(*) FROM deliveries d JOIN webhooks w ON w.id = d.webhook_id WHERE w.name = 'replayed'"
    assert fleet.rows(rows) == [(MANY,)]
    sent = len(site.hits_of(burst.path))
    body = {"filter": {"webhook": "replayed"}, "per_second": PER_SECOND}
    answers = twice(fleet, "/api/v1/replays", body, "replay-1")
    until(lambda: len(site.hits_of(burst.path)) >= sent + MANY, 60, "all have come")
    time.sleep(2.5)
    verdict = burst.judge()
    times = sorted(hit.at for hit in site.hits_of(burst.path)[sent:])
    seconds = times[-1] - times[0]
    figures.note(
        figures.of(
            "F17",
            f"{MANY} replayed",
            verdict,
            refused=sent,
            seconds=None,
            sent_again=len(times),
            seconds_for_all=seconds,
            cap_per_second=PER_SECOND,
        )
    )
    assert_first_answer_again(answers)
    assert len(times) == MANY
    assert (verdict.accepted, verdict.sound) == (MANY, NOTHING)
    assert fleet.rows(rows) == [(2 * MANY,)]
    assert seconds >= 0.8 * (MANY / PER_SECOND - 1)  # the bucket is full at the start


def twice(fleet: Fleet, path: str, body: Any, key: str) -> list[requests.Response]:
    """Send the same request with the same key to one API process and to the other."""
    headers = {"Authorization": f"Bearer {fleet.token()}", "Idempotency-Key": key}
    return [requests.post(url + path, json=body, headers=headers, timeout=60) for url in fleet.urls]


def assert_first_answer_again(answers: list[requests.Response]) -> None:
    first, second = answers
    assert (first.status_code, second.status_code) == (202, 202), (first.text, second.text)
    assert first.content == second.content
    assert second.headers["Idempotent-Replayed"] == "true"


def test_f18_nothing_leaks_and_nothing_gets_stuck(fleet: Fleet, shoot: Callable[..., Burst]) -> None:
    rate, seconds = 50.0, LONG_MINUTES * 60
    burst = shoot(Form(int(rate * seconds), rate), patience=120.0)
    steady = [name for name in fleet.processes if name != "worker-2"]
    samples: dict[str, list[tuple[float, float]]] = {name: [] for name in steady}
    done: dict[str, int] = {"F1": 0, "F3": 0, "F6": 0}
    allowed, left_over, next_fault = 0, 0, time.monotonic() + 10
    while (passed := time.monotonic() - burst.started) < seconds:
        for name, size in fleet.memory().items():
            if name in samples:
                samples[name].append((passed, size / MEGABYTE))
        left_over = max(left_over, stuck(fleet))
        if time.monotonic() > next_fault and passed < seconds - 10:
            fault = random.choice(list(done))
            with burst.fault(fault):
                allowed += do(fleet, fault)
            done[fault] += 1
            next_fault = time.monotonic() + random.uniform(8, 15)
        time.sleep(1.0)
    verdict = burst.settled(fleet)
    growths = {name: growth(each) for name, each in samples.items()}
    most = max(growths, key=lambda name: growths[name])
    figures.note(
        figures.of(
            "F18",
            f"{LONG_MINUTES:g} minutes",
            verdict,
            allowed,
            faults=", ".join(f"{count} of {name}" for name, count in done.items()),
            grown_in_second_half_mb=growths[most],
            by=most,
            stuck_leases=left_over,
        ),
        burst.records(),
    )
    assert (verdict.accepted, verdict.sound) == (burst.count, NOTHING)
    assert verdict.duplicates <= allowed
    assert verdict.recovery <= RECOVER_SECONDS
    assert left_over == 0
    assert growths[most] <= GROWTH_MB, growths
    assert set(fleet.dead()) <= {"worker-2"}


def do(fleet: Fleet, fault: str) -> int:
    """Do one fault; return how many duplicates it allows."""
    if fault == "F3":
        with redis.Redis.from_url(fleet.redis.url) as client:
            client.flushall()
        return 0
    if fault == "F1":
        fleet.kill("worker-2")
        held = len(fleet.leased())
        fleet.start("worker-2")
        return held
    server = fleet.postgres.child
    assert server is not None
    server.send_signal(signal.SIGQUIT)
    server.wait(10)
    time.sleep(1.0)
    fleet.postgres.start()
    return 50 * len(fleet.workers)


def growth(samples: list[tuple[float, float]]) -> float:
    """Return by how much the second half of a series rises, along its straight line."""
    half = samples[len(samples) // 2 :]
    line = statistics.linear_regression([at for at, _ in half], [size for _, size in half])
    return line.slope * (half[-1][0] - half[0][0])
