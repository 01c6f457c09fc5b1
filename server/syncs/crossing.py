"""Deletes of a two-way job that cross over: what one side has no more is removed on the other.

Both sides list their keys. A record on which both had agreed, and that one of them lacks now, goes on the other too, unless it was
edited there since: an edit outlives a delete. What both lack is gone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from server.sdk.positions import unpacked
from server.syncs import ledger
from server.syncs.bases import plain_key

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from sqlalchemy.engine import Connection

    from server.sdk.sources import Key, Row
    from server.syncs.progress import Progress

Side = Literal["source", "target"]
# What was never on both sides has an empty base; what is being written has a plan.
_AGREED = """
b.workspace_id = %(workspace)s AND b.job_id = %(job)s AND b.gone_at IS NULL AND b.plan IS NULL AND b.base::text <> '{}'
AND b.ledger_key IS NOT NULL
"""
_SEEN = {
    "source": """
UPDATE sync_bases b SET seen_by = %(run)s FROM unnest(%(keys)s::text[]) AS k(key)
WHERE b.workspace_id = %(workspace)s AND b.job_id = %(job)s AND b.key = k.key
""",
    "target": """
UPDATE sync_bases b SET seen_back_by = %(run)s FROM unnest(%(keys)s::text[]) AS k(key)
WHERE b.workspace_id = %(workspace)s AND b.job_id = %(job)s AND b.target_plain = k.key
""",
}
_LOST = {
    "source": "b.seen_by IS DISTINCT FROM %(run)s",
    "target": "b.seen_back_by IS DISTINCT FROM %(run)s AND b.seen_by = %(run)s",
}
_KNOWN = f"SELECT count(*) FROM sync_bases b WHERE {_AGREED}"
_COUNT = f"SELECT count(*) FROM sync_bases b WHERE {_AGREED} AND ("
_SOME = f"SELECT b.key, b.ledger_key, b.target_key, b.base FROM sync_bases b WHERE {_AGREED} AND "
_GONE = """
UPDATE sync_bases SET gone_at = now() WHERE workspace_id = %(workspace)s AND job_id = %(job)s AND key = ANY(%(keys)s)
"""
_SPARE = """
UPDATE sync_bases SET seen_by = %(run)s, seen_back_by = %(run)s
WHERE workspace_id = %(workspace)s AND job_id = %(job)s AND key = ANY(%(keys)s)
"""


@dataclass(frozen=True, slots=True)
class Lost:
    """A record that one side has no more: `side` is that one."""

    side: Side
    key: str
    ledger_key: str
    target_key: Key
    base: Row

    @property
    def source_key(self) -> Key:
        """The primary key of the source's row."""
        return ledger.values_of(self.ledger_key)


def seen(conn: Connection, run: Progress, side: Side, keys: Sequence[Key]) -> None:
    """Mark the keys that a side has."""
    conn.exec_driver_sql(_SEEN[side], {**_of(run), "keys": sorted(plain_key(each) for each in keys)})


def known(conn: Connection, run: Progress) -> int:
    """Return how many records both sides have agreed on and have not lost."""
    return int(conn.exec_driver_sql(_KNOWN, _of(run)).scalar_one())


def lost_count(conn: Connection, run: Progress, sides: Sequence[Side]) -> int:
    """Return how many records these sides have no more."""
    either = " OR ".join(f"({_LOST[side]})" for side in sides)
    return int(conn.exec_driver_sql(f"{_COUNT}{either})", _of(run)).scalar_one())


def lost(conn: Connection, run: Progress, side: Side, limit: int) -> list[Lost]:
    """Return some of the records that a side has no more."""
    rows = conn.exec_driver_sql(f"{_SOME}{_LOST[side]} ORDER BY b.key LIMIT %(limit)s", {**_of(run), "limit": limit})
    return [Lost(side, row.key, row.ledger_key, unpacked(row.target_key), row.base) for row in rows]


def settle(conn: Connection, run: Progress, gone: Sequence[Lost], spared: Sequence[Lost]) -> None:
    """Note what is gone on both sides, and leave alone, for this run, what was edited."""
    if gone:
        conn.exec_driver_sql(_GONE, {**_of(run), "keys": sorted(each.key for each in gone)})
        ledger.gone(conn, run, [each.ledger_key for each in gone])
    if spared:
        conn.exec_driver_sql(_SPARE, {**_of(run), "keys": sorted(each.key for each in spared)})


def _of(run: Progress) -> dict[str, Any]:
    job: UUID = run.job_id
    return {"workspace": run.workspace_id, "job": job, "run": run.run}
