"""The audit trail: one row per change of access, in the transaction of the change. Rows are never changed or deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from server.kernel.ids import new_uuid

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from server.store import Tx


def record(tx: Tx, action: str, target: str, **details: Any) -> None:
    """Write who (the transaction's cause) did what (`secret.set`) to what (`secret/NAME`); never a secret value."""
    tx.run(
        """INSERT INTO audit (organization_id, workspace_id, id, principal, action, target, details)
           VALUES (:organization_id, :workspace_id, :id, :principal, :action, :target, CAST(:details AS jsonb))""",
        id=new_uuid(),
        principal=tx.cause.principal,
        action=action,
        target=target,
        details=orjson.dumps({**details, "correlation_id": tx.cause.correlation_id}, default=str).decode(),
    )


def page(tx: Tx, *, before: UUID | None, limit: int, action: str | None, target: str | None) -> Sequence[Any]:
    """Return rows (id, at, principal, action, target, details), newest first; `action` and `target` filter exactly."""
    return tx.all(
        """SELECT id, at, principal, action, target, details FROM audit
           WHERE organization_id = :organization_id AND workspace_id = :workspace_id
             AND (CAST(:before AS uuid) IS NULL OR id < :before)
             AND (CAST(:action AS text) IS NULL OR action = :action)
             AND (CAST(:target AS text) IS NULL OR target = :target)
           ORDER BY id DESC LIMIT :limit""",
        before=before,
        limit=limit,
        action=action,
        target=target,
    )
