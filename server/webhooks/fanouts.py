"""Above 200 subscribers an event owes one fan-out row; the deliveries are written out in chunks, by the database.

Ten thousand rows do not pass through this process: it is busy sending the first of them meanwhile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from server.events.envelope import to_json
from server.kernel.ids import first_uuid_of
from server.kernel.lifecycle import HELD_STATES
from server.kernel.policies import parse_duration
from server.queue import claims
from server.webhooks import queries
from server.webhooks.outbound import DEFAULT_EXPIRES, DEFAULT_IN_FLIGHT, DEFAULT_PRIORITY
from server.webhooks.owing import FANOUT

if TYPE_CHECKING:
    from server.kernel.clock import Clock
    from server.queue.claims import Claim
    from server.store import Store

FIRST = 200
GROWTH = 3
CHUNK = 2000
"""The first leave at once; each chunk is written while the one before, of a third of its size, is sent."""
ROUNDS = 4
"""Chunks of each fan-out between other chores."""
_AT_ONCE = 4
_LOOK = """
SELECT left(body ->> 'expires', 100) AS expires, left(body ->> 'priority', 100) AS priority FROM webhooks
WHERE id = ANY((SELECT webhook_ids[1:%(chunk)s] FROM fanouts WHERE id = %(id)s)::uuid[]) AND deleted_at IS NULL GROUP BY 1, 2
"""
_TAKE = """
SELECT cardinality(webhook_ids) AS waiting, written FROM fanouts WHERE id = %(id)s FOR UPDATE
"""
# A UUIDv7 is a version 4 with the time in front. What a duration and a priority mean is said by whoever asks.
_WRITE = f"""
WITH owed AS MATERIALIZED (
  SELECT overlay(overlay(gen_random_uuid()::text PLACING '7' FROM 15) PLACING %(prefix)s FROM 1)::uuid AS id, w.id AS webhook_id,
         f.event_uid, CASE WHEN w.state = ANY(%(held)s::text[]) THEN 'held' ELSE 'pending' END AS state,
         %(now)s + (%(seconds)s::jsonb ->> coalesce(w.body ->> 'expires', ''))::float * interval '1 second' AS expires_at,
         coalesce((w.body ->> 'max_in_flight')::int, {DEFAULT_IN_FLIGHT}) AS lane_limit,
         (%(priorities)s::jsonb ->> coalesce(w.body ->> 'priority', ''))::int AS priority
  FROM fanouts f JOIN webhooks w ON w.id = ANY(f.webhook_ids[1:%(chunk)s])
  WHERE f.id = %(id)s AND w.workspace_id = f.workspace_id AND w.deleted_at IS NULL AND w.state <> 'draft'
), stored AS (
  INSERT INTO deliveries (id, workspace_id, webhook_id, event_uid, message_id, state, created_at, expires_at)
  SELECT id, %(workspace)s, webhook_id, event_uid, crossdock_message_id(event_uid, webhook_id), state, %(now)s, expires_at
  FROM owed
)
INSERT INTO due (kind, ref, workspace_id, lane, lane_limit, priority, due_at)
SELECT '{queries.KIND}', id, %(workspace)s, webhook_id, lane_limit, priority,
       CASE WHEN state = 'held' THEN 'infinity' ELSE now() END
FROM owed
"""
_CUT = """
UPDATE fanouts SET webhook_ids = webhook_ids[CAST(%(chunk)s AS int) + 1:], written = written + %(chunk)s WHERE id = %(id)s
"""
_END = "DELETE FROM fanouts WHERE id = %(id)s"


def drain(store: Store, clock: Clock) -> int:
    """Write out the next chunks of what fan-outs are due; return how many deliveries were written."""
    written = 0
    for _ in range(ROUNDS):
        with store.connect() as conn:
            mine = claims.claim(conn, FANOUT, _AT_ONCE)
        if not mine:
            break
        written += sum(_chunk(store, clock, claim) for claim in mine)
    return written


def _chunk(store: Store, clock: Clock, claim: Claim) -> int:
    now = clock.now()
    with store.connect() as conn:
        fanout = conn.exec_driver_sql(_TAKE, {"id": claim.ref}).first()
        if fanout is None:
            claims.finish(conn, FANOUT, [claim])
            return 0
        chunk = min(max(FIRST, GROWTH * fanout.written), CHUNK)
        more = fanout.waiting > chunk
        still_mine = (
            claims.postpone(conn, FANOUT, [claim], [now], uncount=True)
            if more
            else claims.finish(conn, FANOUT, [claim])
        )
        if not still_mine:
            return 0
        values = {"id": claim.ref, "chunk": chunk}
        meant = conn.exec_driver_sql(_LOOK, values).all()
        written = conn.exec_driver_sql(
            _WRITE,
            {
                **values,
                "workspace": claim.workspace_id,
                "now": now,
                "prefix": str(first_uuid_of(int(now.timestamp() * 1000)))[:13],
                "held": list(HELD_STATES),
                "seconds": to_json(
                    {row.expires or "": parse_duration(row.expires or DEFAULT_EXPIRES) for row in meant}
                ),
                "priorities": to_json(
                    {row.priority or "": claims.PRIORITIES[row.priority or DEFAULT_PRIORITY] for row in meant}
                ),
            },
        ).rowcount
        conn.exec_driver_sql(_CUT if more else _END, values)
    return written
