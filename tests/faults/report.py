"""Make docs/reliability.md from the table of faults and the figures of a run: `python -m tests.faults.report FIGURES [PAGE]`.

The last figures of each case count, so that a single fault can be measured anew.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from tests.faults.table import FAULTS

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
_COLUMNS = ("accepted", "received", "lost", "unexpected", "duplicated", "recovered", "seconds")
_HEAD = """\
# Reliability

What Crossdock accepts, it never loses. This page shows what that was tested against: twenty-one faults, each done to real
processes under load, and what came of them. `make faults` does it all on your machine and writes this page; `make test` does the
short forms of F1, F2, F3, F6, F16, F19, F20 and F21 with every change.

## How to read it

A client sends events over HTTP until each is answered 2xx, a receiver counts what comes, and both write down when. From these
two histories a judge (`tests/faults/history.py`, itself tested) counts for each fault:

- **accepted**: events that were answered 2xx. **received**: events that came, each counted once.
- **lost**: accepted, and never came. It has to be 0.
- **unexpected**: came, and was never sent. It has to be 0.
- **duplicated**: requests beyond the first of their event; after the slash what is allowed: what was claimed and not yet recorded
  when the fault came. The `webhook-id` of a duplicate is that of the first, so a receiver can tell.
- **recovered**: came although the client was never told 2xx: the answer was lost, not the event.
- **seconds**: to recover: the longest silence at the receiver around the fault, or whatever took longer. The limit is 10.

An empty field means that a case has no such figure: the text below says what it shows instead.

## Figures

"""
_PEERS = """\
## What others lose

Each of these is why one of the rows above exists. "Measured" means on a machine like the one above.

| product | what happens | source |
|---|---|---|
| RQ | a job taken by a worker on several queues that is killed before it starts is gone for ever | rq#1716, rq#2236 (open); measured |
| RQ | without retries the job of a killed worker is not run again; with them after 93 s to 15 min | rq#1461, rq#2015; measured |
| RQ | on one queue: recovered after 63 s, at times although it was alive | rq#2061; measured |
| RQ | FLUSHALL with 100 jobs queued: 77 lost; a restart of Redis without persistence: 77 lost, and the worker ends | measured |
| RQ | its scheduler ran jobs twice before 3.0; two `rq cron` run every job twice | rq#1354, rq#1531, rq#2338; measured |
| Svix | commits, then queues, no sweep: a crash between them stores a message and never sends it | svix-webhooks#1511; its source |
| Convoy | on its Redis queue an event is queued before it is stored; both go with Redis | its source, no issue |
| n8n | after kill -9 all 60 of 60 runs that had been acknowledged were lost | measured; n8n#35059 for runs that wait |
| Hook0 | holds a database connection through every HTTP call: slow receivers use the pool up | its source, no issue |
| Windmill | a worker that is slow but alive finishes what was given to another one meanwhile | windmill#9214 |

RQ rings the bell here and nothing more: no job of Crossdock's lives in Redis.

"""
_TAIL = """\
## Run it yourself

`make faults` takes about {minutes} minutes and needs nothing but Python and make: PostgreSQL and Redis are its own. One fault:
`make faults ARGS='-k f6'`. `FAULTS_EVENTS` (default 10000) is the size of a burst and `FAULTS_LONG_MINUTES` (default 5) the length
of F18; give it 30 before a release. Figures and whole histories are left in `.crossdock/faults/`, one JSON object a line.

- **F11** uses a small tmpfs where it may be mounted (root). Elsewhere it lowers the size that files of PostgreSQL may have
  (RLIMIT_FSIZE, no right needed): then writes fail as on a full disk.
- **F12, F13** start processes whose clocks, the product's and Python's, are shifted (`tests/support/strange.py`); they need no faketime.
- **F15** kills a worker from inside its sender, as a kernel does that has no memory left.
"""
_MINUTES = 30
_FULL = 10_000


def read(folder: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the last figures of each case by (fault, case)."""
    file = folder / "figures.jsonl"
    lines = file.read_text().splitlines() if file.is_file() else []
    return {(each["fault"], each["case"]): each for each in map(json.loads, lines)}


def page(figures: dict[tuple[str, str], dict[str, Any]]) -> str:
    """Return the page."""
    parts = [_HEAD]
    runs = sorted({(each["at"], each["machine"], each["versions"]) for each in figures.values()})
    parts += [f"Taken on {at}: {machine}; {versions}.\n" for at, machine, versions in runs[-1:]]
    if any(number == "F10" and each["accepted"] < _FULL for (number, _), each in figures.items()):
        parts.append(f"\nThis was a smaller run than the {_FULL:,} events that the text below speaks of.\n")
    parts += [f"\n| # | fault | case | {' | '.join(_COLUMNS)} |\n|---|---|---|{'---:|' * len(_COLUMNS)}\n"]
    for fault in FAULTS:
        cases = [each for (number, _), each in figures.items() if number == fault.number]
        if not cases:
            parts.append(
                f"| [{fault.number}](#{_anchor(fault.number, fault.title)}) | {fault.title} | not measured yet |{' |' * len(_COLUMNS)}\n"
            )
        for each in cases:
            fields = " | ".join(_shown(each, column) for column in _COLUMNS)
            parts.append(
                f"| [{fault.number}](#{_anchor(fault.number, fault.title)}) | {fault.title} | {each['case']} | {fields} |\n"
            )
    parts.append("\n## What each fault is, and what it proves\n\n")
    for fault in FAULTS:
        parts.append(f"### {fault.number}: {fault.title}\n\n{fault.done}\n\n**Passes when:** {fault.passes}\n\n")
        parts.append(f"**Proves:** {fault.proves}\n\n")
        shown = [
            (case, each["more"]) for (number, case), each in figures.items() if number == fault.number and each["more"]
        ]
        parts += [f"- {case}: {_told(more)}\n" for case, more in shown]
        parts += ["\n"] if shown else []
    parts += [_PEERS, _TAIL.format(minutes=_MINUTES)]
    return "".join(parts)


def _told(more: dict[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {_listed(value)}" for name, value in more.items())


def _listed(value: Any) -> str:
    return " and ".join(str(each) for each in value) if isinstance(value, list) else str(value)


def _shown(figures: dict[str, Any], column: str) -> str:
    value = figures[column]
    if value is None:
        return ""
    if column == "duplicated" and figures["bound"] is not None:
        return f"{value} / {figures['bound']}"
    return f"{value:,}" if isinstance(value, int) else f"{value:.2f}"


def _anchor(number: str, title: str) -> str:
    """Return the anchor that a heading gets: lower case, hyphens for spaces, nothing else but letters and digits."""
    heading = f"{number}: {title}".lower().replace(" ", "-")
    return "".join(each for each in heading if each.isalnum() or each in "-_")


if __name__ == "__main__":
    source, *target = sys.argv[1:]
    place = Path(target[0]) if target else PAGE
    place.write_text(page(read(Path(source))), "utf-8")
    print(f"{place} written")
