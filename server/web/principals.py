"""Who is asking: the principal that authentication found, its tenant, and the cause that its changes carry."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

from server.kernel.errors import Forbidden
from server.store import Scope
from server.web.permissions import ROLES

if TYPE_CHECKING:
    from server.web.permissions import Role


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Somebody known, in one workspace. `id` is what audit and journal show: `token:tok_…`, `user:usr_…`, `local-admin`."""

    id: str
    kind: Literal["token", "user", "local"]
    organization_id: int
    workspace_id: int
    organization: str
    workspace: str
    role: Role
    scopes: frozenset[str] = field(default=frozenset())
    """A narrowing of the role; empty narrows nothing."""

    @property
    def scope(self) -> Scope:
        """The tenant for transactions."""
        return Scope(self.organization_id, self.workspace_id, self.organization, self.workspace)

    @property
    def permissions(self) -> frozenset[str]:
        """All that this principal may."""
        return ROLES[self.role] & self.scopes if self.scopes else ROLES[self.role]

    def must(self, permission: str) -> None:
        """Insist on a permission.

        Raises:
            Forbidden: the role or the scopes lack it; `details["permission"]` names it.

        """
        if permission not in ROLES[self.role] or (self.scopes and permission not in self.scopes):
            raise Forbidden(
                f"{self.id} is {self.role} here and may not {permission}",
                source="access",
                permission=permission,
            )


class Authenticate(Protocol):
    """The port that `access` implements: who presents this credential?"""

    def __call__(self, credential: str | None) -> Principal | None:
        """Return the principal of a bearer token (None: the request carried none), or None for nobody."""
        ...


class Failures(Protocol):
    """The port that counts failed authentications per client address, over all processes."""

    def failed(self, address: str) -> float | None:
        """Count one more; return the seconds to wait when there were too many in this minute."""
        ...
