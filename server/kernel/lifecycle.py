"""The life of what a definition declares (Integration, Webhook, SyncJob, Flow): one table of states for all of them.

A definition applied is active; what a person paused stays paused when a new version is applied; `active: false` is the
only state that a file sets. `failing` is still tried; `disabled` waits for a person; `archived` is a soft delete.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from server.kernel.aggregate import Aggregate, DomainEvent
from server.kernel.errors import Conflict, code

State = Literal["draft", "active", "paused", "failing", "disabled", "archived"]
Action = Literal["activate", "deactivate", "pause", "resume", "fail", "recover", "disable", "archive", "restore"]

WRONG_STATE = code("WRONG_STATE", "The present state does not allow this action; the answer lists those that it does.")

TRANSITIONS: dict[tuple[State, Action], State] = {
    ("draft", "activate"): "active",
    ("draft", "archive"): "archived",
    ("active", "deactivate"): "draft",
    ("active", "pause"): "paused",
    ("active", "fail"): "failing",
    ("active", "disable"): "disabled",
    ("active", "archive"): "archived",
    ("paused", "deactivate"): "draft",
    ("paused", "resume"): "active",
    ("paused", "disable"): "disabled",
    ("paused", "archive"): "archived",
    ("failing", "deactivate"): "draft",
    ("failing", "pause"): "paused",
    ("failing", "recover"): "active",
    ("failing", "disable"): "disabled",
    ("failing", "archive"): "archived",
    ("disabled", "deactivate"): "draft",
    ("disabled", "activate"): "active",
    ("disabled", "archive"): "archived",
    ("archived", "restore"): "draft",
}

WAYS_OUT: dict[State, str] = {
    "draft": "`activate` makes it active",
    "paused": "`resume` lets it go on",
    "disabled": "`activate` makes it active again",
    "archived": "`restore` brings it back as a draft",
}
"""What a refusal tells of the action that leads on."""

RUN_BY_HAND: frozenset[State] = frozenset({"active", "failing", "paused"})
"""A person may start a run of what is in one of these."""

HELD_STATES: frozenset[State] = frozenset({"paused", "disabled"})
"""While what is declared is in one of these, what is owed because of it is kept back; it goes on when it works again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Created(DomainEvent):
    """Declared for the first time."""

    name: str
    definition_version: int
    body: dict[str, Any]
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed(DomainEvent):
    """A new version of the definition was applied."""

    definition_version: int
    body: dict[str, Any]
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved(DomainEvent):
    """The state changed; each subclass is one action. `reason` is for people."""

    action: ClassVar[Action]
    reason: str = ""


class Declared(Aggregate):
    """What the four aggregates share: a name, the body of the definition, a state and the table above.

    Subclasses set `created`, `changed` and `moves`, so that each publishes events of its own type.
    """

    created: ClassVar[type[Created]]
    changed: ClassVar[type[Changed]]
    moves: ClassVar[dict[Action, type[Moved]]]

    def __init__(self, identity: Any) -> None:
        super().__init__(identity)
        self.name = ""
        self.state: State = "draft"
        self.definition_version = 0
        self.body: dict[str, Any] = {}
        self.metadata: dict[str, Any] = {}

    def create(self, name: str, body: dict[str, Any], definition_version: int, metadata: dict[str, Any]) -> None:
        """Come into being as a draft.

        Raises:
            Conflict: WRONG_STATE, it exists already.

        """
        if self.version:
            raise Conflict(f"{self.kind} {self.name} exists already", code=WRONG_STATE, state=self.state)
        self.record(self.created(name=name, definition_version=definition_version, body=body, metadata=metadata))

    def change(self, body: dict[str, Any], definition_version: int, metadata: dict[str, Any]) -> None:
        """Take a new version of the definition; the state stays.

        Raises:
            Conflict: WRONG_STATE, it is archived.

        """
        if self.state == "archived":
            raise Conflict(f"{self.kind} {self.name} is archived; restore it first", code=WRONG_STATE, state=self.state)
        self.record(self.changed(definition_version=definition_version, body=body, metadata=metadata))

    def act(self, action: Action, reason: str = "") -> None:
        """Move to the state that the table gives.

        Raises:
            Conflict: WRONG_STATE, the table has no such move; `details["allowed"]` lists those from here.

        """
        if (self.state, action) not in TRANSITIONS:
            raise self.refused(f"it cannot {action}")
        self.record(self.moves[action](reason=reason))

    def must_run(self) -> None:
        """Insist that a person may start a run.

        Raises:
            Conflict: WRONG_STATE, it is a draft, disabled or archived.

        """
        if self.state not in RUN_BY_HAND:
            raise self.refused("it cannot run")

    def refused(self, what: str) -> Conflict:
        """Make the refusal of what the present state does not allow, with the way out of it."""
        way = f"; {WAYS_OUT[self.state]}" if self.state in WAYS_OUT else ""
        message = f"{self.kind.replace('_', ' ')} {self.name} is {self.state}: {what}{way}"
        return Conflict(message, code=WRONG_STATE, state=self.state, allowed=self.allowed())

    def allowed(self) -> list[Action]:
        """Return the actions that the present state allows."""
        return [action for state, action in TRANSITIONS if state == self.state]

    def activate(self) -> None:
        """Move from draft or disabled to active."""
        self.act("activate")

    def apply(self, event: DomainEvent) -> None:
        """Change the state as `event` says."""
        match event:
            case Created():
                self.name = event.name
                self.definition_version = event.definition_version
                self.body = event.body
                self.metadata = event.metadata
            case Changed():
                self.definition_version = event.definition_version
                self.body = event.body
                self.metadata = event.metadata
            case Moved():
                self.state = TRANSITIONS[self.state, event.action]
            case _:
                pass  # a fact that leaves the state as it is, such as a trigger by hand
