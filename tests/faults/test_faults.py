"""F1 to F6 and F16: what is killed, stopped or emptied under load loses nothing that was accepted, and repeats no more than
was under way.

The short forms run in `make test`, the long ones in `make faults`. All of them hit one fleet, one after the other.
"""

from __future__ import annotations

import itertools
import random
import shutil
import signal
import time
from typing import TYPE_CHECKING

import psutil
import pytest
import redis
import standardwebhooks

from tests.faults import figures
from tests.faults.burst import type_of
from tests.faults.forms import (
    ATTACH_SECONDS,
    BOTH,
    DRAIN_SECONDS,
    EVENTS,
    ONLY_LONG,
    ORPHAN_SECONDS,
    RECOVER_SECONDS,
    STALL_SECONDS,
    Form,
)
from tests.faults.history import NOTHING
from tests.faults.orphans import assert_hints_arrive, events_of, gone
from tests.support.product import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults.burst import Burst, Site
    from tests.support.fleet import Fleet


@BOTH
def test_f1_a_killed_worker_loses_nothing_and_repeats_only_what_it_held(
    fleet: Fleet, shoot: Callable[..., Burst], form: Form
) -> None:
    burst = shoot(form)
    held: set[str] = set()
    allowed, slowest = 0, 0.0
    for share, name in zip(form.shares, itertools.cycle(fleet.workers), strict=False):
        burst.progress(share)
        with burst.fault("kill -9"):
            fleet.kill(name)
            orphans = fleet.leased()
        fleet.start(name)
        allowed += len(orphans)
        held |= events_of(fleet, orphans)
        slowest = max(slowest, gone(fleet, orphans))
        fleet.ready()
    verdict = burst.settled(fleet)
    figures.note(
        figures.of("F1", f"{form.times} kills", verdict, allowed, max(slowest, verdict.recovery)), burst.records()
    )
    assert (verdict.accepted, verdict.sound) == (form.count, NOTHING)
    assert set(verdict.repeated) <= held
    assert verdict.duplicates <= allowed
    assert slowest <= ORPHAN_SECONDS
    assert verdict.recovery <= RECOVER_SECONDS


@BOTH
def test_f2_a_killed_api_process_loses_no_answered_event_and_makes_none_twice(
    fleet: Fleet, shoot: Callable[..., Burst], form: Form
) -> None:
    burst = shoot(form, gives_up=20)
    for number, (share, name) in enumerate(zip(form.shares, itertools.cycle(fleet.ports), strict=False)):
        burst.progress(share)
        with burst.fault("kill -9"):
            serving = psutil.Process(fleet.processes[name].pid).children()
            # The process that serves: its parent starts another one, but ends if that one dies within 5.5 s as well.
            if number % 6 == 1 and serving:
                serving[0].kill()
                time.sleep(0.5)
            else:
                fleet.kill(name)
                time.sleep(0.5)  # the client meets a closed port meanwhile, and goes on at the other one
                fleet.start(name)
        fleet.ready()
    verdict = burst.settled(fleet)
    sent = len(burst.history.given_up)
    figures.note(
        figures.of("F2", f"{form.times} kills", verdict, not_insisted_on=sent, p99_s=burst.history.latency(0.99)),
        burst.records(),
    )
    assert (verdict.accepted + sent, verdict.sound) == (form.count, NOTHING)
    assert verdict.repeated == {}
    assert 500 not in burst.history.statuses
    assert verdict.recovery <= RECOVER_SECONDS
    [(events, ids)] = fleet.rows("SELECT count(*), count(DISTINCT id) FROM events WHERE type = %s", type_of(burst.name))
    assert events == ids == verdict.accepted + len(verdict.recovered)


@BOTH
def test_f3_a_flushed_redis_costs_nothing_but_a_moment(fleet: Fleet, shoot: Callable[..., Burst], form: Form) -> None:
    burst = shoot(form)
    times = 1 if form.times == 1 else 3
    for share in (0.2, 0.4, 0.6)[:times]:
        burst.progress(share)
        with burst.fault("FLUSHALL"), redis.Redis.from_url(fleet.redis.url) as client:
            client.flushall()
    verdict = burst.settled(fleet)
    figures.note(figures.of("F3", f"{times} times", verdict), burst.records())
    assert (verdict.accepted, verdict.sound, verdict.repeated) == (form.count, NOTHING, {})
    assert verdict.silence <= STALL_SECONDS
    assert fleet.dead() == []
    assert burst.history.statuses == {202: form.count}
    assert fleet.listening() == len(fleet.workers)


@ONLY_LONG
@pytest.mark.parametrize(("fault", "case"), [("F4", "killed and emptied"), ("F5", "hung")])
def test_f4_f5_without_redis_everything_goes_on_and_hints_come_back_with_it(
    fleet: Fleet, shoot: Callable[..., Burst], form: Form, fault: str, case: str
) -> None:
    away = 60.0 if form.count >= 10_000 else 8.0
    burst = shoot(Form(form.count, form.count / (away * 1.4)))
    burst.progress(0.1)
    with burst.fault(case):
        back = take_redis_away(fleet, case, away)
    until(lambda: fleet.listening() == len(fleet.workers), ATTACH_SECONDS, "all workers wait for hints again")
    attached = time.monotonic() - back
    verdict = burst.settled(fleet)
    told = burst.history.latency(0.99)
    figures.note(
        figures.of(fault, f"{away:.0f} s", verdict, ingest_p99_s=told, workers_attached_after_s=attached),
        burst.records(),
    )
    assert (verdict.accepted, verdict.sound, verdict.repeated) == (form.count, NOTHING, {})
    assert burst.history.statuses == {202: form.count}
    assert verdict.silence <= STALL_SECONDS
    assert verdict.slowest <= STALL_SECONDS
    assert told <= 1.0
    assert fleet.dead() == []
    assert attached <= ATTACH_SECONDS
    assert_hints_arrive(shoot)


def take_redis_away(fleet: Fleet, case: str, seconds: float) -> float:
    """Kill Redis with all that it has, or freeze it; bring it back after `seconds`, and return when."""
    server = fleet.redis.child
    assert server is not None
    if case == "hung":
        server.send_signal(signal.SIGSTOP)
        try:
            time.sleep(seconds)
        finally:
            server.send_signal(signal.SIGCONT)
    else:
        server.kill()
        server.wait()
        shutil.rmtree(fleet.redis.data)
        time.sleep(seconds)
        fleet.redis.start()
    return time.monotonic()


@pytest.mark.parametrize(
    "form",
    [
        pytest.param(Form(500, name="short"), id="short", marks=pytest.mark.serial),
        pytest.param(Form(EVENTS, times=3), id="long", marks=[pytest.mark.faults, pytest.mark.timeout(600)]),
    ],
)
def test_f6_a_crashed_postgresql_refuses_for_a_moment_and_loses_nothing(
    fleet: Fleet, shoot: Callable[..., Burst], form: Form
) -> None:
    burst = shoot(form)
    allowed, slowest = 0, 0.0
    for share in form.shares:
        burst.progress(share)
        leased = fleet.leased()
        server = fleet.postgres.child
        assert server is not None
        with burst.fault("SIGQUIT"):
            server.send_signal(signal.SIGQUIT)
            server.wait(10)
            time.sleep(1.0)
            fleet.postgres.start()
        back = time.monotonic()
        allowed += len(leased | fleet.leased())
        until(lambda moment=back: burst.first_hit_after(moment) < 60, 20, "deliveries flow again")
        slowest = max(slowest, burst.first_hit_after(back))
    verdict = burst.settled(fleet)
    # Between the look and the signal the workers claim on: what is in flight at most is the bound, not what was seen.
    bound = max(allowed, form.times * len(fleet.workers) * 50)
    figures.note(
        figures.of("F6", f"{form.times} crashes", verdict, bound, flowing_again_after_s=slowest), burst.records()
    )
    assert (verdict.accepted, verdict.sound) == (form.count, NOTHING)
    assert verdict.duplicates <= bound
    assert max(slowest, verdict.recovery) <= RECOVER_SECONDS
    assert fleet.dead() == []
    assert_only_refused(burst)


@ONLY_LONG
def test_f6_cut_connections_are_made_anew(fleet: Fleet, shoot: Callable[..., Burst], form: Form) -> None:
    burst = shoot(form)
    cut = 0
    for share in form.shares:
        burst.progress(share)
        with burst.fault("pg_terminate_backend"):
            sql = """SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) FROM pg_stat_activity
                     WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"""
            cut += fleet.rows(sql)[0][0]
    verdict = burst.settled(fleet)
    bound = form.times * len(fleet.workers) * 50
    figures.note(figures.of("F6", "connections cut", verdict, bound, connections=cut), burst.records())
    assert cut > form.times
    assert (verdict.accepted, verdict.sound) == (form.count, NOTHING)
    assert verdict.duplicates <= bound
    assert verdict.recovery <= RECOVER_SECONDS
    assert fleet.dead() == []
    assert_only_refused(burst, required=False)


def assert_only_refused(burst: Burst, *, required: bool = True) -> None:
    """Whatever was not accepted was answered 503 with the time to come again."""
    refused = [each for each in burst.history.tries if each.status != 202]
    assert {each.status for each in refused} <= {503}
    assert refused or not required
    assert all(each.retry_after for each in refused)


@BOTH
def test_f16_a_rolling_restart_of_the_workers_is_not_noticed(
    fleet: Fleet, shoot: Callable[..., Burst], site: Site, form: Form
) -> None:
    site.delay, slowest = 0.2, 0.0
    times = min(form.times, 5)
    try:
        burst = shoot(form)
        for share, name in zip(form.shares[:: form.times // times], itertools.cycle(fleet.workers), strict=False):
            burst.progress(share)
            with burst.fault("SIGTERM"):
                slowest = max(slowest, fleet.end(name))
            fleet.start(name)
            fleet.ready()
        verdict = burst.settled(fleet)
    finally:
        site.delay = 0.02
    figures.note(figures.of("F16", f"{times} restarts", verdict, drained_within_s=slowest), burst.records())
    assert (verdict.accepted, verdict.sound, verdict.repeated) == (form.count, NOTHING, {})
    assert slowest <= DRAIN_SECONDS
    assert verdict.recovery <= RECOVER_SECONDS


@ONLY_LONG
def test_f1_a_frozen_worker_that_wakes_up_changes_nothing_any_more(
    fleet: Fleet, shoot: Callable[..., Burst], site: Site, form: Form
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
        with burst.fault("SIGSTOP"):
            frozen.send_signal(signal.SIGSTOP)
            fleet.start(*others)
            leases = fleet.leased()
            held = events_of(fleet, leases)
            assert gone(fleet, leases) <= ORPHAN_SECONDS
            frozen.send_signal(signal.SIGCONT)
        verdict = burst.settled(fleet)
    finally:
        site.refused_first, site.delay = False, 0.02
    figures.note(figures.of("F1", "a frozen worker wakes up", verdict, len(held), refused=burst.count), burst.records())
    assert (verdict.accepted, verdict.sound) == (200, NOTHING)
    thrice = {event for event, count in verdict.repeated.items() if count > 1}
    assert thrice <= held  # what it had claimed and not sent goes out when it wakes up,
    assert len(thrice) < len(held) / 2  # but a late refusal makes nothing due once more
    twice = """SELECT d.id FROM deliveries d JOIN events e ON e.uid = d.event_uid JOIN attempts a ON a.delivery_id = d.id
               WHERE e.type = %s GROUP BY d.id, d.attempts HAVING count(*) <> d.attempts OR count(DISTINCT a.no) <> count(*)"""
    assert fleet.rows(twice, type_of(burst.name)) == []
    assert fleet.dead() == []


@ONLY_LONG
def test_f13_killed_schedulers_are_not_missed(fleet: Fleet, shoot: Callable[..., Burst], form: Form) -> None:
    burst = shoot(form)
    for share, name in zip(form.shares, itertools.cycle(fleet.schedulers), strict=False):
        burst.progress(share)
        with burst.fault("kill -9"):
            fleet.kill(name)
            time.sleep(random.uniform(0.1, 1.0))
        fleet.start(name)
    fleet.ready()
    verdict = burst.settled(fleet)
    figures.note(figures.of("F13", f"{form.times} kills", verdict), burst.records())
    assert (verdict.accepted, verdict.sound, verdict.repeated) == (form.count, NOTHING, {})
    assert verdict.recovery <= STALL_SECONDS
    late = """SELECT count(*) FROM leases WHERE name IN ('chore:expire-held-deliveries', 'chore:release-stranded-deliveries')
              AND until > now() - interval '5 seconds'"""
    until(
        lambda: fleet.rows(late) == [(2,)], 70, "chores of 30 s go on, one that was killed in the middle after its hold"
    )


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
        assert (verdict.accepted, verdict.sound, verdict.repeated) == (200, NOTHING, {})
        key = standardwebhooks.Webhook(fleet.product.secret_of("orders", scopes[name]))
        assert {key.verify(hit.body, hit.headers)["data"]["owner"] for hit in site.hits_of(burst.path)} == {name}


@pytest.mark.serial
def test_an_accepted_event_goes_out_at_once_and_not_with_the_timer(fleet: Fleet, shoot: Callable[..., Burst]) -> None:
    for name in fleet.workers[1:]:
        fleet.end(name)  # the timers of several would hide that there are no hints
    waits = assert_hints_arrive(shoot)
    assert waits[len(waits) * 9 // 10] < 1.0, waits
