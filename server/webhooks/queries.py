"""The SQL of deliveries: owing, loading, recording and ordering them."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from server.events.envelope import Event, to_json
from server.events.queries import NAMES as EVENT
from server.queue.claims import LANE_LIMIT, NORMAL
from server.store import straight

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.engine import Connection

    from server.kernel.errors import Failure
    from server.queue.claims import Claim

KIND = "delivery"
_OWED_FOR = 1
_EVENT_AT = -len(EVENT)  # the event's columns come last in a loaded row; `uid` is the first of them

# Rows go in as one JSON text: the driver builds arrays of values one by one in Python, which costs more than all the rest.
_OWED = """
  json_to_recordset(%(owed)s::json)
    AS n(id uuid, webhook_id uuid, event_uid uuid, message_id text, state text, expires_at timestamptz, order_key text,
         order_no bigint, waits boolean, reason text, lane_limit int, priority int)"""
_DELIVERIES = """
  INSERT INTO deliveries (id, workspace_id, webhook_id, event_uid, message_id, state, order_key, order_no, created_at,
                          expires_at, reason)
  SELECT id, %(workspace)s::bigint, webhook_id, event_uid, message_id, state, order_key, order_no, %(now)s, expires_at, reason
  FROM new"""
_DUE = f"""
  INSERT INTO due (kind, ref, workspace_id, lane, lane_limit, priority, due_at)
  SELECT '{KIND}', id, %(workspace)s::bigint, webhook_id, lane_limit, priority,
         CASE WHEN waits OR state = 'held' THEN 'infinity' ELSE now() END
  FROM new WHERE state <> 'dead'"""
_OWE = f"WITH new AS MATERIALIZED (SELECT * FROM {_OWED}), kept AS ({_DELIVERIES}) {_DUE}"
OWE_AT_ONCE = f"""
new AS MATERIALIZED (SELECT n.* FROM {_OWED} JOIN stored ON stored.uid = n.event_uid), kept AS ({_DELIVERIES}), asked AS ({_DUE})"""
"""The same of those events that the statement around it has stored."""
_LOAD = f"""
SELECT d.id, d.event_uid AS owed_for, d.workspace_id, d.webhook_id, d.message_id, d.state, d.attempts, d.attempts_before,
       d.order_key, d.created_at, d.expires_at, d.pinned_version, w.name AS webhook_name, w.state AS webhook_state,
       w.version AS webhook_version, i.state AS integration_state,
       i.version AS integration_version, o.name AS organization,
       s.name AS workspace, s.organization_id, s.secrets_version, s.routes_version,
       {", ".join(f"e.{name} AS event_{name}" for name in EVENT)}
FROM unnest(%(ids)s::uuid[], %(whole)s::bool[]) AS k(id, whole)
JOIN deliveries d ON d.id = k.id
LEFT JOIN events e ON e.uid = CASE WHEN k.whole THEN d.event_uid END
JOIN webhooks w ON w.id = d.webhook_id
LEFT JOIN integrations i ON i.workspace_id = w.workspace_id AND i.name = w.body ->> 'integration' AND i.deleted_at IS NULL
JOIN workspaces s ON s.id = d.workspace_id
JOIN organizations o ON o.id = s.organization_id
"""
# As in queue/claims: each due row is looked up by its key, then touched where it lies; `fate` is compared with a text because the
# planner takes such a condition for a rare one, and so starts from our rows, whatever it believes of the table.
_RECORD = f"""
WITH result AS MATERIALIZED (
  SELECT * FROM json_to_recordset(%(outcomes)s::json)
    AS r(ref uuid, epoch int, state text, due_at timestamptz, attempts int, status int, reason text, error jsonb,
         uncount boolean, attempt uuid, workspace_id bigint, no int, started_at timestamptz, outcome text,
         request_headers jsonb, response_headers jsonb, response_body text, failure jsonb, timings jsonb,
         definition_version int)
), held AS MATERIALIZED (
  SELECT r.*, CASE WHEN r.due_at IS NULL THEN 'done' ELSE 'later' END AS fate, found.at FROM result r CROSS JOIN LATERAL (
    SELECT due.ctid AS at FROM due WHERE due.kind = '{KIND}' AND due.ref = r.ref AND due.epoch = r.epoch OFFSET 0) AS found
), done AS (
  DELETE FROM due USING held h WHERE due.ctid = h.at AND due.epoch = h.epoch AND due.leased AND h.fate = 'done'
  RETURNING h.*
), later AS (
  UPDATE due SET due_at = h.due_at, leased = false, claims = CASE WHEN h.uncount THEN greatest(claims - 1, 0) ELSE claims END
  FROM held h WHERE due.ctid = h.at AND due.epoch = h.epoch AND due.leased AND h.fate = 'later'
  RETURNING h.*
), mine AS MATERIALIZED (
  TABLE done UNION ALL TABLE later
), tried AS (
  INSERT INTO attempts (id, workspace_id, delivery_id, no, started_at, outcome, status, request_headers, response_headers,
                        response_body, error, timings, worker)
  SELECT attempt, workspace_id, ref, no, started_at, outcome, status, request_headers, response_headers,
         decode(response_body, 'base64'), failure, timings, %(worker)s
  FROM mine WHERE attempt IS NOT NULL
)
UPDATE deliveries d
SET state = m.state, attempts = m.attempts, last_status = coalesce(m.status, d.last_status), reason = m.reason,
    error = m.error, finished_at = CASE WHEN m.due_at IS NULL THEN now() END,
    definition_version = coalesce(d.definition_version, m.definition_version)
FROM mine m WHERE d.id = m.ref
RETURNING d.id
"""


@dataclass(slots=True)
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
    priority: int = NORMAL


@dataclass(slots=True)
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
    definition_version: int | None = None  # of the webhook, when it was sent


@dataclass(slots=True)
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
    if owed:
        straight.rows(conn, _OWE, {"workspace": workspace_id, "now": now, "owed": to_json(owed)})


def load(conn: Connection, ids: Sequence[UUID], of_one: int = 0) -> dict[UUID, tuple[Any, Event]]:
    """Return the deliveries with the state of their webhooks, and their events; what retention has taken away is not there.

    The last `of_one` are of one event, which is read once.
    """
    whole = [True] * (len(ids) - of_one + 1) + [False] * (of_one - 1) if of_one else [True] * len(ids)
    rows = straight.named(conn, _LOAD, {"ids": list(ids), "whole": whole})
    events = {row[_EVENT_AT]: _event_of(row) for row in rows if row[_EVENT_AT] is not None}
    return {row[0]: (row, events[row[_OWED_FOR]]) for row in rows if row[_OWED_FOR] in events}


def _event_of(row: Any) -> Event:
    return Event(**dict(zip(EVENT, row[_EVENT_AT:], strict=True)))


def record(conn: Connection, worker: str, outcomes: Sequence[Outcome]) -> set[UUID]:
    """Store outcomes and their attempts in one statement; return the deliveries whose lease was still ours.

    The same outcome again, after a commit whose answer was lost, changes nothing: its lease has ended with the first.
    """
    won = _stored(conn, worker, outcomes)
    # A lease that was renewed meanwhile has moved its row from where it was found: look once more for those.
    missed = [each for each in outcomes if each.claim.ref not in won]
    return won | _stored(conn, worker, missed) if missed else won


def _stored(conn: Connection, worker: str, outcomes: Sequence[Outcome]) -> set[UUID]:
    ordered = [_row(each) for each in sorted(outcomes, key=_ref)]
    return {ref for (ref,) in straight.rows(conn, _RECORD, {"worker": worker, "outcomes": to_json(ordered)})}


def _ref(outcome: Outcome) -> UUID:
    """Sort as every statement over due rows does: then no two of us wait for each other."""
    return outcome.claim.ref


def _row(each: Outcome) -> dict[str, Any]:
    claim, attempt = each.claim, each.attempt
    row = {
        "ref": claim.ref,
        "epoch": claim.epoch,
        "state": each.state,
        "due_at": each.due_at,
        "attempts": each.attempts,
        "reason": each.reason,
        "error": each.error.as_dict() if each.error else None,
        "uncount": each.uncount,
    }
    if attempt is not None:
        body = attempt.response_body
        row |= {
            "attempt": attempt.id,
            "workspace_id": claim.workspace_id,
            "no": attempt.no,
            "started_at": attempt.started_at,
            "outcome": attempt.outcome,
            "status": attempt.status,
            "request_headers": attempt.request_headers,
            "response_headers": attempt.response_headers,
            "response_body": None if body is None else b64encode(body).decode(),
            "failure": attempt.error.as_dict() if attempt.error else None,
            "timings": attempt.timings,
            "definition_version": attempt.definition_version,
        }
    return row


def attempt_times(conn: Connection, ids: Sequence[UUID]) -> dict[UUID, tuple[datetime, datetime]]:
    """Return when each delivery was first and last tried."""
    rows = conn.exec_driver_sql(
        """SELECT delivery_id, min(started_at) AS first, max(started_at) AS last FROM attempts
           WHERE delivery_id = ANY(%(ids)s::uuid[]) GROUP BY delivery_id""",
        {"ids": list(ids)},
    )
    return {row.delivery_id: (row.first, row.last) for row in rows}
