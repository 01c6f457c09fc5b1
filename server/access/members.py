"""People: a user belongs to an organization, a membership gives a role in one workspace. Transactions are the engine's."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from server.access import audit
from server.kernel.errors import Conflict, Invalid, NotFound, code
from server.kernel.ids import new_uuid

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from sqlalchemy.engine import Row

    from server.store import Tx
    from server.web.permissions import Role

EMAIL_INVALID = code("EMAIL_INVALID", "That is no e-mail address.")
LAST_ADMIN = code("LAST_ADMIN", "This is the last person with the role admin here; make somebody else admin first.")
_EMAIL = re.compile(r"[^@\s\x00-\x1f]{1,64}@[^@\s\x00-\x1f]{1,190}")


def put(tx: Tx, email: str, role: Role, name: str = "") -> UUID:
    """Give a person a role in this workspace, making the user when the organization does not know the address.

    Raises:
        Invalid: EMAIL_INVALID.
        Conflict: LAST_ADMIN.

    """
    email = email.strip().lower()
    if not _EMAIL.fullmatch(email):
        problem = {"pointer": "/email", "message": "not an e-mail address", "code": EMAIL_INVALID}
        raise Invalid("that is no e-mail address", code=EMAIL_INVALID, source="access", errors=[problem])
    row = tx.one(
        """INSERT INTO users (organization_id, id, email, name) VALUES (:organization_id, :id, :email, :name)
           ON CONFLICT (organization_id, email) DO UPDATE
           SET name = CASE WHEN EXCLUDED.name = '' THEN users.name ELSE EXCLUDED.name END
           RETURNING id""",
        id=new_uuid(),
        email=email,
        name=name,
    )
    user: UUID = row.id if row else new_uuid()
    before = _role(tx, user)
    if before == "admin" and role != "admin":
        _keep_an_admin(tx, user)
    tx.run(
        """INSERT INTO memberships (organization_id, workspace_id, user_id, role)
           VALUES (:organization_id, :workspace_id, :user, :role)
           ON CONFLICT (workspace_id, user_id) DO UPDATE SET role = EXCLUDED.role""",
        user=user,
        role=role,
    )
    audit.record(tx, "member.put", f"member/{email}", role=role, before=before)
    return user


def remove(tx: Tx, email: str) -> None:
    """Take a person out of this workspace; their tokens here stop working with it.

    Raises:
        NotFound: no such member.
        Conflict: LAST_ADMIN.

    """
    row = tx.one(
        """SELECT u.id, m.role FROM memberships m JOIN users u ON u.id = m.user_id
           WHERE m.workspace_id = :workspace_id AND u.organization_id = :organization_id AND u.email = :email""",
        email=email.strip().lower(),
    )
    if row is None:
        raise NotFound("no such member", source="access")
    if row.role == "admin":
        _keep_an_admin(tx, row.id)
    tx.run("DELETE FROM memberships WHERE workspace_id = :workspace_id AND user_id = :user", user=row.id)
    audit.record(tx, "member.removed", f"member/{email.strip().lower()}", before=row.role)


def page(tx: Tx, *, after: str, limit: int) -> Sequence[Row[Any]]:
    """Return (email, name, role, created_at, disabled_at) of the members of this workspace, by address."""
    return tx.all(
        """SELECT u.email, u.name, m.role, u.created_at, u.disabled_at
           FROM memberships m JOIN users u ON u.id = m.user_id
           WHERE m.workspace_id = :workspace_id AND u.organization_id = :organization_id AND u.email > :after
           ORDER BY u.email LIMIT :limit""",
        after=after,
        limit=limit,
    )


def find(tx: Tx, email: str) -> Row[Any]:
    """Return (id, role) of a member of this workspace.

    Raises:
        NotFound: no such member.

    """
    row = tx.one(
        """SELECT u.id, m.role FROM memberships m JOIN users u ON u.id = m.user_id
           WHERE m.workspace_id = :workspace_id AND u.organization_id = :organization_id AND u.email = :email""",
        email=email.strip().lower(),
    )
    if row is None:
        raise NotFound("no such member", source="access")
    return row


def _role(tx: Tx, user: UUID) -> str | None:
    row = tx.one("SELECT role FROM memberships WHERE workspace_id = :workspace_id AND user_id = :user", user=user)
    return row.role if row else None


def _keep_an_admin(tx: Tx, but: UUID) -> None:
    others = tx.all(
        "SELECT user_id FROM memberships WHERE workspace_id = :workspace_id AND role = 'admin' ORDER BY user_id FOR UPDATE"
    )
    if not any(row.user_id != but for row in others):
        raise Conflict("somebody must stay admin", code=LAST_ADMIN, source="access")
