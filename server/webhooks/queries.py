"""The SQL of deliveries: owing, loading, recording and ordering them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from server.events.envelope import to_json
from server.queue.claims import LANE_LIMIT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.engine import Connection, Row

    from server.kernel.errors import Failure
    from server.queue.claims import Claim

KIND = "delivery"

_OWE = f"""
WITH new AS (
  SELECT * FROM unnest(%(ids)s::uuid[], %(webhooks)s::uuid[], %(events)s::uuid[], %(messages)s::text[], %(states)s::text[],
                       %(keys)s::text[], %(numbers)s::bigint[], %(expiries)s::timestamptz[], %(waiting)s::boolean[],
                       %(reasons)s::text[], %(limits)s::int[])
    AS n(id, webhook_id, event_uid, message_id, state, order_key, order_no, expires_at, waits, reason, lane_limit)
), stored AS (
  INSERT INTO deliveries (id, workspace_id, webhook_id, event_uid, message_id, state, order_key, order_no, created_at,
                          expires_at, reason)
  SELECT id, %(workspace)s, webhook_id, event_uid, message_id, state, order_key, order_no, %(now)s, expires_at, reason
  FROM new
)
INSERT INTO due (kind, ref, workspace_id, lane, lane_limit, due_at)
SELECT '{KIND}', id, %(workspace)s, webhook_id, lane_limit,
       CASE WHEN waits OR state = 'held' THEN 'infinity' ELSE now() END
FROM new WHERE state <> 'dead'
"""
_LOAD = """
SELECT d.id, d.workspace_id, d.webhook_id, d.event_uid, d.message_id, d.state, d.attempts, d.attempts_before, d.order_key,
       d.created_at, d.expires_at, w.name AS webhook_name,
       w.state AS webhook_state, w.version AS webhook_version, i.state AS integration_state,
       i.version AS integration_version, o.name AS organization,
       s.name AS workspace, s.organization_id
FROM deliveries d JOIN webhooks w ON w.id = d.webhook_id
LEFT JOIN integrations i ON i.workspace_id = w.workspace_id AND i.name = w.body ->> 'integration' AND i.deleted_at IS NULL
JOIN workspaces s ON s.id = d.workspace_id
JOIN organizations o ON o.id = s.organization_id
WHERE d.id = ANY(%(ids)s::uuid[])
"""
_RECORD = f"""
WITH result AS (
  SELECT * FROM unnest(
    %(refs)s::uuid[], %(epochs)s::int[], %(states)s::text[], %(times)s::timestamptz[], %(attempts)s::int[], %(statuses)s::int[],
    %(reasons)s::text[], %(errors)s::text[], %(uncount)s::boolean[]
  ) AS r(ref, epoch, state, due_at, attempts, status, reason, error, uncount)
), done AS (
  DELETE FROM due USING result r
  WHERE kind = '{KIND}' AND due.ref = r.ref AND due.epoch = r.epoch AND due.leased AND r.due_at IS NULL
  RETURNING due.ref
), later AS (
  UPDATE due SET due_at = r.due_at, leased = false, claims = CASE WHEN r.uncount THEN greatest(claims - 1, 0) ELSE claims END
  FROM result r WHERE kind = '{KIND}' AND due.ref = r.ref AND due.epoch = r.epoch AND due.leased AND r.due_at IS NOT NULL
  RETURNING due.ref
), mine AS (
  SELECT r.* FROM result r JOIN (SELECT ref FROM done UNION ALL SELECT ref FROM later) AS won USING (ref)
), tried AS (
  INSERT INTO attempts (id, workspace_id, delivery_id, no, started_at, outcome, status, request_headers, response_headers,
                        response_body, error, timings, worker)
  SELECT a.id, a.workspace_id, a.ref, a.no, a.started_at, a.outcome, a.status, a.request_headers::jsonb,
         a.response_headers::jsonb, a.response_body, a.error::jsonb, a.timings::jsonb, %(worker)s
  FROM unnest(%(a_ids)s::uuid[], %(a_workspaces)s::bigint[], %(a_refs)s::uuid[], %(a_nos)s::int[], %(a_started)s::timestamptz[],
              %(a_outcomes)s::text[], %(a_statuses)s::int[], %(a_request)s::text[], %(a_response)s::text[], %(a_bodies)s::bytea[],
              %(a_errors)s::text[], %(a_timings)s::text[])
    AS a(id, workspace_id, ref, no, started_at, outcome, status, request_headers, response_headers, response_body, error, timings)
  JOIN mine USING (ref)
)
UPDATE deliveries d
SET state = m.state, attempts = m.attempts, last_status = coalesce(m.status, d.last_status), reason = m.reason,
    error = m.error::jsonb, finished_at = CASE WHEN m.due_at IS NULL THEN now() END
FROM mine m WHERE d.id = m.ref AND d.id = ANY(%(refs)s::uuid[])
RETURNING d.id
"""


@dataclass(frozen=True, slots=True)
class Owed:
    """One delivery to be written. `waits` when an earlier one of its order key has not ended."""

    id: UUID
    webhook_id: UUID
    event_uid: UUID
    message_id: str
    state: str
    expires_at: datetime
    order_key: str | None = None
    order_no: int | None = None
    waits: bool = False
    reason: str | None = None
    lane_limit: int = LANE_LIMIT


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try whose outcome is known; headers are redacted already, times are in milliseconds."""

    id: UUID
    no: int
    started_at: datetime
    outcome: str
    status: int | None
    request_headers: dict[str, str]
    response_headers: dict[str, str] | None
    response_body: bytes | None
    error: Failure | None
    timings: dict[str, float]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a claimed delivery: its new state, and when it is due again (None: it has ended)."""

    claim: Claim
    state: str
    due_at: datetime | str | None
    attempts: int
    attempt: Attempt | None = None
    reason: str | None = None
    error: Failure | None = None
    order_key: str | None = None
    uncount: bool = False


def owe(conn: Connection, workspace_id: int, now: datetime, owed: Sequence[Owed]) -> None:
    """Write deliveries and the due rows of those that are not dead already."""
    if not owed:
        return
    conn.exec_driver_sql(
        _OWE,
        {
            "workspace": workspace_id,
            "now": now,
            "ids": [each.id for each in owed],
            "webhooks": [each.webhook_id for each in owed],
            "events": [each.event_uid for each in owed],
            "messages": [each.message_id for each in owed],
            "states": [each.state for each in owed],
            "keys": [each.order_key for each in owed],
            "numbers": [each.order_no for each in owed],
            "expiries": [each.expires_at for each in owed],
            "waiting": [each.waits for each in owed],
            "reasons": [each.reason for each in owed],
            "limits": [each.lane_limit for each in owed],
        },
    )


def load(conn: Connection, ids: Sequence[UUID]) -> Sequence[Row[Any]]:
    """Return the deliveries with the state of their webhooks."""
    return conn.exec_driver_sql(_LOAD, {"ids": list(ids)}).all()


def record(conn: Connection, worker: str, outcomes: Sequence[Outcome]) -> set[UUID]:
    """Store outcomes and their attempts in one statement; return the deliveries whose lease was still ours.

    The same outcome again, after a commit whose answer was lost, changes nothing: its lease has ended with the first.
    """
    tried = [(each.claim, each.attempt) for each in outcomes if each.attempt]
    rows = conn.exec_driver_sql(
        _RECORD,
        {
            "worker": worker,
            "refs": [each.claim.ref for each in outcomes],
            "epochs": [each.claim.epoch for each in outcomes],
            "states": [each.state for each in outcomes],
            "times": [_moment(each.due_at) for each in outcomes],
            "attempts": [each.attempts for each in outcomes],
            "statuses": [each.attempt.status if each.attempt else None for each in outcomes],
            "reasons": [each.reason for each in outcomes],
            "errors": [_failure(each.error) for each in outcomes],
            "uncount": [each.uncount for each in outcomes],
            "a_ids": [attempt.id for _, attempt in tried],
            "a_workspaces": [claim.workspace_id for claim, _ in tried],
            "a_refs": [claim.ref for claim, _ in tried],
            "a_nos": [attempt.no for _, attempt in tried],
            "a_started": [attempt.started_at for _, attempt in tried],
            "a_outcomes": [attempt.outcome for _, attempt in tried],
            "a_statuses": [attempt.status for _, attempt in tried],
            "a_request": [to_json(attempt.request_headers) for _, attempt in tried],
            "a_response": [_json(attempt.response_headers) for _, attempt in tried],
            "a_bodies": [attempt.response_body for _, attempt in tried],
            "a_errors": [_failure(attempt.error) for _, attempt in tried],
            "a_timings": [to_json(attempt.timings) for _, attempt in tried],
        },
    )
    return {row.id for row in rows}


def attempt_times(conn: Connection, ids: Sequence[UUID]) -> dict[UUID, tuple[datetime, datetime]]:
    """Return when each delivery was first and last tried."""
    rows = conn.exec_driver_sql(
        """SELECT delivery_id, min(started_at) AS first, max(started_at) AS last FROM attempts
           WHERE delivery_id = ANY(%(ids)s::uuid[]) GROUP BY delivery_id""",
        {"ids": list(ids)},
    )
    return {row.delivery_id: (row.first, row.last) for row in rows}


def _moment(value: datetime | str | None) -> str | None:
    return value if value is None or isinstance(value, str) else value.isoformat()


def _json(value: Any) -> str | None:
    return None if value is None else to_json(value)


def _failure(value: Failure | None) -> str | None:
    return None if value is None else to_json(value.as_dict())
