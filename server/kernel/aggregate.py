"""An aggregate is what its events have made of it: the same `apply` serves a live change and a fold of the journal."""

from __future__ import annotations

import dataclasses
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainEvent:
    """One change of one aggregate; its fields are JSON values. Published as `crossdock.<noun>.<past participle>`."""

    @classmethod
    def type(cls) -> str:
        """Return the published type: SyncJobPaused → `crossdock.sync_job.paused`."""
        words = re.findall(r"[A-Z][a-z0-9]*", cls.__name__)
        return f"crossdock.{'_'.join(words[:-1]).lower()}.{words[-1].lower()}"

    def data(self) -> dict[str, Any]:
        """Return the event's fields as JSON."""
        return dataclasses.asdict(self)


class Aggregate(ABC):
    """Rules and state without I/O. Subclasses list their events in `events` and change state in `apply` only."""

    kind: ClassVar[str]
    events: ClassVar[tuple[type[DomainEvent], ...]]

    def __init__(self, identity: UUID) -> None:
        self.id = identity
        self.version = 0
        self.uncommitted: list[DomainEvent] = []

    def record(self, event: DomainEvent) -> None:
        """Apply a new event and keep it until it is stored."""
        self.apply(event)
        self.version += 1
        self.uncommitted.append(event)

    @abstractmethod
    def apply(self, event: DomainEvent) -> None:
        """Change the state as `event` says; no rule is checked here, since it has happened."""

    def committed(self) -> None:
        """Forget the uncommitted events: they are stored."""
        self.uncommitted.clear()

    @property
    def stored_version(self) -> int:
        """The version that the store has: the one before the uncommitted events."""
        return self.version - len(self.uncommitted)

    @classmethod
    def fold(cls, identity: UUID, events: Iterable[DomainEvent]) -> Self:
        """Rebuild the aggregate from its events, oldest first, up to any point of its life."""
        aggregate = cls(identity)
        for event in events:
            aggregate.apply(event)
            aggregate.version += 1
        return aggregate

    @classmethod
    def event_of(cls, type_: str, data: dict[str, Any]) -> DomainEvent:
        """Rebuild a stored event from its type and data.

        Raises:
            KeyError: the aggregate has no event of that type.

        """
        classes = {event.type(): event for event in cls.events}
        return classes[type_](**data)
