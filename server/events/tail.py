"""Reads the event store in the order of commits: what a position awaits, page by page. Each statement is one snapshot."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from server.events.position import Position
from server.events.queries import COLUMNS, read
from server.kernel.ids import first_uuid_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy.engine import Connection

    from server.events.envelope import Event

_ROWS = f"xid, {COLUMNS}"
# Of a transaction that could not have been yet: a dump restored where transactions are counted anew.
_FORGET = """
UPDATE events SET xid = NULL WHERE uid IN (
  SELECT uid FROM events WHERE workspace_id = %(workspace)s AND xid >= pg_snapshot_xmax(pg_current_snapshot()) LIMIT 5000)
"""
# What is bounded by a snapshot that was taken before leaves out what committed after that.
_BOUND = """
  AND xid < coalesce(%(to_ended)s::xid8, pg_snapshot_xmax(pg_current_snapshot())) AND xid <> ALL (%(to_open)s::xid8[])
"""
_AWAITED = f"""
SELECT pg_current_snapshot()::text AS snapshot, e.* FROM (VALUES (0)) AS always LEFT JOIN LATERAL (
  (SELECT 0 AS turn, {_ROWS} FROM events
   WHERE workspace_id = ANY (%(workspaces)s::bigint[]) AND xid = %(part)s::xid8 AND uid > %(uid)s::uuid {_BOUND}
   ORDER BY uid LIMIT %(limit)s)
  UNION ALL
  (SELECT 1, {_ROWS} FROM events
   WHERE workspace_id = ANY (%(workspaces)s::bigint[]) AND xid = ANY (%(open)s::xid8[]) {_BOUND}
   ORDER BY xid, uid LIMIT %(limit)s)
  UNION ALL
  (SELECT 2, {_ROWS} FROM events
   WHERE workspace_id = ANY (%(workspaces)s::bigint[]) AND xid >= %(ended)s::xid8 AND xid IS DISTINCT FROM %(part)s::xid8 {_BOUND}
   ORDER BY xid, uid LIMIT %(limit)s)
) AS e ON true ORDER BY turn, xid, uid LIMIT %(limit)s
"""
_PAST = f"""
SELECT {_ROWS} FROM events
WHERE workspace_id = %(workspace)s AND uid > %(since)s
  AND (xid IS NULL OR (xid < %(ended)s::xid8 AND xid <> ALL (%(open)s::xid8[])))
ORDER BY uid LIMIT %(limit)s
"""


class Told(NamedTuple):
    """An event, and the position of who has had it."""

    event: Event
    position: Position


class Page(NamedTuple):
    """What came next, and the position after it; `ended`: that was all there is by now.

    `rest` is the same place as a reader keeps it: no further than the last event (see `Position.rested`).
    """

    told: list[Told]
    position: Position
    ended: bool
    rest: Position


def here(conn: Connection, workspace_id: int, since: datetime | None = None) -> Position:
    """Return the position of who wants what commits from now on, or also what was recorded since a time."""
    while conn.exec_driver_sql(_FORGET, {"workspace": workspace_id}).rowcount:
        pass
    position = snapshot(conn)
    if since is None:
        return position
    first = first_uuid_of(max(0, int(since.timestamp() * 1000)))
    return Position(position.ended, position.open, since=first)


def snapshot(conn: Connection) -> Position:
    """Return the position of who has had all that is committed."""
    return Position.of_snapshot(conn.exec_driver_sql("SELECT pg_current_snapshot()::text").scalar_one())


def page(
    conn: Connection, workspaces: Sequence[int], position: Position, limit: int, until: Position | None = None
) -> Page:
    """Return the next events of workspaces that a position awaits, at most `limit`; with `until`, those that this snapshot had.

    Raises:
        Conflict: POSITION_LOST.

    """
    if position.since is not None:
        return _past(conn, workspaces[0], position, limit)
    values = {"workspaces": list(workspaces), "limit": limit, **_from(position), **_until(until)}
    rows = conn.exec_driver_sql(_AWAITED, values).all()
    now = Position.of_snapshot(rows[0].snapshot)
    position.known_to(now)
    seen = until or now
    told = []
    for row in rows:
        if row.xid is not None:
            position = position.after(int(row.xid), row.uid, seen)
            told.append(Told(read(row), position))
    if len(told) == limit:
        return Page(told, position, ended=False, rest=position)
    return Page(told, seen, ended=True, rest=position.rested(now))


def _past(conn: Connection, workspace_id: int, position: Position, limit: int) -> Page:
    values = {"workspace": workspace_id, "since": position.since, "limit": limit, **_from(position)}
    rows = conn.exec_driver_sql(_PAST, values).all()
    told = [Told(read(row), Position(position.ended, position.open, since=row.uid)) for row in rows]
    if len(rows) == limit:
        return Page(told, told[-1].position, ended=False, rest=told[-1].position)
    # Not the end: what was committed meanwhile comes next.
    position = Position(position.ended, position.open)
    return Page(told, position, ended=False, rest=position)


def _from(position: Position) -> dict[str, object]:
    part = position.part
    return {
        "ended": str(position.ended),
        "open": [str(each) for each in position.open],
        "part": str(part.xid) if part else None,
        "uid": part.uid if part else None,
    }


def _until(until: Position | None) -> dict[str, object]:
    return {
        "to_ended": str(until.ended) if until else None,
        "to_open": [str(each) for each in until.open] if until else [],
    }
