"""The delivery engine measured: servers, API, worker, receiver and load on the cores of this machine.

Run: `python tests/benchmarks/deliveries.py throughput latency` · names: see MEASURES; none means all that are short.
`--seconds` is the length of timed parts, `--json FILE` keeps the figures, `--full` takes the sizes of docs/benchmarks.md.
Set-up: one workspace, 100 webhooks without a map, each with its own path, secret and event type, so that an event goes to one
webhook; 1 KiB bodies; PostgreSQL with fsync and synchronous commits. Every run checks that nothing was lost.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvloop

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.benchmarks.load import Client, Offered, offer, publish_many, received
from tests.benchmarks.receiver import HOOKS
from tests.benchmarks.rig import Rig

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

WARM = 2000
"""The first deliveries of a backlog, in which the worker starts up, are not timed."""


@dataclass(frozen=True)
class Sizes:
    """How much of everything."""

    seconds: float = 10.0
    backlog: int = 20_000
    past: int = 100_000
    many_hooks: int = 2000
    large_backlog: int = 50_000
    workers: int = 1


def quantiles(values: Sequence[float]) -> dict[str, float]:
    """Return p50, p95, p99 and the largest, in milliseconds."""
    ordered = sorted(values)
    shares = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
    return {name: round(1000 * ordered[round(share * (len(ordered) - 1))], 2) for name, share in shares.items()}


def expected(rig: Rig, numbers: range) -> set[int]:
    """Return what must have arrived: event and webhook as one number."""
    return {number * HOOKS + rig.hooks[number % len(rig.hooks)] for number in numbers}


def fill(rig: Rig, count: int, first: int = 0) -> float:
    """Publish events over REST in lists of 100 as fast as they are taken; return events per second."""

    async def go() -> None:
        async with Client(rig.url, rig.token, 4) as client:
            await publish_many(client, range(first, first + count), rig.hooks, 100, _at_once)

    started = time.monotonic()
    uvloop.run(go())
    return count / (time.monotonic() - started)


async def _at_once(_: int) -> None:
    """Hold nobody back."""


def drain(rig: Rig, count: int) -> dict[str, Any]:
    """Start a worker on a backlog; return its rate by wall and by CPU from the first 2,000 to the last one recorded."""
    warm = min(WARM, count // 4)
    rig.start(*rig.workers)
    rig.until(lambda: rig.stats()["received"] >= warm, 120, "the first deliveries")
    before, cpu, wall = rig.stats()["received"], sum(map(rig.cpu, rig.workers)), time.monotonic()
    servers = _servers(rig)
    peak = 0
    while rig.stats()["received"] < count:
        peak = max(peak, *map(rig.rss, rig.workers))
        time.sleep(0.1)
        rig.until(lambda: True, 0, "")
    rig.until(lambda: rig.waiting() == 0, 60, "everything recorded")
    cpu, wall = sum(map(rig.cpu, rig.workers)) - cpu, time.monotonic() - wall
    done = count - before
    return {
        "deliveries": done,
        "per_second": done / wall,
        "per_worker_cpu_second": done / cpu,
        "worker_cores": cpu / wall,
        "other_cores": {name: (after - servers[name]) / wall for name, after in _servers(rig).items()},
        "worker_rss_mb": max(peak, *map(rig.rss, rig.workers)) / 1e6,
    }


def _servers(rig: Rig) -> dict[str, float]:
    import psutil

    pids = {"postgresql": rig.postgres.pid, "redis": rig.redis.pid, "receiver": rig.processes["receiver"].pid}
    found = {}
    for name, pid in pids.items():
        process = psutil.Process(pid)
        found[name] = sum(sum(each.cpu_times()[:2]) for each in (process, *process.children(recursive=True)))
    return found


def throughput(sizes: Sizes) -> dict[str, Any]:
    """The sustained rate of one worker on a backlog, beside bare loops in the same run."""
    with Rig(workers=sizes.workers, start=("api", "scheduler")) as rig:
        loop, plain = rig.reference("aiohttp", sizes.seconds / 3), rig.reference("requests", sizes.seconds / 3)
        accepted = fill(rig, sizes.backlog)
        found = drain(rig, sizes.backlog)
        arrived = rig.arrivals()
        verdict = arrived.judge(expected(rig, range(sizes.backlog)))
        connections = rig.stats()["connections"]
        attempts = rig.rows("SELECT count(*) FROM attempts")[0][0]
        rig.stop(*rig.workers)
        again = rig.reference("aiohttp", sizes.seconds / 3)
    bare = statistics.mean((loop["per_cpu_second"], again["per_cpu_second"]))
    return {
        **found,
        "aiohttp_per_cpu_second": bare,
        "aiohttp_runs": [loop["per_cpu_second"], again["per_cpu_second"]],
        "requests_per_cpu_second": plain["per_cpu_second"],
        "of_aiohttp": found["per_worker_cpu_second"] / bare,
        "of_requests": found["per_worker_cpu_second"] / plain["per_cpu_second"],
        "accepted_per_second_before": accepted,
        "connections": connections,
        "attempts_recorded": attempts,
        **verdict,
    }


def end_to_end(sizes: Sizes) -> dict[str, Any]:
    """Accepted over REST in lists, delivered and recorded, with a bounded backlog."""
    with Rig(workers=sizes.workers) as rig:
        fill(rig, WARM)
        rig.until(lambda: rig.waiting() == 0, 60, "warm")
        rig.forget()
        found = uvloop.run(_closed_loop(rig, sizes.seconds))
        rig.until(lambda: rig.waiting() == 0, 60, "everything recorded")
        wall = time.monotonic() - found.pop("started")
        verdict = rig.arrivals().judge(expected(rig, range(found["events"])))
    return {"per_second": found["events"] / wall, "seconds": wall, **found, **verdict}


async def _closed_loop(rig: Rig, seconds: float, batch: int = 200, window: int = 4000) -> dict[str, Any]:
    """Publish for some seconds, with at most `window` events accepted and not delivered; return how many."""
    started = time.monotonic()
    published, came = 0, 0
    async with Client(rig.url, rig.token, 3) as client, Client(rig.receiver, connections=1) as watcher:

        async def watch() -> None:
            nonlocal came
            while True:
                came = (await received(watcher))["received"]
                await asyncio.sleep(0.02)

        async def sender() -> None:
            nonlocal published
            while time.monotonic() < started + seconds:
                if published - came > window:
                    await asyncio.sleep(0.01)
                    continue
                first, published = published, published + batch
                await publish_many(client, range(first, first + batch), rig.hooks, batch, _at_once)

        watching = asyncio.create_task(watch())
        await asyncio.gather(*(sender() for _ in range(3)))
        watching.cancel()
    return {"events": published, "started": started, "accepted_seconds": time.monotonic() - started}


def latency(sizes: Sizes) -> dict[str, Any]:
    """200 events a second, offered singly at fixed moments."""
    return offered_at(sizes, 200, sizes.seconds)


def thousand(sizes: Sizes) -> dict[str, Any]:
    """1,000 events a second, offered singly; ends with no backlog."""
    return offered_at(sizes, 1000, sizes.seconds)


def thousand_in_tens(sizes: Sizes) -> dict[str, Any]:
    """1,000 events a second, offered in lists of ten; ends with no backlog."""
    return offered_at(sizes, 1000, sizes.seconds, batch=10)


def offered_at(sizes: Sizes, rate: float, seconds: float, batch: int = 1) -> dict[str, Any]:
    """Offer a rate; return the latencies, and what had not arrived a second after the last was offered."""
    with Rig(workers=sizes.workers) as rig:
        fill(rig, WARM)
        rig.until(lambda: rig.waiting() == 0, 60, "warm")
        rig.forget()
        time.sleep(1.0)
        cpu = {name: rig.cpu(name) for name in rig.processes}

        async def go() -> Offered:
            async with Client(rig.url, rig.token, 64) as client:
                return await offer(client, rate, seconds, rig.hooks, batch=batch)

        offered = uvloop.run(go())
        cores = {name: (rig.cpu(name) - before) / offered.seconds for name, before in cpu.items()}
        time.sleep(1.0)
        left = len(offered.due) - rig.stats()["received"]
        rig.until(lambda: rig.waiting() == 0, 120, "everything recorded")
        arrived = rig.arrivals()
        verdict = arrived.judge({number * HOOKS + rig.hooks[number % len(rig.hooks)] for number in offered.accepted})
    came = arrived.first()
    return {
        "offered_per_second": rate,
        "accepted": len(offered.accepted),
        "unanswered": offered.unanswered,
        "accepted_to_received_ms": quantiles([came[each] - at for each, at in offered.accepted.items()]),
        "offered_to_received_ms": quantiles([came[each] - at for each, at in offered.due.items()]),
        "ingest_ms": quantiles([at - offered.sent[each] for each, at in offered.accepted.items()]),
        "generator_late_ms": quantiles([at - offered.due[each] for each, at in offered.sent.items()]),
        "backlog_after_1s": left,
        "cores": cores,
        **verdict,
    }


MEASURES: dict[str, Callable[[Sizes], dict[str, Any]]] = {
    "throughput": throughput,
    "end_to_end": end_to_end,
    "latency": latency,
    "thousand": thousand,
    "thousand_in_tens": thousand_in_tens,
}


def rounded(value: Any) -> Any:
    """Cut figures to what can be read."""
    if isinstance(value, float):
        return round(value, 3) if abs(value) < 10 else round(value, 1)
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    return [rounded(each) for each in value] if isinstance(value, list) else value


def main() -> None:
    """Measure what the command line names; print a table and a line of JSON for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(MEASURES))
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--backlog", type=int, default=20_000)
    parser.add_argument("--workers", type=int, default=1)
    asked = parser.parse_args()
    sizes = Sizes(seconds=asked.seconds, backlog=asked.backlog, workers=asked.workers)
    for name in asked.names or MEASURES:
        if name not in MEASURES:
            parser.error(f"{name} is none of {', '.join(MEASURES)}")
        print(f"== {name}: {MEASURES[name].__doc__}", flush=True)
        found = rounded(MEASURES[name](sizes))
        for key, value in found.items():
            print(f"  {key:28} {value}")
        print(json.dumps({name: found}), flush=True)


if __name__ == "__main__":
    main()
