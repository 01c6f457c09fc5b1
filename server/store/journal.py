"""The journal keeps every domain event of every aggregate for good; folding it gives the aggregate at any time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from server.kernel.errors import PreconditionFailed
from server.kernel.ids import new_uuid
from server.store.values import write_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from server.kernel.aggregate import Aggregate, DomainEvent
    from server.store.engine import Tx

A = TypeVar("A", bound="Aggregate")
_INSERT = """
INSERT INTO journal (organization_id, workspace_id, aggregate_kind, aggregate_id, version, type, data, event_uid, by,
                     correlation_id, causation_id)
VALUES (:organization_id, :workspace_id, :kind, :id, :version, :type, CAST(:data AS json), :event_uid, :by,
        :correlation_id, :causation_id)
ON CONFLICT DO NOTHING
RETURNING version
"""


class Entry:
    """One journal row about to be published: the aggregate, its new version, the event and the id it goes by."""

    def __init__(self, aggregate: Aggregate, version: int, event: DomainEvent) -> None:
        self.aggregate = aggregate
        self.version = version
        self.event = event
        self.uid = new_uuid()


def write(tx: Tx) -> list[Entry]:
    """Append what the tracked aggregates recorded; two writers of one version cannot both succeed.

    Raises:
        PreconditionFailed: somebody else changed the aggregate in the meantime.

    """
    entries = []
    for aggregate in tx.seen:
        for number, event in enumerate(aggregate.uncommitted, aggregate.stored_version + 1):
            entry = Entry(aggregate, number, event)
            stored = tx.run(
                _INSERT,
                kind=aggregate.kind,
                id=aggregate.id,
                version=number,
                type=event.type(),
                data=write_json(event.data()),
                event_uid=entry.uid,
                by=tx.cause.principal,
                correlation_id=tx.cause.correlation_id,
                causation_id=tx.cause.causation_id,
            ).first()
            if stored is None:
                raise PreconditionFailed(f"{aggregate.kind} {aggregate.id} was changed by somebody else; read it again")
            entries.append(entry)
    return entries


def history(tx: Tx, aggregate_id: UUID, until: datetime | None = None) -> Sequence[Any]:
    """Return the rows (version, type, data, at, by, correlation_id, causation_id) of an aggregate, oldest first."""
    return tx.all(
        """SELECT version, type, data, at, by, correlation_id, causation_id FROM journal
           WHERE workspace_id = :workspace_id AND aggregate_id = :id
             AND (CAST(:until AS timestamptz) IS NULL OR at <= :until)
           ORDER BY version LIMIT 10000""",
        id=aggregate_id,
        until=until,
    )


def load(tx: Tx, kind: type[A], aggregate_id: UUID, until: datetime | None = None) -> A:
    """Fold an aggregate from its journal, as it was at `until`."""
    rows = history(tx, aggregate_id, until)
    return kind.fold(aggregate_id, (kind.event_of(row.type, row.data) for row in rows))
