"""The other systems that health asks: every integration at work, by the port that bootstrap fills with the guarded call."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Protocol

from server.operations.health import External, Finding
from server.store import Scope

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from server.operations.health import Status
    from server.sdk.adapter import Health
    from server.store import Store

MOST = 200
"""Integrations that one report asks, the oldest first."""
_STATUS: dict[str, Status] = {"healthy": "pass", "degraded": "warn", "unhealthy": "fail"}
_AT_WORK = """
SELECT i.organization_id, i.workspace_id, o.name AS organization, w.name AS workspace, i.name,
  coalesce(b.state, 'closed') AS breaker
FROM integrations i JOIN workspaces w ON w.id = i.workspace_id JOIN organizations o ON o.id = w.organization_id
LEFT JOIN breakers b ON b.integration_id = i.id
WHERE i.deleted_at IS NULL AND i.state IN ('active', 'failing')
  AND (%(workspace)s::bigint IS NULL OR i.workspace_id = %(workspace)s) ORDER BY i.id LIMIT %(most)s
"""


class AskIntegration(Protocol):
    """What integrations/ offers: the guarded `health_check` of one integration."""

    def __call__(self, scope: Scope, name: str) -> Health:
        """Ask the system behind an integration of the workspace how it is.

        Raises:
            CrossdockError: it cannot be asked; its code says why.

        """
        ...


def externals(engine: Store, ask: AskIntegration) -> Callable[[int | None], Sequence[External]]:
    """Return what lists the integrations at work in a workspace, or with None over all of them."""

    def listed(workspace_id: int | None) -> list[External]:
        with engine.connect() as conn:
            rows = conn.exec_driver_sql(_AT_WORK, {"most": MOST, "workspace": workspace_id}).all()
        return [
            External(
                row.workspace_id,
                f"integration/{row.name}",
                partial(
                    _finding,
                    ask,
                    Scope(row.organization_id, row.workspace_id, row.organization, row.workspace),
                    row.name,
                    row.breaker,
                ),
            )
            for row in rows
        ]

    return listed


def _finding(ask: AskIntegration, scope: Scope, name: str, breaker: str) -> Finding:
    """Return how a system is; that it answers us now does not say that it is called: its breaker does."""
    health = ask(scope, name)
    status, message = _STATUS[health.status], f"{health.status}, {health.latency_ms:.0f} ms"
    if breaker == "closed":
        return Finding(status, message)
    return Finding("warn" if status == "pass" else status, f"its breaker is {breaker}: {message}")
