"""The states of a run and of its steps, and which follow which. Every change goes through `moved` or `step_moved`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from server.kernel.errors import Conflict
from server.kernel.lifecycle import WRONG_STATE

if TYPE_CHECKING:
    from collections.abc import Mapping

State = Literal[
    "queued",
    "running",
    "waiting",
    "compensating",
    "cancelling",
    "completed",
    "failed",
    "compensated",
    "cancelled",
    "compensation_failed",
]
StepState = Literal["running", "waiting", "done", "skipped", "failed", "undoing", "undone", "undo_failed"]

RUN: Mapping[State, frozenset[State]] = {
    "queued": frozenset({"running", "cancelling", "cancelled", "failed"}),
    "running": frozenset({"waiting", "completed", "failed", "compensating", "cancelling"}),
    "waiting": frozenset({"running", "failed", "compensating", "cancelling"}),
    "compensating": frozenset(
        {"compensated", "compensation_failed", "running"}
    ),  # running: from a step that is done again
    "cancelling": frozenset({"cancelled", "compensation_failed"}),
    # A person retries it, or has it undone. What was completed is undone only with the run that it is a part of.
    "failed": frozenset({"running", "compensating", "cancelling"}),
    "completed": frozenset({"compensating"}),
    "compensation_failed": frozenset({"compensating", "cancelling"}),
    "compensated": frozenset(),
    "cancelled": frozenset(),
}
"""From each state of a run, those that may follow."""

STEP: Mapping[StepState, frozenset[StepState]] = {
    "running": frozenset({"waiting", "done", "skipped", "failed"}),
    "waiting": frozenset({"running", "done", "failed"}),
    "done": frozenset({"undoing", "undone"}),
    "failed": frozenset({"running", "undoing", "undone"}),
    "skipped": frozenset(),
    "undoing": frozenset({"undone", "undo_failed"}),
    "undo_failed": frozenset({"undoing"}),
    "undone": frozenset(),
}
"""From each state of a step, those that may follow. A step that is begun may be in flight, whoever began it."""

ENDED: frozenset[State] = frozenset({"completed", "failed", "compensated", "cancelled", "compensation_failed"})
UNDER_WAY: frozenset[State] = frozenset(RUN) - ENDED


def moved(before: State, after: State) -> State:
    """Return the state after, if it may follow.

    Raises:
        Conflict: WRONG_STATE.

    """
    if after not in RUN[before]:
        raise Conflict(f"the run is {before}: it cannot become {after}", code=WRONG_STATE, state=before)
    return after


def step_moved(before: StepState, after: StepState) -> StepState:
    """Return the state after, if it may follow.

    Raises:
        Conflict: WRONG_STATE.

    """
    if after not in STEP[before]:
        raise Conflict(f"the step is {before}: it cannot become {after}", code=WRONG_STATE, state=before)
    return after
