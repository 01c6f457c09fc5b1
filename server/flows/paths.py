"""Where a step's row lies: its id, behind the items that it lies in. `order`, `produce[0]`, `lines[0]/reserve`, `lines[0]/parts[2]/x`."""

from __future__ import annotations

import re

_INDEX = re.compile(r"\[(\d+)\]")


def item(path: str, index: int) -> str:
    """Return the path of an item of a step that goes through a list."""
    return f"{path}[{index}]"


def inside(path: str) -> str:
    """Return what stands before the ids of the steps in an item of a block."""
    return f"{path}/"


def step_of(path: str) -> str:
    """Return the step's id."""
    last = path.rpartition("/")[2]
    return last.partition("[")[0]


def indexes(path: str) -> list[int]:
    """Return the items that it lies in, the outermost first."""
    return [int(each) for each in _INDEX.findall(path)]


def parts(path: str) -> list[tuple[str, int | None]]:
    """Return the ids on the way with the item of each; the last may be of none."""
    found: list[tuple[str, int | None]] = []
    for part in path.split("/"):
        name, _, index = part.partition("[")
        found.append((name, int(index[:-1]) if index else None))
    return found


def key(run: str, path: str, round_: int, *, end: str = "") -> str:
    """Return the idempotency key of a call: `run:step:item`, and what it is (`undo`, `fallback`); `~N` from the second round on."""
    items = ".".join(str(each) for each in indexes(path))
    return ":".join((run, step_of(path), items, *((end,) if end else ()))) + (f"~{round_}" if round_ > 1 else "")
