"""What is kept of both sides of each record: the base, a plan under way, and conflicts that wait for a person."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from server.kernel.ids import new_uuid, show
from server.sdk.positions import as_json, packed, unpacked
from server.store.values import write_json
from server.syncs.ledger import key_of
from server.syncs.merging import Contested, Decided, Plan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.engine import Connection

    from server.sdk.sources import Key, Row
    from server.syncs.progress import Progress

_LOAD = """
SELECT b.key, b.target_key, b.base, b.plan FROM unnest(%(keys)s::text[]) AS k(key) CROSS JOIN LATERAL (
  SELECT m.* FROM sync_bases m WHERE m.job_id = %(job)s AND m.key = k.key OFFSET 0) AS b
WHERE b.workspace_id = %(workspace)s
"""
_OPEN = """
SELECT c.key, c.fields, c.decision FROM sync_conflicts c
WHERE c.workspace_id = %(workspace)s AND c.job_id = %(job)s AND c.state = 'open' AND c.key = ANY(%(keys)s)
"""
_PUT = """
INSERT INTO sync_bases (workspace_id, job_id, key, target_key, base, plan, ledger_key, target_plain)
SELECT %(workspace)s, %(job)s, key, target_key, base, plan, ledger_key, target_plain
FROM json_to_recordset(%(rows)s::json)
  AS r(key text, target_key json, base json, plan json, ledger_key text, target_plain text)
ON CONFLICT (job_id, key) DO UPDATE SET target_key = excluded.target_key, base = excluded.base, plan = excluded.plan,
  ledger_key = excluded.ledger_key, target_plain = excluded.target_plain, gone_at = NULL, updated_at = now()
"""
# A decision holds for the values that were seen: it goes when others come.
_CONFLICT = """
INSERT INTO sync_conflicts AS c (id, workspace_id, job_id, key, source_key, fields)
SELECT id, %(workspace)s, %(job)s, key, source_key, fields
FROM json_to_recordset(%(rows)s::json) AS r(id uuid, key text, source_key json, fields json)
ON CONFLICT (job_id, key) WHERE state = 'open' DO UPDATE SET fields = excluded.fields, decision = NULL, updated_at = now()
WHERE c.fields::text <> excluded.fields::text
RETURNING c.id, c.source_key, c.fields, xmax = 0 AS is_new
"""
_RESOLVED = """
UPDATE sync_conflicts SET state = 'resolved', resolved_at = now(), updated_at = now()
WHERE workspace_id = %(workspace)s AND job_id = %(job)s AND key = ANY(%(keys)s) AND state = 'open'
"""

CONFLICT = "cfl"
"""The prefix of a conflict's id."""


@dataclass(slots=True)
class Known:
    """What is kept of a record."""

    base: Row = field(default_factory=dict)
    target_key: Key = ()
    plan: Plan | None = None
    decided: dict[str, Decided] = field(default_factory=dict)
    has_conflict: bool = False


@dataclass(frozen=True, slots=True)
class Kept:
    """What is to be kept of a record: `key` as `plain_key` makes it."""

    key: str
    target_key: Key
    base: Row
    ledger_key: str
    plan: Plan | None = None


def plain_key(values: Sequence[Any]) -> str:
    """Return a key that is the same on both sides, whatever types they give its values: 1 is "1"."""
    return key_of([_plain(each) for each in values])


def load(conn: Connection, run: Progress, keys: Sequence[str]) -> dict[str, Known]:
    """Return what is kept of those records of which there is anything."""
    values = {"workspace": run.workspace_id, "job": run.job_id, "keys": sorted(set(keys))}
    found = {
        row.key: Known(row.base, unpacked(row.target_key), None if row.plan is None else Plan(**row.plan))
        for row in conn.exec_driver_sql(_LOAD, values)
    }
    for row in conn.exec_driver_sql(_OPEN, values):
        known = found.setdefault(row.key, Known())
        known.has_conflict = True
        seen = {name: Contested(**each) for name, each in row.fields.items()}
        known.decided = {name: Decided(each, seen[name]) for name, each in (row.decision or {}).items() if name in seen}
    return found


def put(conn: Connection, run: Progress, kept: Sequence[Kept]) -> None:
    """Keep bases and plans."""
    if not kept:
        return
    rows = [
        {
            "key": each.key,
            "target_key": packed(each.target_key),
            "base": as_json(each.base),
            "plan": None if each.plan is None else _stored(each.plan),
            "ledger_key": each.ledger_key,
            "target_plain": plain_key(each.target_key),
        }
        for each in sorted(kept, key=lambda each: each.key)
    ]
    conn.exec_driver_sql(_PUT, {"workspace": run.workspace_id, "job": run.job_id, "rows": write_json(rows)})


def contest(
    conn: Connection, run: Progress, found: dict[str, tuple[Key, dict[str, Contested]]]
) -> list[dict[str, Any]]:
    """Keep the conflicts of records (key → primary key, fields), and close those of records that have none any more.

    Returns those that are new: id, key and names of fields of each.
    """
    opened: list[dict[str, Any]] = []
    rows = [
        {
            "id": str(new_uuid()),
            "key": key,
            "source_key": packed(source_key),
            "fields": {name: as_json(each.as_json()) for name, each in sorted(fields.items())},
        }
        for key, (source_key, fields) in sorted(found.items())
        if fields
    ]
    values = {"workspace": run.workspace_id, "job": run.job_id}
    if rows:
        opened = [
            {"id": show(CONFLICT, row.id), "key": row.source_key, "fields": sorted(row.fields)}
            for row in conn.exec_driver_sql(_CONFLICT, {**values, "rows": write_json(rows)})
            if row.is_new
        ]
    settled = sorted(key for key, (_, fields) in found.items() if not fields)
    if settled:
        conn.exec_driver_sql(_RESOLVED, {**values, "keys": settled})
    return opened


def _stored(plan: Plan) -> dict[str, Any]:
    return {
        "base": as_json(plan.base),
        "to_source": as_json(plan.to_source),
        "to_target": as_json(plan.to_target),
    }


def _plain(value: Any) -> str:
    if isinstance(value, Decimal) and value == value.to_integral_value():
        return str(int(value))
    return str(as_json(value))
