"""Refused records, tried again or given up: a run of its own for each, by its key, so that the source's present row counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from server.kernel.ids import new_uuid
from server.queue.claims import LOW
from server.store.values import read_json
from server.syncs import runs
from server.syncs.runs import NewRun

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

    from server.store import Tx

_REOPEN = """
UPDATE sync_refused r SET state = :state FROM sync_jobs j
WHERE r.workspace_id = :workspace_id AND r.id = ANY(:refs) AND r.state = 'dead' AND j.id = r.job_id
RETURNING r.job_id, r.key, j.definition_version
"""


class ReopeningRecords:
    """Implements `queue.dead_letters.Reopen` for records."""

    def __init__(self, hint: Callable[[], None]) -> None:
        self.hint = hint

    def reopen(self, tx: Tx, refs: Sequence[UUID]) -> None:
        """Sync the rows of these records again, by the present definition; one without a key comes with the next run."""
        rows = tx.all(_REOPEN, refs=list(refs), state="replayed")
        wanted = {(row.job_id, row.key): row.definition_version for row in rows if row.key is not None}
        new = [
            NewRun(
                id=new_uuid(),
                workspace_id=tx.scope.workspace_id,
                job_id=job,
                definition_version=version,
                cause="person",
                principal=tx.cause.principal,
                correlation_id=tx.cause.correlation_id,
                key=read_json(key),
                priority=LOW,
            )
            for (job, key), version in wanted.items()
        ]
        runs.start(tx.conn, new)
        tx.after_commit("hint", self.hint)

    def discard(self, tx: Tx, refs: Sequence[UUID]) -> None:
        """Give them up."""
        tx.run(_REOPEN, refs=list(refs), state="discarded")
