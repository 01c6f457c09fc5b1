"""What is killed, stopped or emptied under load loses nothing that was accepted, and repeats no more than was under way.

The short forms run in `make test`, the long ones in `make faults`. All of them hit one fleet, one after the other.
"""

from __future__ import annotations

import itertools
import shutil
import signal
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import redis
import standardwebhooks

from tests.faults.burst import Burst, Site, type_of
from tests.support.product import until

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from server.store import Scope
    from tests.support.fleet import Fleet

ORPHAN_SECONDS = 10.0
ATTACH_SECONDS = 10.0
DRAIN_SECONDS = 20.0
STALL_SECONDS = 5.0
_NUMBERS = itertools.count(1)


@dataclass(frozen=True)
class Form:
    """How much: events, events a second, and how often the fault comes."""

    count: int
    rate: float
    times: int

    @property
    def shares(self) -> list[float]:
        """When the faults come: shares of the events that are accepted by then."""
        return [0.1 + 0.7 * number / self.times for number in range(self.times)]


FORMS = pytest.mark.parametrize(
    "form",
    [
        pytest.param(Form(800, 250, 1), id="short", marks=pytest.mark.serial),
        pytest.param(Form(10_000, 250, 10), id="long", marks=pytest.mark.faults),
    ],
)


@pytest.fixture
def shoot(fleet: Fleet, site: Site) -> Callable[..., Burst]:
    """Begin a burst at a webhook of its own."""

    def begin(form: Form, name: str = "", scope: Scope | None = None, path: str = "", **more: Any) -> Burst:
        name = name or f"burst-{next(_NUMBERS)}"
        path = path or f"/{name}"
        retry = {"schedule": ["1s"] * 20, "jitter": 0.2}
        events = [type_of(name)]
        fleet.product.webhook(name, site.url + path, scope, events=events, max_in_flight=50, retry=retry)
        token = fleet.token(scope)
        return Burst(site, fleet.urls, token, name, count=form.count, rate=form.rate, path=path, **more)

    return begin


def gone(fleet: Fleet, leases: set[tuple[UUID, int]], seconds: float = 30.0) -> float:
    """Return the seconds until none of these leases is there any more: done, or claimed anew."""
    started = time.monotonic()
    until(
        lambda: not leases & set(fleet.rows("SELECT ref, epoch FROM due WHERE kind = 'delivery'")),
        seconds,
        "orphaned leases are claimed anew",
    )
    return time.monotonic() - started


def holder(fleet: Fleet) -> str:
    """Return the name of the scheduler that does a chore of every 30 s now, or nothing."""
    sql = """SELECT p.pid FROM leases l JOIN processes p ON p.id = l.owner
             WHERE l.name = 'chore:expire-held-deliveries' AND l.until > now()"""
    pids = {pid for (pid,) in fleet.rows(sql)}
    return next((name for name in fleet.schedulers if fleet.processes[name].pid in pids), "")


def events_of(fleet: Fleet, leases: set[tuple[UUID, int]]) -> set[str]:
    """Return the ids of the events behind leases."""
    refs = [ref for ref, _ in leases]
    sql = "SELECT e.id FROM deliveries d JOIN events e ON e.uid = d.event_uid WHERE d.id = ANY(%s)"
    return {event for (event,) in fleet.rows(sql, refs)}


@FORMS
def test_a_killed_worker_loses_nothing_and_repeats_only_what_it_held(
    fleet: Fleet, shoot: Callable[..., Burst], form: Form
) -> None:
    burst = shoot(form)
    held: set[str] = set()
    for share, name in zip(form.shares, itertools.cycle(fleet.workers), strict=False):
        burst.progress(share)
        fleet.kill(name)
        orphans = fleet.leased()
        fleet.start(name)
        held |= events_of(fleet, orphans)
        assert gone(fleet, orphans) <= ORPHAN_SECONDS
        fleet.ready()
    verdict = burst.settled(fleet)
    assert (verdict.accepted, verdict.lost, verdict.unexpected) == (form.count, set(), set())
    assert set(verdict.repeated) <= held
    assert max(verdict.repeated.values(), default=0) <= form.times


@FORMS
def test_a_killed_api_process_loses_no_answered_event_and_makes_none_twice(
    fleet: Fleet, shoot: Callable[..., Burst], form: Form
) -> None:
    burst = shoot(form)
    for share, name in zip(form.shares, itertools.cycle(fleet.ports), strict=False):
        burst.progress(share)
        fleet.kill(name)
        time.sleep(0.5)  # the client meets a closed port meanwhile, and goes on at the other one
        fleet.start(name)
        fleet.ready()
    verdict = burst.settled(fleet)
    assert (verdict.accepted, verdict.lost, verdict.unexpected) == (form.count, set(), set())
    assert verdict.repeated == {}
    assert 500 not in burst.history.statuses
    [(events, ids)] = fleet.rows("SELECT count(*), count(DISTINCT id) FROM events WHERE type = %s", type_of(burst.name))
    assert events == ids == form.count


@FORMS
def test_a_killed_scheduler_is_not_missed(fleet: Fleet, shoot: Callable[..., Burst], form: Form) -> None:
    burst = shoot(form)
    burst.progress(0.3)
    killed = holder(fleet)
    fleet.kill(killed)
    time.sleep(2.5)  # more than a tick
    survivors = "SELECT 1 FROM processes WHERE role = 'scheduler' AND pid <> %s AND seen_at > now() - interval '5 s'"
    assert fleet.rows(survivors, fleet.processes[killed].pid)
    verdict = burst.settled(fleet)
    assert (verdict.accepted, verdict.lost, verdict.unexpected, verdict.repeated) == (form.count, set(), set(), {})
    assert fleet.dead() == [killed]
    if form.times > 1:  # a lease of a 30 s chore runs out after 47 s, and is asked for every 30 s
        until(lambda: holder(fleet) not in ("", killed), 90, "the other scheduler has taken the chores over")


@FORMS
def test_a_flushed_redis_costs_nothing_but_a_moment(fleet: Fleet, shoot: Callable[..., Burst], form: Form) -> None:
    burst = shoot(form)
    for share in (0.2, 0.4, 0.6):
        burst.progress(share)
        with redis.Redis.from_url(fleet.redis.url) as client:
            client.flushall()
    verdict = burst.settled(fleet)
    assert (verdict.accepted, verdict.lost, verdict.unexpected, verdict.repeated) == (form.count, set(), set(), {})
    assert verdict.silence <= STALL_SECONDS
    assert fleet.dead() == []
    assert burst.history.statuses == {202: form.count}
    assert fleet.listening() == len(fleet.workers)


@FORMS
@pytest.mark.parametrize("fault", ["killed and emptied", "hung"])
def test_without_redis_everything_goes_on_and_hints_come_back_with_it(
    fleet: Fleet, shoot: Callable[..., Burst], form: Form, fault: str
) -> None:
    burst = shoot(form)
    burst.progress(0.2)
    away = 4.0 if form.times == 1 else 40.0
    server = fleet.redis.child
    assert server is not None
    if fault == "hung":
        server.send_signal(signal.SIGSTOP)
        time.sleep(away)
        server.send_signal(signal.SIGCONT)
    else:
        server.kill()
        server.wait()
        shutil.rmtree(fleet.redis.data)
        time.sleep(away)
        fleet.redis.start()
    back = time.monotonic()
    until(lambda: fleet.listening() == len(fleet.workers), ATTACH_SECONDS, "all workers wait for hints again")
    attached = time.monotonic() - back
    verdict = burst.settled(fleet)
    assert (verdict.accepted, verdict.lost, verdict.unexpected, verdict.repeated) == (form.count, set(), set(), {})
    assert burst.history.statuses == {202: form.count}
    assert verdict.silence <= STALL_SECONDS
    assert burst.history.latency(0.99) <= 1.0
    assert fleet.dead() == []
    assert attached <= ATTACH_SECONDS
    assert_hints_arrive(shoot)


@FORMS
def test_a_crashed_postgresql_refuses_for_a_moment_and_loses_nothing(
    fleet: Fleet, shoot: Callable[..., Burst], form: Form
) -> None:
    burst = shoot(form)
    held: set[str] = set()
    for share in form.shares[:3]:
        burst.progress(share)
        leased = fleet.leased()
        server = fleet.postgres.child
        assert server is not None
        server.send_signal(signal.SIGQUIT)
        server.wait(10)
        time.sleep(1.0)
        fleet.postgres.start()
        back = time.monotonic()
        held |= events_of(fleet, leased | fleet.leased())
        until(lambda moment=back: burst.first_hit_after(moment) < 60, 20, "deliveries flow again")
        assert burst.first_hit_after(back) <= ORPHAN_SECONDS
    verdict = burst.settled(fleet)
    assert (verdict.accepted, verdict.lost, verdict.unexpected) == (form.count, set(), set())
    assert verdict.duplicates <= 3 * len(fleet.workers) * 50
    assert fleet.dead() == []
    refused = [each for each in burst.history.tries if each.status != 202]
    assert {each.status for each in refused} <= {503}
    assert refused
    assert all(each.retry_after for each in refused)


@FORMS
def test_a_rolling_restart_of_the_workers_is_not_noticed(
    fleet: Fleet, shoot: Callable[..., Burst], site: Site, form: Form
) -> None:
    site.delay = 0.2
    try:
        burst = shoot(form)
        for share, name in zip(form.shares, itertools.cycle(fleet.workers), strict=False):
            burst.progress(share)
            assert fleet.end(name) <= DRAIN_SECONDS
            fleet.start(name)
            fleet.ready()
        verdict = burst.settled(fleet)
    finally:
        site.delay = 0.02
    assert (verdict.accepted, verdict.lost, verdict.unexpected, verdict.repeated) == (form.count, set(), set(), {})


@pytest.mark.faults
def test_a_frozen_worker_that_wakes_up_changes_nothing_any_more(
    fleet: Fleet, shoot: Callable[..., Burst], site: Site
) -> None:
    first, *others = fleet.workers
    for name in others:
        fleet.end(name)
    site.refused_first, site.delay = True, 1.0  # so that its late refusals meet leases of the others
    try:
        burst = shoot(Form(200, 200, 1))
        burst.progress(0.3)
        until(fleet.leased, 5, "the worker holds something")
        frozen = fleet.processes[first]
        frozen.send_signal(signal.SIGSTOP)
        fleet.start(*others)
        leases = fleet.leased()
        held = events_of(fleet, leases)
        assert gone(fleet, leases) <= ORPHAN_SECONDS
        frozen.send_signal(signal.SIGCONT)
        verdict = burst.settled(fleet)
    finally:
        site.refused_first, site.delay = False, 0.02
    assert (verdict.accepted, verdict.lost, verdict.unexpected) == (200, set(), set())
    thrice = {event for event, count in verdict.repeated.items() if count > 1}
    assert thrice <= held  # what it had claimed and not sent goes out when it wakes up,
    assert len(thrice) < len(held) / 2  # but a late refusal makes nothing due once more
    twice = """SELECT d.id FROM deliveries d JOIN events e ON e.uid = d.event_uid JOIN attempts a ON a.delivery_id = d.id
               WHERE e.type = %s GROUP BY d.id, d.attempts HAVING count(*) <> d.attempts OR count(DISTINCT a.no) <> count(*)"""
    assert fleet.rows(twice, type_of(burst.name)) == []
    assert fleet.dead() == []


@pytest.mark.serial
def test_two_workspaces_with_the_same_names_never_meet(fleet: Fleet, shoot: Callable[..., Burst], site: Site) -> None:
    scopes = {name: fleet.product.workspace(name, "main") for name in ("acme", "rival")}
    form = Form(200, 200, 1)
    bursts = {
        name: shoot(form, name="orders", scope=scope, path=f"/{name}", data={"owner": name})
        for name, scope in scopes.items()
    }
    for name, burst in bursts.items():
        verdict = burst.settled(fleet)
        assert (verdict.accepted, verdict.lost, verdict.unexpected, verdict.repeated) == (200, set(), set(), {})
        key = standardwebhooks.Webhook(fleet.product.secret_of("orders", scopes[name]))
        assert {key.verify(hit.body, hit.headers)["data"]["owner"] for hit in site.hits_of(burst.path)} == {name}


@pytest.mark.serial
def test_an_accepted_event_goes_out_at_once_and_not_with_the_timer(fleet: Fleet, shoot: Callable[..., Burst]) -> None:
    for name in fleet.workers[1:]:
        fleet.end(name)  # the timers of several would hide that there are no hints
    waits = assert_hints_arrive(shoot)
    assert waits[len(waits) * 9 // 10] < 1.0, waits


def assert_hints_arrive(shoot: Callable[..., Burst]) -> list[float]:
    """Send single events, slower than they are delivered and faster than the timer; return how long each took."""
    burst = shoot(Form(12, 3.7, 1), clients=1)
    burst.sent()
    until(lambda: len(burst.waits()) == burst.count, 10, "all have come")
    waits = burst.waits()
    assert statistics.median(waits) < 0.5, waits
    return waits
