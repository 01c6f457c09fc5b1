"""The record ledger: (job, key) → the source row's hash, the target's key and id, mapping version, run.

A key is the packed primary key as JSON text; a hash is of the source's row, so that an unchanged row is not even mapped.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import orjson

from server.sdk.positions import as_json, packed, unpacked

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from sqlalchemy.engine import Connection

    from server.sdk.sources import Key, Row
    from server.syncs.progress import Progress

# Each key is looked up by itself: a plan made while the table was small would walk through all of the job's records.
_MINE = """
unnest(%(keys)s::text[]) AS k(key) CROSS JOIN LATERAL (
  SELECT r.* FROM sync_records r WHERE r.job_id = %(job)s AND r.key = k.key OFFSET 0) AS m
WHERE m.workspace_id = %(workspace)s
"""
_KNOWN = f"SELECT m.key, m.hash, m.mapping_version FROM {_MINE} AND m.gone_at IS NULL"
_PUT = """
INSERT INTO sync_records (workspace_id, job_id, key, hash, target_key, target_id, mapping_version, run_id)
SELECT %(workspace)s, %(job)s, key, decode(hash, 'hex'), target_key, target_id, %(version)s, %(run)s
FROM json_to_recordset(%(rows)s::json) AS r(key text, hash text, target_key json, target_id text)
ON CONFLICT (job_id, key) DO UPDATE SET hash = excluded.hash, target_key = excluded.target_key,
  target_id = coalesce(excluded.target_id, sync_records.target_id), mapping_version = excluded.mapping_version,
  run_id = excluded.run_id, gone_at = NULL, updated_at = now()
"""
_COUNT = "SELECT count(*) FROM sync_records WHERE workspace_id = %(workspace)s AND job_id = %(job)s AND gone_at IS NULL"
_SEEN = f"""
UPDATE sync_records r SET seen_by = %(run)s FROM (SELECT m.key FROM {_MINE}) AS found
WHERE r.job_id = %(job)s AND r.key = found.key
"""
_MISSING = """
SELECT key, target_key FROM sync_records
WHERE workspace_id = %(workspace)s AND job_id = %(job)s AND gone_at IS NULL AND seen_by IS DISTINCT FROM %(run)s AND run_id <> %(run)s
"""
_TARGETS = f"SELECT m.key, m.target_key FROM {_MINE} AND m.gone_at IS NULL"
_GONE = f"""
UPDATE sync_records r SET gone_at = now(), run_id = %(run)s, updated_at = now() FROM (SELECT m.key FROM {_MINE}) AS found
WHERE r.job_id = %(job)s AND r.key = found.key
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """What the ledger keeps of a record that was written."""

    key: str
    hash: bytes
    target_key: Key
    target_id: Any = None


def key_of(values: Sequence[Any]) -> str:
    """Return a primary key as the ledger writes it."""
    return orjson.dumps(packed(values)).decode()


def values_of(key: str) -> Key:
    """Return the primary key that `key_of` wrote."""
    return unpacked(orjson.loads(key))


def hash_of(row: Row) -> bytes:
    """Return the hash of a row: 16 bytes; the order of its fields does not count."""
    try:
        text = orjson.dumps(row, default=_written, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # a name that is no text; to allow for it costs a third more
        text = orjson.dumps(row, default=as_json, option=_SORTED)
    return blake2b(text, digest_size=16).digest()


_SORTED = orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS


def _written(value: Any) -> Any:
    return str(value) if type(value) is Decimal else as_json(value)


def known(conn: Connection, progress: Progress, keys: Sequence[str]) -> dict[str, tuple[bytes, int]]:
    """Return hash and mapping version of those keys that the ledger has."""
    return known_of(conn, progress.workspace_id, progress.job_id, keys)


def known_of(conn: Connection, workspace: int, job: UUID, keys: Sequence[str]) -> dict[str, tuple[bytes, int]]:
    """Return the same, where no run is under way."""
    rows = conn.exec_driver_sql(_KNOWN, {"workspace": workspace, "job": job, "keys": list(keys)})
    return {row.key: (bytes(row.hash), row.mapping_version) for row in rows}


def put(conn: Connection, progress: Progress, entries: Sequence[Entry]) -> None:
    """Write what was made of rows, in one statement."""
    if not entries:
        return
    rows = [
        {
            "key": each.key,
            "hash": each.hash.hex(),
            "target_key": packed(each.target_key),
            "target_id": None if each.target_id is None else str(each.target_id),
        }
        for each in sorted(entries, key=lambda each: each.key)
    ]
    values = {**_of(progress), "version": progress.definition_version, "rows": orjson.dumps(rows).decode()}
    conn.exec_driver_sql(_PUT, values)


def count(conn: Connection, progress: Progress) -> int:
    """Return how many records of the job are there."""
    return int(conn.exec_driver_sql(_COUNT, _of(progress)).scalar_one())


def seen(conn: Connection, progress: Progress, keys: Sequence[Key]) -> None:
    """Mark the keys that a key snapshot has."""
    conn.exec_driver_sql(_SEEN, {**_of(progress), "keys": sorted(key_of(each) for each in keys)})


def missing_count(conn: Connection, progress: Progress) -> int:
    """Return how many records the snapshot of this run did not have."""
    return int(conn.exec_driver_sql(f"SELECT count(*) FROM ({_MISSING}) AS m", _of(progress)).scalar_one())


def missing(conn: Connection, progress: Progress, limit: int) -> list[tuple[str, Key]]:
    """Return key and target key of records that the snapshot of this run did not have."""
    rows = conn.exec_driver_sql(_MISSING + " ORDER BY key LIMIT %(limit)s", {**_of(progress), "limit": limit})
    return [(row.key, unpacked(row.target_key)) for row in rows]


def targets(conn: Connection, progress: Progress, keys: Sequence[str]) -> list[tuple[str, Key]]:
    """Return key and target key of those that are there."""
    rows = conn.exec_driver_sql(_TARGETS, {**_of(progress), "keys": list(keys)})
    return [(row.key, unpacked(row.target_key)) for row in rows]


def gone(conn: Connection, progress: Progress, keys: Sequence[str]) -> None:
    """Note that these were deleted or archived."""
    conn.exec_driver_sql(_GONE, {**_of(progress), "keys": sorted(keys)})


def _of(progress: Progress) -> dict[str, Any]:
    return {"workspace": progress.workspace_id, "job": progress.job_id, "run": progress.run}
