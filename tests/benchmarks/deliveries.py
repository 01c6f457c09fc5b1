"""The delivery engine measured: servers, API, worker, receiver and load on the cores of this machine.

Run: `python tests/benchmarks/deliveries.py throughput latency` · names: see MEASURES; without any, all of them in the
sizes of docs/benchmarks.md. `--short` is for a look while tuning, `--full` has the largest backlog; `--seconds`, `--backlog`
and `--workers` change one size; `--record` keeps the figures and makes docs/benchmarks.md anew.
Set-up: one workspace, 100 webhooks without a map, each with its own path, secret and event type, so that an event goes to one
webhook; 1 KiB bodies; PostgreSQL with fsync and synchronous commits. Every run checks that nothing was lost or repeated.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.benchmarks import report
from tests.benchmarks.cost import idle, round_trips
from tests.benchmarks.flows import flow_deals, flow_first_step, flow_steps, flow_waiting
from tests.benchmarks.growth import backlog, fan_out, flat
from tests.benchmarks.inbound import inbound, inbound_mapped
from tests.benchmarks.isolation import isolation, neighbour
from tests.benchmarks.machine import commit, machine
from tests.benchmarks.mapping import measure as microseconds
from tests.benchmarks.measuring import FULL, MODERATE, SHORT, Sizes
from tests.benchmarks.rates import end_to_end, latency, latency_with_flows, thousand, thousand_in_tens, throughput
from tests.benchmarks.syncs import sync_memory, sync_rest, sync_schedules, sync_sql

if TYPE_CHECKING:
    from collections.abc import Callable

MEASURES: dict[str, Callable[[Sizes], dict[str, Any]]] = {
    each.__name__: each
    for each in (
        throughput,
        end_to_end,
        latency,
        latency_with_flows,
        thousand,
        thousand_in_tens,
        flat,
        fan_out,
        backlog,
        round_trips,
        idle,
        isolation,
        neighbour,
        inbound,
        inbound_mapped,
        sync_sql,
        sync_rest,
        sync_memory,
        sync_schedules,
        flow_steps,
        flow_first_step,
        flow_waiting,
        flow_deals,
    )
}


def rounded(value: Any) -> Any:
    """Cut figures to what can be read."""
    if isinstance(value, float):
        return round(value, 3) if abs(value) < 10 else round(value, 1)
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    return [rounded(each) for each in value] if isinstance(value, list) else value


def sizes_of(asked: argparse.Namespace) -> Sizes:
    """Return the sizes that the command line asks for."""
    sizes = SHORT if asked.short else FULL if asked.full else MODERATE
    changed = {name: value for name in ("backlog", "workers") if (value := getattr(asked, name)) is not None}
    if asked.seconds is not None:
        changed |= {"seconds": asked.seconds, "rate_seconds": asked.seconds}
    return dataclasses.replace(sizes, **changed)


def mapping(_: Sizes) -> dict[str, Any]:
    """CPU of one mapping, in microseconds, beside the same written by hand."""
    return dict(microseconds())


MEASURES["mapping"] = mapping


def record(place: Path, name: str, command: str, found: dict[str, Any], load: float) -> None:
    """Put figures into the raw data, in place of older ones of the same measurement, and make the page anew."""
    data = json.loads(place.read_text("utf-8")) if place.is_file() else {"machine": {}, "measures": {}}
    data["machine"] = machine()
    at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%MZ")
    data["measures"][name] = {"command": command, "commit": commit(), "at": at, "load": load, "figures": found}
    data["measures"] = {each: data["measures"][each] for each in MEASURES if each in data["measures"]}
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", "utf-8")
    report.PAGE.write_text(report.page(data), "utf-8")


def main() -> None:
    """Measure what the command line names; print a table and a line of JSON for each."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(MEASURES))
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--backlog", type=int)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--full", action="store_true")
    parser.add_argument(
        "--record", action="store_true", help="Into docs/benchmarks/figures.json and docs/benchmarks.md."
    )
    asked = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    sizes = sizes_of(asked)
    options = [each for each in sys.argv[1:] if each not in MEASURES and each != "--record"]
    for name in asked.names or MEASURES:
        if name not in MEASURES:
            parser.error(f"{name} is none of {', '.join(MEASURES)}")
        print(f"== {name}: {MEASURES[name].__doc__}", flush=True)
        load, started = round(os.getloadavg()[0], 2), time.monotonic()
        found = rounded(MEASURES[name](sizes))
        for key, value in found.items():
            print(f"  {key:28} {value}")
        print(json.dumps({name: found}), f"({time.monotonic() - started:.0f} s)", flush=True)
        if asked.record:
            command = " ".join([".venv/bin/python tests/benchmarks/deliveries.py", name, *options])
            record(report.FIGURES, name, command, found, load)


if __name__ == "__main__":
    main()
