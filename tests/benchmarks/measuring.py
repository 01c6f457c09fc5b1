"""What measurements share: how much of everything, publishing a backlog, draining it, quantiles."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psutil
import uvloop

from tests.benchmarks.load import Client, Offered, offer, publish_many
from tests.benchmarks.receiver import HOOKS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.benchmarks.rig import Rig

WARM = 2000
"""The first deliveries of a backlog, in which the worker starts up, are not timed."""


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much of everything."""

    seconds: float
    rate_seconds: float
    """How long 1,000 a second are offered."""
    backlog: int
    past: int
    many_hooks: int
    large_backlog: int
    idle_seconds: float
    sync_rows: int
    deals: int
    workers: int = 1


SHORT = Sizes(
    seconds=6.0,
    rate_seconds=8.0,
    backlog=12_000,
    past=100_000,
    many_hooks=2000,
    large_backlog=50_000,
    idle_seconds=10.0,
    sync_rows=200_000,
    deals=300,
)
MODERATE = Sizes(
    seconds=20.0,
    rate_seconds=60.0,
    backlog=30_000,
    past=1_000_000,
    many_hooks=10_000,
    large_backlog=200_000,
    idle_seconds=30.0,
    sync_rows=1_000_000,
    deals=2_000,
)
FULL = Sizes(
    seconds=30.0,
    rate_seconds=60.0,
    backlog=60_000,
    past=1_000_000,
    many_hooks=10_000,
    large_backlog=1_000_000,
    idle_seconds=30.0,
    sync_rows=10_000_000,
    deals=10_000,
)


def quantiles(values: Sequence[float]) -> dict[str, float]:
    """Return p50, p95, p99 and the largest of seconds, in milliseconds; nothing of nothing."""
    ordered = sorted(values)
    shares = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0} if ordered else {}
    return {name: 1000 * ordered[round(share * (len(ordered) - 1))] for name, share in shares.items()}


def expected(rig: Rig, numbers: Sequence[int] | range) -> set[int]:
    """Return what must have arrived: event and webhook as one number."""
    return {number * HOOKS + rig.hooks[number % len(rig.hooks)] for number in numbers}


async def at_once(_: int) -> None:
    """Hold nobody back."""


def fill(rig: Rig, count: int, first: int = 0) -> float:
    """Publish events over REST in lists of 100 as fast as they are taken; return events per second."""

    async def go() -> None:
        async with Client(rig.url, rig.token, 4) as client:
            await publish_many(client, range(first, first + count), rig.hooks, 100, at_once)

    started = time.monotonic()
    uvloop.run(go())
    return count / (time.monotonic() - started)


def warm_up(rig: Rig) -> None:
    """Let every process have done its work once, and forget it."""
    fill(rig, WARM)
    rig.until(lambda: rig.waiting() == 0, 120, "warm")
    rig.forget()


def offered(rig: Rig, rate: float, seconds: float, *, batch: int = 1, first: int = 0) -> Offered:
    """Offer a rate over up to 64 connections."""

    async def go() -> Offered:
        async with Client(rig.url, rig.token, 64) as client:
            return await offer(client, rate, seconds, rig.hooks, batch=batch, first=first)

    return uvloop.run(go())


def drain(rig: Rig, count: int) -> dict[str, Any]:
    """Start the workers on a backlog of `count`; return rates from the first 2,000 deliveries to the last one recorded."""
    warm = min(WARM, count // 4)
    rig.start(*rig.workers)
    rig.until(lambda: rig.stats()["received"] >= warm, 120, "the first deliveries")
    before, cpu, wall, others = rig.stats()["received"], sum(map(rig.cpu, rig.workers)), time.monotonic(), beside(rig)
    memory = []
    stall = time.monotonic() + 60
    came = before
    while came < count:
        memory.append(max(map(rig.rss, rig.workers)) / 1e6)
        now = rig.stats()["received"]
        if now > came:
            came, stall = now, time.monotonic() + 60
        if time.monotonic() > stall:
            raise SystemExit(f"nothing came for 60 s; {came} of {count} have:\n{rig.said(rig.workers[0])}")
        time.sleep(0.1 if count - came < 5000 else 0.3)
    rig.until(lambda: rig.waiting() == 0, 60, "everything recorded")
    cpu, wall = sum(map(rig.cpu, rig.workers)) - cpu, time.monotonic() - wall
    quarter = max(1, len(memory) // 4)
    return {
        "deliveries": count - before,
        "per_second": (count - before) / wall,
        "per_worker_cpu_second": (count - before) / cpu,
        "worker_cores": cpu / wall,
        "other_cores": {name: (after - others[name]) / wall for name, after in beside(rig).items()},
        "worker_rss_mb": {
            "peak": max(memory, default=0.0),
            "first_quarter": sum(memory[:quarter]) / quarter,
            "last_quarter": sum(memory[-quarter:]) / quarter,
        },
    }


def beside(rig: Rig) -> dict[str, float]:
    """Return the seconds of CPU that PostgreSQL, Redis and the receiver have had."""
    pids = {"postgresql": rig.postgres.pid, "redis": rig.redis.pid, "receiver": rig.processes["receiver"].pid}
    return {name: tree_cpu(pid) for name, pid in pids.items()}


def tree_cpu(pid: int | None) -> float:
    """Return the seconds of CPU of a process and those under it, the ended ones of them included."""
    process = psutil.Process(pid)
    own = process.cpu_times()
    living = 0.0
    for each in process.children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # it has just ended: its parent has its time
            living += sum(each.cpu_times()[:2])
    return own.user + own.system + own.children_user + own.children_system + living
