"""Dead letters tell the admins: each raises `crossdock.dead_letter.created`, a deliverable event of high severity.

A dead letter is stored with `alert_due`; that mark and the event change in one transaction here, so none is told twice or
never. In a flood the first ten of a definition in a minute are told one by one, the others of that minute as one event with
their count: the counts of all events add up to the dead letters, whoever drains. Deliveries of our own events raise none.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from server.events.envelope import NewEvent, to_json
from server.kernel.clock import rfc3339
from server.kernel.ids import new_uuid, show
from server.store import Cause
from server.store.scopes import scope_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from server.events.publishing import Publisher
    from server.store import Store, Tx

TYPE = "crossdock.dead_letter.created"
SEVERITY = "high"
ALONE = 10
"""Dead letters of one definition that are told one by one, each minute."""
_CAUSES = {"delivery": "dlv", "inbound": "req", "flow": "run"}
"""What the ids of what died begin with, where events may name it as their cause."""
_PREFIXES = {"delivery": "dlv", "flow": "run"}
_WORKSPACES = 50
_LETTERS = 500

_WAITING = f"""
(SELECT DISTINCT workspace_id FROM dead_letters WHERE alert_due ORDER BY workspace_id LIMIT {_WORKSPACES})
UNION
(SELECT DISTINCT workspace_id FROM alert_counts WHERE minute < date_trunc('minute', now()) LIMIT {_WORKSPACES})
"""
_TAKE = f"""
UPDATE dead_letters d SET alert_due = false FROM (
  SELECT id FROM dead_letters WHERE workspace_id = :workspace_id AND alert_due
  ORDER BY id LIMIT {_LETTERS} FOR UPDATE SKIP LOCKED
) AS due WHERE d.id = due.id
RETURNING d.id, d.kind, d.ref, d.owner, d.owner_id, d.reason, d.error, d.attempts, d.first_attempt_at, d.last_attempt_at,
          d.correlation_id, d.adapter
"""
# Whoever comes second to a definition's minute waits here for the first one's figure.
_COUNT = """
INSERT INTO alert_counts AS c (workspace_id, owner_id, minute, owner, kind, letters)
SELECT :workspace_id, n.owner_id, date_trunc('minute', now()), n.owner, n.kind, n.letters
FROM json_to_recordset(CAST(:counts AS json)) AS n(owner_id uuid, owner text, kind text, letters int)
ORDER BY n.owner_id
ON CONFLICT (workspace_id, owner_id, minute) DO UPDATE SET letters = c.letters + excluded.letters
RETURNING owner_id, letters
"""
_OVER = f"""
DELETE FROM alert_counts WHERE workspace_id = :workspace_id AND (owner_id, minute) IN (
  SELECT owner_id, minute FROM alert_counts WHERE workspace_id = :workspace_id AND minute < date_trunc('minute', now())
  ORDER BY minute, owner_id LIMIT {_LETTERS} FOR UPDATE SKIP LOCKED
) RETURNING owner, kind, minute, letters
"""


def drain(store: Store, publisher: Publisher) -> int:
    """Tell of the dead letters that nobody was told of, a transaction per workspace; return how many were looked at.

    Raises:
        Unavailable: DATABASE_AWAY; what was not told yet is told by the next run.

    """
    with store.connect() as conn:
        scopes = [scope_of(conn, row.workspace_id) for row in conn.exec_driver_sql(_WAITING)]
    told = 0
    for scope in scopes:
        with store.begin(scope, Cause("worker", show("cor", new_uuid()))) as tx:
            letters = sorted(tx.all(_TAKE), key=lambda row: row.id)
            over = tx.all(_OVER)
            news = [*_alone(tx, letters), *(_together(row) for row in over if row.letters > ALONE)]
            if news:
                publisher.publish_ours(tx, news)
            told += len(letters) + len(over)
    return told


def _alone(tx: Tx, letters: Sequence[Any]) -> list[NewEvent]:
    """Count the letters in, and return the events of those that are among the first of their minute."""
    counts = Counter(row.owner_id for row in letters)
    if not counts:
        return []
    owners = {row.owner_id: row for row in letters}
    values = [
        {"owner_id": str(id_), "owner": owners[id_].owner, "kind": owners[id_].kind, "letters": count}
        for id_, count in counts.items()
    ]
    rows = tx.all(_COUNT, counts=to_json(values))
    left = {row.owner_id: max(0, ALONE - (row.letters - counts[row.owner_id])) for row in rows}
    news = []
    for row in letters:
        if left[row.owner_id] > 0:
            left[row.owner_id] -= 1
            news.append(_event(row))
    return news


def _event(row: Any) -> NewEvent:
    data = {
        "severity": SEVERITY,
        "message": f"failed after {row.attempts} attempts",
        "count": 1,
        "owner": row.owner,
        "kind": row.kind,
        "reason": row.reason,
        "error": {"code": row.error.get("code"), "message": row.error.get("message")},
        "dead_letter_id": show("dead", row.id),
        "ref": show(_PREFIXES.get(row.kind, row.kind), row.ref),
        "attempts": row.attempts,
        "first_attempt_at": rfc3339(row.first_attempt_at) if row.first_attempt_at else None,
        "last_attempt_at": rfc3339(row.last_attempt_at) if row.last_attempt_at else None,
        "correlation_id": row.correlation_id,
        "adapter": row.adapter,
    }
    # The id is made of the letter's: told twice, it would be a duplicate and no second event.
    return NewEvent(
        type=TYPE,
        id=show("evt", row.id),
        source="crossdock",
        subject=row.owner,
        data=to_json(data),
        correlation_id=row.correlation_id or None,
        causation_id=show(_CAUSES[row.kind], row.ref) if row.kind in _CAUSES else None,
    )


def _together(row: Any) -> NewEvent:
    count = row.letters - ALONE
    data = {
        "severity": SEVERITY,
        "message": f"{count} more dead letters in one minute",
        "count": count,
        "owner": row.owner,
        "kind": row.kind,
        "minute": rfc3339(row.minute),
    }
    return NewEvent(type=TYPE, source="crossdock", subject=row.owner, data=to_json(data))
