"""What an event is: CloudEvents 1.0 attributes, and the correlation, causation, principal and workspace of ours.

`data` is kept as the JSON text that came; it is parsed where somebody looks inside, and spliced where nobody does.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import orjson

from server.kernel.clock import rfc3339
from server.kernel.errors import code

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

ID_LIMIT = 256
BATCH_LIMIT = 1000
EVENT_CONFLICT = code("EVENT_CONFLICT", "This source has sent another event under the same id.")


def to_json(value: Any) -> str:
    """Write JSON compactly; a Decimal keeps its digits."""
    return orjson.dumps(value, default=_decimal).decode()


def _decimal(value: Any) -> Any:
    if isinstance(value, Decimal):
        return orjson.Fragment(format(value, "f").encode())
    raise TypeError(f"not JSON: {type(value).__name__}")


def from_json(text: str | bytes) -> Any:
    """Read JSON of ours; numbers with a fraction become Decimal."""
    return json.loads(text, parse_float=Decimal)


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
        return hashlib.sha256(orjson.dumps(content, default=_decimal, option=orjson.OPT_SORT_KEYS)).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A stored event."""

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
