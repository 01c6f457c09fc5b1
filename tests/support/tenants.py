"""Organizations and workspaces for tests that need a database."""

from __future__ import annotations

from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from server.store import Scope


def make_workspace(database_url: str, organization: str = "acme", workspace: str = "main") -> Scope:
    """Create a workspace, and its organization when there is none of that name."""
    engine = create_engine(database_url, poolclass=NullPool)
    with engine.begin() as connection:
        organization_id = connection.execute(
            text("""INSERT INTO organizations (name) VALUES (:name)
                    ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING id"""),
            {"name": organization},
        ).scalar_one()
        workspace_id = connection.execute(
            text("INSERT INTO workspaces (organization_id, name) VALUES (:organization, :name) RETURNING id"),
            {"organization": organization_id, "name": workspace},
        ).scalar_one()
    engine.dispose()
    return Scope(organization_id, workspace_id, organization, workspace)
