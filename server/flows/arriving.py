"""Events arrive for the steps that wait for them: a few in the transaction of the event, many in pieces after it.

A publisher is not to wait for a hundred thousand runs. Where an event has more than some it leaves one due row, and the worker goes
through those that wait. A wait that began after the event finds it by itself, so whoever is waiting then and began before is all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from server.events import queries
from server.flows import waking
from server.flows.waits import arrived, at, canonical
from server.queue import claims
from server.queue.claims import Claimer, Due
from server.store import straight

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy.engine import Connection

    from server.events.envelope import Event
    from server.queue.claims import Claim
    from server.store import Store, Tx

KIND = "flow_arrivals"
AT_ONCE = 500
"""More than these arrivals are not written in the transaction of their events; so many are at a time after it."""
_LANE_LIMIT = 1_000_000
_CLAIMED = 4
_MARGIN = 1000
"""Milliseconds between the id of an event and its first write, and by which clocks differ."""
_NOBODY = UUID(int=0)

# The fields by which waits of a type are found, one look into the index for each.
_FIELDS = """
SELECT t.type, f.field FROM unnest(%(types)s::text[]) AS t(type) CROSS JOIN LATERAL (
  WITH RECURSIVE found AS (
    (SELECT field FROM flow_waits WHERE workspace_id = %(workspace)s AND type = t.type ORDER BY field LIMIT 1)
    UNION ALL
    SELECT (SELECT field FROM flow_waits WHERE workspace_id = %(workspace)s AND type = t.type AND field > found.field
            ORDER BY field LIMIT 1)
    FROM found WHERE found.field IS NOT NULL
  ) SELECT field FROM found WHERE field IS NOT NULL) AS f
"""
_WAITING = f"""
SELECT w.run_id, w.path, e.uid
FROM unnest(%(types)s::text[], %(fields)s::text[], %(values)s::text[], %(uids)s::uuid[]) AS e(type, field, value, uid)
CROSS JOIN LATERAL (
  SELECT run_id, path FROM flow_waits
  WHERE workspace_id = %(workspace)s AND type = e.type AND field = e.field AND value = e.value
    AND (run_id, path) > (%(run)s::uuid, %(path)s::text)
  ORDER BY run_id, path LIMIT {AT_ONCE + 1}
) AS w LIMIT {AT_ONCE + 1}
"""
# One that began after the event, when that was committed, may be older than the correlation of the run lets it be.
_STILL = """
SELECT r.id FROM flow_runs r WHERE r.workspace_id = %(workspace)s AND r.id = ANY(%(runs)s::uuid[]) AND (r.id <= %(soon)s OR %(uid)s >=
  (SELECT uid FROM events WHERE workspace_id = r.workspace_id AND correlation_id = r.correlation_id ORDER BY uid LIMIT 1))
"""
_ARRIVE = """
INSERT INTO flow_arrivals (workspace_id, run_id, path, event_uid)
SELECT %(workspace)s, a.run_id, a.path, a.uid FROM unnest(%(runs)s::uuid[], %(paths)s::text[], %(uids)s::uuid[]) AS a(run_id, path, uid)
ON CONFLICT DO NOTHING RETURNING run_id
"""
_EVENT = f"SELECT {queries.COLUMNS} FROM events WHERE workspace_id = %(workspace)s AND uid = %(uid)s"

Key = tuple[str, str, str, UUID]
Found = tuple[UUID, str, UUID]


def arrive(tx: Tx, events: Sequence[Event]) -> bool:
    """Let events arrive, or have it done soon; say whether anybody waits for them."""
    workspace = tx.scope.workspace_id
    keys = _keys(tx.conn, workspace, events)
    found = _waiting(tx.conn, workspace, keys) if keys else []
    if len(found) > AT_ONCE:
        many = dict.fromkeys(uid for _, _, _, uid in keys)
        claims.add(tx.conn, KIND, [Due(uid, workspace, uid, lane_limit=_LANE_LIMIT) for uid in sorted(many)])
    elif found:
        _write(tx.conn, workspace, found)
    return bool(found)


class Arriving:
    """The worker's part."""

    def __init__(self, store: Store, hint: Callable[[], None]) -> None:
        self._store = store
        self._hint = hint
        self._claim = Claimer(KIND)

    def drain(self) -> int:
        """Let some events arrive that very many wait for; return how many events.

        Raises:
            Unavailable: the database is away; begun anew, nothing arrives twice.

        """
        with self._store.connect() as conn:
            mine = self._claim(conn, _CLAIMED)
        for claim in mine:
            self._one(claim)
        return len(mine)

    def _one(self, claim: Claim) -> None:
        with self._store.connect() as conn:
            row = conn.exec_driver_sql(_EVENT, {"workspace": claim.workspace_id, "uid": claim.ref}).first()
            keys = _keys(conn, claim.workspace_id, [queries.read(row)]) if row is not None else []
        for key in keys:
            after = (_NOBODY, "")
            while True:
                with self._store.connect() as conn:
                    if not claims.hold(conn, KIND, claim):
                        return
                    found = _waiting(conn, claim.workspace_id, [key], after)
                    _write(conn, claim.workspace_id, _still(conn, claim, found))
                self._hint()
                if len(found) <= AT_ONCE:
                    break
                after = found[-1][:2]
        with self._store.connect() as conn:
            claims.finish(conn, KIND, [claim])


def _keys(conn: Connection, workspace: int, events: Sequence[Event]) -> list[Key]:
    """Return by what events are looked for: type, field and value."""
    values = {"workspace": workspace, "types": sorted({each.type for each in events})}
    fields: dict[str, list[str]] = {}
    for type_, field in straight.rows(conn, _FIELDS, values):
        fields.setdefault(type_, []).append(field)
    keys = []
    for event in events:
        for field in fields.get(event.type, ()):
            value = canonical(at(arrived(event), field)) if field else ""
            if value is not None:
                keys.append((event.type, field, value, event.uid))
    return keys


def _waiting(
    conn: Connection, workspace: int, keys: Sequence[Key], after: tuple[UUID, str] = (_NOBODY, "")
) -> list[Found]:
    """Return the steps that wait, one more than are taken at once at most; of one key in the order of their runs."""
    types, fields, values, uids = (list(each) for each in zip(*keys, strict=True))
    given = {"workspace": workspace, "types": types, "fields": fields, "values": values, "uids": uids}
    rows = conn.exec_driver_sql(_WAITING, {**given, "run": after[0], "path": after[1]})
    return [(row.run_id, row.path, row.uid) for row in rows]


def _still(conn: Connection, claim: Claim, found: Sequence[Found]) -> list[Found]:
    """Leave out runs whose correlation began after the event: it is none of theirs."""
    values: dict[str, Any] = {"workspace": claim.workspace_id, "runs": [run for run, _, _ in found], "uid": claim.ref}
    values["soon"] = UUID(int=claim.ref.int + (_MARGIN << 80))
    still = {row.id for row in conn.exec_driver_sql(_STILL, values)}
    return [each for each in found if each[0] in still]


def _write(conn: Connection, workspace: int, found: Sequence[Found]) -> None:
    if not found:
        return
    runs, paths, uids = (list(each) for each in zip(*found, strict=True))
    rows = conn.exec_driver_sql(_ARRIVE, {"workspace": workspace, "runs": runs, "paths": paths, "uids": uids})
    waking.wake(conn, workspace, {row.run_id for row in rows})
