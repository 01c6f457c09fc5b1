"""Above 200 subscribers an event owes one fan-out row; the worker writes the deliveries out in chunks."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import text

from server.kernel.ids import new_uuid
from server.queue import claims
from server.webhooks import queries
from server.webhooks.outbound import webhook_of
from server.webhooks.owing import FANOUT, HELD_STATES, message_id
from server.webhooks.queries import Owed

if TYPE_CHECKING:
    from server.kernel.clock import Clock
    from server.queue.claims import Claim
    from server.store import Store

CHUNK = 1000
_AT_ONCE = 4


def drain(store: Store, clock: Clock) -> int:
    """Write out the next chunks of what fan-outs are due; return how many deliveries were written."""
    with store.connect() as conn:
        mine = claims.claim(conn, FANOUT, _AT_ONCE)
    return sum(_chunk(store, clock, claim) for claim in mine)


def _chunk(store: Store, clock: Clock, claim: Claim) -> int:
    now = clock.now()
    with store.connect() as conn:
        fanout = conn.execute(
            text("SELECT event_uid, webhook_ids[1:200000] AS webhook_ids FROM fanouts WHERE id = :id FOR UPDATE"),
            {"id": claim.ref},
        ).first()
        if fanout is None:
            claims.finish(conn, FANOUT, [claim])
            return 0
        chunk, rest = fanout.webhook_ids[:CHUNK], fanout.webhook_ids[CHUNK:]
        still_mine = (
            claims.postpone(conn, FANOUT, [claim], [now], uncount=True)
            if rest
            else claims.finish(conn, FANOUT, [claim])
        )
        if not still_mine:
            return 0
        webhooks = conn.execute(
            text(
                "SELECT id, state, body FROM webhooks WHERE id = ANY(:ids) AND deleted_at IS NULL AND state <> 'draft'"
            ),
            {"ids": chunk},
        ).all()
        owed = []
        for row in webhooks:
            webhook = webhook_of(row.body)
            owed.append(
                Owed(
                    new_uuid(),
                    row.id,
                    fanout.event_uid,
                    message_id(fanout.event_uid, row.id),
                    "held" if row.state in HELD_STATES else "pending",
                    now + timedelta(seconds=webhook.expires),
                    lane_limit=webhook.max_in_flight,
                )
            )
        queries.owe(conn, claim.workspace_id, now, owed)
        if rest:
            conn.execute(text("UPDATE fanouts SET webhook_ids = :rest WHERE id = :id"), {"rest": rest, "id": claim.ref})
        else:
            conn.execute(text("DELETE FROM fanouts WHERE id = :id"), {"id": claim.ref})
    return len(owed)
