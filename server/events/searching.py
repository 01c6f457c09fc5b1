"""Finding events: each question reads one index in the order of its answer, over all partitions, whatever the planner believes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from server.events.matching import matches
from server.events.queries import COLUMNS, read
from server.events.wanted import has_wildcard
from server.kernel.errors import Invalid, code

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from server.events.envelope import Event
    from server.store import Tx

TYPES_UNCOUNTED = code(
    "TYPES_UNCOUNTED", "This workspace has used too many event types to match a pattern against; name the types."
)
MOST_TYPES = 2000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Looks each type up after the one before, an index entry each: a DISTINCT would read every event.
_TYPES = """
WITH RECURSIVE found AS (
  (SELECT type FROM events WHERE workspace_id = :workspace_id ORDER BY type LIMIT 1)
  UNION ALL
  SELECT (SELECT e.type FROM events e WHERE e.workspace_id = :workspace_id AND e.type > found.type ORDER BY e.type LIMIT 1)
  FROM found WHERE found.type IS NOT NULL
) SELECT type FROM found WHERE type IS NOT NULL LIMIT :most
"""
_WHERE = {
    "before": "uid < :before",
    "after": "uid > :after",
    "subject": "subject = :subject",
    "source": "source = :source",
    "correlation_id": "correlation_id = :correlation_id",
    "since": "uid >= crossdock_first_uuid(:since)",
    "until": "uid < crossdock_first_uuid(:until)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """Which events; what is None says nothing. Times are those at which events were recorded. `type` may be a pattern."""

    type: str | None = None
    subject: str | None = None
    source: str | None = None
    correlation_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    before: UUID | None = None
    after: UUID | None = None
    oldest_first: bool = False


def page(tx: Tx, search: Search, limit: int) -> list[Event]:
    """Return events of the workspace, newest first unless asked otherwise.

    Raises:
        Invalid: TYPES_UNCOUNTED.

    """
    given = {name: value for name in _WHERE if (value := getattr(search, name)) is not None}
    given |= {name: max(given[name], _EPOCH) for name in ("since", "until") if name in given}  # ids know none before it
    where = "".join(f" AND {_WHERE[name]}" for name in given)
    order = f"ORDER BY uid {'ASC' if search.oldest_first else 'DESC'} LIMIT :limit"
    if search.type is None:
        sql = f"SELECT {COLUMNS} FROM events WHERE workspace_id = :workspace_id{where} {order}"
    else:
        given["types"] = _types(tx, search.type)
        sql = f"""
            SELECT found.* FROM unnest(CAST(:types AS text[])) AS wanted(type) CROSS JOIN LATERAL (
              SELECT {COLUMNS} FROM events WHERE workspace_id = :workspace_id AND type = wanted.type{where} {order}
            ) AS found {order}"""
    return [read(row) for row in tx.all(sql, limit=limit, **given)]


def types_of(tx: Tx) -> list[str]:
    """Return the event types that the workspace has stored, at most 2,000 and one."""
    return [row.type for row in tx.all(_TYPES, most=MOST_TYPES + 1)]


def caused_by(tx: Tx, ids: Sequence[str], limit: int) -> list[Event]:
    """Return the events that name one of these as their cause, oldest first."""
    rows = tx.all(
        f"""SELECT {COLUMNS} FROM events WHERE workspace_id = :workspace_id AND causation_id = ANY (:ids)
            ORDER BY uid LIMIT :limit""",
        ids=list(ids),
        limit=limit,
    )
    return [read(row) for row in rows]


def _types(tx: Tx, pattern: str) -> list[str]:
    if not has_wildcard(pattern):
        return [pattern]
    known = types_of(tx)
    if len(known) > MOST_TYPES:
        raise Invalid(f"more than {MOST_TYPES} event types were used here", code=TYPES_UNCOUNTED, source="events")
    return [each for each in known if matches(pattern, each)]
