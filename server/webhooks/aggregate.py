"""The Webhook aggregate and the events of its life."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from server.kernel.aggregate import DomainEvent
from server.kernel.lifecycle import Action, Changed, Created, Declared, Moved


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookCreated(Created):
    """Was declared for the first time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookChanged(Changed):
    """A new version of its definition was applied."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookActivated(Moved):
    """Became active."""

    action: ClassVar[Action] = "activate"


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookDeactivated(Moved):
    """Was set inactive by its file."""

    action: ClassVar[Action] = "deactivate"


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookPaused(Moved):
    """Was paused by a person."""

    action: ClassVar[Action] = "pause"


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookResumed(Moved):
    """Goes on after a pause."""

    action: ClassVar[Action] = "resume"


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookFailed(Moved):
    """Began to fail; it is still tried."""

    action: ClassVar[Action] = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookRecovered(Moved):
    """Works again."""

    action: ClassVar[Action] = "recover"


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookDisabled(Moved):
    """Was stopped until a person activates it."""

    action: ClassVar[Action] = "disable"


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookArchived(Moved):
    """Was removed; its history stays."""

    action: ClassVar[Action] = "archive"


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookRestored(Moved):
    """Came back from the archive, as a draft."""

    action: ClassVar[Action] = "restore"


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookTriggered(DomainEvent):
    """A person asked for one real delivery of a payload."""

    user: str
    event_id: str
    event_type: str


class Webhook(Declared):
    """Events to signed HTTP requests (outbound), or verified HTTP requests to events (inbound)."""

    kind: ClassVar[str] = "webhook"
    created: ClassVar[type[Created]] = WebhookCreated
    changed: ClassVar[type[Changed]] = WebhookChanged
    moves: ClassVar[dict[Action, type[Moved]]] = {
        "activate": WebhookActivated,
        "deactivate": WebhookDeactivated,
        "pause": WebhookPaused,
        "resume": WebhookResumed,
        "fail": WebhookFailed,
        "recover": WebhookRecovered,
        "disable": WebhookDisabled,
        "archive": WebhookArchived,
        "restore": WebhookRestored,
    }
    events: ClassVar[tuple[type[DomainEvent], ...]] = (
        WebhookCreated,
        WebhookChanged,
        *moves.values(),
        WebhookTriggered,
    )

    def trigger(self, payload: dict[str, Any], user: str, event_id: str) -> dict[str, Any]:
        """Ask for one real signed delivery of `payload`; return the event to send as {id, type, data}.

        Raises:
            Conflict: WRONG_STATE, a draft or archived webhook sends nothing.

        """
        if self.state in ("draft", "archived"):
            raise self.refused("it sends nothing")
        concrete = [pattern for pattern in self.body.get("events", []) if "*" not in pattern]
        type_ = concrete[0] if concrete else "webhook.test"
        self.record(WebhookTriggered(user=user, event_id=event_id, event_type=type_))
        return {"id": event_id, "type": type_, "data": payload}
