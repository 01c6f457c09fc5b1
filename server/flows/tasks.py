"""What the core asks to be done outside, and until when nothing is to be done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from server.kernel.clock import parse_rfc3339

if TYPE_CHECKING:
    from datetime import datetime

    from server.flows.flow import Step
    from server.flows.rows import Row
    from server.flows.states import State

What = Literal["do", "fallback", "undo", "resolve"]
"""The step's own work, the call that is made instead of it, its undo, or once more a call of which nobody knows the outcome."""


@dataclass(frozen=True, slots=True)
class Task:
    """Something to be done outside for a step."""

    path: str
    step: Step
    row: Row
    what: What


@dataclass(frozen=True, slots=True)
class Next:
    """What comes next: tasks, all at the same time; the moment at which something changes by itself; or the state it ended in."""

    tasks: tuple[Task, ...] = ()
    until: datetime | None = None
    ended: State | None = None


def moment(text: str | None) -> datetime | None:
    """Read a moment of a note."""
    return None if text is None else parse_rfc3339(text)
