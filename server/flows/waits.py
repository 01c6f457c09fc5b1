"""What runs wait for: found by an event through an index, whatever the number of those that wait.

The step compares a field of the event that comes with something of its run (`where: arrived.data.order_id == data.order_id`): the
value is worked out once and stored, and each event looks for its own. The whole `where` is then evaluated by the run itself, on what
has arrived. Events from before count too. They are read once after the wait has been committed, as one snapshot sees them, and so are
those of the transactions that were open then as soon as they have ended: nothing between is missed, nothing is waited for in vain.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from server.events import queries
from server.events.envelope import from_json
from server.events.position import Position
from server.events.tail import snapshot
from server.store.values import write_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from sqlalchemy.engine import Connection

    from server.events.envelope import Event

MOST_ARRIVALS = 10_000
RUN_ENDS, RUN_ID = "~flow_run", "id"
"""What a step waits for whose run was there before it: no event has such a type."""
_PAGE = 500
_LONGEST = 200
_AGAIN_FIRST, _AGAIN_MOST = 0.05, 30.0
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:")

_BEGIN = """
INSERT INTO flow_waits (workspace_id, run_id, path, type, field, value, needed)
SELECT * FROM unnest(%(workspaces)s::bigint[], %(runs)s::uuid[], %(paths)s::text[], %(types)s::text[], %(fields)s::text[],
                     %(values)s::text[], %(needed)s::int[])
ON CONFLICT (run_id, path, type) DO NOTHING
"""
_JOINED = """
SELECT w.workspace_id, w.run_id FROM unnest(%(workspaces)s::bigint[], %(values)s::text[]) AS r(workspace_id, value)
JOIN flow_waits w ON w.workspace_id = r.workspace_id AND w.type = %(type)s AND w.field = %(field)s AND w.value = r.value
"""
_END = """
WITH gone AS (DELETE FROM flow_waits WHERE run_id = ANY(%(runs)s::uuid[]) AND (path = %(path)s OR %(path)s IS NULL))
DELETE FROM flow_arrivals WHERE run_id = ANY(%(runs)s::uuid[]) AND (path = %(path)s OR %(path)s IS NULL)
"""
_FIRST = """
SELECT uid FROM events WHERE workspace_id = %(workspace)s AND correlation_id = %(correlation)s ORDER BY uid LIMIT 1
"""
# A text is searched for as it stands before anything is parsed; a JSON text may write it with escapes, too.
_MAY_HOLD = "(%(needle)s::text IS NULL OR strpos(data, %(needle)s) > 0 OR strpos(data, '\\u') > 0)"
_PAST = f"""
SELECT {queries.COLUMNS} FROM events
WHERE workspace_id = %(workspace)s AND type = %(type)s AND uid >= %(since)s AND uid > %(after)s AND {_MAY_HOLD}
  AND (xid IS NULL OR (xid < %(ended)s::xid8 AND xid <> ALL (%(open)s::xid8[])))
ORDER BY uid LIMIT {_PAGE}
"""
_LATE = f"""
SELECT {queries.COLUMNS} FROM events
WHERE workspace_id = %(workspace)s AND xid = ANY (%(open)s::xid8[]) AND type = %(type)s AND {_MAY_HOLD} ORDER BY uid
"""
_ARRIVE = """
INSERT INTO flow_arrivals (workspace_id, run_id, path, event_uid)
SELECT %(workspace)s, w.run_id, w.path, e.uid FROM flow_waits w, unnest(%(uids)s::uuid[]) AS e(uid)
WHERE w.run_id = %(run)s AND w.path = %(path)s AND w.type = %(type)s ON CONFLICT DO NOTHING
"""
_ARRIVALS = f"""
SELECT event_uid FROM flow_arrivals WHERE workspace_id = %(workspace)s AND run_id = %(run)s AND path = %(path)s
ORDER BY event_uid LIMIT {MOST_ARRIVALS}
"""
_SCANNED = """
UPDATE flow_waits SET scanned = %(scanned)s
WHERE workspace_id = %(workspace)s AND run_id = %(run)s AND path = %(path)s AND type = %(type)s
"""
_WAITS = """
SELECT type, field, value, needed, scanned FROM flow_waits
WHERE workspace_id = %(workspace)s AND run_id = %(run)s AND path = %(path)s
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewWait:
    """A step that begins to wait. `field` is the path in `arrived` that must have `value`, None where any event of the type will do."""

    workspace_id: int
    run_id: UUID
    path: str
    type: str
    needed: int
    field: str | None = None
    value: Any = None


def canonical(value: Any) -> str | None:
    """Return a value as it is looked for: what is equal for an expression is the same text; None for null, which never matches."""
    if value is None:
        return None
    text = write_json(_plain(value))
    return text if len(text) <= _LONGEST else hashlib.sha256(text.encode()).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, dict):
        return {key: _plain(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    number = Decimal(str(value)) if isinstance(value, float) else Decimal(value)
    return int(number) if number == number.to_integral_value() and abs(number.adjusted()) < 15 else number.normalize()  # noqa: PLR2004


def arrived(event: Event) -> dict[str, Any]:
    """Return an event as expressions see it as `arrived`."""
    return {**event.view(), "data": from_json(event.data)}


def at(view: Mapping[str, Any], field: str) -> Any:
    """Return what a path of plain names, `data.order_id`, leads to; None where it leads nowhere."""
    value: Any = view
    for name in field.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def begin(conn: Connection, waits: Sequence[NewWait]) -> None:
    """Write waits, in the transaction that makes their steps wait; those that are there stay as they are."""
    if not waits:
        return
    values = {
        "workspaces": [each.workspace_id for each in waits],
        "runs": [each.run_id for each in waits],
        "paths": [each.path for each in waits],
        "types": [each.type for each in waits],
        "fields": [each.field or "" for each in waits],
        "values": ["" if each.field is None else canonical(each.value) or "null" for each in waits],
        "needed": [each.needed for each in waits],
    }
    conn.exec_driver_sql(_BEGIN, values)


def end(conn: Connection, runs: Sequence[UUID], path: str | None = None) -> None:
    """Forget the waits of runs, or of one step of theirs, and what has arrived for them."""
    if runs:
        conn.exec_driver_sql(_END, {"runs": list(runs), "path": path})


def joined(conn: Connection, ended: Sequence[tuple[int, UUID]]) -> list[tuple[int, UUID]]:
    """Return the runs that wait for the end of these, which they did not start, each with its workspace."""
    values = {
        "workspaces": [workspace for workspace, _ in ended],
        "values": [canonical(str(run)) for _, run in ended],
        "type": RUN_ENDS,
        "field": RUN_ID,
    }
    return [(row.workspace_id, row.run_id) for row in conn.exec_driver_sql(_JOINED, values)]


def arrivals(conn: Connection, workspace_id: int, run_id: UUID, path: str) -> list[Event]:
    """Return what has arrived for a step, oldest first."""
    rows = conn.exec_driver_sql(_ARRIVALS, {"workspace": workspace_id, "run": run_id, "path": path})
    uids = [row.event_uid for row in rows]
    return sorted(queries.by_uids(conn, uids), key=lambda event: event.uid) if uids else []


def drop(conn: Connection, workspace_id: int, run_id: UUID, path: str, events: Sequence[Event]) -> None:
    """Forget arrivals that are not what the step waits for."""
    if events:
        conn.exec_driver_sql(
            "DELETE FROM flow_arrivals WHERE workspace_id = %s AND run_id = %s AND path = %s AND event_uid = ANY(%s::uuid[])",
            (workspace_id, run_id, path, [each.uid for each in events]),
        )


def look_back(conn: Connection, workspace_id: int, run_id: UUID, path: str, correlation_id: str) -> timedelta | None:
    """Let what came before a wait that is committed arrive, back to the first event of the correlation.

    Return after how long it is to be called again, because transactions are open that may have missed the wait; None when it is done.
    Called again after a crash it goes on, and nothing arrives twice.
    """
    pauses = [
        _look_back(conn, {"workspace": workspace_id, "run": run_id, "path": path}, wait, correlation_id)
        for wait in conn.exec_driver_sql(_WAITS, {"workspace": workspace_id, "run": run_id, "path": path}).all()
    ]
    left = [each for each in pauses if each is not None]
    return min(left) if left else None


def _look_back(conn: Connection, whose: dict[str, Any], wait: Any, correlation_id: str) -> timedelta | None:
    known = wait.scanned or {}
    if known.get("done"):
        return None
    values = {**whose, "type": wait.type, "needle": _needle(wait.field, wait.value)}
    position = snapshot(conn)
    if "position" in known:
        seen, again = Position.read(known["position"]), float(known["again"])
    else:
        seen, again = position, _AGAIN_FIRST
        first = conn.exec_driver_sql(_FIRST, {**whose, "correlation": correlation_id}).scalar() or whose["run"]
        _read_past(conn, wait, {**values, **_bounds(seen), "since": min(first, whose["run"])})
    open_ = tuple(each for each in seen.open if each < position.ended and each not in position.open)
    if open_:
        late = conn.exec_driver_sql(_LATE, {**values, "open": [str(each) for each in open_]})
        _arrive(conn, wait, values, [queries.read(row) for row in late])
    rest = tuple(each for each in seen.open if each not in open_)
    left = (
        {"position": str(Position(seen.ended, rest)), "again": min(again * 2, _AGAIN_MOST)} if rest else {"done": True}
    )
    conn.exec_driver_sql(_SCANNED, {**values, "scanned": write_json(left)})
    return timedelta(seconds=again) if rest else None


def _read_past(conn: Connection, wait: Any, values: dict[str, Any]) -> None:
    after = "00000000-0000-0000-0000-000000000000"
    while True:
        rows = conn.exec_driver_sql(_PAST, {**values, "after": after}).all()
        _arrive(conn, wait, values, [queries.read(row) for row in rows])
        if len(rows) < _PAGE:
            return
        after = rows[-1].uid


def _bounds(position: Position) -> dict[str, Any]:
    return {"ended": str(position.ended), "open": [str(each) for each in position.open]}


def _needle(field: str, value: str) -> str | None:
    """Return what stands in the data of every event that fits, unless it was written with escapes; None where that is not known."""
    if field.startswith("data.") and value.startswith('"') and set(value[1:-1]) <= _PLAIN:
        return value
    return None


def _arrive(conn: Connection, wait: Any, values: Mapping[str, Any], events: Sequence[Event]) -> None:
    fit = [each.uid for each in events if not wait.field or canonical(at(arrived(each), wait.field)) == wait.value]
    if fit:
        conn.exec_driver_sql(_ARRIVE, {**values, "uids": fit})
