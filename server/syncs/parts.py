"""Parts of a source, read side by side: each has a position of its own, and a run of parts moves its job's cursor at its end."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from server.kernel.errors import CrossdockError
from server.syncs import progress

if TYPE_CHECKING:
    from server.syncs.engine import Slice

AT_ONCE = 2
"""So many parts at a time: each holds a connection to read and one to write, and an integration has four."""


def read(one: Slice) -> bool:
    """Go on with the parts that are not read to their ends; say whether all are."""
    if one.run.position is None:
        _cut(one)
    waiting = [number for number, part in enumerate(_parts(one)) if not part["done"]]
    with ThreadPoolExecutor(AT_ONCE, "sync-part") as pool:
        tries = [pool.submit(_part, one, number, first=place < AT_ONCE) for place, number in enumerate(waiting)]
    failed = [error for error in (each.exception() for each in tries) if error is not None]
    if failed:
        # what is ours says more than what followed from it
        raise next((each for each in failed if isinstance(each, CrossdockError)), failed[0])
    return all(part["done"] for part in _parts(one))


def _parts(one: Slice) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = one.run.position["parts"]
    return parts


def _cut(one: Slice) -> None:
    """Ask the source for its parts; they stay the same to the end of the window."""
    found = one.source.partitions(one.request(), one.job.source.partitions)
    one.run.position = {"parts": [{"of": each, "position": None, "done": False} for each in found]}
    with one.store.connect() as conn:
        progress.fence(conn, one.claim)
        progress.save(conn, one.run)


def _part(one: Slice, number: int, *, first: bool) -> None:
    part = _parts(one)[number]
    if not first and time.monotonic() > one.until:
        return
    try:
        if not one.read_ahead(replace(one.request(), partition=part["of"], position=part["position"]), part):
            return
    except BaseException:  # whatever it is, it goes on up; the other parts stop at their next page
        one.until = 0.0
        raise
    with one.lock, one.store.connect() as conn:
        progress.fence(conn, one.claim)
        part["done"] = True
        progress.save(conn, one.run)
