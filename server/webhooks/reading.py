"""What people see of deliveries: the SQL of listings, under the tenant's fence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from server.kernel.ids import show
from server.webhooks.ordering import PARKED
from server.webhooks.recording import HOLDING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from sqlalchemy.engine import Row

    from server.store import Tx

_DELIVERY = """
SELECT d.*, w.name AS webhook, w.state AS webhook_state, i.state AS integration_state,
       e.id AS event_id, e.type AS event_type, e.subject, e.correlation_id,
       CASE WHEN due.due_at < 'infinity' THEN due.due_at END AS due_at
FROM deliveries d
JOIN webhooks w ON w.id = d.webhook_id
JOIN events e ON e.uid = d.event_uid
LEFT JOIN integrations i ON i.workspace_id = w.workspace_id AND i.name = w.body ->> 'integration' AND i.deleted_at IS NULL
LEFT JOIN due ON due.kind = 'delivery' AND due.ref = d.id
WHERE d.workspace_id = :workspace_id
"""
SAMPLED = 100_000
"""The newest tries of the hour that figures and filters are made from."""
TRIES_OF_THE_HOUR = """
SELECT delivery_id, outcome, timings FROM attempts
WHERE workspace_id = :workspace_id AND id >= crossdock_first_uuid(now() - interval '1 hour') ORDER BY id DESC LIMIT :sampled
"""
_WHERE = {
    "before": "d.id < :before",
    "webhook": "d.webhook_id IN (SELECT id FROM webhooks WHERE workspace_id = :workspace_id AND name = :webhook)",
    "state": "d.state = :state",
    "event": "d.event_uid IN (SELECT uid FROM event_keys WHERE workspace_id = :workspace_id AND id = :event)",
    "replay": "d.replay_id = :replay",
    "sampled": f"d.id IN (SELECT delivery_id FROM ({TRIES_OF_THE_HOUR}) AS tries WHERE outcome <> 'success')",
}


def deliveries(
    tx: Tx,
    *,
    before: UUID | None,
    limit: int,
    webhook: str | None = None,
    state: str | None = None,
    event: str | None = None,
    replay: UUID | None = None,
    failed: bool = False,
) -> Sequence[Row[Any]]:
    """Return deliveries newest first; `failed` ones had a failed try in the last hour, whatever has become of them."""
    asked = {
        "before": before,
        "webhook": webhook,
        "state": state,
        "event": event,
        "replay": replay,
        "sampled": SAMPLED if failed else None,
    }
    given = {name: value for name, value in asked.items() if value is not None}
    # What is not asked for is not in the statement: beside an OR no filter would find its index.
    where = "".join(f" AND {_WHERE[name]}" for name in given)
    return tx.all(f"{_DELIVERY}{where} ORDER BY d.id DESC LIMIT :limit", limit=limit, **given)


def delivery(tx: Tx, identity: UUID) -> Row[Any] | None:
    """Return one delivery."""
    return tx.one(f"{_DELIVERY} AND d.id = :id", id=identity)


def waits(row: Row[Any]) -> bool:
    """Tell whether the turn of a delivery in its order has not come."""
    return row.order_no is not None and row.state in ("pending", "held") and row.due_at is None


def attempts(tx: Tx, delivery_id: UUID, *, after: int, limit: int) -> Sequence[Row[Any]]:
    """Return the attempts of a delivery, first try first."""
    return tx.all(
        """SELECT * FROM attempts WHERE workspace_id = :workspace_id AND delivery_id = :id AND no > :after
           ORDER BY no, id LIMIT :limit""",
        id=delivery_id,
        after=after,
        limit=limit,
    )


def open_letters(tx: Tx, owner: str, limit: int) -> list[UUID]:
    """Return the oldest open dead letters of a definition."""
    rows = tx.all(
        """SELECT id FROM dead_letters WHERE workspace_id = :workspace_id AND owner = :owner AND resolved_at IS NULL
           ORDER BY id LIMIT :limit""",
        owner=owner,
        limit=limit,
    )
    return [row.id for row in rows]


def why_held(row: Any) -> str | None:
    """Say what keeps a held delivery back, for people: its order, its webhook or its integration."""
    if row.state != "held":
        return None
    if row.reason == PARKED:
        return "parked behind a dead letter of its order"
    parts = {"webhook": row.webhook_state, "integration": row.integration_state}
    return next((f"its {part} is {state}" for part, state in parts.items() if state in HOLDING), None)


def show_delivery(row: Any) -> dict[str, Any]:
    """Return a delivery as the API shows it."""
    links = {
        "replayed_from": row.replayed_from and show("dlv", row.replayed_from),
        "replay_id": row.replay_id and show("rpl", row.replay_id),
    }
    return {**row._mapping, **links, "id": show("dlv", row.id)}  # noqa: SLF001 - SQLAlchemy's public name for it


def show_attempt(row: Any) -> dict[str, Any]:
    """Return an attempt as the API shows it; bytes that are no UTF-8 are shown as such signs."""
    body = row.response_body
    text = None if body is None else bytes(body).decode("utf-8", "replace").replace("\x00", "\ufffd")
    return {**row._mapping, "id": show("att", row.id), "response_body": text}  # noqa: SLF001


_PREFIXES = {"delivery": "dlv", "inbound": "req", "flow": "run"}


def show_letter(row: Any) -> dict[str, Any]:
    """Return a dead letter as the API shows it."""
    ref = show(_PREFIXES.get(row.kind, row.kind), row.ref)
    return {**row._mapping, "id": show("dead", row.id), "ref": ref}  # noqa: SLF001
