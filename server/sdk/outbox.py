"""Events of a system that keeps them in an outbox of its own: written with the change that they tell of, fetched later.

Crossdock asks for those that wait, publishes them under their own ids (the same again is the same event), and says which it has:
at least once from there to here, once in the event store.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from server.sdk.context import Context


@dataclass(frozen=True, slots=True, kw_only=True)
class Emitted:
    """An event that waits. `position` orders those of one outbox; `cause` is the idempotency key of the call behind it."""

    position: int
    id: str
    type: str
    subject: str
    time: datetime
    data: Mapping[str, Any]
    correlation_id: str
    cause: str | None = None


class Outbox(abc.ABC):
    """The outbox of a plugin's system. It keeps no state between calls."""

    def identity(self, config: Mapping[str, Any]) -> str | None:  # noqa: ARG002 - for subclasses
        """Return the same text for two configurations that lead to one outbox: one integration fetches for both. None: to its own."""
        return None

    @abc.abstractmethod
    def waiting(self, context: Context, limit: int) -> Sequence[Emitted]:
        """Return at most `limit` events, the oldest first; asked again before `taken`, the same."""

    @abc.abstractmethod
    def taken(self, context: Context, events: Sequence[Emitted]) -> None:
        """Forget events: they are stored elsewhere. What is not there any more is no error."""
