"""The SQL of definitions and their versions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from server.documents.kinds import hash_of
from server.store.values import read_json, write_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.engine import Row

    from server.authoring.references import Key
    from server.store import Tx

_HELD = """
SELECT d.kind, d.name, d.version, d.origin, d.hash, d.body, d.updated_at, d.updated_by, d.removed_at,
       v.action AS last_action, v.origin AS last_origin
FROM definitions d JOIN definition_versions v USING (workspace_id, kind, name, version)
WHERE d.workspace_id = :workspace_id
"""
_PUT = """
INSERT INTO definitions (organization_id, workspace_id, kind, name, version, origin, hash, body, updated_at, updated_by,
                         removed_at)
VALUES (:organization_id, :workspace_id, :kind, :name, :version, :owner, :hash, CAST(:body AS json), now(), :by,
        CASE WHEN :removed THEN now() END)
ON CONFLICT (workspace_id, kind, name) DO UPDATE
SET version = excluded.version, origin = excluded.origin, hash = excluded.hash, body = excluded.body,
    updated_at = excluded.updated_at, updated_by = excluded.updated_by, removed_at = excluded.removed_at
"""
_KEEP = """
INSERT INTO definition_versions (organization_id, workspace_id, kind, name, version, action, origin, hash, body, by)
VALUES (:organization_id, :workspace_id, :kind, :name, :version, :action, :origin, :hash, CAST(:body AS json), :by)
"""


@dataclass(frozen=True, slots=True)
class Held:
    """A definition as the workspace holds it; a removed one keeps its row and its versions.

    `origin` owns it; `last_action` and `last_origin` say what its present version came from: another origin than the
    owner's is drift.
    """

    kind: str
    name: str
    version: int
    origin: str
    hash: str
    body: Mapping[str, Any]
    updated_at: datetime
    updated_by: str
    removed_at: datetime | None
    last_action: str
    last_origin: str

    @property
    def key(self) -> Key:
        """The kind and the name under which it is kept."""
        return self.kind, self.name

    @property
    def live(self) -> bool:
        """Whether it was not removed."""
        return self.removed_at is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """A new version: its number and body, what was done, by which way in (`origin`), and who owns it afterwards."""

    kind: str
    name: str
    version: int
    body: Mapping[str, Any]
    action: str
    origin: str
    owner: str


def content_hash(body: Any) -> str:
    """Hash a body as the database will give it back, so that what was read once compares with what was stored."""
    return hash_of(read_json(write_json(body)))


def held(tx: Tx) -> dict[Key, Held]:
    """Return every definition of the workspace, removed ones too."""
    return {(row.kind, row.name): _read(row) for row in tx.all(f"{_HELD} ORDER BY d.kind, d.name")}


def find(tx: Tx, kind: str, name: str) -> Held | None:
    """Return one definition, also a removed one."""
    row = tx.one(f"{_HELD} AND d.kind = :kind AND d.name = :name", kind=kind, name=name)
    return None if row is None else _read(row)


def page(
    tx: Tx,
    *,
    after: tuple[str, str],
    limit: int,
    kind: str | None = None,
    origin: str | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> list[Held]:
    """Return live definitions after (kind, name), in that order; `metadata` pairs must all be there."""
    rows = tx.all(
        f"""{_HELD} AND d.removed_at IS NULL AND (d.kind, d.name) > (:after_kind, :after_name)
            AND (CAST(:kind AS text) IS NULL OR d.kind = :kind) AND (CAST(:origin AS text) IS NULL OR d.origin = :origin)
            AND coalesce(CAST(d.body AS jsonb) -> 'metadata', '{{}}') @> CAST(:metadata AS jsonb)
            ORDER BY d.kind, d.name LIMIT :limit""",
        after_kind=after[0],
        after_name=after[1],
        kind=kind,
        origin=origin,
        metadata=write_json(dict(metadata or {})),
        limit=limit,
    )
    return [_read(row) for row in rows]


def store(tx: Tx, writes: Sequence[Write]) -> None:
    """Store new versions of definitions; `action` remove keeps the body and marks the definition removed."""
    rows = [
        {
            "kind": each.kind,
            "name": each.name,
            "version": each.version,
            "hash": content_hash(each.body),
            "body": write_json(each.body),
            "by": tx.cause.principal,
            "owner": each.owner,
            "origin": each.origin,
            "action": each.action,
            "removed": each.action == "remove",
        }
        for each in writes
    ]
    tx.many(_PUT, rows)
    tx.many(_KEEP, rows)


def versions(tx: Tx, kind: str, name: str, *, before: int | None = None, limit: int = 1000) -> Sequence[Row[Any]]:
    """Return the versions (version, action, origin, hash, body, at, by) of a definition, newest first."""
    return tx.all(
        """SELECT version, action, origin, hash, body, at, by FROM definition_versions
           WHERE workspace_id = :workspace_id AND kind = :kind AND name = :name
             AND (CAST(:before AS int) IS NULL OR version < :before)
           ORDER BY version DESC LIMIT :limit""",
        kind=kind,
        name=name,
        before=before,
        limit=limit,
    )


def several(tx: Tx, kind: str, names: Sequence[str], *, removed: bool = False) -> dict[str, Held]:
    """Return live definitions of a kind by name, or removed ones."""
    rows = tx.all(
        f"{_HELD} AND (d.removed_at IS NOT NULL) = :removed AND d.kind = :kind AND d.name = ANY(:names)",
        kind=kind,
        names=list(names),
        removed=removed,
    )
    return {row.name: _read(row) for row in rows}


def born(tx: Tx, kind: str, names: Sequence[str]) -> dict[str, tuple[datetime, str]]:
    """Return when and by whom the first version of each was made."""
    rows = tx.all(
        """SELECT name, at, by FROM definition_versions
           WHERE workspace_id = :workspace_id AND kind = :kind AND name = ANY(:names) AND version = 1""",
        kind=kind,
        names=list(names),
    )
    return {row.name: (row.at, row.by) for row in rows}


def journal_page(tx: Tx, aggregate_id: UUID, *, after: int, limit: int) -> Sequence[Row[Any]]:
    """Return the journal of an aggregate after a version, oldest first."""
    return tx.all(
        """SELECT version, type, data, at, by, correlation_id, causation_id FROM journal
           WHERE workspace_id = :workspace_id AND aggregate_id = :id AND version > :after
           ORDER BY version LIMIT :limit""",
        id=aggregate_id,
        after=after,
        limit=limit,
    )


def states(tx: Tx) -> dict[Key, str]:
    """Return the state of every live aggregate that a definition declares."""
    rows = tx.all(
        """SELECT 'Integration' AS kind, name, state FROM integrations
           WHERE workspace_id = :workspace_id AND deleted_at IS NULL
           UNION ALL SELECT 'Webhook', name, state FROM webhooks
           WHERE workspace_id = :workspace_id AND deleted_at IS NULL
           UNION ALL SELECT 'SyncJob', name, state FROM sync_jobs
           WHERE workspace_id = :workspace_id AND deleted_at IS NULL
           UNION ALL SELECT 'Flow', name, state FROM flows
           WHERE workspace_id = :workspace_id AND deleted_at IS NULL"""
    )
    return {(row.kind, row.name): row.state for row in rows}


def secret_names(tx: Tx) -> set[str]:
    """Return the names of the secrets that the workspace can use now."""
    rows = tx.all(
        """SELECT DISTINCT name FROM secrets
           WHERE workspace_id = :workspace_id AND (valid_until IS NULL OR valid_until > now())"""
    )
    return {row.name for row in rows}


def _read(row: Any) -> Held:
    return Held(*row)
