"""How far the items of a step, or its branches, are. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from server.flows import paths
from server.flows.flow import Block, Call, Parallel
from server.flows.undoing import STEP_STOPPED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from server.flows.flow import Step
    from server.flows.rows import Row


@dataclass(frozen=True, slots=True)
class Broken:
    """Why steps go no further; `how` is what the innermost step that says so wants to be done about it."""

    error: dict[str, Any]
    how: str | None = None

    @property
    def stopped(self) -> bool:
        """Whether it was only stopped because of another one."""
        return bool(self.error.get("code") == STEP_STOPPED)


@dataclass(slots=True)
class Lanes:
    """`begun` of `count`, those that are `open`, and why the first that counts broke."""

    count: int
    limit: int
    begun: int
    open: set[int]
    broken: Broken | None = None

    def left(self, index: int, broken: Broken | None) -> None:
        """Take that one is over. One that was only stopped is never the reason of the others."""
        self.open.discard(index)
        if broken is not None and (self.broken is None or self.broken.stopped):
            self.broken = broken


def lanes_of(step: Step, row: Row, prefix: str, rows: Mapping[str, Row]) -> Lanes:
    """Return how far a step is that is under way: all that were begun are looked at once more."""
    match step.work:
        case Call(limit=limit) | Block(limit=limit):
            begun, first = 0, _first(step)
            while begun < len(row.input) and paths.item(row.path, begun) + first in rows:
                begun += 1
            return Lanes(len(row.input), limit, begun, set(range(begun)))
        case Parallel(branches=branches):
            begun = sum(prefix + each.steps[0].id in rows for each in branches)
            return Lanes(len(branches), len(branches), begun, set(range(begun)))
        case _:
            return Lanes(int(row.note.get("taken") is not None), 1, 0, set())


def _first(step: Step) -> str:
    """Return what stands behind an item in the path of the first row in it."""
    return f"/{step.work.steps[0].id}" if isinstance(step.work, Block) else ""
