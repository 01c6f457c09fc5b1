"""The life of a replay: one table of states, and the events of each step.

It counts first, so that its progress has an end; whoever resumes it lets it count what is left.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from server.kernel.aggregate import Aggregate, DomainEvent
from server.kernel.errors import Conflict
from server.kernel.lifecycle import WRONG_STATE

if TYPE_CHECKING:
    from uuid import UUID

State = Literal["counting", "running", "paused", "done", "cancelled", "failed"]
Action = Literal["count", "pause", "resume", "cancel", "fail", "finish"]

STATES: tuple[State, ...] = ("counting", "running", "paused", "done", "cancelled", "failed")
WORKING = frozenset({"counting", "running"})
FINAL = frozenset({"done", "cancelled"})
TRANSITIONS: dict[tuple[State, Action], State] = {
    ("counting", "count"): "running",
    ("counting", "pause"): "paused",
    ("counting", "cancel"): "cancelled",
    ("counting", "fail"): "failed",
    ("running", "pause"): "paused",
    ("running", "cancel"): "cancelled",
    ("running", "fail"): "failed",
    ("running", "finish"): "done",
    ("paused", "resume"): "counting",
    ("paused", "cancel"): "cancelled",
    ("failed", "resume"): "counting",
    ("failed", "cancel"): "cancelled",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayStarted(DomainEvent):
    """Somebody asked for it."""

    filter: dict[str, Any]
    options: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayMoved(DomainEvent):
    """The state changed; each subclass is one action."""

    action: ClassVar[Action]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayCounted(ReplayMoved):
    """It is known how many there are to make; now they are made."""

    action: ClassVar[Action] = "count"
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayPaused(ReplayMoved):
    """Was stopped by a person, who may resume it."""

    action: ClassVar[Action] = "pause"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayResumed(ReplayMoved):
    """Goes on where it was."""

    action: ClassVar[Action] = "resume"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayCancelled(ReplayMoved):
    """Was ended by a person; the deliveries that it has made stay."""

    action: ClassVar[Action] = "cancel"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayFailed(ReplayMoved):
    """Broke again and again at one place; a person may resume it."""

    action: ClassVar[Action] = "fail"
    error: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayFinished(ReplayMoved):
    """Has made every delivery that it was asked for."""

    action: ClassVar[Action] = "finish"
    done: int
    skipped: int


class Replay(Aggregate):
    """A replay as people see it; its progress is kept beside it."""

    kind: ClassVar[str] = "replay"
    events: ClassVar[tuple[type[DomainEvent], ...]] = (
        ReplayStarted,
        ReplayCounted,
        ReplayPaused,
        ReplayResumed,
        ReplayCancelled,
        ReplayFailed,
        ReplayFinished,
    )

    def __init__(self, identity: UUID) -> None:
        super().__init__(identity)
        self.state: State = "counting"
        self.filter: dict[str, Any] = {}
        self.options: dict[str, Any] = {}

    def start(self, filter_: dict[str, Any], options: dict[str, Any]) -> None:
        """Come into being; it counts first."""
        self.record(ReplayStarted(filter=filter_, options=options))

    def move(self, event: ReplayMoved) -> None:
        """Move to the state that the table gives.

        Raises:
            Conflict: WRONG_STATE, the table has no such move; `details["allowed"]` lists those from here.

        """
        if (self.state, event.action) not in TRANSITIONS:
            allowed = [action for state, action in TRANSITIONS if state == self.state]
            raise Conflict(
                f"the replay is {self.state}: it cannot {event.action}",
                code=WRONG_STATE,
                state=self.state,
                allowed=[each for each in allowed if each in ("pause", "resume", "cancel")],
            )
        self.record(event)

    def apply(self, event: DomainEvent) -> None:
        """Change the state as `event` says."""
        match event:
            case ReplayStarted():
                self.filter, self.options = event.filter, event.options
            case ReplayMoved():
                self.state = TRANSITIONS[self.state, event.action]
            case _:
                pass
