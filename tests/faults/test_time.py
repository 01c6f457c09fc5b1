"""F12 and F13: clocks that are wrong by an hour, and step, decide nothing: neither who has what, nor when it is due."""

from __future__ import annotations

import itertools
import random
import signal
import time
from collections import defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from server.store import leases
from tests.faults import figures
from tests.faults.forms import EVENTS, RECOVER_SECONDS, Form
from tests.faults.history import NOTHING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults.burst import Burst, Site
    from tests.support.fleet import Fleet

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]
HOUR = 3600
TICK = 2.0
SLOTS, PERIOD, RUNS = 20, 3.0, 200
FLEET = {
    "apis": 1,
    "workers": 3,
    "schedulers": 3,
    "strange": {"worker-1": ["--clock", f"{HOUR}"], "worker-2": ["--clock", f"-{HOUR}"]},
}


def test_f12_workers_with_wrong_clocks_claim_nothing_early_and_retry_in_time(
    fleet: Fleet, shoot: Callable[..., Burst], site: Site
) -> None:
    form = Form(max(EVENTS // 5, 300), 100)
    pause = 3.0
    site.refused_first, site.delay = True, 0.2
    try:
        burst = shoot(form, webhook={"retry": {"schedule": [f"{pause:g}s"] * 20, "jitter": 0}, "expires": "30m"})
        burst.progress(0.5)
        with burst.fault("clock steps back by an hour"):
            fleet.processes["worker-1"].send_signal(signal.SIGUSR1)
        verdict = burst.settled(fleet)
    finally:
        site.refused_first, site.delay = False, 0.02
    waits = sorted(second - first for first, second in pairs(burst))
    figures.note(
        figures.of(
            "F12",
            "an hour ahead, an hour behind, a step back",
            verdict,
            refused=form.count,
            retry_planned_after_s=pause,
            earliest_retry_s=waits[0],
            latest_retry_s=waits[-1],
        ),
        burst.records(),
    )
    assert (verdict.accepted, verdict.sound) == (form.count, NOTHING)
    assert set(verdict.repeated.values()) == {1}  # each was refused once on purpose: nothing came a third time
    assert len(verdict.repeated) == form.count
    assert waits[0] >= pause
    assert waits[-1] <= pause + RECOVER_SECONDS
    worked = "SELECT count(DISTINCT worker) FROM attempts"
    assert fleet.rows(worked) == [(3,)]
    dead = "SELECT count(*) FROM dead_letters"
    assert fleet.rows(dead) == [(0,)]


def pairs(burst: Burst) -> list[tuple[float, float]]:
    """Return when each event came the first and the second time."""
    times: dict[str, list[float]] = {}
    for hit in burst.site.hits_of(burst.path):
        times.setdefault(hit.event, []).append(hit.at)
    ordered = (sorted(each) for each in times.values())
    return [(each[0], each[1]) for each in ordered if len(each) > 1]


def test_f13_three_schedulers_run_each_slot_once(fleet: Fleet) -> None:
    file = fleet.folder / "runs"
    file.touch()
    for name in fleet.schedulers:
        fleet.end(name)
        fleet.strange[name] = ["--slots", f"{SLOTS}:{PERIOD}:{file}"]
    fleet.strange["scheduler-1"] += ["--clock", f"{HOUR}"]
    fleet.start(*fleet.schedulers)
    fleet.ready()
    started, kills = time.monotonic(), 0
    for name in itertools.cycle(fleet.schedulers[1:]):
        time.sleep(random.uniform(2.0, 4.0))
        if len(file.read_text().splitlines()) >= RUNS:
            break
        assert time.monotonic() - started < 300
        fleet.processes["scheduler-1"].send_signal(signal.SIGUSR1)  # another hour back
        fleet.kill(name)
        fleet.start(name)
        kills += 1
    for name in fleet.schedulers:
        fleet.kill(name)
    runs: dict[str, list[float]] = defaultdict(list)
    lines = [line.split() for line in file.read_text().splitlines()]
    for name, at, _ in lines:
        runs[name].append(float(at))
    gaps = sorted(after - before for times in runs.values() for before, after in pairwise(sorted(times)))
    early = [gap for gap in gaps if gap < PERIOD - 0.1]  # written a moment after the lease was taken
    figures.note(
        figures.Figures(
            "F13",
            f"{SLOTS} chores every {PERIOD:g} s",
            accepted=len(lines),
            received=len(lines),
            lost=0,
            unexpected=0,
            duplicated=len(early),
            bound=0,
            recovered=0,
            seconds=round(gaps[-1] - PERIOD, 2),
            more={
                "kills": kills,
                "steps_of_the_clock": kills,
                "shortest_gap_s": round(gaps[0], 2),
                "p95_gap_s": round(gaps[int(0.95 * len(gaps))], 2),
                "longest_gap_s": round(gaps[-1], 2),
            },
        )
    )
    assert len(lines) >= RUNS
    assert len(runs) == SLOTS
    assert early == []
    assert gaps[int(0.95 * len(gaps))] <= PERIOD + 2 * TICK
    assert gaps[-1] <= leases.HOLD_SECONDS + 2 * TICK  # killed in the middle of a chore: after the hold
    assert len({pid for _, _, pid in lines}) > 1
