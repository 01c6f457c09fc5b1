"""What a run wrote, record by record, and what was there before: rows of `sync_changes`, kept for as long as the job says.

Values keep their types: what JSON has no form for is `{"$": [type, text]}`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from server.sdk.positions import as_json, packed, unpacked

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from sqlalchemy.engine import Connection

    from server.sdk.sources import Key, Row
    from server.store import Store
    from server.syncs.progress import Progress

_PUT = """
INSERT INTO sync_changes (workspace_id, job_id, run_id, key, target_key, before, written, until)
SELECT %(workspace)s, %(job)s, %(run)s, key, target_key, before, written, now() + %(keep)s * interval '1 second'
FROM json_to_recordset(%(rows)s::json) AS r(key text, target_key json, before json, written json)
ON CONFLICT (run_id, key) DO UPDATE SET written = excluded.written, at = now()
"""
# A record that another run has written since is that run's; one that was put back is as the run before left it.
_NOT_REVERTED = """
SELECT c.key, c.target_key, c.before, c.written, n.id AS later
FROM sync_changes c LEFT JOIN sync_records r ON r.job_id = c.job_id AND r.key = c.key
LEFT JOIN sync_runs n ON n.id = r.run_id AND n.id <> c.run_id AND r.updated_at > c.at AND n.kind <> 'revert'
WHERE c.workspace_id = %(workspace)s AND c.job_id = %(job)s AND c.run_id = %(of)s
  AND (c.outcome IS NULL OR c.outcome = 'left') AND (%(by)s::uuid IS NULL OR c.reverted_by IS DISTINCT FROM %(by)s)
ORDER BY c.key LIMIT %(limit)s
"""
_COUNT = """
SELECT count(*) FROM sync_changes WHERE workspace_id = %(workspace)s AND job_id = %(job)s AND run_id = %(of)s
  AND (outcome IS NULL OR outcome = 'left')
"""
_MARK = """
UPDATE sync_changes c SET outcome = m.outcome, reason = m.reason, reverted_by = %(by)s
FROM json_to_recordset(%(rows)s::json) AS m(key text, outcome text, reason text)
WHERE c.workspace_id = %(workspace)s AND c.run_id = %(of)s AND c.key = m.key
"""
_FORGET = """
DELETE FROM sync_changes WHERE ctid = ANY (ARRAY(
  SELECT ctid FROM sync_changes WHERE until < now() ORDER BY until LIMIT 10000 FOR UPDATE SKIP LOCKED))
"""
_TAG = "$"
_AT_ONCE, _FORGETS = 10_000, 200


@dataclass(frozen=True, slots=True)
class Change:
    """One record of a run. `before` None: it was not there; `written` None: it was removed; `later` is a run that wrote it since."""

    key: str
    target_key: Key
    before: Row | None
    written: Row | None
    later: UUID | None = None


def put(conn: Connection, run: Progress, changes: Sequence[Change], keep: float) -> None:
    """Note what a run is about to do; of a record that it has noted already, what was there before stays as it is."""
    rows = [
        {
            "key": each.key,
            "target_key": packed(each.target_key),
            "before": _written(each.before),
            "written": _written(each.written),
        }
        for each in sorted(changes, key=lambda each: each.key)
    ]
    values = {"workspace": run.workspace_id, "job": run.job_id, "run": run.run, "keep": keep}
    conn.exec_driver_sql(_PUT, {**values, "rows": orjson.dumps(rows).decode()})


def todo(conn: Connection, workspace: int, job: UUID, of: UUID, by: UUID | None, limit: int) -> list[Change]:
    """Return what of a run is not reverted, and was not looked at by the run `by`."""
    values = {"workspace": workspace, "job": job, "of": of, "by": by, "limit": limit}
    return [
        Change(row.key, unpacked(row.target_key), read(row.before), read(row.written), row.later)
        for row in conn.exec_driver_sql(_NOT_REVERTED, values)
    ]


def count(conn: Connection, workspace: int, job: UUID, of: UUID) -> int:
    """Return how many records of a run are not reverted."""
    return int(conn.exec_driver_sql(_COUNT, {"workspace": workspace, "job": job, "of": of}).scalar_one())


def mark(conn: Connection, workspace: int, of: UUID, by: UUID, done: Sequence[tuple[str, str, str | None]]) -> None:
    """Note what became of records: (key, `reverted` or `left`, why)."""
    rows = [{"key": key, "outcome": outcome, "reason": reason} for key, outcome, reason in sorted(done)]
    values = {"workspace": workspace, "of": of, "by": by, "rows": orjson.dumps(rows).decode()}
    conn.exec_driver_sql(_MARK, values)


def forget(store: Store) -> int:
    """Delete what is kept no longer, 10,000 at a time and two million at most; return how many went."""
    gone = 0
    for _ in range(_FORGETS):
        with store.connect() as conn:
            some = conn.exec_driver_sql(_FORGET).rowcount
        gone += some
        if some < _AT_ONCE:
            break
    return gone


def read(stored: Any) -> Any:
    """Return the values that were stored."""
    if isinstance(stored, list):
        return [read(each) for each in stored]
    if not isinstance(stored, dict):
        return stored
    tagged = stored.get(_TAG)
    if len(stored) == 1 and isinstance(tagged, list):
        return unpacked([{tagged[0]: tagged[1]}])[0]
    return {name: read(each) for name, each in stored.items()}


def _written(row: Row | None) -> orjson.Fragment | None:
    if row is None:
        return None
    try:
        return orjson.Fragment(orjson.dumps(row, default=_other, option=orjson.OPT_PASSTHROUGH_DATETIME))
    except TypeError:  # a whole number beyond 64 bits and the like: as people see it
        return orjson.Fragment(orjson.dumps({name: str(as_json(value)) for name, value in row.items()}))


def _other(value: Any) -> dict[str, Any]:
    [found] = packed([value])
    ((name, text),) = found.items()
    return {_TAG: [name, text]}
