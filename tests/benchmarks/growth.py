"""What must not depend on size: a long past, many webhooks, one event for all of them, a large backlog."""

from __future__ import annotations

import statistics
import time
from typing import Any

import requests

from tests.benchmarks.copying import make_backlog, make_past, many_hooks, one_event
from tests.benchmarks.load import event
from tests.benchmarks.measuring import Sizes, drain, expected, fill, warm_up
from tests.benchmarks.receiver import HOOKS
from tests.benchmarks.rig import Rig

ALL = "bench.all"


def flat(sizes: Sizes) -> dict[str, Any]:
    """The sustained rate with a long past and many webhooks, beside that of the fresh database in the same run."""
    count = sizes.backlog
    with Rig(workers=sizes.workers, start=("api", "scheduler")) as rig:
        accepted = fill(rig, count)
        fresh = drain(rig, count)
        rig.stop(*rig.workers)
        make_past(rig, sizes.past, 0)
        many_hooks(rig, len(rig.hooks), sizes.many_hooks - len(rig.hooks))
        rig.forget()
        accepted_then = fill(rig, count, count)
        then = drain(rig, count)
        verdict = rig.arrivals().judge(expected(rig, range(count, 2 * count)))
        past = rig.rows("SELECT (SELECT count(*) FROM events), (SELECT count(*) FROM webhooks)")[0]
    return {
        "events": past[0],
        "webhooks": past[1],
        "fresh_per_second": fresh["per_second"],
        "per_second": then["per_second"],
        "fresh_per_worker_cpu_second": fresh["per_worker_cpu_second"],
        "per_worker_cpu_second": then["per_worker_cpu_second"],
        "of_fresh": then["per_second"] / fresh["per_second"],
        "of_fresh_by_cpu": then["per_worker_cpu_second"] / fresh["per_worker_cpu_second"],
        "fresh_accepted_per_second": accepted,
        "accepted_per_second": accepted_then,
        **verdict,
    }


def fan_out(sizes: Sizes, rounds: int = 5) -> dict[str, Any]:
    """One event for many webhooks: how long its request takes, and how fast all of it is delivered."""
    found = []
    with Rig(workers=sizes.workers, start=("api", "scheduler")) as rig:
        sustained = [_sustained(rig, sizes, 0)]
        hooks = range(len(rig.hooks), len(rig.hooks) + sizes.many_hooks)
        many_hooks(rig, hooks.start, len(hooks), ALL)
        with requests.Session() as client:
            client.headers.update({"Authorization": f"Bearer {rig.token}", "Content-Type": "application/json"})
            for number in range(rounds):
                rig.forget()
                fill(rig, 100, 10_000_000)  # the API knows the new webhooks, the connection is open
                client.get(f"{rig.url}/health/live", timeout=10)
                rig.until(lambda: rig.waiting() == 0, 60, "warm")
                rig.forget()
                found.append(_one_for_all(rig, client, number, hooks))
        rig.stop(*rig.workers)
        rig.forget()
        sustained.append(_sustained(rig, sizes, 20_000_000))
    return {
        "webhooks": len(hooks),
        "accepted_ms": [1000 * each["accepted"] for each in found],
        "accepted_ms_median": 1000 * statistics.median(each["accepted"] for each in found),
        "per_second": [each["per_second"] for each in found],
        "sustained_per_second": sustained,
        "of_sustained": statistics.median(each["per_second"] for each in found) / statistics.mean(sustained),
        "lost": sum(each["lost"] for each in found),
        "repeated": sum(each["repeated"] for each in found),
    }


def _sustained(rig: Rig, sizes: Sizes, first: int) -> float:
    fill(rig, sizes.backlog, first)
    return float(drain(rig, sizes.backlog)["per_second"])


def _one_for_all(rig: Rig, client: requests.Session, number: int, hooks: range) -> dict[str, Any]:
    started = time.monotonic()
    answer = client.post(f"{rig.url}/api/v1/events", data=event(number, ALL), timeout=60)
    accepted = time.monotonic()
    if answer.status_code != 202:
        raise SystemExit(f"the event was answered {answer.status_code}: {answer.text[:500]}")
    rig.until(lambda: rig.stats()["received"] >= len(hooks), 120, "all of them")
    rig.until(lambda: rig.waiting() == 0, 60, "everything recorded")
    arrived = rig.arrivals()
    verdict = arrived.judge({number * HOOKS + hook for hook in hooks})
    return {"accepted": accepted - started, "per_second": len(hooks) / (max(arrived.times) - accepted), **verdict}


def backlog(sizes: Sizes) -> dict[str, Any]:
    """A large backlog drains, and the worker's memory stays where it was."""
    with Rig(workers=sizes.workers) as rig:
        warm_up(rig)
        rig.stop(*rig.workers)
        template = 90_000_000
        answer = requests.post(
            f"{rig.url}/api/v1/events",
            data=one_event(rig, template),
            headers={"Authorization": f"Bearer {rig.token}", "Content-Type": "application/json"},
            timeout=10,
        )
        answer.raise_for_status()
        make_backlog(rig, sizes.large_backlog, template, 0)
        found = drain(rig, sizes.large_backlog + 1)
        wanted = expected(rig, range(sizes.large_backlog)) | {template * HOOKS + rig.hooks[0]}
        verdict = rig.arrivals().judge(wanted)
    return {**found, **verdict}
