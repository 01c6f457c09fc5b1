"""Who presents this token? One indexed look-up, remembered for two seconds: a revoked token works no longer than that."""

from __future__ import annotations

import time
from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from server.access.tenants import scope_of
from server.access.tokens import PREFIX, SHAPE, digest
from server.kernel.ids import show
from server.web.permissions import lesser
from server.web.principals import Principal

if TYPE_CHECKING:
    from collections.abc import Callable

    from server.store import Store

TTL = 2.0
"""Seconds that a process trusts what it has looked up."""
_MOST = 2000
_FIND = """
SELECT t.id, t.role, t.scopes, t.organization_id, t.workspace_id, o.name AS organization, w.name AS workspace, t.user_id,
       m.role AS member_role, extract(epoch FROM t.expires_at - now())::float AS seconds_left,
       t.last_used_at IS NULL OR t.last_used_at < now() - interval '1 minute' AS stale
FROM tokens t
JOIN workspaces w ON w.id = t.workspace_id
JOIN organizations o ON o.id = t.organization_id
LEFT JOIN users u ON u.id = t.user_id
LEFT JOIN memberships m ON m.workspace_id = t.workspace_id AND m.user_id = t.user_id
WHERE t.hash = :hash AND t.revoked_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > now())
  AND (t.user_id IS NULL OR (u.disabled_at IS NULL AND m.role IS NOT NULL))
"""
_USED = """
UPDATE tokens SET last_used_at = now()
WHERE id = :id AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute')
"""


class TokenAuthentication:
    """Implements `web.principals.Authenticate` over the engine's store. A person's token may no more than the person."""

    def __init__(self, engine: Store, *, ttl: float = TTL, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._engine = engine
        self._ttl = ttl
        self._monotonic = monotonic
        self._known: OrderedDict[bytes, tuple[float, Principal]] = OrderedDict()
        self._lock = Lock()

    def __call__(self, credential: str | None) -> Principal | None:
        """Return who presents a token, or None. Unknown ones are looked up each time: nothing grows by guessing."""
        known = self.known(credential)
        if known is not None or credential is None or not SHAPE.fullmatch(credential):
            return known
        return self._look_up(digest(credential), self._monotonic())

    def known(self, credential: str | None) -> Principal | None:
        """Return who presents a token that was looked up lately; of every other one None, without a look."""
        if credential is None or not SHAPE.fullmatch(credential):
            return None
        with self._lock:
            until, known = self._known.get(digest(credential), (0.0, None))
        return known if self._monotonic() < until else None

    def knew(self, credential: str) -> bool:
        """Say whether a token was somebody's when it was last looked up: to look again is worth while."""
        with self._lock:
            return SHAPE.fullmatch(credential) is not None and digest(credential) in self._known

    def _look_up(self, key: bytes, now: float) -> Principal | None:
        with self._engine.connect() as connection:
            row = connection.execute(text(_FIND), {"hash": key}).first()
            if row is not None and row.stale:
                connection.execute(text("SET LOCAL synchronous_commit = off"))
                connection.execute(text(_USED), {"id": row.id})
        found = None if row is None else _principal(row)
        with self._lock:
            self._known.pop(key, None)
            if found is not None and row is not None:
                left = self._ttl if row.seconds_left is None else min(self._ttl, row.seconds_left)
                self._known[key] = (now + left, found)
            while len(self._known) > _MOST:
                self._known.popitem(last=False)
        return found


def local_admin(engine: Store, workspace: str) -> Principal:
    """Return the principal of the local command line, which has the database anyway, in `organization/workspace`.

    Raises:
        NotFound: WORKSPACE_UNKNOWN.

    """
    scope = scope_of(engine, workspace)
    return Principal(
        id="local-admin",
        kind="local",
        organization_id=scope.organization_id,
        workspace_id=scope.workspace_id,
        organization=scope.organization,
        workspace=scope.workspace,
        role="instance",
    )


def _principal(row: Any) -> Principal:
    role = row.role if row.user_id is None else lesser(row.role, row.member_role)
    return Principal(
        id=f"user:{show('usr', row.user_id)}" if row.user_id else f"token:{show(PREFIX, row.id)}",
        kind="user" if row.user_id else "token",
        organization_id=row.organization_id,
        workspace_id=row.workspace_id,
        organization=row.organization,
        workspace=row.workspace,
        role=role,
        scopes=frozenset(row.scopes),
    )
