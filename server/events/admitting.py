"""Filling gaps: what a sender should have sent and did not, brought by somebody else through the sender's own endpoint.

The port of `admit`: capabilities that find missed events use it, webhooks implement it, bootstrap hands it over. What is brought
goes by the webhook's dedupe key, guard and mapping, so that what came already is not emitted again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from server.store import Tx


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """A request as its sender would have sent it. `body` is JSON values; names of `headers` in any case."""

    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    query: str = ""


@dataclass(frozen=True, slots=True)
class Admitted:
    """What became of it: the id of the stored request, its own or that of the one that came before with the same key."""

    request_id: UUID
    duplicate: bool


class Admit(Protocol):
    """Stores requests for a webhook in the caller's transaction; they are mapped after its commit, as all others are."""

    def __call__(self, tx: Tx, webhook: str, offered: Sequence[Offered]) -> list[Admitted]:
        """Store those that are new.

        Raises:
            NotFound: no such inbound webhook here.
            Invalid: ADMIT_REFUSED, its requests cannot be told apart or brought as JSON; DEDUPE_FAILED.
            Conflict: the definitions of the workspace change just now; try again.

        """
        ...
