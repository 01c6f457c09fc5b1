"""The Flow aggregate and the events of its life."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from server.kernel.aggregate import DomainEvent
from server.kernel.lifecycle import Action, Changed, Created, Declared, Moved


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowCreated(Created):
    """Was declared for the first time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowChanged(Changed):
    """A new version of its definition was applied."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowActivated(Moved):
    """Became active."""

    action: ClassVar[Action] = "activate"


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowDeactivated(Moved):
    """Was set inactive by its file."""

    action: ClassVar[Action] = "deactivate"


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowPaused(Moved):
    """Was paused by a person."""

    action: ClassVar[Action] = "pause"


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowResumed(Moved):
    """Goes on after a pause."""

    action: ClassVar[Action] = "resume"


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowFailed(Moved):
    """Began to fail; it is still tried."""

    action: ClassVar[Action] = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowRecovered(Moved):
    """Works again."""

    action: ClassVar[Action] = "recover"


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowDisabled(Moved):
    """Was stopped until a person activates it."""

    action: ClassVar[Action] = "disable"


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowArchived(Moved):
    """Was removed; its history stays."""

    action: ClassVar[Action] = "archive"


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowRestored(Moved):
    """Came back from the archive, as a draft."""

    action: ClassVar[Action] = "restore"


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowTriggered(DomainEvent):
    """A person started a run by hand."""

    user: str
    run_id: str


class Flow(Declared):
    """Steps across systems, each with what undoes it; started by events or by hand."""

    kind: ClassVar[str] = "flow"
    created: ClassVar[type[Created]] = FlowCreated
    changed: ClassVar[type[Changed]] = FlowChanged
    moves: ClassVar[dict[Action, type[Moved]]] = {
        "activate": FlowActivated,
        "deactivate": FlowDeactivated,
        "pause": FlowPaused,
        "resume": FlowResumed,
        "fail": FlowFailed,
        "recover": FlowRecovered,
        "disable": FlowDisabled,
        "archive": FlowArchived,
        "restore": FlowRestored,
    }
    events: ClassVar[tuple[type[DomainEvent], ...]] = (
        FlowCreated,
        FlowChanged,
        *moves.values(),
        FlowTriggered,
    )

    def trigger(self, user: str, run_id: str) -> None:
        """Note that a person started a run; that of a paused one is held until it is resumed.

        Raises:
            Conflict: WRONG_STATE, it is a draft, disabled or archived.

        """
        self.must_run()
        self.record(FlowTriggered(user=user, run_id=run_id))
