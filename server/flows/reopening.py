"""Runs that are dead letters, tried again or given up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from server.flows import acting

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

    from server.store import Tx


class ReopeningRuns:
    """Implements `queue.dead_letters.Reopen` for flow runs."""

    def __init__(self, hint: Callable[[], None]) -> None:
        self.hint = hint

    def reopen(self, tx: Tx, refs: Sequence[UUID]) -> None:
        """Let the runs go on where they broke, or go on undoing."""
        for run in sorted(refs):
            acting.retry(tx, run, self.hint)

    def discard(self, tx: Tx, refs: Sequence[UUID]) -> None:
        """Leave the runs as they have ended."""
