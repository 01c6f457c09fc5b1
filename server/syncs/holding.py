"""Runs of a job that rests are held: due at `infinity`. When it works again they go."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from server.store import Store, Tx

_RELEASE = """
UPDATE due SET due_at = now() FROM sync_runs r
WHERE due.workspace_id = :workspace_id AND due.kind = 'sync' AND due.lane = :job AND due.due_at = 'infinity'
  AND r.id = due.ref AND r.state IN ('queued', 'running', 'paused')
"""
_STRAYS = """
UPDATE due SET due_at = now() FROM sync_runs r JOIN sync_jobs j ON j.id = r.job_id
WHERE due.kind = 'sync' AND NOT due.leased AND due.due_at = 'infinity' AND r.id = due.ref
  AND r.state IN ('queued', 'running', 'paused') AND j.state IN ('active', 'failing')
"""


def release(tx: Tx, job_id: UUID) -> int:
    """Let the held runs of a job that works again go; return how many there were."""
    return tx.run(_RELEASE, job=job_id).rowcount


def release_strays(store: Store, hint: Callable[[], None]) -> int:
    """Let runs go that are held though their job works: an event came at the very moment at which it was resumed."""
    with store.connect() as conn:
        released = conn.exec_driver_sql(_STRAYS).rowcount
    if released:
        hint()
    return released
