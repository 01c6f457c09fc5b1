"""Dead letters: whatever will not be tried again by itself, kept until a person replays or discards it.

The capability that owns a kind (delivery, inbound, record, step) keeps the message itself and implements `Reopen`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from server.kernel.ids import new_uuid
from server.telemetry.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.engine import Connection, Row

    from server.kernel.errors import Failure
    from server.store import Tx

_ADD = """
INSERT INTO dead_letters (workspace_id, id, kind, ref, owner, owner_id, reason, error, attempts, first_attempt_at,
                          last_attempt_at, correlation_id, adapter, alert_due)
SELECT workspace_id, id, kind, ref, owner, owner_id, reason, error, attempts, first_attempt_at, last_attempt_at,
       correlation_id, adapter, alert_due
FROM json_to_recordset(%(letters)s::json)
  AS l(workspace_id bigint, id uuid, kind text, ref uuid, owner text, owner_id uuid, reason text, error jsonb, attempts int,
       first_attempt_at timestamptz, last_attempt_at timestamptz, correlation_id text, adapter text, alert_due boolean)
"""
_RESOLVE = """
UPDATE dead_letters SET resolved_at = now(), resolved_by = :by, resolution = :resolution
WHERE workspace_id = :workspace_id AND resolved_at IS NULL AND id = ANY(:ids) RETURNING id, kind, ref
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """One dead letter to be kept. `owner` is the definition, `webhook/orders-to-warehouse`; `reason` one word.

    `adapter` is the integration that was called, if any. A `quiet` one raises no alert: deliveries of our own events are, or
    a receiver of alerts that is away would make alerts without end.
    """

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
    quiet: bool = False


class Reopen(Protocol):
    """What a capability implements for its kind: make these due again, or give them up for good."""

    def reopen(self, tx: Tx, refs: Sequence[UUID]) -> None:
        """Make the work due again, in this transaction."""
        ...

    def discard(self, tx: Tx, refs: Sequence[UUID]) -> None:
        """Give the work up, in this transaction."""
        ...


def add(conn: Connection, letters: Sequence[DeadLetter]) -> None:
    """Keep dead letters, without what looks like a credential, in one statement; the admins are told of them soon."""
    if not letters:
        return
    rows = [
        {
            **{each.name: getattr(letter, each.name) for each in fields(DeadLetter)},
            "id": new_uuid(),
            "error": redact(letter.error.as_dict()),
            "alert_due": not letter.quiet,
        }
        for letter in letters
    ]
    conn.exec_driver_sql(_ADD, {"letters": orjson.dumps(rows, default=str).decode()})


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


def owned(tx: Tx, owner: str) -> bool:
    """Say whether any was ever kept for an owner."""
    return (
        tx.one("SELECT FROM dead_letters WHERE workspace_id = :workspace_id AND owner = :owner LIMIT 1", owner=owner)
        is not None
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
