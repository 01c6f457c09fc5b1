"""Due work: one small table, claimed with a lease and an epoch.

A claim pushes `due_at` on by the lease, so that work whose worker died is due again by itself; a heartbeat pushes it
again. Every result carries the epoch of its claim, and one with an old epoch changes nothing. `infinity` is held: no
claim sees it. Times are the database's: workers' clocks do not matter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.engine import Connection

LEASE_SECONDS = 6
HEARTBEAT_SECONDS = 2
LANE_LIMIT = 10
_LOOK_AHEAD = 4

# Orphans, whose lease ran out, go before all else: behind a backlog they would wait for its end on top of their lease. The
# others are looked at oldest first; a lane (one webhook) takes no more than its limit, leased ones included.
_CLAIM = f"""
WITH leases AS MATERIALIZED (
  SELECT ref, lane, due_at FROM due WHERE kind = %(kind)s AND leased
), busy AS MATERIALIZED (
  SELECT lane, count(*) AS n FROM leases WHERE due_at > now() GROUP BY lane
), orphans AS MATERIALIZED (
  SELECT due.ref, due.lane, due.lane_limit, due.due_at, 0 AS turn FROM due JOIN leases USING (ref)
  WHERE leases.due_at <= now() AND due.kind = %(kind)s AND due.leased AND due.due_at <= now()
  ORDER BY due.due_at LIMIT %(look)s FOR UPDATE OF due SKIP LOCKED
), candidates AS MATERIALIZED (
  SELECT ref, lane, lane_limit, due_at, 1 AS turn FROM due
  WHERE kind = %(kind)s AND NOT leased AND due_at <= now()
    AND NOT EXISTS (SELECT FROM busy WHERE busy.lane = due.lane AND busy.n >= due.lane_limit)
  ORDER BY due_at LIMIT %(look)s FOR UPDATE SKIP LOCKED
), ranked AS (
  SELECT ref, due_at, lane_limit, turn,
         row_number() OVER (PARTITION BY lane ORDER BY turn, due_at, ref) + coalesce(b.n, 0) AS place
  FROM (TABLE orphans UNION ALL TABLE candidates) c LEFT JOIN busy b USING (lane)
), chosen AS (
  SELECT ref, due_at FROM ranked WHERE place <= lane_limit ORDER BY turn, due_at, ref LIMIT %(limit)s
)
UPDATE due SET due_at = now() + interval '{LEASE_SECONDS} seconds', leased = true, epoch = epoch + 1, claims = claims + 1
FROM chosen WHERE due.kind = %(kind)s AND due.ref = chosen.ref
RETURNING due.ref, due.workspace_id, due.lane, due.epoch, due.claims, chosen.due_at AS was_due
"""
_HEARTBEAT = f"""
UPDATE due SET due_at = now() + interval '{LEASE_SECONDS} seconds'
FROM unnest(%(refs)s::uuid[], %(epochs)s::int[]) AS mine(ref, epoch)
WHERE due.kind = %(kind)s AND due.ref = mine.ref AND due.epoch = mine.epoch AND leased RETURNING due.ref
"""
_FINISH = """
DELETE FROM due USING unnest(%(refs)s::uuid[], %(epochs)s::int[]) AS mine(ref, epoch)
WHERE due.kind = %(kind)s AND due.ref = mine.ref AND due.epoch = mine.epoch RETURNING due.ref
"""
_POSTPONE = """
UPDATE due SET due_at = mine.due_at, leased = false,
  claims = CASE WHEN %(uncount)s THEN greatest(claims - 1, 0) ELSE claims END
FROM unnest(%(refs)s::uuid[], %(epochs)s::int[], %(times)s::timestamptz[]) AS mine(ref, epoch, due_at)
WHERE due.kind = %(kind)s AND due.ref = mine.ref AND due.epoch = mine.epoch RETURNING due.ref
"""
_ADD = """
INSERT INTO due (kind, ref, workspace_id, lane, due_at, lane_limit)
SELECT %(kind)s, ref, workspace_id, lane, coalesce(due_at, now()), lane_limit
FROM unnest(%(refs)s::uuid[], %(workspaces)s::bigint[], %(lanes)s::uuid[], %(times)s::timestamptz[], %(limits)s::int[])
  AS new(ref, workspace_id, lane, due_at, lane_limit)
ON CONFLICT (kind, ref) DO UPDATE SET due_at = excluded.due_at, leased = false, epoch = due.epoch + 1, claims = 0
"""


@dataclass(frozen=True, slots=True)
class Claim:
    """Work that is ours until the lease ends. `claims` counts how often it was claimed: the poison guard."""

    ref: UUID
    workspace_id: int
    lane: UUID
    epoch: int
    claims: int


@dataclass(frozen=True, slots=True)
class Due:
    """Work to be done: at a moment, `infinity` for held, or None for at once; `lane_limit` of a lane go at a time."""

    ref: UUID
    workspace_id: int
    lane: UUID
    at: datetime | str | None = None
    lane_limit: int = LANE_LIMIT


def claim(conn: Connection, kind: str, limit: int) -> list[Claim]:
    """Claim at most `limit` due rows, oldest first, and no more of a lane than its limit, over all claimers."""
    rows = conn.exec_driver_sql(_CLAIM, {"kind": kind, "limit": limit, "look": limit * _LOOK_AHEAD}).all()
    oldest_first = sorted(rows, key=lambda row: (row.was_due, row.ref))
    return [Claim(row.ref, row.workspace_id, row.lane, row.epoch, row.claims) for row in oldest_first]


def heartbeat(conn: Connection, kind: str, claims: Sequence[Claim]) -> set[UUID]:
    """Renew the leases; return the refs that are still ours."""
    rows = conn.exec_driver_sql(_HEARTBEAT, {"kind": kind, **_keys(claims)})
    return {row.ref for row in rows}


def finish(conn: Connection, kind: str, claims: Sequence[Claim]) -> set[UUID]:
    """Take done work off the table; return the refs that were still ours."""
    return {row.ref for row in conn.exec_driver_sql(_FINISH, {"kind": kind, **_keys(claims)})}


def postpone(
    conn: Connection, kind: str, claims: Sequence[Claim], times: Sequence[datetime | str], *, uncount: bool = False
) -> set[UUID]:
    """Make work due again at the given times (`infinity` holds it); `uncount` takes the claim back."""
    values = {"kind": kind, **_keys(claims), "times": [_moment(each) for each in times], "uncount": uncount}
    return {row.ref for row in conn.exec_driver_sql(_POSTPONE, values)}


def add(conn: Connection, kind: str, work: Sequence[Due]) -> None:
    """Put work on the table; work that is there already is due anew, and whoever holds it loses it."""
    if not work:
        return
    values = {
        "kind": kind,
        "refs": [each.ref for each in work],
        "workspaces": [each.workspace_id for each in work],
        "lanes": [each.lane for each in work],
        "limits": [each.lane_limit for each in work],
        "times": [None if each.at is None else _moment(each.at) for each in work],
    }
    conn.exec_driver_sql(_ADD, values)


def _keys(claims: Sequence[Claim]) -> dict[str, list[object]]:
    return {"refs": [each.ref for each in claims], "epochs": [each.epoch for each in claims]}


def _moment(value: datetime | str) -> str:
    return value if isinstance(value, str) else value.isoformat()
