"""What a reconcile has found: rows of `sync_differences`, and the keys that it has met in the source."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from server.kernel.ids import new_uuid
from server.sdk.positions import packed, unpacked
from server.store.values import read_json, write_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy.engine import Connection

    from server.sdk.sources import Key
    from server.store import Store
    from server.syncs.progress import Progress

Kind = Literal["missing", "differing", "surplus"]
State = Literal["open", "repaired", "left"]
_PUT = """
INSERT INTO sync_differences (workspace_id, job_id, run_id, id, kind, key, target_key, fields, state, reason)
SELECT %(workspace)s, %(job)s, %(run)s, id, kind, key, target_key, fields, state, reason
FROM json_to_recordset(%(rows)s::json) AS r(id uuid, kind text, key text, target_key text, fields json, state text, reason text)
ON CONFLICT (run_id, target_key) DO UPDATE SET state = excluded.state, reason = excluded.reason
"""
_MEET = """
INSERT INTO sync_met (workspace_id, run_id, target_key) SELECT %(workspace)s, %(run)s, unnest(%(keys)s::text[])
ON CONFLICT DO NOTHING
"""
_UNMET = """
SELECT k.target_key, r.key FROM unnest(%(keys)s::text[]) AS k(target_key)
LEFT JOIN LATERAL (
  SELECT key FROM sync_records WHERE workspace_id = %(workspace)s AND job_id = %(job)s AND target_key::text = k.target_key
  AND gone_at IS NULL LIMIT 1) AS r ON true
WHERE NOT EXISTS (SELECT FROM sync_met m WHERE m.run_id = %(run)s AND m.target_key = k.target_key)
"""
_LEDGER = """
SELECT target_key::text AS target_key FROM sync_records
WHERE workspace_id = %(workspace)s AND job_id = %(job)s AND gone_at IS NULL AND target_key IS NOT NULL AND key > %(after)s
ORDER BY key LIMIT %(limit)s
"""
_LAST = """
SELECT max(key) FROM (SELECT key FROM sync_records
WHERE workspace_id = %(workspace)s AND job_id = %(job)s AND gone_at IS NULL AND target_key IS NOT NULL AND key > %(after)s
ORDER BY key LIMIT %(limit)s) AS page
"""
_OPEN = """
SELECT key, target_key FROM sync_differences
WHERE workspace_id = %(workspace)s AND run_id = %(run)s AND kind = 'surplus' AND state = 'open' ORDER BY id LIMIT %(limit)s
"""
_COUNT = "SELECT kind, state, count(*) AS n FROM sync_differences WHERE workspace_id = %(workspace)s AND run_id = %(run)s GROUP BY 1, 2"
_FORGET_MET = "DELETE FROM sync_met WHERE workspace_id = %(workspace)s AND run_id = %(run)s"
_FORGET = """
DELETE FROM {table} WHERE ctid = ANY (ARRAY(
  SELECT ctid FROM {table} WHERE at < now() - %(days)s * interval '1 day' LIMIT 10000 FOR UPDATE SKIP LOCKED))
"""


@dataclass(slots=True)
class Difference:
    """One record in which source and target are not at one; `fields` are `{field, from, to}`."""

    kind: Kind
    key: str | None
    target_key: Key
    fields: Sequence[dict[str, Any]] = field(default_factory=list)
    state: State = "open"
    reason: str | None = None


def text_of(target_key: Key) -> str:
    """Return what a record is matched on, as the ledger writes it."""
    return write_json(packed(target_key))


def put(conn: Connection, run: Progress, found: Sequence[Difference]) -> None:
    """Keep what was found; what is kept already gets its new state."""
    if not found:
        return
    rows = [
        {
            "id": new_uuid(),
            "kind": each.kind,
            "key": each.key,
            "target_key": text_of(each.target_key),
            "fields": list(each.fields),
            "state": each.state,
            "reason": each.reason,
        }
        for each in sorted(found, key=lambda each: text_of(each.target_key))
    ]
    conn.exec_driver_sql(_PUT, {**_of(run), "rows": write_json(rows)})


def meet(conn: Connection, run: Progress, keys: Iterable[Key]) -> None:
    """Note that the source has these."""
    conn.exec_driver_sql(_MEET, {**_of(run), "keys": sorted(text_of(each) for each in keys)})


def unmet(conn: Connection, run: Progress, keys: Sequence[Key]) -> list[tuple[str | None, Key]]:
    """Return those that the source does not have, each with the key that the ledger knows it by, if it does."""
    rows = conn.exec_driver_sql(_UNMET, {**_of(run), "keys": [text_of(each) for each in keys]})
    return [(row.key, unpacked(read_json(row.target_key))) for row in rows]


def written(conn: Connection, run: Progress, after: str, limit: int) -> tuple[list[Key], str | None]:
    """Return target keys of the ledger after a key of it, and where to go on; None at the end."""
    values = {**_of(run), "after": after, "limit": limit}
    keys = [unpacked(read_json(row.target_key)) for row in conn.exec_driver_sql(_LEDGER, values)]
    return keys, conn.exec_driver_sql(_LAST, values).scalar_one()


def open_surplus(conn: Connection, run: Progress, limit: int) -> list[Difference]:
    """Return what the target has too much and was not dealt with."""
    rows = conn.exec_driver_sql(_OPEN, {**_of(run), "limit": limit})
    return [Difference("surplus", row.key, unpacked(read_json(row.target_key))) for row in rows]


def counts(conn: Connection, run: Progress) -> dict[str, int]:
    """Return how many were found of each kind, and how many are `repaired` and `left`."""
    found = {"missing": 0, "differing": 0, "surplus": 0, "repaired": 0, "left": 0}
    for row in conn.exec_driver_sql(_COUNT, _of(run)):
        found[row.kind] += row.n
        if row.state in found:
            found[row.state] += row.n
    return found


def end(conn: Connection, run: Progress) -> None:
    """Forget which keys the source had."""
    conn.exec_driver_sql(_FORGET_MET, _of(run))


def forget(store: Store, days: int) -> int:
    """Delete what is older than `days`, 10,000 at a time; return how many went."""
    gone = 0
    for table in ("sync_differences", "sync_met"):
        with store.connect() as conn:
            gone += conn.exec_driver_sql(_FORGET.format(table=table), {"days": days}).rowcount
    return gone


def _of(run: Progress) -> dict[str, Any]:
    return {"workspace": run.workspace_id, "job": run.job_id, "run": run.run}
