"""Above 200 subscribers an event owes one fan-out row; its deliveries are written out as there is room to send them.

The database writes them (migration 0023) and leases them to us in the same breath: ten thousand rows pass through no process, and
none of them is put on the table only to be looked up there and claimed. What cannot go at once (a paused webhook, a lane that is
busy or slow) is left to the claims. Fan-outs take turns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from server.kernel.ids import first_uuid_of
from server.kernel.lifecycle import HELD_STATES
from server.kernel.policies import parse_duration
from server.queue.claims import LEASE_SECONDS, Claim
from server.webhooks.outbound import DEFAULT_EXPIRES, DEFAULT_IN_FLIGHT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.engine import Connection

_TAKE = f"""
SELECT ref, workspace_id, lane, epoch FROM crossdock_fan_out(
  %(limit)s, {LEASE_SECONDS}, %(slow)s::uuid[], %(held)s::text[], %(expires)s, {DEFAULT_IN_FLIGHT}, %(now)s, %(prefix)s)
"""


def take(conn: Connection, limit: int, now: datetime, slow: Sequence[UUID] = ()) -> list[Claim] | None:
    """Write out at most `limit` deliveries of the fan-out whose turn it is; return those leased to us, None when none is due.

    All of them are of one event. Nothing follows from a crash: what is written is leased, and what is not is still owed.
    """
    values = {
        "limit": limit,
        "slow": list(slow),
        "held": list(HELD_STATES),
        "expires": parse_duration(DEFAULT_EXPIRES),
        "now": now,
        "prefix": str(first_uuid_of(int(now.timestamp() * 1000)))[:13],
    }
    rows = conn.exec_driver_sql(_TAKE, values).all()
    if not rows:
        return None
    return [Claim(row.ref, row.workspace_id, row.lane, row.epoch, 1) for row in rows if row.ref is not None]
