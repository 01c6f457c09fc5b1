"""Tokens: `cdk_` + 8 characters to know it by + 160 random bits in base 62. Shown once; only SHA-256 is stored."""

from __future__ import annotations

import hashlib
import re
import secrets
import string
from typing import TYPE_CHECKING, Any

from server.access import audit
from server.kernel.errors import Forbidden, Invalid, NotFound, code
from server.kernel.ids import new_uuid, show
from server.web.permissions import PERMISSIONS, ROLES, TOKEN_ROLES

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from uuid import UUID

    from sqlalchemy.engine import Row

    from server.store import Tx
    from server.web.permissions import Role
    from server.web.principals import Principal

SCOPE_INVALID = code(
    "SCOPE_INVALID", "A scope is a permission that the token's role has; `GET /api/v1/me` lists yours."
)
TOKEN_TOO_STRONG = code("TOKEN_TOO_STRONG", "Nobody can make a token that may more than they may themselves.")

PREFIX = "tok"
SHAPE = re.compile(r"cdk_[0-9A-Za-z]{8}_[0-9A-Za-z]{27}")
LONGEST_LIFE = 10 * 366 * 86_400.0
_LETTERS = string.digits + string.ascii_uppercase + string.ascii_lowercase
_SECRET_LETTERS = 27  # 62^27 > 2^160
_COLUMNS = """t.id, t.name, t.prefix, t.role, t.scopes, t.created_at, t.created_by, t.expires_at, t.last_used_at, t.revoked_at,
              t.user_id"""


def digest(token: str) -> bytes:
    """Return what is stored of a token."""
    return hashlib.sha256(token.encode()).digest()


def create(
    tx: Tx,
    by: Principal,
    *,
    name: str,
    role: Role,
    scopes: Collection[str] = (),
    lifetime: float | None = None,
    user: UUID | None = None,
) -> tuple[Row[Any], str]:
    """Make a token in the workspace of the transaction; `lifetime` in seconds, None for no end.

    Returns:
        Its row, and the token itself, which nobody can show again.

    Raises:
        Invalid: a role that no token has, or SCOPE_INVALID.
        Forbidden: TOKEN_TOO_STRONG.

    """
    granted = _granted(role, scopes)
    if not granted <= by.permissions:
        lacking = sorted(granted - by.permissions)
        raise Forbidden("that token could do more than you", code=TOKEN_TOO_STRONG, source="access", lacking=lacking)
    prefix, secret = _letters(8), _letters(_SECRET_LETTERS)
    token = f"cdk_{prefix}_{secret}"
    identity = new_uuid()
    tx.run(
        """INSERT INTO tokens (organization_id, workspace_id, id, user_id, name, prefix, hash, role, scopes, created_by, expires_at)
           VALUES (:organization_id, :workspace_id, :id, :user, :name, :prefix, :hash, :role, :scopes, :by,
                   now() + make_interval(secs => CAST(:lifetime AS double precision)))""",
        id=identity,
        user=user,
        name=name,
        prefix=prefix,
        hash=digest(token),
        role=role,
        scopes=sorted(scopes),
        by=tx.cause.principal,
        lifetime=lifetime,
    )
    audit.record(
        tx,
        "token.created",
        f"token/{show(PREFIX, identity)}",
        name=name,
        role=role,
        scopes=sorted(scopes),
        prefix=prefix,
    )
    return find(tx, identity), token


def revoke(tx: Tx, identity: UUID) -> None:
    """End a token for good; every process knows within `authentication.TTL` seconds. A second time changes nothing.

    Raises:
        NotFound: no such token in this workspace.

    """
    find(tx, identity)
    ended = tx.run(
        """UPDATE tokens SET revoked_at = now()
           WHERE organization_id = :organization_id AND workspace_id = :workspace_id AND id = :id AND revoked_at IS NULL""",
        id=identity,
    )
    if ended.rowcount:
        audit.record(tx, "token.revoked", f"token/{show(PREFIX, identity)}")


def find(tx: Tx, identity: UUID) -> Row[Any]:
    """Return the row of a token, without its hash.

    Raises:
        NotFound: no such token in this workspace.

    """
    row = tx.one(
        f"""SELECT {_COLUMNS} FROM tokens t
            WHERE t.organization_id = :organization_id AND t.workspace_id = :workspace_id AND t.id = :id""",
        id=identity,
    )
    if row is None:
        raise NotFound("no such token", source="access")
    return row


def page(tx: Tx, *, before: UUID | None, limit: int) -> Sequence[Row[Any]]:
    """Return the tokens of the workspace, newest first, revoked ones too."""
    return tx.all(
        f"""SELECT {_COLUMNS} FROM tokens t
            WHERE t.organization_id = :organization_id AND t.workspace_id = :workspace_id
              AND (CAST(:before AS uuid) IS NULL OR t.id < :before)
            ORDER BY t.id DESC LIMIT :limit""",
        before=before,
        limit=limit,
    )


def _granted(role: Role, scopes: Collection[str]) -> frozenset[str]:
    if role not in TOKEN_ROLES:
        raise Invalid(f"no token has the role {role}", source="access")
    wrong = [
        {"pointer": f"/scopes/{number}", "message": f"{role} has no such permission", "code": SCOPE_INVALID}
        for number, scope in enumerate(scopes)
        if scope not in PERMISSIONS or scope not in ROLES[role]
    ]
    if wrong:
        raise Invalid("a scope lies outside of the role", code=SCOPE_INVALID, source="access", errors=wrong)
    return frozenset(scopes) or ROLES[role]


def _letters(count: int) -> str:
    return "".join(secrets.choice(_LETTERS) for _ in range(count))
