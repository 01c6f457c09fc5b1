"""Make docs/benchmarks.md from the raw figures: `python tests/benchmarks/report.py [FIGURES]`.

A figure stands there only when it was measured; what misses its target says so.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.benchmarks.targets import CHECKED, PEERS, TARGETS, Target

DOCS = Path(__file__).parents[2] / "docs"
BUSY = 4.0
"""A load average that measurements one after the other do not make on two cores."""
FIGURES = DOCS / "benchmarks" / "figures.json"
PAGE = DOCS / "benchmarks.md"
_HEAD = """\
# Benchmarks

<!-- Made by `make bench` from docs/benchmarks/figures.json. Do not edit. -->

How fast the delivery engine is, measured as it runs in production: PostgreSQL (every event and every attempt on disk before it is
answered or counted: `fsync` and `synchronous_commit` on), Redis, one API process, one worker, one scheduler, the receiver and
whoever makes the load, all on the cores of one machine.

`make bench` measures all of it on your machine and writes this page; `crossdock bench` measures a server that runs, with load and
receiver in the command itself ([command line](cli.md)).

## The machine

{machine}

## Figures

Each figure has its own command. A row that misses its target says so. "Lost", "repeated" and "unexpected" are counted in every
run by numbers in the bodies.

{figures}

{verdict}

## What is measured

- **Set-up.** One workspace; 100 webhooks without a map, each with its own path, secret and event type, so that an event goes to
  exactly one webhook; 1 KiB bodies, signed (`v1`). The receiver answers 200 at once.
- **Sustained.** A backlog is published while no worker runs; then one starts. Counted from its first 2,000 deliveries until all are
  recorded; CPU is user and system time of the worker's process. The bare loops sign and post the same bodies to the same receiver
  and do nothing else: aiohttp with 64 in flight, before and after the worker's run, and one `requests.Session`.
- **End to end.** Three connections publish lists of 200 for as long as fewer than 4,000 accepted events wait; counted until the
  last one is recorded.
- **Latency.** Events are offered singly at fixed moments, whatever happened to those before, so that a stall counts against
  everything that it delays. Accepted is when the answer came, received when the receiver had the body; ingest is from sending
  a request to its answer. All moments are of the machine's one monotonic clock. The host of this machine is shared and
  its speed changes by half within minutes; the code before took 10 to 20 ms in the same hour. **With flows**: the same in a workspace
  that has a flow, where each event is asked for by whoever may wait, in a transaction.
- **Flat.** Fresh first; then a past of events, deliveries and attempts and many more webhooks are put into the same database, it is
  vacuumed, and the same backlog is drained again. **Fan-out**: five events, each for all webhooks; rates count from the answer to
  the last arrival, and their median is held against the sustained rate as it was before them and after them, in the middle.
- **Round trips** are counted on the wire between worker and PostgreSQL: each time the worker speaks after the server has. Those of
  an idle worker (signs of life, timers) are taken off by rate.
- **Isolation.** Of 100 webhooks 10 hang until the time-out and 10 refuse connections. A backlog spread over all is drained, then
  200/s are offered to all; counted are the 80 that are healthy, beside a run in which all are. Three runs of each, in turn; the
  ratios are those of their medians.
- **Neighbour.** Another workspace has a large backlog; ten single events a second are published in this one.
- **Inbound.** Orders of 2 KiB, signed (`v1`), posted over 10 kept connections to one API process; each request is verified, stored
  with its dedupe key and due work on disk, then answered. Beside it a Flask view that only answers 202, under the same server in
  the same run. **Mapped**: a backlog of such orders is stored, then one worker maps them and publishes their events.
- **Sync.** Runs of one job in one process: 100,000 rows of ten columns, read by a datetime cursor and the key, mapped (two decimals,
  a default, one field in lower case, one that must be there), upserted into an empty table in batches of 2,000 with a checkpoint
  each, as durable as everything here. Without the ledger nothing is kept of single records; with it key, hash and target of each.
  **Two parts**: two threads of one process. **Bad rows**: one of 1,000 lacks the field that must be there. **REST**: pages of 1,000
  records of a server in another process.
- **Beside dlt and Singer.** In the same run, from the same table: dlt reads by SQLAlchemy, merges by key with its strategy `upsert`
  and maps the same; the tap and target of the Singer SDK neither map nor look for rows that are there. Starting Python is not timed.
- **Flows.** Runs of five steps, each a call that does nothing behind the guard of its integration; a step is stored as begun before
  its call, its result before the next. Counted from the first 200 runs on; CPU is that of the worker's process. **First step**: events
  offered singly, 20 a second; from the event's transaction to the moment at which its run's first step is stored as begun, by the
  database's time. **Waiting**: an idle worker with 100,000 runs that wait for events and without. **Deals**: `deal-won` on the
  embedded ERP, in the same PostgreSQL; some runs have no credit and are undone; afterwards the ERP is held against the runs.

## Others

Published elsewhere or measured on other machines, not here: read them as orders of magnitude.

{peers}
## Raw data

[figures.json](benchmarks/figures.json) holds every figure with its command, commit, time, machine and the load average before it.

{raw}
"""


def page(data: dict[str, Any]) -> str:
    """Write the page."""
    measures = data["measures"]
    rows = ["| what | target | measured | | command |", "|---|---|---|---|---|"]
    rows += [_row(each, measures[each.measure]) for each in TARGETS if each.measure in measures]
    raw = "\n\n".join(f"### {name}\n\n{_block(each)}" for name, each in measures.items())
    return _HEAD.format(
        machine=_machine(data["machine"]), figures="\n".join(rows), verdict=_verdict(measures), peers=PEERS, raw=raw
    )


def _row(target: Target, measured: dict[str, Any]) -> str:
    figure = target.figure(measured["figures"])
    bound = f"{'≥' if target.least else '≤'} {_number(target.bound)} {target.unit}".strip()
    if figure is None:
        return f"| {target.words} | {bound} | none | **missed** | `{measured['command']}` |"
    shown = f"{_number(figure)} {target.unit}".strip()
    return f"| {target.words} | {bound} | {shown} | {'met' if target.holds(figure) else '**missed**'} | `{measured['command']}` |"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _verdict(measures: dict[str, Any]) -> str:
    """Say what was lost or repeated, over all runs, and what was not measured."""
    counts = {name: sum(each["figures"].get(name, 0) for each in measures.values()) for name in CHECKED}
    said = ", ".join(f"{name} {count:,}" for name, count in counts.items())
    missing = sorted({each.measure for each in TARGETS} - measures.keys())
    rest = f" Not measured: {', '.join(missing)}." if missing else ""
    busy = [name for name, each in measures.items() if each["load"] > BUSY]
    noise = f" The machine did other work before or while these were taken: {', '.join(busy)}." if busy else ""
    return f"Over all these runs: {said}.{rest}{noise}"


def _machine(machine: dict[str, Any]) -> str:
    sync = machine["fdatasync_ms"]
    rows = {
        "Processor": f"{machine['cpu']}, {machine['cores']} cores",
        "Memory": f"{machine['memory_gb']} GB",
        "Disk": f"8 KiB written and synced in {sync['p50']} ms (p50), {sync['p95']} ms (p95)",
        "System": machine["system"],
        "Versions": ", ".join(
            (
                f"Python {machine['python']}",
                machine["postgresql"],
                machine["redis"],
                *(f"{name} {number}" for name, number in machine["packages"].items()),
            )
        ),
    }
    return "\n".join(("| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())))


def _block(measured: dict[str, Any]) -> str:
    """Write one measurement's figures as they are."""
    figures = json.dumps(measured["figures"], ensure_ascii=False, indent=1)
    stamp = f"{measured['at']}, commit {measured['commit']}, load average before {measured['load']}"
    return f"`{measured['command']}` ({stamp})\n\n```json\n{figures}\n```"


def main() -> None:
    """Write the page anew."""
    source = Path(sys.argv[1]) if len(sys.argv) > 1 else FIGURES
    PAGE.write_text(page(json.loads(source.read_text("utf-8"))), "utf-8")


if __name__ == "__main__":
    main()
