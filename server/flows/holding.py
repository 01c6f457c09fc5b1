"""Runs of a flow that rests are held: due at `infinity`. When it works again they go on, where they stood."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from server.store import Store, Tx

# Also those that wait for something are looked at: what came meanwhile is theirs.
_RELEASE = """
UPDATE due SET due_at = now() FROM flow_runs r
WHERE due.workspace_id = :workspace_id AND due.kind = 'flow' AND due.lane = :flow AND due.due_at = 'infinity' AND NOT due.leased
  AND r.id = due.ref
"""
_STRAYS = """
UPDATE due SET due_at = now() FROM flow_runs r JOIN flows f ON f.id = r.flow_id
WHERE due.kind = 'flow' AND NOT due.leased AND due.due_at = 'infinity' AND r.id = due.ref AND f.state IN ('active', 'failing')
"""


def release(tx: Tx, flow_id: UUID) -> int:
    """Let the held runs of a flow that works again go on; return how many there were."""
    return tx.run(_RELEASE, flow=flow_id).rowcount


def release_strays(store: Store, hint: Callable[[], None]) -> int:
    """Let runs go on that are held though their flow works: an event came at the very moment at which it was resumed."""
    with store.connect() as conn:
        released = conn.exec_driver_sql(_STRAYS).rowcount
    if released:
        hint()
    return released
