"""From a row's workspace to the scope that a transaction needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from server.store.engine import Scope

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

_ONE = """
SELECT w.organization_id, w.id, o.name AS organization, w.name AS workspace
FROM workspaces w JOIN organizations o ON o.id = w.organization_id WHERE w.id = %(id)s
"""


def scope_of(conn: Connection, workspace_id: int) -> Scope:
    """Return the scope of a workspace.

    Raises:
        LookupError: there is none; a foreign key keeps that from happening to rows of aggregates.

    """
    row = conn.exec_driver_sql(_ONE, {"id": workspace_id}).first()
    if row is None:
        raise LookupError(f"no workspace {workspace_id}")
    return Scope(row.organization_id, row.id, row.organization, row.workspace)
