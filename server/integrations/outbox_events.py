"""Events of outboxes as they were fetched: what would be published of them, or a dead letter that keeps what they said."""

from __future__ import annotations

import json
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

from server.events.envelope import NewEvent, from_json, to_json
from server.events.intake import CORRELATION, ID, LINE, TYPE
from server.events.matching import is_ours
from server.kernel.clock import rfc3339
from server.kernel.errors import Failure, Invalid, Permanent, code
from server.queue.dead_letters import DeadLetter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from server.sdk.outbox import Emitted

KIND = "outbox"
OUTBOX_EVENT = code(
    "OUTBOX_EVENT", "An event of an integration's outbox has a type, subject, id or data that no event can have."
)
_LETTERS = UUID("6c0e4d0e-6c4f-4b53-9d4b-2f6f4c1b7a10")
_LONGEST, _CUT = 512, 500


@dataclass(frozen=True, slots=True)
class Fetched:
    """An event that was fetched: what would be published of it, or what is wrong with it."""

    position: int
    new: NewEvent
    problem: str | None

    @classmethod
    def of(cls, event: Emitted, name: str, because: Mapping[str, Any]) -> Fetched:
        """Read one. What no event can have is replaced, so that a dead letter can hold the rest."""
        problem = _problem(event)
        try:
            data = to_json(dict(event.data))
        except (TypeError, ValueError) as error:  # no JSON, or none that we take
            problem = problem or f"the data cannot be kept: {error}"
            data = json.dumps(event.data, default=repr)
        correlation = event.correlation_id
        new = NewEvent(
            type=_readable(event.type),
            source=f"integration/{name}",
            id=_readable(event.id),
            subject=None if event.subject is None else _readable(event.subject),
            time=event.time,
            data=data,
            correlation_id=correlation if correlation and CORRELATION.fullmatch(correlation) else None,
            causation_id=because.get("causation_id"),
            extensions=because.get("extensions") or None,
        )
        return cls(event.position, new, problem)

    def vet(self) -> NewEvent:
        """Return what to publish.

        Raises:
            Permanent: OUTBOX_EVENT.

        """
        if self.problem is not None:
            raise Permanent(self.problem, code=OUTBOX_EVENT, source="outbox")
        return self.new

    def unkept(self) -> Permanent:
        """Return the refusal of what the database cannot hold."""
        return Permanent(f"the database cannot keep the event {self.new.id}", code=OUTBOX_EVENT, source="outbox")


def _problem(event: Emitted) -> str | None:
    for name, pattern in (("id", ID), ("type", TYPE), ("subject", LINE)):
        value = getattr(event, name)
        if (value is not None or name != "subject") and (not pattern.fullmatch(value) or _readable(value) != value):
            return f"{_readable(value)!r} is no event's {name}"
    if "." not in event.type or is_ours(event.type):
        return f"{event.type!r} is no type of another system's event"
    return None


def _readable(text: str) -> str:
    """Return a text that can be kept wherever texts are, at most 500 characters of it where it is too long for an event."""
    shown = "".join("\ufffd" if unicodedata.category(each) in ("Cc", "Cs") else each for each in text)
    return shown if len(shown) <= _LONGEST else shown[:_CUT]


def letter(workspace_id: int, integration: tuple[str, UUID], read: Fetched, failure: Failure) -> DeadLetter:
    """Return the dead letter of an event of an integration, its name and id: the same again for the same event."""
    name, identity = integration
    new = read.new
    # No NUL is kept inside of JSON, and what is no JSON is kept as it can be written.
    as_text = read.problem is not None or "\\u0000" in new.data
    kept = {
        "type": new.type,
        "source": new.source,
        "id": new.id,
        "subject": new.subject,
        **({"json": new.data} if as_text else {"data": json.loads(new.data)}),
        "correlation_id": new.correlation_id,
        "time": rfc3339(new.time) if new.time else None,
    }
    details = {**failure.details, "event": kept}
    return DeadLetter(
        workspace_id=workspace_id,
        kind=KIND,
        ref=uuid5(_LETTERS, f"{identity}:{read.position}:{new.id}"),
        owner=f"integration/{name}",
        owner_id=identity,
        reason="schema" if failure.code == "SCHEMA_VIOLATION" else "refused",
        error=Failure(failure.code, failure.message, failure.source, details, failure.retryable),
        correlation_id=new.correlation_id or "",
        adapter=name,
    )


def again(kept: Mapping[str, Any]) -> NewEvent:
    """Return the event that a dead letter keeps.

    Raises:
        Invalid: OUTBOX_EVENT, it can be none whatever is changed.

    """
    named = {name: kept[name] for name in ("type", "source", "id", "subject", "correlation_id")}
    try:
        data = to_json(from_json(kept["json"]) if "json" in kept else kept["data"])
    except (TypeError, ValueError) as error:
        raise Invalid(f"the data cannot be kept: {error}", code=OUTBOX_EVENT, source="outbox") from error
    new = NewEvent(data=data, **named)
    if not TYPE.fullmatch(new.type) or "." not in new.type or is_ours(new.type) or not ID.fullmatch(new.id or ""):
        raise Invalid("it has a type or an id that no event can have", code=OUTBOX_EVENT, source="outbox")
    return new
