"""What the scheduler does for inbound webhooks: keys and versions that are kept no longer, and requests held for no reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

from server.store import Cause
from server.store.scopes import scope_of
from server.webhooks.inbound.reopening import release

if TYPE_CHECKING:
    from collections.abc import Callable

    from server.store import Store

BATCH = 1000
BATCHES = 50
"""Steps of one run; the next run goes on where it ended."""
_KEYS = """
DELETE FROM inbound_keys WHERE ctid = ANY (ARRAY(
  SELECT ctid FROM inbound_keys WHERE expires_at < now() ORDER BY expires_at LIMIT %(most)s FOR UPDATE SKIP LOCKED))
"""
_VERSIONS = """
DELETE FROM inbound_versions WHERE ctid = ANY (ARRAY(
  SELECT ctid FROM inbound_versions WHERE seen_at < now() - %(days)s * interval '1 day'
  ORDER BY seen_at LIMIT %(most)s FOR UPDATE SKIP LOCKED))
"""
# Held although their webhook is at work, or was removed: a request that was stored while somebody resumed it.
_STRANDED = """
SELECT w.workspace_id, w.id FROM webhooks w
WHERE w.state IN ('active', 'failing', 'archived') AND EXISTS (
  SELECT FROM due d WHERE d.kind = 'inbound' AND d.workspace_id = w.workspace_id AND d.lane = w.id AND d.due_at = 'infinity'
    AND NOT d.leased AND d.priority >= 0)
ORDER BY w.workspace_id LIMIT 1000
"""


def forget_keys(engine: Store) -> int:
    """Delete dedupe keys whose time is over; return how many."""
    return _in_batches(engine, _KEYS)


def forget_versions(engine: Store, days: int) -> int:
    """Delete the versions of subjects of which nothing was heard for as long as events are kept; return how many."""
    return _in_batches(engine, _VERSIONS, days=days)


def release_stranded(engine: Store, hint: Callable[[], None]) -> int:
    """Release what is held for no reason any more, in a transaction per webhook; return how many requests went."""
    with engine.connect() as conn:
        rows = conn.exec_driver_sql(_STRANDED).all()
        scopes = {row.workspace_id: scope_of(conn, row.workspace_id) for row in rows}
    released = 0
    for row in rows:
        with engine.begin(scopes[row.workspace_id], Cause("scheduler", "release-stranded-requests")) as tx:
            released += release(tx, [row.id], hint)
    return released


def _in_batches(engine: Store, statement: str, **values: int) -> int:
    total = 0
    for _ in range(BATCHES):
        with engine.connect() as conn:
            did = conn.exec_driver_sql(statement, {**values, "most": BATCH}).rowcount
        total += did
        if did < BATCH:
            break
    return total
