"""Organizations and their workspaces: made by whoever runs the instance or administers the organization, never deleted."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from server.access import audit
from server.kernel.errors import Conflict, Invalid, NotFound, code
from server.store import Scope

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.engine import Connection, Row

    from server.store import Store, Tx

NAME_RULE = "A name is a lower-case letter, then up to 62 lower-case letters, digits or `-`."
TENANT_NAME_INVALID = code("TENANT_NAME_INVALID", NAME_RULE)
TENANT_EXISTS = code("TENANT_EXISTS", "There is an organization or workspace of that name already.")
WORKSPACE_UNKNOWN = code("WORKSPACE_UNKNOWN", "There is no such workspace: `--workspace organization/name`.")

NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")
DEFAULT = "default"
_SCOPE = """
SELECT o.id AS organization_id, w.id AS workspace_id, o.name AS organization, w.name AS workspace
FROM workspaces w JOIN organizations o ON o.id = w.organization_id WHERE o.name = :organization AND w.name = :workspace
"""


def ensure_default(engine: Store) -> Scope:
    """Make sure that the organization `default` has a workspace `default`; any number of processes may call it at once."""
    with engine.connect() as connection:
        found = _find(connection, DEFAULT, DEFAULT)
        if found is not None:
            return found
        connection.execute(
            text("INSERT INTO organizations (name) VALUES (:name) ON CONFLICT DO NOTHING"), {"name": DEFAULT}
        )
        connection.execute(
            text(
                """INSERT INTO workspaces (organization_id, name)
                   SELECT id, :name FROM organizations WHERE name = :name ON CONFLICT DO NOTHING"""
            ),
            {"name": DEFAULT},
        )
    return scope_of(engine, f"{DEFAULT}/{DEFAULT}")


def scope_of(engine: Store, path: str) -> Scope:
    """Return the scope of `organization/workspace`; a name alone is a workspace of `default`.

    Raises:
        NotFound: WORKSPACE_UNKNOWN.

    """
    organization, slash, workspace = path.partition("/")
    if not slash:
        organization, workspace = DEFAULT, path
    if NAME.fullmatch(organization) and NAME.fullmatch(workspace):
        with engine.connect() as connection:
            found = _find(connection, organization, workspace)
        if found is not None:
            return found
    raise NotFound(f"no workspace {path[:130]}", code=WORKSPACE_UNKNOWN, source="access")


def create_organization(tx: Tx, name: str) -> Scope:
    """Make an organization with its workspace `default`. `tx` is the engine's.

    Raises:
        Invalid: TENANT_NAME_INVALID.
        Conflict: TENANT_EXISTS.

    """
    check_name(name)
    row = tx.one("INSERT INTO organizations (name) VALUES (:name) ON CONFLICT DO NOTHING RETURNING id", name=name)
    if row is None:
        raise Conflict(f"the organization {name} exists already", code=TENANT_EXISTS, source="access")
    audit.record(tx, "organization.created", f"organization/{name}")
    return _create_workspace(tx, row.id, name, DEFAULT)


def create_workspace(tx: Tx, name: str) -> Scope:
    """Make a workspace in the organization of the transaction. `tx` is the engine's.

    Raises:
        Invalid: TENANT_NAME_INVALID.
        Conflict: TENANT_EXISTS.

    """
    check_name(name)
    return _create_workspace(tx, tx.scope.organization_id, tx.scope.organization, name)


def page(tx: Tx, *, after: str, limit: int) -> Sequence[Row[Any]]:
    """Return (name, created_at) of the workspaces of the organization, by name. `tx` is the engine's."""
    return tx.all(
        """SELECT name, created_at FROM workspaces WHERE organization_id = :organization_id AND name > :after
           ORDER BY name LIMIT :limit""",
        after=after,
        limit=limit,
    )


def check_name(name: str) -> None:
    """Refuse what is no name of a tenant.

    Raises:
        Invalid: TENANT_NAME_INVALID.

    """
    if not NAME.fullmatch(name):
        problem = {"pointer": "/name", "message": "lower-case letters, digits and -", "code": TENANT_NAME_INVALID}
        raise Invalid("that is no name of a tenant", code=TENANT_NAME_INVALID, source="access", errors=[problem])


def _create_workspace(tx: Tx, organization_id: int, organization: str, name: str) -> Scope:
    row = tx.one(
        """INSERT INTO workspaces (organization_id, name) VALUES (:organization, :name)
           ON CONFLICT DO NOTHING RETURNING id""",
        organization=organization_id,
        name=name,
    )
    if row is None:
        raise Conflict(f"the workspace {organization}/{name} exists already", code=TENANT_EXISTS, source="access")
    audit.record(tx, "workspace.created", f"workspace/{organization}/{name}")
    return Scope(organization_id, row.id, organization, name)


def _find(connection: Connection, organization: str, workspace: str) -> Scope | None:
    row = connection.execute(text(_SCOPE), {"organization": organization, "workspace": workspace}).first()
    return None if row is None else Scope(row.organization_id, row.workspace_id, row.organization, row.workspace)
