"""Dead letters: whatever will not be tried again by itself, kept until a person replays or discards it.

The capability that owns a kind (delivery, inbound, record, step) keeps the message itself and implements `Reopen`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from server.kernel.ids import new_uuid

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.engine import Connection, Row

    from server.kernel.errors import Failure
    from server.store import Tx

_ADD = """
INSERT INTO dead_letters (workspace_id, id, kind, ref, owner, owner_id, reason, error, attempts, first_attempt_at,
                          last_attempt_at, correlation_id, adapter)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s::jsonb, %s, %s, %s, %s, %s)
"""
_RESOLVE = """
UPDATE dead_letters SET resolved_at = now(), resolved_by = :by, resolution = :resolution
WHERE workspace_id = :workspace_id AND resolved_at IS NULL AND id = ANY(:ids) RETURNING id, kind, ref
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """One dead letter to be kept. `owner` is the definition, `webhook/orders-to-warehouse`; `reason` one word."""

    workspace_id: int
    kind: str
    ref: UUID
    owner: str
    owner_id: UUID
    reason: str
    error: Failure
    correlation_id: str
    attempts: int = 0
    first_attempt_at: datetime | None = None
    last_attempt_at: datetime | None = None
    adapter: str | None = None


class Reopen(Protocol):
    """What a capability implements for its kind: make these due again, or give them up for good."""

    def reopen(self, tx: Tx, refs: Sequence[UUID]) -> None:
        """Make the work due again, in this transaction."""
        ...

    def discard(self, tx: Tx, refs: Sequence[UUID]) -> None:
        """Give the work up, in this transaction."""
        ...


def add(conn: Connection, letters: Sequence[DeadLetter]) -> None:
    """Keep dead letters."""
    for each in letters:
        error = orjson.dumps(each.error.as_dict(), default=str).decode()
        conn.exec_driver_sql(
            _ADD,
            (
                each.workspace_id,
                new_uuid(),
                each.kind,
                each.ref,
                each.owner,
                each.owner_id,
                each.reason,
                error,
                each.attempts,
                each.first_attempt_at,
                each.last_attempt_at,
                each.correlation_id,
                each.adapter,
            ),
        )


def page(
    tx: Tx,
    *,
    before: UUID | None = None,
    limit: int = 50,
    owner: str | None = None,
    kind: str | None = None,
    resolved: bool = False,
) -> Sequence[Row[Any]]:
    """Return dead letters newest first."""
    return tx.all(
        """SELECT * FROM dead_letters WHERE workspace_id = :workspace_id
           AND (resolved_at IS NOT NULL) = :resolved
           AND (CAST(:before AS uuid) IS NULL OR id < :before)
           AND (CAST(:owner AS text) IS NULL OR owner = :owner)
           AND (CAST(:kind AS text) IS NULL OR kind = :kind)
           ORDER BY id DESC LIMIT :limit""",
        before=before,
        owner=owner,
        kind=kind,
        resolved=resolved,
        limit=limit,
    )


def find(tx: Tx, identity: UUID) -> Row[Any] | None:
    """Return one dead letter of the workspace."""
    return tx.one("SELECT * FROM dead_letters WHERE workspace_id = :workspace_id AND id = :id", id=identity)


def resolve(tx: Tx, ids: Sequence[UUID], resolution: str) -> list[tuple[str, UUID]]:
    """Mark open ones as `replayed` or `discarded`; return (kind, ref) of those that were open, each to one caller only."""
    rows = tx.run(_RESOLVE, ids=list(ids), by=tx.cause.principal, resolution=resolution)
    return [(row.kind, row.ref) for row in rows]


def resolve_refs(tx: Tx, refs: Sequence[UUID], resolution: str) -> None:
    """Mark the open ones of some work, when the work was retried by another way than through its dead letter."""
    tx.run(
        """UPDATE dead_letters SET resolved_at = now(), resolved_by = :by, resolution = :resolution
           WHERE workspace_id = :workspace_id AND resolved_at IS NULL AND ref = ANY(:refs)""",
        refs=list(refs),
        by=tx.cause.principal,
        resolution=resolution,
    )
