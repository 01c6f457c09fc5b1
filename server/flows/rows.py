"""A run and its steps, as they are kept: what the core reads and changes, and the engine loads and stores."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from server.flows.states import step_moved

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from server.flows.states import State, StepState

Noted = dict[str, Any]
HAS_RESULT: frozenset[StepState] = frozenset(("done", "undoing", "undone", "undo_failed"))


@dataclass(slots=True)
class Row:
    """One step of a run. `note` is what the kind of step keeps for itself; moments in it are RFC 3339.

    | key | means |
    |---|---|
    | `until` | when it is tried again, or its wait is over |
    | `needed`, `value` | how many events a `wait_for` needs, and what their field must equal |
    | `taken` | the branch that `choose` took, None for none |
    | `child`, `joined` | the run that a `flow` step started; that it was there before, for it has the same key |
    | `message`, `decision` | what a person is asked, and `{approved, by, comment, at}` |
    | `fallback` | the input of the call that is made instead |
    | `unknown` | since when nobody knows whether its call was done |
    | `unbegun` | it failed before it began: its condition or its input could not be worked out |
    | `effect` | it failed after its call was done |
    | `undo`, `undo_round` | the input of its undo, and the round of its key |
    """

    path: str
    state: StepState = "running"
    number: int = 0
    round: int = 1
    tries: int = 0
    input: Any = None
    result: Any = None
    error: dict[str, Any] | None = None
    note: Noted = field(default_factory=dict)
    undo_tries: int = 0
    undo_error: dict[str, Any] | None = None
    began_at: datetime | None = None
    ended_at: datetime | None = None
    undone_at: datetime | None = None

    def move(self, after: StepState) -> None:
        """Go into another state.

        Raises:
            Conflict: WRONG_STATE, a fault of ours.

        """
        self.state = step_moved(self.state, after)


@dataclass(slots=True)
class Run:
    """What the core knows of a run. `event` is the one that started it, as expressions see it; None when it was called.

    `resume_from` is the step that a person wants to be done again, with all behind it: what they did is undone first.
    """

    id: str
    flow: str
    state: State = "queued"
    event: Noted | None = None
    data: Any = None
    correlation_id: str = ""
    key: str | None = None
    round: int = 1
    started_at: datetime | None = None
    deadline: datetime | None = None
    error: dict[str, Any] | None = None
    output: Any = None
    resume_from: str | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """How the run of a `flow` step has ended."""

    id: UUID
    state: State
    output: Any = None
    error: dict[str, Any] | None = None
