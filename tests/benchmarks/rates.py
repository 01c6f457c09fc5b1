"""Throughput and latency: one workspace, 100 webhooks."""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import TYPE_CHECKING, Any

import uvloop

from server.events.routes import touch_routes
from server.flows.aggregate import Flow
from server.flows.repository import FLOWS
from server.kernel.ids import new_uuid
from tests.benchmarks.load import Client, publish_many, received
from tests.benchmarks.measuring import Sizes, at_once, drain, expected, fill, offered, quantiles, warm_up
from tests.benchmarks.rig import Rig

if TYPE_CHECKING:
    from collections.abc import Callable


def throughput(sizes: Sizes) -> dict[str, Any]:
    """The sustained rate of a worker on a backlog, beside bare loops in the same run."""
    bare = min(5.0, sizes.seconds / 3)
    with Rig(workers=sizes.workers, start=("api", "scheduler")) as rig:
        loop, plain = rig.reference("aiohttp", bare), rig.reference("requests", bare)
        accepted = fill(rig, sizes.backlog)
        found = drain(rig, sizes.backlog)
        verdict = rig.arrivals().judge(expected(rig, range(sizes.backlog)))
        connections = rig.stats()["connections"]
        attempts = rig.rows("SELECT count(*) FROM attempts")[0][0]
        rig.stop(*rig.workers)
        again = rig.reference("aiohttp", bare)
    by_aiohttp = statistics.mean((loop["per_cpu_second"], again["per_cpu_second"]))
    return {
        **found,
        "aiohttp_per_cpu_second": by_aiohttp,
        "aiohttp_runs": [loop["per_cpu_second"], again["per_cpu_second"]],
        "requests_per_cpu_second": plain["per_cpu_second"],
        "of_aiohttp": found["per_worker_cpu_second"] / by_aiohttp,
        "of_requests": found["per_worker_cpu_second"] / plain["per_cpu_second"],
        "accepted_per_second_before": accepted,
        "connections": connections,
        "deliveries_per_connection": sizes.backlog / connections,
        "attempts_recorded": attempts,
        **verdict,
    }


def end_to_end(sizes: Sizes) -> dict[str, Any]:
    """Accepted over REST in lists of 200, delivered and recorded, with a bounded backlog."""
    with Rig(workers=sizes.workers) as rig:
        warm_up(rig)
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
                await publish_many(client, range(first, first + batch), rig.hooks, batch, at_once)

        watching = asyncio.create_task(watch())
        await asyncio.gather(*(sender() for _ in range(3)))
        watching.cancel()
    return {"events": published, "started": started, "accepted_seconds": time.monotonic() - started}


def latency(sizes: Sizes) -> dict[str, Any]:
    """200 events a second, offered singly at fixed moments."""
    return offered_at(sizes, 200, sizes.seconds)


def latency_with_flows(sizes: Sizes) -> dict[str, Any]:
    """The same in a workspace that has a flow, whose runs might wait for any event."""
    return offered_at(sizes, 200, sizes.seconds, prepare=_add_flow)


def _add_flow(rig: Rig) -> None:
    flow = Flow(new_uuid())
    steps = [{"id": "told", "emit": {"type": "bench.told", "data": {}}}]
    flow.create("waits", {"name": "waits", "events": ["else.where"], "steps": steps}, 1, {})
    flow.activate()
    with rig.product.tx() as tx:
        touch_routes(tx)
        FLOWS.add(tx, flow)


def thousand(sizes: Sizes) -> dict[str, Any]:
    """1,000 events a second, offered singly at fixed moments."""
    return offered_at(sizes, 1000, sizes.rate_seconds)


def thousand_in_tens(sizes: Sizes) -> dict[str, Any]:
    """1,000 events a second, offered in lists of ten at fixed moments."""
    return offered_at(sizes, 1000, sizes.rate_seconds, batch=10)


def offered_at(
    sizes: Sizes, rate: float, seconds: float, batch: int = 1, prepare: Callable[[Rig], None] = lambda _: None
) -> dict[str, Any]:
    """Offer a rate; return the latencies, and what had not arrived a second after the last was answered."""
    with Rig(workers=sizes.workers) as rig:
        prepare(rig)
        warm_up(rig)
        time.sleep(1.0)
        cpu = {name: rig.cpu(name) for name in rig.processes}
        made = offered(rig, rate, seconds, batch=batch)
        cores = {name: (rig.cpu(name) - before) / made.seconds for name, before in cpu.items()}
        time.sleep(1.0)
        left = len(made.accepted) - rig.stats()["received"]
        rig.until(lambda: rig.waiting() == 0, 120, "everything recorded")
        arrived = rig.arrivals()
        verdict = arrived.judge(expected(rig, list(made.accepted)))
    came = arrived.first()
    return {
        "offered_per_second": rate,
        "offered_seconds": seconds,
        "accepted": len(made.accepted),
        "unanswered": made.unanswered,
        "last_answer_late_s": max(made.accepted.values()) - max(made.due.values()),
        "accepted_to_received_ms": quantiles([came[each] - at for each, at in made.accepted.items()]),
        "offered_to_received_ms": quantiles([came[each] - at for each, at in made.due.items()]),
        "ingest_ms": quantiles([at - made.sent[each] for each, at in made.accepted.items()]),
        "generator_late_ms": quantiles([at - made.due[each] for each, at in made.sent.items()]),
        "backlog_after_1s": left,
        "cores": cores,
        **verdict,
    }
