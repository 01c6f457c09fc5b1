"""Inbound webhooks in tests: a definition, requests that lie in the store already, and what became of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from server.kernel.ids import new_uuid
from server.queue import claims
from server.webhooks.aggregate import Webhook
from server.webhooks.inbound.drain import Inbound

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from server.store import Scope
    from tests.support.product import Product

ORDER = {"id": 42, "currency": "USD", "total": "20.00", "at": "2026-01-01T10:00:00Z"}
EMIT = {"type": "order.created", "subject": "text(body.id)", "data": {"order": "body.id", "total": "body.total"}}
_STORE = """
INSERT INTO inbound_requests (id, workspace_id, webhook_id, definition_version, state, received_at, method, path, params,
                              headers, body, client, correlation_id)
VALUES (:id, :workspace, :webhook, :version, 'received', now(), 'POST', :path, CAST(:params AS json), CAST(:headers AS json),
        :body, '127.0.0.1', :correlation)
"""


def declare(product: Product, name: str = "orders-in", scope: Scope | None = None, **body: Any) -> Webhook:
    """Make an active inbound webhook."""
    webhook = Webhook(new_uuid())
    full = {
        "name": name,
        "direction": "inbound",
        "path": name,
        "verify": {"scheme": "none"},
        "emit": EMIT,
        **body,
    }
    with product.tx(scope) as tx:
        tx.run("UPDATE workspaces SET routes_version = routes_version + 1 WHERE id = :workspace_id")
        webhook.create(name, full, 1, {})
        webhook.activate()
        product.core.webhooks.add(tx, webhook)
    return webhook


def change(product: Product, name: str, scope: Scope | None = None, **body: Any) -> None:
    """Apply another version of its definition."""
    with product.tx(scope) as tx:
        tx.run("UPDATE workspaces SET routes_version = routes_version + 1 WHERE id = :workspace_id")
        webhook = product.core.webhooks.get(tx, name)
        webhook.change({**webhook.body, **body}, webhook.definition_version + 1, {})
        product.core.webhooks.save(tx, webhook)


def store(
    product: Product,
    webhook: Webhook,
    *bodies: Any,
    headers: Mapping[str, str] | None = None,
    scope: Scope | None = None,
    identity: UUID | None = None,
) -> list[UUID]:
    """Put requests into the store as receipt would, due at once; bodies that are no bytes are written as JSON."""
    own = scope or product.scope
    ids = []
    for body in bodies:
        key = identity or new_uuid()
        values = {
            "id": key,
            "workspace": own.workspace_id,
            "webhook": webhook.id,
            "version": webhook.definition_version,
            "path": webhook.body["path"],
            "params": "{}",
            "headers": json.dumps({"content-type": "application/json", **(headers or {})}),
            "body": body if isinstance(body, bytes) else json.dumps(body).encode(),
            "correlation": f"cor_{key}",
        }
        with product.core.engine.connect() as conn:
            conn.execute(text(_STORE), values)
            claims.add(conn, "inbound", [claims.Due(key, own.workspace_id, webhook.id, lane_limit=1000)])
        ids.append(key)
    return ids


def worker(product: Product) -> Inbound:
    """Return what maps requests in a worker."""
    return Inbound(product.core.engine, product.core.publisher)


def drained(product: Product) -> None:
    """Map all that is due."""
    one = worker(product)
    while one.drain():
        pass


def states(product: Product) -> dict[str, int]:
    """Return how many requests are in which state."""
    rows = product.rows("SELECT state, count(*) AS n FROM inbound_requests GROUP BY state")
    return {row.state: row.n for row in rows}


def request(product: Product, identity: UUID) -> Any:
    """Return a request as it is stored."""
    return product.rows("SELECT * FROM inbound_requests WHERE id = :id", id=identity)[0]


def emitted(product: Product, type_: str = "order.created") -> list[Any]:
    """Return the events of a type, oldest first."""
    return product.rows("SELECT * FROM events WHERE type = :type ORDER BY uid", type=type_)


def letters(product: Product) -> list[Any]:
    """Return the dead letters of requests, oldest first."""
    return product.rows("SELECT * FROM dead_letters WHERE kind = 'inbound' ORDER BY id")
