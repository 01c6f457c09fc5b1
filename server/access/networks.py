"""Which networks a workspace may reach although they are not public: its own list, within the instance's.

Without a list of its own (NULL) the instance's whole list, `CROSSDOCK_ALLOW_NETWORKS`, holds for it; an empty list leaves
public addresses. Only whoever runs the instance sets it. When the instance's list shrinks later, what no longer lies
within it does not hold, whatever a workspace has.
"""

from __future__ import annotations

import functools
import time
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from server.access import audit
from server.kernel.errors import Invalid, code
from server.transport.addresses import AddressPolicy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from server.store import Scope, Store, Tx
    from server.transport.proxy import Proxy

NETWORK_INVALID = code("NETWORK_INVALID", "A network is written as CIDR without host bits, e.g. `10.1.0.0/16`.")
NETWORK_OUTSIDE = code(
    "NETWORK_OUTSIDE", "A workspace's networks lie within those of the instance, CROSSDOCK_ALLOW_NETWORKS."
)

_MESSAGES = {
    NETWORK_INVALID: "no network of the form 10.1.0.0/16 (no bits may be set behind the prefix)",
    NETWORK_OUTSIDE: "not within the networks of the instance, CROSSDOCK_ALLOW_NETWORKS",
}
MOST = 64
_SECONDS = 5.0
_KEPT = 4096
_READ = "SELECT networks FROM workspaces WHERE id = :workspace_id"


class Networks:
    """The address policies of the workspaces of one instance. Equal lists give the same policy, which keeps its caches."""

    def __init__(self, engine: Store, ceiling: Sequence[str], proxy: Proxy | None = None) -> None:
        self._engine = engine
        self._ceiling = tuple(ceiling)
        self._proxy = proxy
        self._policy = functools.lru_cache(maxsize=256)(self._make)
        self._known: dict[int, tuple[float, AddressPolicy]] = {}

    def of(self, tx: Tx) -> AddressPolicy:
        """Return what the workspace of the transaction may reach, as it is now."""
        row = tx.one(_READ)
        return self._policy(None if row is None or row.networks is None else tuple(row.networks))

    def shown(self, tx: Tx) -> dict[str, Any]:
        """Return {workspace, networks, own}: what holds for the workspace of the transaction, and whether it has its own list."""
        row = tx.one(_READ)
        return {
            "workspace": str(tx.scope),
            "networks": [str(each) for each in self.of(tx).allow_networks],
            "own": row is not None and row.networks is not None,
        }

    def policy(self, scope: Scope) -> AddressPolicy:
        """Return what a workspace may reach, as it was seconds ago; for where no transaction is open."""
        until, policy = self._known.get(scope.workspace_id, (0.0, None))
        if policy is not None and time.monotonic() < until:
            return policy
        with self._engine.connect() as connection:
            row = connection.execute(text(_READ), {"workspace_id": scope.workspace_id}).first()
        policy = self._policy(None if row is None or row.networks is None else tuple(row.networks))
        if len(self._known) >= _KEPT:
            self._known.clear()
        self._known[scope.workspace_id] = (time.monotonic() + _SECONDS, policy)
        return policy

    def set(self, tx: Tx, networks: Sequence[str] | None) -> None:
        """Give the workspace of the transaction a list of its own, or with None the instance's whole. `tx` is the engine's.

        Raises:
            Invalid: NETWORK_INVALID, NETWORK_OUTSIDE; `details["errors"]` has a pointer for each.

        """
        wanted = None if networks is None else self._checked(networks)
        before = tx.one(_READ)
        tx.run("UPDATE workspaces SET networks = CAST(:networks AS text[]) WHERE id = :workspace_id", networks=wanted)
        was = None if before is None else before.networks
        self._known.pop(tx.scope.workspace_id, None)
        audit.record(tx, "networks.set", f"workspace/{tx.scope}", networks=wanted, before=was)

    def _checked(self, networks: Sequence[str]) -> list[str]:
        errors: list[dict[str, str]] = []
        found: dict[str, None] = {}
        for place, each in enumerate(networks):
            problem, network = self._problem(each)
            found[network] = None
            if problem:
                message = f"{each[:50]}: {_MESSAGES[problem]}"
                errors.append({"pointer": f"/networks/{place}", "message": message, "code": problem})
        if errors:
            raise Invalid(errors[0]["message"], code=errors[0]["code"], source="access", errors=errors)
        return list(found)

    def _problem(self, written: str) -> tuple[str, str]:
        try:
            network = str(ip_network(written))
        except ValueError:
            return NETWORK_INVALID, ""
        return "" if AddressPolicy([network]).within(self._ceiling) else NETWORK_OUTSIDE, network

    def _make(self, own: tuple[str, ...] | None) -> AddressPolicy:
        if own is None:
            return AddressPolicy(self._ceiling, proxy=self._proxy)
        return AddressPolicy([each for mine in own for each in _both(mine, self._ceiling)], proxy=self._proxy)


def _both(mine: str, ceiling: Sequence[str]) -> list[str]:
    """Return what lies in `mine` and in the ceiling: of two networks one holds the other, or they have nothing in common."""
    if AddressPolicy([mine]).within(ceiling):
        return [mine]
    return [each for each in ceiling if AddressPolicy([each]).within([mine])]
