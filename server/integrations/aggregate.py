"""The Integration aggregate: a connection to one system, and the events of its life."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from server.kernel.aggregate import DomainEvent  # noqa: TC001 - dataclass fields and class variables name it
from server.kernel.lifecycle import Action, Changed, Created, Declared, Moved


@dataclass(frozen=True, slots=True, kw_only=True)
class IntegrationCreated(Created):
    """Was declared for the first time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IntegrationChanged(Changed):
    """A new version of its definition was applied."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IntegrationActivated(Moved):
    """Became active."""

    action: ClassVar[Action] = "activate"


@dataclass(frozen=True, slots=True, kw_only=True)
class IntegrationDeactivated(Moved):
    """Was set inactive by its file."""

    action: ClassVar[Action] = "deactivate"


@dataclass(frozen=True, slots=True, kw_only=True)
class IntegrationPaused(Moved):
    """Was paused by a person."""

    action: ClassVar[Action] = "pause"


@dataclass(frozen=True, slots=True, kw_only=True)
class IntegrationResumed(Moved):
    """Goes on after a pause."""

    action: ClassVar[Action] = "resume"


@dataclass(frozen=True, slots=True, kw_only=True)
class IntegrationFailed(Moved):
    """Began to fail; it is still tried."""

    action: ClassVar[Action] = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class IntegrationRecovered(Moved):
    """Works again."""

    action: ClassVar[Action] = "recover"


@dataclass(frozen=True, slots=True, kw_only=True)
class IntegrationDisabled(Moved):
    """Was stopped until a person activates it."""

    action: ClassVar[Action] = "disable"


@dataclass(frozen=True, slots=True, kw_only=True)
class IntegrationArchived(Moved):
    """Was removed; its history stays."""

    action: ClassVar[Action] = "archive"


@dataclass(frozen=True, slots=True, kw_only=True)
class IntegrationRestored(Moved):
    """Came back from the archive, as a draft."""

    action: ClassVar[Action] = "restore"


class Integration(Declared):
    """A configured connection to one system through one plugin."""

    kind: ClassVar[str] = "integration"
    created: ClassVar[type[Created]] = IntegrationCreated
    changed: ClassVar[type[Changed]] = IntegrationChanged
    moves: ClassVar[dict[Action, type[Moved]]] = {
        "activate": IntegrationActivated,
        "deactivate": IntegrationDeactivated,
        "pause": IntegrationPaused,
        "resume": IntegrationResumed,
        "fail": IntegrationFailed,
        "recover": IntegrationRecovered,
        "disable": IntegrationDisabled,
        "archive": IntegrationArchived,
        "restore": IntegrationRestored,
    }
    events: ClassVar[tuple[type[DomainEvent], ...]] = (IntegrationCreated, IntegrationChanged, *moves.values())
