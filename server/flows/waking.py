"""Waking runs that wait. Whatever a run waits for leaves a due row of kind `flow_wake` in its own transaction, and nothing else.

The run itself is touched later, in a transaction of its own: a publisher that locked it could meet another that does so the other
way round, or wait for a worker that has it. One that is being worked on is waked a moment later: it may have looked already.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from server.queue import claims
from server.queue.claims import Claimer, Due

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from uuid import UUID

    from sqlalchemy.engine import Connection

    from server.store import Store

KIND = "flow_wake"
_AT_ONCE = 500
_LANE_LIMIT = 1_000_000  # waking costs nothing: no workspace's need keep to a number at a time
_AGAIN = timedelta(milliseconds=40)

_WAKE = """
UPDATE due SET due_at = now() WHERE (kind, ref) IN (
  SELECT kind, ref FROM due WHERE kind = 'flow' AND ref = ANY(%(runs)s::uuid[]) AND NOT leased AND due_at <> 'infinity'
  AND due_at > now() ORDER BY ref FOR UPDATE
)
"""
_BUSY = """
SELECT ref, now() AS now FROM due WHERE kind = 'flow' AND ref = ANY(%(runs)s::uuid[]) AND leased
"""

# Publishers write wakes in this order: whoever locks them in another one may wait for somebody who waits for them.
_IN_ORDER = "SELECT FROM due WHERE kind = 'flow_wake' AND ref = ANY(%(runs)s::uuid[]) ORDER BY ref FOR UPDATE"


def wake(conn: Connection, workspace_id: int, runs: Iterable[UUID]) -> None:
    """Let runs that wait look again, once this transaction has committed; whoever calls it gives the hint then."""
    work = [Due(each, workspace_id, each, lane_limit=_LANE_LIMIT) for each in sorted(set(runs))]
    claims.add(conn, KIND, work)


class Waking:
    """The worker's part."""

    def __init__(self, store: Store, hint: Callable[[], None]) -> None:
        self._store = store
        self._hint = hint
        self._claim = Claimer(KIND)

    def drain(self) -> int:
        """Make runs due that were waked, those first that are not worked on; return how many were looked at.

        Raises:
            Unavailable: the database is away.

        """
        with self._store.connect() as conn:
            mine = self._claim(conn, _AT_ONCE)
        if not mine:
            return 0
        with self._store.connect() as conn:
            values = {"runs": [each.ref for each in mine]}
            # Asked first: one that is given back between the two is waked then, or a moment later, but never passed over.
            busy = {row.ref: row.now for row in conn.exec_driver_sql(_BUSY, values)}
            waked = conn.exec_driver_sql(_WAKE, values).rowcount
            conn.exec_driver_sql(_IN_ORDER, values)
            again = [each for each in mine if each.ref in busy]
            if again:
                claims.postpone(conn, KIND, again, [busy[each.ref] + _AGAIN for each in again], uncount=True)
            claims.finish(conn, KIND, [each for each in mine if each.ref not in busy])
        if waked:
            self._hint()
        return len(mine)
