"""What a replay finds, a page at a time: SQL that walks the events in the order in which they were recorded.

Of each (event, webhook) only the newest delivery counts, so that whoever replays twice does not get twice as many each time, and
what is on its way already is left alone. A position is the pair (event, webhook) that came last.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from sqlalchemy import text

from server.kernel.ids import first_uuid_of
from server.replays.filters import STATUSES, pattern

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy.engine import Connection, Row

    from server.replays.filters import Filter

Position = tuple[UUID, UUID]
FIRST: Position = (UUID(int=0), UUID(int=0))
_LAST = UUID(int=2**128 - 1)
_EVENTS = 250
_MOST_EVENTS = 20_000
_TRIGGERED = "crossdock/trigger"

# Deliveries are looked up by their event and no other way, whatever the planner knows of the table: an event has few, while a
# workspace or a webhook may have millions. So the other conditions are written in a form that no index serves.
_LATEST = """
WITH latest AS (
  SELECT DISTINCT ON (event_uid, webhook_id) event_uid, webhook_id, id AS delivery_id, state,
         coalesce(finished_at, created_at) AS ended_at
  FROM deliveries WHERE event_uid = ANY (:events) AND workspace_id + 0 = :workspace
    AND (CAST(:webhook AS uuid) IS NULL OR webhook_id IS NOT DISTINCT FROM :webhook)
  ORDER BY event_uid, webhook_id, id DESC
), found AS (
  SELECT latest.event_uid, latest.webhook_id, latest.delivery_id, latest.state
  FROM latest JOIN webhooks w ON w.id = latest.webhook_id AND w.workspace_id = :workspace AND w.deleted_at IS NULL
  WHERE (event_uid, webhook_id) > (:event, :after_webhook) AND latest.state = ANY (:states) AND ended_at <= :asked_at
)
"""
_NAMED = """
WITH found AS (
  SELECT d.event_uid, d.webhook_id, d.id AS delivery_id, d.state
  FROM deliveries d JOIN webhooks w ON w.id = d.webhook_id AND w.workspace_id = :workspace AND w.deleted_at IS NULL
  JOIN events e ON e.uid = d.event_uid
  WHERE d.workspace_id = :workspace AND d.id = ANY (:named) AND d.state = ANY (:states)
    AND (d.event_uid, d.webhook_id) > (:event, :after_webhook)
    AND NOT EXISTS (  -- of two that are named, of one event and webhook, the newest
      SELECT FROM deliveries n WHERE n.event_uid = d.event_uid AND n.webhook_id = d.webhook_id AND n.id > d.id
      AND n.id = ANY (:named))
)
"""
# A fan-out that is not written out yet owes its deliveries already.
_MISSING = """
WITH had AS MATERIALIZED (
  SELECT event_uid FROM deliveries WHERE event_uid = ANY (:events) AND webhook_id IS NOT DISTINCT FROM :webhook
), found AS (
  SELECT e.uid AS event_uid, CAST(:webhook AS uuid) AS webhook_id, CAST(NULL AS uuid) AS delivery_id, CAST(NULL AS text) AS state
  FROM unnest(CAST(:events AS uuid[])) AS e(uid)
  WHERE (e.uid, CAST(:webhook AS uuid)) > (:event, :after_webhook)
    AND NOT EXISTS (SELECT FROM had WHERE had.event_uid = e.uid)
    AND NOT EXISTS (SELECT FROM fanouts f WHERE f.event_uid = e.uid AND :webhook = ANY (f.webhook_ids))
)
"""
_ROWS = "SELECT * FROM found ORDER BY event_uid, webhook_id LIMIT :most"
_COUNT = "SELECT count(*) FROM found"
_SAMPLES = """
SELECT f.*, e.id AS event_id, e.type AS event_type, e.subject, e.recorded_at, w.name AS webhook
FROM unnest(CAST(:events AS uuid[]), CAST(:webhooks AS uuid[]), CAST(:deliveries AS uuid[]), CAST(:states AS text[]))
  WITH ORDINALITY AS f(event_uid, webhook_id, delivery_id, state, no)
JOIN events e ON e.uid = f.event_uid AND e.workspace_id = :workspace JOIN webhooks w ON w.id = f.webhook_id
ORDER BY f.no
"""


@dataclass(frozen=True, slots=True)
class Search:
    """A filter as SQL needs it. `types` are the patterns of the webhook of a backfill; `before` bounds the events."""

    workspace_id: int
    filter: Filter
    webhook_id: UUID | None
    before: UUID
    asked_at: datetime
    backfill: bool = False
    types: tuple[str, ...] = ()


class Page(NamedTuple):
    """What was found, where to go on, and whether that was all."""

    rows: list[Row[Any]]
    position: Position
    ended: bool


def page(conn: Connection, search: Search, after: Position, most: int) -> Page:
    """Return the next candidates: at most `most`, and after 20,000 events that hold few of them what there is by then."""
    if search.filter.deliveries:
        rows = _found(conn, search, [], after, most)
        return Page(rows, _of(rows[-1]) if rows else after, len(rows) < most)
    rows = []
    for _ in range(_MOST_EVENTS // _EVENTS):
        events = _next_events(conn, search, after[0])
        rows += _found(conn, search, events, after, most - len(rows))
        if len(rows) == most:
            return Page(rows, _of(rows[-1]), ended=False)
        if len(events) < _EVENTS:
            return Page(rows, after, ended=True)
        after = (events[-1], _LAST)
    return Page(rows, after, ended=False)


def count(conn: Connection, search: Search, after: Position) -> tuple[int, Position, bool]:
    """Count the candidates of the next 20,000 events; return (how many, where to go on, whether that was all)."""
    if search.filter.deliveries:
        return _counted(conn, search, [], after), after, True
    counted = 0
    for _ in range(_MOST_EVENTS // _EVENTS):
        events = _next_events(conn, search, after[0])
        counted += _counted(conn, search, events, after)
        if len(events) < _EVENTS:
            return counted, after, True
        after = (events[-1], _LAST)
    return counted, after, False


def describe(conn: Connection, search: Search, rows: Sequence[Row[Any]]) -> Sequence[Row[Any]]:
    """Return candidates with what a person wants to know of them."""
    values = {
        "workspace": search.workspace_id,
        "events": [each.event_uid for each in rows],
        "webhooks": [each.webhook_id for each in rows],
        "deliveries": [each.delivery_id for each in rows],
        "states": [each.state for each in rows],
    }
    return conn.execute(text(_SAMPLES), values).all()


def _next_events(conn: Connection, search: Search, start: UUID) -> list[UUID]:
    """Return the next events that the filter means, from `start` on; each condition is there only when it is meant."""
    wanted = search.filter
    low = max(start, _moment(wanted.since)) if wanted.since else start
    high = min(search.before, _moment(wanted.until)) if wanted.until else search.before
    values: dict[str, Any] = {"workspace": search.workspace_id, "low": low, "high": high, "most": _EVENTS}
    conditions = ["workspace_id = :workspace", "uid >= :low", "uid < :high"]
    if wanted.type is not None and "*" not in wanted.type:
        conditions.append("type = :type")
        values["type"] = wanted.type
    elif wanted.type is not None:
        conditions.append("type ~ :type")
        values["type"] = pattern([wanted.type])
    if wanted.subject is not None:
        conditions.append("subject = :subject")
        values["subject"] = wanted.subject
    if search.backfill:
        conditions += ["type ~ :types", "source <> :triggered"]
        values |= {"types": pattern(search.types), "triggered": _TRIGGERED}
    statement = f"SELECT uid FROM events WHERE {' AND '.join(conditions)} ORDER BY uid LIMIT :most"
    return list(conn.execute(text(statement), values).scalars())


def _found(conn: Connection, search: Search, events: list[UUID], after: Position, most: int) -> list[Row[Any]]:
    statement, values = _statement(search, events, after)
    return list(conn.execute(text(statement + _ROWS), values | {"most": most}))


def _counted(conn: Connection, search: Search, events: list[UUID], after: Position) -> int:
    statement, values = _statement(search, events, after)
    return int(conn.execute(text(statement + _COUNT), values).scalar_one())


def _statement(search: Search, events: list[UUID], after: Position) -> tuple[str, dict[str, Any]]:
    wanted = search.filter
    values: dict[str, Any] = {"workspace": search.workspace_id, "event": after[0], "after_webhook": after[1]}
    if search.backfill:
        return _MISSING, values | {"events": events, "webhook": search.webhook_id}
    values["states"] = list(wanted.status or STATUSES)
    if wanted.deliveries:
        return _NAMED, values | {"named": list(wanted.deliveries)}
    return _LATEST, values | {"events": events, "webhook": search.webhook_id, "asked_at": search.asked_at}


def _of(row: Row[Any]) -> Position:
    return row.event_uid, row.webhook_id


def _moment(moment: datetime) -> UUID:
    return first_uuid_of(max(0, int(moment.timestamp() * 1000)))
