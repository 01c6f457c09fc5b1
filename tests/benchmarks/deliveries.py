"""The delivery engine measured: servers, API, worker, receiver and load on the cores of this machine.

Run: `python tests/benchmarks/deliveries.py throughput latency` · names: see MEASURES; without any, all of them in the
sizes of docs/benchmarks.md. `--short` is for a look while tuning, `--full` has the largest backlog; `--seconds`, `--backlog`
and `--workers` change one size; `--json FILE` keeps the figures.
Set-up: one workspace, 100 webhooks without a map, each with its own path, secret and event type, so that an event goes to one
webhook; 1 KiB bodies; PostgreSQL with fsync and synchronous commits. Every run checks that nothing was lost or repeated.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.benchmarks.cost import idle, round_trips
from tests.benchmarks.growth import backlog, fan_out, flat
from tests.benchmarks.isolation import isolation, neighbour
from tests.benchmarks.measuring import FULL, MODERATE, SHORT, Sizes
from tests.benchmarks.rates import end_to_end, latency, thousand, thousand_in_tens, throughput

if TYPE_CHECKING:
    from collections.abc import Callable

MEASURES: dict[str, Callable[[Sizes], dict[str, Any]]] = {
    each.__name__: each
    for each in (
        throughput,
        end_to_end,
        latency,
        thousand,
        thousand_in_tens,
        flat,
        fan_out,
        backlog,
        round_trips,
        idle,
        isolation,
        neighbour,
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


def main() -> None:
    """Measure what the command line names; print a table and a line of JSON for each."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(MEASURES))
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--backlog", type=int)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    sizes = sizes_of(asked)
    for name in asked.names or MEASURES:
        if name not in MEASURES:
            parser.error(f"{name} is none of {', '.join(MEASURES)}")
        print(f"== {name}: {MEASURES[name].__doc__}", flush=True)
        started = time.monotonic()
        found = rounded(MEASURES[name](sizes))
        for key, value in found.items():
            print(f"  {key:28} {value}")
        print(json.dumps({name: found}), f"({time.monotonic() - started:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
