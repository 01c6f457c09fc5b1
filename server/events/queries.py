"""The SQL of the event store."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from server.events.envelope import Event, to_json
from server.kernel.errors import Conflict, NotFound, code
from server.store import straight

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.engine import Connection, Row

    from server.events.envelope import NewEvent
    from server.store import Cause, Tx

AMBIGUOUS_EVENT = code("AMBIGUOUS_EVENT", "Several sources used this event id; name one with `?source=`.")
NAMES = tuple(each.name for each in fields(Event))
COLUMNS = ", ".join(NAMES)
_GIVEN = """
  json_to_recordset(%(events)s::json)
    AS e(uid uuid, workspace_id bigint, id text, source text, type text, subject text, time timestamptz, recorded_at timestamptz,
         data text, correlation_id text, causation_id text, principal text, schema_version int, extensions jsonb,
         content_hash text)"""
_FRESH = """
  INSERT INTO event_keys (workspace_id, source, id, content_hash, uid)
  SELECT workspace_id, source, id, decode(content_hash, 'hex'), uid FROM given ORDER BY source, id
  ON CONFLICT DO NOTHING RETURNING uid"""
_KEPT = f"""
  INSERT INTO events ({COLUMNS})
  SELECT {", ".join(f"given.{name}" for name in NAMES)} FROM fresh JOIN given USING (uid) ORDER BY uid
  RETURNING uid"""
_STORE = f"WITH given AS MATERIALIZED (SELECT * FROM {_GIVEN}), fresh AS MATERIALIZED ({_FRESH}) {_KEPT}"
# The workspace is entered before its row is looked for, since only then can it be seen, and nothing is given unless the version holds.
STORE_AT_ONCE = f"""
WITH entered AS MATERIALIZED (
  SELECT set_config('crossdock.workspace', %(workspace)s::text, true)::bigint AS id
), here AS MATERIALIZED (
  SELECT (SELECT routes_version FROM workspaces WHERE workspaces.id = entered.id) AS version FROM entered
), given AS MATERIALIZED (
  SELECT e.* FROM here CROSS JOIN {_GIVEN} WHERE here.version = %(version)s
), fresh AS MATERIALIZED ({_FRESH}), stored AS MATERIALIZED ({_KEPT})"""
"""Beginning of a statement that is a transaction: `stored (uid)` are the new ones; all are, or none where the version is another."""


def store(tx: Tx, keyed: Sequence[tuple[Event, bytes]]) -> set[UUID]:
    """Store those events whose keys are new, with the hash of their content; return their uids.

    Waits for another publisher of one key until that has committed.
    """
    if not keyed:
        return set()
    return {uid for (uid,) in straight.rows(tx.conn, _STORE, {"events": rows_of(keyed)})}


def rows_of(keyed: Sequence[tuple[Event, bytes]]) -> str:
    """Write events, with the hash of their content, as the statements that store them read them."""
    return to_json(
        [{**{name: getattr(event, name) for name in NAMES}, "content_hash": hash_.hex()} for event, hash_ in keyed]
    )


def known_keys(tx: Tx, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Row[Any]]:
    """Return the stored (content_hash, uid) of keys (source, id)."""
    if not keys:
        return {}
    rows = tx.conn.exec_driver_sql(
        """SELECT source, id, content_hash, uid FROM event_keys
           WHERE workspace_id = %s AND (source, id) IN (SELECT * FROM unnest(%s::text[], %s::text[]))""",
        (tx.scope.workspace_id, [source for source, _ in keys], [id_ for _, id_ in keys]),
    )
    return {(row.source, row.id): row for row in rows}


def read(row: Any) -> Event:
    """Build an event from a row with COLUMNS."""
    return Event(**{each.name: getattr(row, each.name) for each in fields(Event)})


def by_id(tx: Tx, id_: str, source: str | None) -> list[Event]:
    """Return the events of that id: one per source."""
    rows = tx.all(
        f"""SELECT {COLUMNS} FROM events WHERE workspace_id = :workspace_id AND uid IN (
              SELECT uid FROM event_keys WHERE workspace_id = :workspace_id AND id = :id
              AND (CAST(:source AS text) IS NULL OR source = :source) LIMIT 10)""",
        id=id_,
        source=source,
    )
    return [read(row) for row in rows]


def one(tx: Tx, id_: str, source: str | None) -> Event:
    """Return the event of that id.

    Raises:
        NotFound: there is none.
        Conflict: AMBIGUOUS_EVENT, several sources used the id and none is named.

    """
    found = by_id(tx, id_, source)
    if not found:
        raise NotFound("no such event here")
    if len(found) > 1:
        sources = sorted(event.source for event in found)
        raise Conflict("several sources used this id", code=AMBIGUOUS_EVENT, sources=sources)
    return found[0]


def by_uid(tx: Tx, uid: UUID) -> Event | None:
    """Return an event by the id that is ours alone."""
    row = tx.one(f"SELECT {COLUMNS} FROM events WHERE workspace_id = :workspace_id AND uid = :uid", uid=uid)
    return None if row is None else read(row)


def by_uids(conn: Connection, uids: Collection[UUID]) -> list[Event]:
    """Return events of any workspace: for the engine, which carries each row's workspace on."""
    rows = conn.exec_driver_sql(f"SELECT {COLUMNS} FROM events WHERE uid = ANY(%s::uuid[])", (list(uids),))
    return [read(row) for row in rows]


def stored(
    event: NewEvent, uid: UUID, id_: str, now: datetime, workspace_id: int, cause: Cause, version: int | None = None
) -> Event:
    """Fill in what the publisher left out: time, correlation, principal, and the version of its schema that it was checked by."""
    return Event(
        uid=uid,
        workspace_id=workspace_id,
        id=id_,
        source=event.source,
        type=event.type,
        subject=event.subject,
        time=event.time or now,
        recorded_at=now,
        data=event.data,
        correlation_id=event.correlation_id or cause.correlation_id,
        causation_id=event.causation_id or cause.causation_id,
        principal=cause.principal,
        schema_version=version,
        extensions=event.extensions,
    )
