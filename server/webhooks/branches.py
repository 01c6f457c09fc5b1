"""What webhooks add to the tree of an event: the inbound request that it came of, and the deliveries that came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from server.events.tree import Node, key_of
from server.kernel.ids import show, those

if TYPE_CHECKING:
    from collections.abc import Sequence

    from server.events.envelope import Event
    from server.store import Tx

_REQUESTS = """
SELECT r.id, r.state, r.received_at, r.method, r.path, r.reason, w.name FROM inbound_requests r
JOIN webhooks w ON w.id = r.webhook_id
WHERE r.workspace_id = :workspace_id AND r.id = ANY (:ids)
"""
_DELIVERIES = """
SELECT d.id, d.event_uid, d.state, d.created_at, d.attempts, d.attempts_before, d.last_status, d.reason, d.replayed_from, w.name
FROM deliveries d JOIN webhooks w ON w.id = d.webhook_id
WHERE d.workspace_id = :workspace_id AND
"""


class WebhookBranch:
    """Implements `events.tree.Branch`."""

    def causes(self, tx: Tx, ids: Sequence[str]) -> list[Node]:
        """Return the inbound requests and the deliveries that have these ids."""
        requests, deliveries = those("req", ids), those("dlv", ids)
        found = [_shown_request(row) for row in tx.all(_REQUESTS, ids=requests)] if requests else []
        if deliveries:
            rows = tx.all(f"{_DELIVERIES} d.id = ANY (:ids)", ids=deliveries)
            found += [_shown_delivery(row, str(row.event_uid)) for row in rows]
        return found

    def effects(self, tx: Tx, events: Sequence[Event], most: int) -> list[Node]:
        """Return the deliveries of events."""
        keys = {event.uid: key_of(event) for event in events}
        rows = tx.all(f"{_DELIVERIES} d.event_uid = ANY (:uids) ORDER BY d.id LIMIT :most", uids=list(keys), most=most)
        return [_shown_delivery(row, keys[row.event_uid]) for row in rows]


def _shown_request(row: Any) -> Node:
    details = {"method": row.method, "path": row.path, "reason": row.reason}
    return Node("request", show("req", row.id), row.name, row.received_at, row.state, details=details)


def _shown_delivery(row: Any, parent: str) -> Node:
    details = {
        "attempts": row.attempts_before + row.attempts,
        "last_status": row.last_status,
        "reason": row.reason,
        "replayed_from": row.replayed_from and show("dlv", row.replayed_from),
    }
    return Node("delivery", show("dlv", row.id), row.name, row.created_at, row.state, parent, details)
