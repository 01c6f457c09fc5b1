"""What delivering costs beside CPU: round trips to the database, and what an idle system burns."""

from __future__ import annotations

import time
from typing import Any

from tests.benchmarks.measuring import Sizes, beside, drain, expected, fill, tree_cpu, warm_up
from tests.benchmarks.rig import Rig
from tests.benchmarks.wire import Wire

IDLE_BASE = 6.0
"""Seconds over which the trips of an idle worker (signs of life, timers) are counted, to be told apart."""


def round_trips(sizes: Sizes) -> dict[str, Any]:
    """Round trips between worker and PostgreSQL for 100 deliveries of a backlog, heartbeats and timers apart."""
    with Rig(start=("api", "scheduler")) as rig, Wire(rig.postgres.url) as wire:
        worker = rig.workers[0]
        rig.database_url[worker] = wire.url(rig.product.settings.database_url)
        fill(rig, sizes.backlog)
        started = time.monotonic()
        drain(rig, sizes.backlog)
        seconds = time.monotonic() - started
        trips, by = wire.total(), wire.trips.copy()
        verdict = rig.arrivals().judge(expected(rig, range(sizes.backlog)))
        time.sleep(1.0)
        before = wire.total()
        time.sleep(IDLE_BASE)
        idle = (wire.total() - before) / IDLE_BASE
    return {
        "deliveries": sizes.backlog,
        "trips": trips,
        "idle_trips_per_second": idle,
        "per_100": 100 * max(0.0, trips - idle * seconds) / sizes.backlog,
        "per_100_with_heartbeats": 100 * trips / sizes.backlog,
        "statements": dict(by.most_common(14)),
        **verdict,
    }


def idle(sizes: Sizes) -> dict[str, Any]:
    """CPU of every process while nothing happens, in percent of a core."""
    with Rig(workers=sizes.workers) as rig:
        warm_up(rig)
        time.sleep(5.0)  # what follows from work has ended: statistics, autovacuum's first look
        before, started = _all(rig), time.monotonic()
        time.sleep(sizes.idle_seconds)
        wall = time.monotonic() - started
        percent = {name: 100 * (after - before[name]) / wall for name, after in _all(rig).items()}
    percent.pop("receiver")
    ours = {name: value for name, value in percent.items() if name not in ("postgresql", "redis")}
    return {
        "seconds": wall,
        "percent": percent,
        "largest_percent": max(percent.values()),
        "ours_percent": sum(ours.values()),
        "all_percent": sum(percent.values()),
    }


def _all(rig: Rig) -> dict[str, float]:
    return {name: tree_cpu(process.pid) for name, process in rig.processes.items()} | beside(rig)
