"""Where declared aggregates live: one protocol, in SQL and in memory, held to one contract test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from server.kernel.errors import Conflict, NotFound, PreconditionFailed, code
from server.kernel.lifecycle import Declared
from server.store.values import write_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from server.kernel.clock import Clock
    from server.store.engine import Tx

A = TypeVar("A", bound=Declared)
NAME_TAKEN = code("NAME_TAKEN", "This workspace has one of that kind and name already.")


def _name_taken(aggregate: Declared) -> Conflict:
    return Conflict(f"{aggregate.kind} {aggregate.name} exists already", code=NAME_TAKEN)


@dataclass(frozen=True, slots=True)
class Stamp:
    """Who touched a row and when; `deleted_at` marks a soft delete."""

    created_at: datetime
    created_by: str
    updated_at: datetime
    updated_by: str
    deleted_at: datetime | None = None
    deleted_by: str | None = None


@dataclass(frozen=True, slots=True)
class Stored(Generic[A]):
    """An aggregate as a listing shows it."""

    aggregate: A
    stamp: Stamp


class Repository(Protocol[A]):
    """Aggregates of one kind. Every method works in the workspace of the transaction and never outside it."""

    @property
    def kind(self) -> type[A]:
        """The class of what is kept here."""
        ...

    def add(self, tx: Tx, aggregate: A) -> None:
        """Store a new one; Conflict NAME_TAKEN when the name is in use."""
        ...

    def save(self, tx: Tx, aggregate: A) -> None:
        """Store the changes of one that was read.

        PreconditionFailed when somebody else was faster; Conflict NAME_TAKEN when a restored one finds its name in use.
        """
        ...

    def get(self, tx: Tx, name: str) -> A:
        """Return the one of that name; NotFound also for a deleted one."""
        ...

    def find(self, tx: Tx, name: str, *, deleted: bool = False) -> Stored[A] | None:
        """Return the one of that name with its stamp, or None; with `deleted` the newest deleted one."""
        ...

    def page(
        self,
        tx: Tx,
        *,
        after: str = "",
        limit: int = 50,
        metadata: Mapping[str, Any] | None = None,
        state: str | None = None,
    ) -> Sequence[Stored[A]]:
        """Return live ones (of the state `archived` deleted ones) after a name, by name; `metadata` pairs must all be there."""
        ...


def insist(tx: Tx, repository: Repository[Any], name: str) -> None:
    """Refuse a name that nothing has or had: a filter by it would find nothing, and seem to say that all is well.

    Raises:
        NotFound: there is none, and none was removed.

    """
    if repository.find(tx, name) is None and repository.find(tx, name, deleted=True) is None:
        raise _unknown(repository.kind, name, tx)


def _unknown(kind: type[Declared], name: str, tx: Tx) -> NotFound:
    return NotFound(f"no {kind.kind} {name} in {tx.scope}")


class SqlRepository(Generic[A]):
    """The table of one kind; the table's name is ours, never a caller's."""

    def __init__(self, table: str, kind: type[A]) -> None:
        self.table = table
        self.kind = kind

    def add(self, tx: Tx, aggregate: A) -> None:
        """Insert; the transaction tracks the aggregate."""
        stored = tx.run(
            f"""INSERT INTO {self.table} (organization_id, workspace_id, id, name, state, version, definition_version,
                                          body, metadata, created_at, created_by, updated_at, updated_by)
                VALUES (:organization_id, :workspace_id, :id, :name, :state, :version, :definition_version,
                        CAST(:body AS json), CAST(:metadata AS jsonb), now(), :by, now(), :by)
                ON CONFLICT (workspace_id, name) WHERE deleted_at IS NULL DO NOTHING RETURNING id""",
            **self._row(tx, aggregate),
        ).first()
        if stored is None:
            raise _name_taken(aggregate)
        tx.track(aggregate)

    def save(self, tx: Tx, aggregate: A) -> None:
        """Update where the version is the one that was read."""
        if aggregate.state != "archived":
            self._check_name(tx, aggregate)
        changed = tx.run(
            f"""UPDATE {self.table}
                SET state = :state, version = :version, definition_version = :definition_version,
                    body = CAST(:body AS json), metadata = CAST(:metadata AS jsonb),
                    updated_at = now(), updated_by = :by,
                    deleted_at = CASE WHEN :state = 'archived' THEN coalesce(deleted_at, now()) END,
                    deleted_by = CASE WHEN :state = 'archived' THEN coalesce(deleted_by, :by) END
                WHERE workspace_id = :workspace_id AND id = :id AND version = :was""",
            **self._row(tx, aggregate),
            was=aggregate.stored_version,
        )
        if changed.rowcount != 1:
            raise PreconditionFailed(f"{aggregate.kind} {aggregate.name} was changed by somebody else; read it again")
        tx.track(aggregate)

    def get(self, tx: Tx, name: str) -> A:
        """Return the live one of that name."""
        found = self.find(tx, name)
        if found is None:
            raise _unknown(self.kind, name, tx)
        return found.aggregate

    def find(self, tx: Tx, name: str, *, deleted: bool = False) -> Stored[A] | None:
        """Return the one of that name, or None."""
        row = tx.one(
            f"""SELECT * FROM {self.table} WHERE workspace_id = :workspace_id AND name = :name
                AND (deleted_at IS NOT NULL) = :deleted ORDER BY deleted_at DESC NULLS FIRST LIMIT 1""",
            name=name,
            deleted=deleted,
        )
        return None if row is None else self._read(row)

    def page(
        self,
        tx: Tx,
        *,
        after: str = "",
        limit: int = 50,
        metadata: Mapping[str, Any] | None = None,
        state: str | None = None,
    ) -> Sequence[Stored[A]]:
        """Return live ones, or deleted ones, by name."""
        deleted = "deleted_at IS NOT NULL" if state == "archived" else "deleted_at IS NULL"
        rows = tx.all(
            f"""SELECT DISTINCT ON (name) * FROM {self.table}
                WHERE workspace_id = :workspace_id AND {deleted} AND name > :after
                AND metadata @> CAST(:metadata AS jsonb) AND (CAST(:state AS text) IS NULL OR state = :state)
                ORDER BY name, deleted_at DESC LIMIT :limit""",
            after=after,
            limit=limit,
            metadata=write_json(dict(metadata or {})),
            state=state,
        )
        return [self._read(row) for row in rows]

    def by_id(self, tx: Tx, identity: UUID) -> A | None:
        """Return the one of that id, deleted or not."""
        row = tx.one(f"SELECT * FROM {self.table} WHERE workspace_id = :workspace_id AND id = :id", id=identity)
        return None if row is None else self._read(row).aggregate

    def _check_name(self, tx: Tx, aggregate: A) -> None:
        taken = tx.one(
            f"""SELECT FROM {self.table} WHERE workspace_id = :workspace_id AND name = :name AND id <> :id
                AND deleted_at IS NULL""",
            name=aggregate.name,
            id=aggregate.id,
        )
        if taken is not None:
            raise _name_taken(aggregate)

    def _row(self, tx: Tx, aggregate: A) -> dict[str, Any]:
        return {
            "id": aggregate.id,
            "name": aggregate.name,
            "state": aggregate.state,
            "version": aggregate.version,
            "definition_version": aggregate.definition_version,
            "body": write_json(aggregate.body),
            "metadata": write_json(aggregate.metadata),
            "by": tx.cause.principal,
        }

    def _read(self, row: Any) -> Stored[A]:
        aggregate = self.kind(row.id)
        aggregate.name = row.name
        aggregate.state = row.state
        aggregate.version = row.version
        aggregate.definition_version = row.definition_version
        aggregate.body = row.body
        aggregate.metadata = row.metadata
        stamp = Stamp(row.created_at, row.created_by, row.updated_at, row.updated_by, row.deleted_at, row.deleted_by)
        return Stored(aggregate, stamp)


class MemoryRepository(Generic[A]):
    """The same in a dictionary: for `test` runs and quick tests, held to the same contract."""

    def __init__(self, kind: type[A], clock: Clock) -> None:
        self.kind = kind
        self.clock = clock
        self._rows: dict[tuple[int, UUID], tuple[A, int, Stamp]] = {}

    def add(self, tx: Tx, aggregate: A) -> None:
        """Keep a new one."""
        if self.find(tx, aggregate.name) is not None:
            raise _name_taken(aggregate)
        now, by = self.clock.now(), tx.cause.principal
        self._keep(tx, aggregate, Stamp(now, by, now, by))

    def save(self, tx: Tx, aggregate: A) -> None:
        """Keep the changes."""
        holder = self.find(tx, aggregate.name)
        if aggregate.state != "archived" and holder is not None and holder.aggregate.id != aggregate.id:
            raise _name_taken(aggregate)
        key = (tx.scope.workspace_id, aggregate.id)
        if key not in self._rows or self._rows[key][1] != aggregate.stored_version:
            raise PreconditionFailed(f"{aggregate.kind} {aggregate.name} was changed by somebody else; read it again")
        old, now, by = self._rows[key][2], self.clock.now(), tx.cause.principal
        gone = aggregate.state == "archived"
        stamp = Stamp(
            old.created_at,
            old.created_by,
            now,
            by,
            (old.deleted_at or now) if gone else None,
            (old.deleted_by or by) if gone else None,
        )
        self._keep(tx, aggregate, stamp)

    def get(self, tx: Tx, name: str) -> A:
        """Return the live one of that name."""
        found = self.find(tx, name)
        if found is None:
            raise _unknown(self.kind, name, tx)
        return found.aggregate

    def find(self, tx: Tx, name: str, *, deleted: bool = False) -> Stored[A] | None:
        """Return the one of that name, or None."""
        mine = [
            each
            for each in self._stored(tx)
            if each.aggregate.name == name and (each.stamp.deleted_at is not None) == deleted
        ]
        return max(reversed(mine), key=lambda each: each.stamp.updated_at, default=None)

    def page(
        self,
        tx: Tx,
        *,
        after: str = "",
        limit: int = 50,
        metadata: Mapping[str, Any] | None = None,
        state: str | None = None,
    ) -> Sequence[Stored[A]]:
        """Return live ones, or deleted ones, by name."""
        wanted = dict(metadata or {}).items()
        found = {
            each.aggregate.name: each
            for each in sorted(self._stored(tx), key=lambda each: each.stamp.updated_at)
            if (each.stamp.deleted_at is not None) == (state == "archived")
            and each.aggregate.name > after
            and all(each.aggregate.metadata.get(key) == value for key, value in wanted)
            and state in (None, each.aggregate.state)
        }
        return [found[name] for name in sorted(found)][:limit]

    def _keep(self, tx: Tx, aggregate: A, stamp: Stamp) -> None:
        copy = self._copy(aggregate)
        self._rows[tx.scope.workspace_id, aggregate.id] = (copy, aggregate.version, stamp)
        tx.track(aggregate)

    def _stored(self, tx: Tx) -> list[Stored[A]]:
        return [
            Stored(self._copy(aggregate), stamp)
            for (workspace, _), (aggregate, _, stamp) in self._rows.items()
            if workspace == tx.scope.workspace_id
        ]

    def _copy(self, aggregate: A) -> A:
        copy = self.kind(aggregate.id)
        copy.__dict__.update(aggregate.__dict__)
        copy.uncommitted = []
        return copy
