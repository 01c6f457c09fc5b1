"""From candidates to new deliveries: each points at the one that it repeats, has a fresh round of tries, and waives its order.

A dead delivery that is replayed is discarded: its dead letter is resolved as `replayed`, and what waited for it in order goes on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from server.kernel.ids import new_uuid
from server.kernel.lifecycle import HELD_STATES
from server.queue import claims, dead_letters
from server.store.values import write_json
from server.webhooks import queries
from server.webhooks.outbound import webhook_of
from server.webhooks.owing import message_id

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from sqlalchemy.engine import Row

    from server.replays.filters import Options
    from server.store import Tx
    from server.webhooks.outbound import OutboundWebhook
    from server.webhooks.usecases import Reopening

# The original payload is made by the definition with which the first delivery of this event to this webhook was first sent;
# what was never sent has none.
_MAKE = """
INSERT INTO deliveries (id, workspace_id, webhook_id, event_uid, message_id, state, created_at, expires_at, reason,
                        replayed_from, replay_id, pinned_version)
SELECT n.id, :workspace_id, n.webhook_id, n.event_uid, n.message_id, n.state, now(), now() + n.expires * interval '1 second',
       'replayed', n.replayed_from, :replay, sent.definition_version
FROM json_to_recordset(CAST(:new AS json))
  AS n(id uuid, webhook_id uuid, event_uid uuid, message_id text, state text, expires float, replayed_from uuid)
LEFT JOIN LATERAL (
  SELECT f.definition_version FROM deliveries f
  WHERE :original AND f.event_uid = n.event_uid AND f.webhook_id = n.webhook_id AND f.definition_version IS NOT NULL
  ORDER BY f.id LIMIT 1) AS sent ON true
"""


def make(tx: Tx, replay: UUID, rows: Sequence[Row[Any]], options: Options, reopening: Reopening) -> int:
    """Write the deliveries of candidates and make them due after all else; return how many: a webhook may be gone by now."""
    webhooks = _webhooks(tx, {row.webhook_id for row in rows})
    new, work = [], []
    for row in rows:
        if row.webhook_id not in webhooks:
            continue
        state, webhook = webhooks[row.webhook_id]
        made = {
            "id": new_uuid(),
            "webhook_id": row.webhook_id,
            "event_uid": row.event_uid,
            "message_id": message_id(new_uuid() if options.as_new else row.event_uid, row.webhook_id),
            "state": "held" if state in HELD_STATES else "pending",
            "expires": webhook.expires,
            "replayed_from": row.delivery_id,
        }
        new.append(made)
        work.append(_due(tx.scope.workspace_id, made, webhook))
    if new:
        tx.run(_MAKE, replay=replay, original=options.payload == "original", new=write_json(new))
        claims.add(tx.conn, queries.KIND, work)
        _replace(tx, [row.delivery_id for row in rows if row.state == "dead" and row.webhook_id in webhooks], reopening)
        tx.after_commit("hint", reopening.hint)
    return len(new)


def _due(workspace_id: int, made: dict[str, Any], webhook: OutboundWebhook) -> claims.Due:
    """Return its due row: history never overtakes what happens now."""
    at = "infinity" if made["state"] == "held" else None
    return claims.Due(made["id"], workspace_id, made["webhook_id"], at, webhook.max_in_flight, claims.LOW)


def _webhooks(tx: Tx, ids: set[UUID]) -> dict[UUID, tuple[str, OutboundWebhook]]:
    """Return the state and the typed view of those that are still there."""
    rows = tx.all(
        "SELECT id, state, body FROM webhooks WHERE workspace_id = :workspace_id AND id = ANY(:ids) AND deleted_at IS NULL",
        ids=list(ids),
    )
    return {row.id: (row.state, webhook_of(row.body)) for row in rows}


def _replace(tx: Tx, dead: list[UUID], reopening: Reopening) -> None:
    if dead:
        reopening.discard(tx, dead)
        dead_letters.resolve_refs(tx, dead, "replayed")
