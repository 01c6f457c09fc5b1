"""Requests made due again: dead letters that are retried or given up, replays, and what was held while their webhook stood still."""

from __future__ import annotations

from typing import TYPE_CHECKING

from server.kernel.errors import NotFound
from server.kernel.lifecycle import HELD_STATES
from server.queue import claims, dead_letters
from server.webhooks.inbound.storing import KIND, LANE_LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

    from server.queue.dead_letters import Reopen
    from server.store import Tx

AT_ONCE = 10_000
_REOPEN = """
UPDATE inbound_requests r
SET state = 'received', round = r.round + 1, finished_at = NULL, reason = 'replayed', error = NULL
FROM webhooks w
WHERE r.workspace_id = :workspace_id AND r.id = ANY(:refs) AND r.state <> 'received' AND w.id = r.webhook_id
RETURNING r.id, r.webhook_id, w.state, w.body ->> 'priority' AS priority
"""
_DISCARD = """
UPDATE inbound_requests SET state = 'discarded', finished_at = now()
WHERE workspace_id = :workspace_id AND id = ANY(:refs) AND state IN ('dead', 'received')
RETURNING id
"""
# Oldest first: due when they came, and whoever claims takes what is due longest.
_RELEASE = """
UPDATE due SET due_at = r.received_at FROM (
  SELECT d.ref, d.ctid AS at FROM due d
  WHERE d.kind = 'inbound' AND d.workspace_id = :workspace_id AND d.lane = ANY(:webhooks) AND d.due_at = 'infinity'
    AND NOT d.leased AND d.priority >= 0
  ORDER BY d.ref LIMIT :limit FOR UPDATE SKIP LOCKED) AS held
JOIN inbound_requests r ON r.id = held.ref AND r.workspace_id = :workspace_id
WHERE due.ctid = held.at
"""


class Reopening:
    """Implements `queue.dead_letters.Reopen` for requests: mapped anew, by the present definition, as another round."""

    def __init__(self, hint: Callable[[], None]) -> None:
        self.hint = hint

    def reopen(self, tx: Tx, refs: Sequence[UUID]) -> None:
        """Make requests that have ended due again; those of a webhook that stands still are held."""
        self._due_again(tx, refs, None)

    def replay(self, tx: Tx, refs: Sequence[UUID]) -> int:
        """Do the same for history, which never overtakes what happens now; their dead letters are resolved. Return how many."""
        dead_letters.resolve_refs(tx, refs, "replayed")
        return self._due_again(tx, refs, claims.LOW)

    def _due_again(self, tx: Tx, refs: Sequence[UUID], priority: int | None) -> int:
        rows = tx.all(_REOPEN, refs=list(refs))
        work = [
            claims.Due(
                row.id,
                tx.scope.workspace_id,
                row.webhook_id,
                "infinity" if row.state in HELD_STATES else None,
                LANE_LIMIT,
                claims.PRIORITIES.get(row.priority, claims.NORMAL) if priority is None else priority,
            )
            for row in rows
        ]
        claims.add(tx.conn, KIND, work)
        if rows:
            tx.after_commit("hint", self.hint)
        return len(rows)

    def discard(self, tx: Tx, refs: Sequence[UUID]) -> None:
        """Give requests up."""
        rows = tx.all(_DISCARD, refs=list(refs))
        tx.run(
            "DELETE FROM due WHERE workspace_id = :workspace_id AND kind = :kind AND ref = ANY(:refs)",
            kind=KIND,
            refs=[row.id for row in rows],
        )


def retry(tx: Tx, reopen: Reopen, identity: UUID) -> None:
    """Map one request once more, whatever became of it; its dead letter is resolved. One that waits already goes on waiting.

    Raises:
        NotFound: no such request here.

    """
    if tx.one("SELECT 1 FROM inbound_requests WHERE workspace_id = :workspace_id AND id = :id", id=identity) is None:
        raise NotFound("no such request here")
    reopen.reopen(tx, [identity])
    dead_letters.resolve_refs(tx, [identity], "replayed")


def release(tx: Tx, webhook_ids: Sequence[UUID], hint: Callable[[], None]) -> int:
    """Let the held requests of webhooks go, oldest first, at most 10,000 at a time; return how many went."""
    went = tx.run(_RELEASE, webhooks=list(webhook_ids), limit=AT_ONCE).rowcount
    if went:
        tx.after_commit("hint", hint)
    return went
