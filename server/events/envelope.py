"""What an event is: CloudEvents 1.0 attributes, and the correlation, causation, principal and workspace of ours.

`data` is kept as the JSON text that came; it is parsed where somebody looks inside, and spliced where nobody does.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from server.kernel.clock import rfc3339
from server.kernel.errors import code
from server.store.values import read_json as from_json
from server.store.values import write_json as to_json

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

__all__ = ["BATCH_LIMIT", "EVENT_CONFLICT", "Event", "NewEvent", "Published", "from_json", "to_json"]
BATCH_LIMIT = 1000
EVENT_CONFLICT = code("EVENT_CONFLICT", "This source has sent another event under the same id.")


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(each) for each in value] if isinstance(value, list) else value


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEvent:
    """An event to publish. `data` is JSON text; an id that is missing is minted, a time that is missing is now."""

    type: str
    data: str
    id: str | None = None
    source: str = "api"
    subject: str | None = None
    time: datetime | None = None
    correlation_id: str | None = None
    causation_id: str | None = None
    schema_version: int | None = None
    extensions: dict[str, Any] | None = None

    def content_hash(self) -> bytes:
        """Hash what makes it the same event: type, subject and data, whatever the order of keys."""
        content = [self.type, self.subject, from_json(self.data)]
        return hashlib.sha256(to_json(_sorted(content)).encode()).digest()


@dataclass(slots=True, kw_only=True)
class Event:
    """A stored event; not to be changed. (A frozen one costs three times as much to make, and each delivery makes one.)"""

    uid: UUID
    workspace_id: int
    id: str
    source: str
    type: str
    subject: str | None
    time: datetime
    recorded_at: datetime
    data: str
    correlation_id: str
    causation_id: str | None
    principal: str
    schema_version: int | None = None
    extensions: dict[str, Any] | None = field(default=None)

    def view(self) -> dict[str, Any]:
        """Return what expressions see as `event`: the attributes, without the data."""
        return {
            "id": self.id,
            "source": self.source,
            "type": self.type,
            "subject": self.subject,
            "time": rfc3339(self.time),
            "recorded_at": rfc3339(self.recorded_at),
            "correlation_id": self.correlation_id,
            "causation_id": self.causation_id,
            "schema_version": self.schema_version,
        }


@dataclass(frozen=True, slots=True)
class Published:
    """The answer to a publisher; `duplicate` when this event was here already."""

    id: str
    uid: UUID
    duplicate: bool
