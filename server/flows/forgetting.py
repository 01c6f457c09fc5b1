"""Runs that ended long ago are forgotten, and their idempotency keys with them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from server.store import Store

_AT_ONCE = 500
_SECONDS = 2.0
# A run stays as long as it may be replayed, and the run of a `flow` step as long as the one that may yet undo it.
_FORGET = f"""
WITH old AS (
  SELECT id FROM flow_runs r WHERE ended_at < now() - make_interval(days => %(days)s)
    AND NOT EXISTS (SELECT FROM flow_runs p WHERE p.id = r.parent_id)
    AND NOT EXISTS (SELECT FROM dead_letters l WHERE l.kind = 'flow' AND l.ref = r.id AND l.resolved_at IS NULL)
  ORDER BY ended_at LIMIT {_AT_ONCE} FOR UPDATE SKIP LOCKED
), steps AS (DELETE FROM flow_steps WHERE run_id IN (SELECT id FROM old)
), late AS (  -- of a publisher that had seen a wait which ended before it was done
  DELETE FROM flow_arrivals WHERE run_id IN (SELECT id FROM old))
DELETE FROM flow_runs WHERE id IN (SELECT id FROM old)
"""


def forget(store: Store, days: int) -> int:
    """Delete the runs that ended more than so many days ago, as many as go in two seconds; return how many."""
    until, total = time.monotonic() + _SECONDS, 0
    while time.monotonic() < until:
        with store.connect() as conn:
            did = conn.exec_driver_sql(_FORGET, {"days": days}).rowcount
        total += did
        if not did:
            break
    return total
