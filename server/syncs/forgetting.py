"""What is kept of runs of sync jobs for a while only: times that were carried out, what runs changed, what reconciles found,
conflicts that are resolved.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from server.syncs import changes, conflicts, differences, ticks

if TYPE_CHECKING:
    from server.store import Store


def forget(store: Store, days: int) -> int:
    """Delete some of what is past its time, or older than `days`; return how many rows went."""
    return (
        changes.forget(store)
        + conflicts.forget(store, days)
        + differences.forget(store, days)
        + ticks.forget(store, days)
    )
