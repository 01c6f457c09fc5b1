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
from server.replays import requests
from server.replays.filters import STATUSES, pattern

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy.engine import Connection, Row

    from server.replays.filters import Filter

Position = tuple[UUID, UUID]
FIRST: Position = (UUID(int=0), UUID(int=0))
_LAST = UUID(int=2**128 - 1)
_MOST_EVENTS = 20_000  # of one page or count
_FEW, _MANY = 100, 4000  # events that one statement looks at: few at first, for each may have ten thousand deliveries
_LOOKED = 20_000  # deliveries that one statement should look at
_TRIGGERED = "crossdock/trigger"

# Deliveries are looked up by their event and no other way, whatever the planner knows of the table: an event has few, while a
# workspace or a webhook may have millions. So the other conditions are written in a form that no index serves.
_LOOK = """
WITH chosen AS MATERIALIZED (SELECT uid FROM events WHERE {conditions} ORDER BY uid LIMIT :events),
looked AS MATERIALIZED (
  SELECT event_uid, webhook_id, id AS delivery_id, state, coalesce(finished_at, created_at) AS ended_at
  FROM deliveries WHERE event_uid = ANY (ARRAY(SELECT uid FROM chosen)) AND workspace_id + 0 = :workspace
),
"""
_LATEST = """
latest AS (
  SELECT DISTINCT ON (event_uid, webhook_id) * FROM looked WHERE CAST(:webhook AS uuid) IS NULL OR webhook_id = :webhook
  ORDER BY event_uid, webhook_id, delivery_id DESC
), found AS (
  SELECT latest.event_uid, latest.webhook_id, latest.delivery_id, latest.state
  FROM latest JOIN webhooks w ON w.id = latest.webhook_id AND w.workspace_id = :workspace AND w.deleted_at IS NULL
  WHERE (event_uid, webhook_id) > (:event, :after_webhook) AND latest.state = ANY (:states) AND ended_at <= :asked_at
)
"""
_NAMED = """
WITH chosen AS (SELECT CAST(NULL AS uuid) AS uid WHERE false), looked AS (TABLE chosen), found AS (
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
found AS (
  SELECT e.uid AS event_uid, CAST(:webhook AS uuid) AS webhook_id, CAST(NULL AS uuid) AS delivery_id, CAST(NULL AS text) AS state
  FROM chosen AS e
  WHERE (e.uid, CAST(:webhook AS uuid)) > (:event, :after_webhook)
    AND NOT EXISTS (SELECT FROM looked WHERE looked.event_uid = e.uid AND looked.webhook_id = :webhook)
    AND NOT EXISTS (SELECT FROM fanouts f WHERE f.event_uid = e.uid AND :webhook = ANY (f.webhook_ids))
)
"""
_SEEN = """
(SELECT count(*) FROM chosen) AS events, (SELECT uid FROM chosen ORDER BY uid DESC LIMIT 1) AS last,
(SELECT count(*) FROM looked) AS looked
"""
_ROWS = f"""
SELECT seen.*, f.* FROM (SELECT {_SEEN}) AS seen
LEFT JOIN (SELECT * FROM found ORDER BY event_uid, webhook_id LIMIT :most) AS f ON true ORDER BY f.event_uid, f.webhook_id
"""
_COUNT = f"SELECT {_SEEN}, (SELECT count(*) FROM found) AS n"
_SAMPLES = """
SELECT f.*, CAST(NULL AS uuid) AS request_uid, e.id AS event_id, e.type AS event_type, e.subject, e.recorded_at, w.name AS webhook
FROM unnest(CAST(:events AS uuid[]), CAST(:webhooks AS uuid[]), CAST(:deliveries AS uuid[]), CAST(:states AS text[]))
  WITH ORDINALITY AS f(event_uid, webhook_id, delivery_id, state, no)
JOIN events e ON e.uid = f.event_uid AND e.workspace_id = :workspace JOIN webhooks w ON w.id = f.webhook_id
ORDER BY f.no
"""


@dataclass(frozen=True, slots=True)
class Search:
    """A filter as SQL needs it. `types` are the patterns of the webhook of a backfill; `before` bounds the events.

    With `inbound` requests are looked for, each in the place of an event.
    """

    workspace_id: int
    filter: Filter
    webhook_id: UUID | None
    before: UUID
    asked_at: datetime
    backfill: bool = False
    types: tuple[str, ...] = ()
    inbound: bool = False


class Page(NamedTuple):
    """What was found, where to go on, and whether that was all."""

    rows: list[Row[Any]]
    position: Position
    ended: bool


def page(conn: Connection, search: Search, after: Position, most: int) -> Page:
    """Return the next candidates: at most `most`, and after 20,000 events that hold few of them what there is by then."""
    rows: list[Row[Any]] = []
    step = _Step()
    while step.goes_on:
        found = _run(conn, search, after, step.size, _ROWS, most=most - len(rows))
        rows += [row for row in found if row.event_uid is not None]
        if len(rows) == most:
            return Page(rows, (rows[-1].event_uid, rows[-1].webhook_id), ended=False)
        after = step.took(found[0], after)
    return Page(rows, after, step.ended)


def count(conn: Connection, search: Search, after: Position) -> tuple[int, Position, bool]:
    """Count the candidates of the next 20,000 events; return (how many, where to go on, whether that was all)."""
    counted = 0
    step = _Step()
    while step.goes_on:
        [found] = _run(conn, search, after, step.size, _COUNT)
        counted += found.n
        after = step.took(found, after)
    return counted, after, step.ended


def describe(conn: Connection, search: Search, rows: Sequence[Row[Any]]) -> Sequence[Row[Any]]:
    """Return candidates with what a person wants to know of them."""
    values = {
        "workspace": search.workspace_id,
        "events": [each.event_uid for each in rows],
        "webhooks": [each.webhook_id for each in rows],
        "deliveries": [each.delivery_id for each in rows],
        "states": [each.state for each in rows],
    }
    return conn.execute(text(requests.SAMPLES if search.inbound else _SAMPLES), values).all()


@dataclass(slots=True)
class _Step:
    """How many events the next statement looks at, given how many deliveries those of the last one had."""

    size: int = _FEW
    events: int = 0
    ended: bool = False

    @property
    def goes_on(self) -> bool:
        return not self.ended and self.events < _MOST_EVENTS

    def took(self, seen: Row[Any], after: Position) -> Position:
        """Learn from a statement; return where the next one begins."""
        self.events += seen.events
        self.ended = seen.events < self.size
        self.size = max(_FEW // 2, min(_MANY, _LOOKED * self.size // max(seen.looked, 1)))
        return after if seen.last is None else (seen.last, _LAST)


def _run(conn: Connection, search: Search, after: Position, events: int, what: str, **more: Any) -> Sequence[Row[Any]]:
    values: dict[str, Any] = {"workspace": search.workspace_id, "event": after[0], "after_webhook": after[1], **more}
    if search.inbound:
        return _run_requests(conn, search, values, events, what)
    if search.filter.deliveries:
        values |= {"named": list(search.filter.deliveries), "states": list(STATUSES)}
        return conn.execute(text(_NAMED + what), values).all()
    chosen, bounds = _chosen(search, after[0], events)
    values |= {"webhook": search.webhook_id, **bounds}
    if search.backfill:
        return conn.execute(text(chosen + _MISSING + what), values).all()
    values |= {"states": list(search.filter.status or STATUSES), "asked_at": search.asked_at}
    return conn.execute(text(chosen + _LATEST + what), values).all()


def _run_requests(
    conn: Connection, search: Search, values: dict[str, Any], events: int, what: str
) -> Sequence[Row[Any]]:
    wanted = search.filter
    if wanted.requests:
        values |= {"named": list(wanted.requests), "states": list(requests.STATUSES)}
        return conn.execute(text(requests.NAMED + what), values).all()
    values |= {
        "webhook": search.webhook_id,
        "low": max(values["event"], _moment(wanted.since)) if wanted.since else values["event"],
        "high": min(search.before, _moment(wanted.until)) if wanted.until else search.before,
        "events": events,
        "states": list(wanted.status or requests.DEFAULT),
        "asked_at": search.asked_at,
    }
    return conn.execute(text(requests.FOUND + what), values).all()


def _chosen(search: Search, start: UUID, events: int) -> tuple[str, dict[str, Any]]:
    """Return the SQL of the next events that the filter means, from `start` on; a condition is there only when it is meant."""
    wanted = search.filter
    low = max(start, _moment(wanted.since)) if wanted.since else start
    high = min(search.before, _moment(wanted.until)) if wanted.until else search.before
    values: dict[str, Any] = {"low": low, "high": high, "events": events}
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
    return _LOOK.format(conditions=" AND ".join(conditions)), values


def _moment(moment: datetime) -> UUID:
    return first_uuid_of(max(0, int(moment.timestamp() * 1000)))
