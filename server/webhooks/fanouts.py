"""Above 200 subscribers an event owes one fan-out row; the worker writes the deliveries out in chunks."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from server.kernel.ids import new_uuid
from server.kernel.policies import parse_duration
from server.queue import claims
from server.webhooks import queries
from server.webhooks.outbound import DEFAULT_EXPIRES, DEFAULT_IN_FLIGHT, DEFAULT_PRIORITY
from server.webhooks.owing import FANOUT, HELD_STATES, message_id
from server.webhooks.queries import Owed

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from server.kernel.clock import Clock
    from server.queue.claims import Claim
    from server.store import Store

CHUNK = 2000
# Only what an owed row needs: of ten thousand bodies nobody wants to read the maps.
_WEBHOOKS = """
SELECT id, state, body ->> 'expires' AS expires, CAST(body ->> 'max_in_flight' AS int) AS most, body ->> 'priority' AS priority
FROM webhooks WHERE id = ANY(:ids) AND deleted_at IS NULL AND state <> 'draft'
"""
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
            text("""SELECT event_uid, webhook_ids[1:CAST(:chunk AS int)] AS chunk, cardinality(webhook_ids) > :chunk AS more
                    FROM fanouts WHERE id = :id FOR UPDATE"""),
            {"id": claim.ref, "chunk": CHUNK},
        ).first()
        if fanout is None:
            claims.finish(conn, FANOUT, [claim])
            return 0
        still_mine = (
            claims.postpone(conn, FANOUT, [claim], [now], uncount=True)
            if fanout.more
            else claims.finish(conn, FANOUT, [claim])
        )
        if not still_mine:
            return 0
        owed = [_owed(row, fanout.event_uid, now) for row in conn.execute(text(_WEBHOOKS), {"ids": fanout.chunk})]
        queries.owe(conn, claim.workspace_id, now, owed)
        if fanout.more:
            conn.execute(
                text("UPDATE fanouts SET webhook_ids = webhook_ids[CAST(:next AS int):] WHERE id = :id"),
                {"next": CHUNK + 1, "id": claim.ref},
            )
        else:
            conn.execute(text("DELETE FROM fanouts WHERE id = :id"), {"id": claim.ref})
    return len(owed)


def _owed(row: Any, event_uid: UUID, now: datetime) -> Owed:
    return Owed(
        new_uuid(),
        row.id,
        event_uid,
        message_id(event_uid, row.id),
        "held" if row.state in HELD_STATES else "pending",
        now + timedelta(seconds=parse_duration(row.expires or DEFAULT_EXPIRES)),
        lane_limit=row.most or DEFAULT_IN_FLIGHT,
        priority=claims.PRIORITIES[row.priority or DEFAULT_PRIORITY],
    )
