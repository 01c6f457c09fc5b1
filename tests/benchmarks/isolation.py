"""That no neighbour suffers: endpoints that hang or refuse, and a workspace with a large backlog."""

from __future__ import annotations

import time
from statistics import median
from typing import TYPE_CHECKING, Any

import requests
import uvloop

from server.runtime.ports import free_port
from tests.benchmarks.copying import make_backlog, one_event
from tests.benchmarks.load import Client, offer
from tests.benchmarks.measuring import WARM, Sizes, expected, fill, offered, quantiles, warm_up
from tests.benchmarks.receiver import HOOKS
from tests.benchmarks.rig import Rig

if TYPE_CHECKING:
    from collections.abc import Callable

HANGING, REFUSING = 10, 10
ROUNDS = 3
OTHER_HOOKS = range(1000, 1100)
"""The webhooks of the neighbour."""


def isolation(sizes: Sizes) -> dict[str, Any]:
    """10 % of the endpoints hang until the time-out, 10 % refuse connections: throughput and latency of the healthy ones."""
    without, beside = [], []
    for _ in range(ROUNDS):  # in turn, for the host's speed is another one a minute later
        without.append(_healthy(sizes, bad=False))
        beside.append(_healthy(sizes, bad=True))
    return {
        "without": without,
        "with": beside,
        "throughput_of_without": _middle(beside, _rate) / _middle(without, _rate),
        "p95_of_without": _middle(beside, _p95) / _middle(without, _p95),
        "lost": sum(each["lost"] for each in (*without, *beside)),
        "repeated": sum(each["repeated"] for each in (*without, *beside)),
    }


def _middle(rounds: list[dict[str, Any]], figure: Callable[[dict[str, Any]], float]) -> float:
    return median(figure(each) for each in rounds)


def _rate(measured: dict[str, Any]) -> float:
    return float(measured["healthy_per_second"])


def _p95(measured: dict[str, Any]) -> float:
    return float(measured["accepted_to_received_ms"]["p95"])


def _healthy(sizes: Sizes, *, bad: bool) -> dict[str, Any]:
    """Drain a backlog spread over all webhooks, then offer 200/s to all: the figures of the 80 that are always healthy."""
    with Rig(hooks=100 - HANGING - REFUSING, workers=sizes.workers, start=("api", "scheduler")) as rig:
        healthy = rig.hooks
        hanging = range(len(healthy), len(healthy) + HANGING)
        refusing = range(hanging.stop, hanging.stop + REFUSING)
        rig.make_hooks(list(hanging), path="hang" if bad else "hook")
        rig.make_hooks(list(refusing), origin=f"http://127.0.0.1:{free_port()}" if bad else "")
        rig.hooks = [*healthy, *hanging, *refusing]
        fill(rig, sizes.backlog)
        numbers = [number for number in range(sizes.backlog) if rig.hooks[number % len(rig.hooks)] in healthy]
        rate, seen = _drain_healthy(rig, set(healthy), len(numbers))
        verdict = rig.arrivals().judge(expected(rig, numbers if bad else range(sizes.backlog)))
        first = sizes.backlog
        made = offered(rig, 200, sizes.seconds, first=first)
        mine = {each: at for each, at in made.accepted.items() if rig.hooks[each % len(rig.hooks)] in healthy}
        time.sleep(3.0)
        came = rig.arrivals().first()
        hung = rig.stats()["hung"]
    return {
        "healthy_per_second": rate,
        "healthy_deliveries": seen,
        "accepted_to_received_ms": quantiles([came[each] - at for each, at in mine.items() if each in came]),
        "late_by_3s": len([each for each in mine if each not in came]),
        "hung_requests": hung,
        **verdict,
    }


def _drain_healthy(rig: Rig, healthy: set[int], count: int) -> tuple[float, int]:
    """Start the workers; return the rate of the healthy webhooks from their first 2,000 deliveries to their last."""
    rig.start(*rig.workers)
    end = time.monotonic() + 120
    times: list[float] = []
    while len(times) < count:
        if time.monotonic() > end:
            raise SystemExit(f"{len(times)} of {count} healthy deliveries within 120 s")
        time.sleep(0.5)
        if rig.stats()["received"] >= count:
            arrived = rig.arrivals()
            pairs = zip(arrived.keys, arrived.times, strict=True)
            times = sorted(at for key, at in pairs if key % HOOKS in healthy)
    warm = min(WARM, count // 4)
    return (count - warm) / (times[count - 1] - times[warm]), len(times)


def neighbour(sizes: Sizes) -> dict[str, Any]:
    """Another workspace has a large backlog: what single events of this one wait, its first among them."""
    with Rig(workers=sizes.workers) as rig:
        warm_up(rig)
        alone = _paced(rig, 100_000, 5.0)
        rig.stop(*rig.workers)
        own, scope = rig.hooks, rig.product.workspace("neighbour", "neighbour")
        rig.make_hooks(OTHER_HOOKS, scope=scope)
        rig.hooks = list(OTHER_HOOKS)
        template = 90_000_000
        requests.post(
            f"{rig.url}/api/v1/events",
            data=one_event(rig, template),
            headers={"Authorization": f"Bearer {rig.token_of(scope)}", "Content-Type": "application/json"},
            timeout=10,
        ).raise_for_status()
        make_backlog(rig, sizes.large_backlog, template, 0)
        rig.forget()
        rig.hooks = own
        rig.start(*rig.workers)
        rig.until(lambda: rig.stats()["received"] > WARM, 60, "the neighbour's first")
        beside = _paced(rig, 200_000, min(10.0, sizes.seconds))
        left = rig.waiting()
    return {
        "neighbours_backlog": sizes.large_backlog,
        "neighbours_left_at_the_end": left,
        "first_ms": beside["first_ms"],
        "accepted_to_received_ms": beside["accepted_to_received_ms"],
        "alone_ms": alone["accepted_to_received_ms"],
        "late_by_2s": beside["late_by_2s"],
    }


def _paced(rig: Rig, first: int, seconds: float) -> dict[str, Any]:
    """Offer ten single events a second; return their latencies and the first one's."""

    async def go() -> Any:
        async with Client(rig.url, rig.token, 8) as client:
            return await offer(client, 10, seconds, rig.hooks, first=first)

    made = uvloop.run(go())
    time.sleep(2.0)
    came = rig.arrivals().first()
    waits = {each: came[each] - at for each, at in made.accepted.items() if each in came}
    return {
        "first_ms": 1000 * waits[first] if first in waits else None,
        "accepted_to_received_ms": quantiles(list(waits.values())),
        "late_by_2s": len(made.accepted) - len(waits),
    }
