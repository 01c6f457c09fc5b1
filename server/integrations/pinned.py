"""Definitions as they were: a run keeps the version that it began with, whatever is applied meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from server.store.values import read_json

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy.engine import Connection

_BODY = """
SELECT (data -> 'body')::text AS body FROM journal WHERE workspace_id = %(workspace)s AND aggregate_id = %(id)s
  AND type IN (%(created)s, %(changed)s) AND CAST(data ->> 'definition_version' AS int) = %(version)s
ORDER BY version DESC LIMIT 1
"""


def body_of(conn: Connection, workspace_id: int, kind: str, identity: UUID, version: int) -> dict[str, Any] | None:
    """Return the body of a definition at a version of it; `kind` as in the types of its events, `sync_job`. None: it is not kept."""
    types = {"created": f"crossdock.{kind}.created", "changed": f"crossdock.{kind}.changed"}
    row = conn.exec_driver_sql(_BODY, {"workspace": workspace_id, "id": identity, "version": version, **types}).first()
    body: dict[str, Any] | None = None if row is None else read_json(row.body)
    return body
