"""The SyncJob aggregate and the events of its life."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from server.kernel.aggregate import DomainEvent
from server.kernel.lifecycle import Action, Changed, Created, Declared, Moved

if TYPE_CHECKING:
    from collections.abc import Sequence

SHOWN_CONFLICTS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncJobCreated(Created):
    """Was declared for the first time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncJobChanged(Changed):
    """A new version of its definition was applied."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncJobActivated(Moved):
    """Became active."""

    action: ClassVar[Action] = "activate"


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncJobDeactivated(Moved):
    """Was set inactive by its file."""

    action: ClassVar[Action] = "deactivate"


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncJobPaused(Moved):
    """Was paused by a person."""

    action: ClassVar[Action] = "pause"


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncJobResumed(Moved):
    """Goes on after a pause."""

    action: ClassVar[Action] = "resume"


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncJobFailed(Moved):
    """Began to fail; it is still tried."""

    action: ClassVar[Action] = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncJobRecovered(Moved):
    """Works again."""

    action: ClassVar[Action] = "recover"


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncJobDisabled(Moved):
    """Was stopped until a person activates it."""

    action: ClassVar[Action] = "disable"


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncJobArchived(Moved):
    """Was removed; its history stays."""

    action: ClassVar[Action] = "archive"


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncJobRestored(Moved):
    """Came back from the archive, as a draft."""

    action: ClassVar[Action] = "restore"


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncJobTriggered(DomainEvent):
    """A person started a run by hand."""

    user: str
    run_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncJobSchemaChanged(DomainEvent):
    """The rows of its source have other fields than before: new ones, missing ones, or of another type."""

    run_id: str
    added: dict[str, str]
    lost: list[str]
    changed: dict[str, str]

    @classmethod
    def type(cls) -> str:
        """Return the published type: it is the job's schema that has changed, not a thing of its own."""
        return "crossdock.sync_job.schema_changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncJobConflictOpened(DomainEvent):
    """Fields of records were changed on both sides, and wait for a person; `conflicts` has the first hundred of `count`."""

    run_id: str
    count: int
    conflicts: list[dict[str, Any]]

    @classmethod
    def type(cls) -> str:
        """Return the published type: it is a conflict of the job that was opened."""
        return "crossdock.sync_job.conflict_opened"


class SyncJob(Declared):
    """Source, mapping and target, on a schedule and on events."""

    kind: ClassVar[str] = "sync_job"
    created: ClassVar[type[Created]] = SyncJobCreated
    changed: ClassVar[type[Changed]] = SyncJobChanged
    moves: ClassVar[dict[Action, type[Moved]]] = {
        "activate": SyncJobActivated,
        "deactivate": SyncJobDeactivated,
        "pause": SyncJobPaused,
        "resume": SyncJobResumed,
        "fail": SyncJobFailed,
        "recover": SyncJobRecovered,
        "disable": SyncJobDisabled,
        "archive": SyncJobArchived,
        "restore": SyncJobRestored,
    }
    events: ClassVar[tuple[type[DomainEvent], ...]] = (
        SyncJobCreated,
        SyncJobChanged,
        *moves.values(),
        SyncJobTriggered,
        SyncJobSchemaChanged,
        SyncJobConflictOpened,
    )

    def trigger(self, user: str, run_id: str) -> None:
        """Note that a person started a run.

        Raises:
            Conflict: WRONG_STATE, it is a draft, disabled or archived.

        """
        self.must_run()
        self.record(SyncJobTriggered(user=user, run_id=run_id))

    def note_schema(self, run_id: str, *, added: dict[str, str], lost: list[str], changed: dict[str, str]) -> None:
        """Note that a run found rows of other fields: those that are new, with their type, missing, or of another type."""
        self.record(SyncJobSchemaChanged(run_id=run_id, added=added, lost=lost, changed=changed))

    def note_conflicts(self, run_id: str, opened: Sequence[dict[str, Any]]) -> None:
        """Note conflicts that a run has opened, each with `id`, `key` and the names of its `fields`."""
        self.record(SyncJobConflictOpened(run_id=run_id, count=len(opened), conflicts=list(opened[:SHOWN_CONFLICTS])))
