"""The figures of one workspace: for the API and for the first page of the dashboard."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from server.operations import business
from server.webhooks.reading import SAMPLED, TRIES_OF_THE_HOUR

if TYPE_CHECKING:
    from server.operations.business import Business
    from server.store import Tx

_TODAY = "crossdock_first_uuid(date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC')"
_EVENTS = f"SELECT count(*) AS n FROM events WHERE workspace_id = :workspace_id AND uid >= {_TODAY}"
_DELIVERED = f"""
SELECT count(*) AS n FROM attempts WHERE workspace_id = :workspace_id AND id >= {_TODAY} AND outcome = 'success'
"""
_HOUR = f"""
SELECT count(*) AS attempts, count(*) FILTER (WHERE outcome = 'success') AS delivered,
       percentile_cont(0.95) WITHIN GROUP (ORDER BY (timings ->> 'total')::float) AS p95
FROM ({TRIES_OF_THE_HOUR}) AS newest
"""
_BACKLOG = """
SELECT (SELECT count(*) FROM deliveries WHERE workspace_id = :workspace_id AND state = 'pending') AS pending,
       (SELECT count(*) FROM deliveries WHERE workspace_id = :workspace_id AND state = 'held') AS held,
       (SELECT count(*) FROM dead_letters WHERE workspace_id = :workspace_id AND resolved_at IS NULL) AS dead,
       (SELECT extract(epoch FROM now() - due_at)::float FROM due
        WHERE kind = 'delivery' AND NOT leased AND lane_limit > 0 AND due_at <= now() AND workspace_id = :workspace_id
        ORDER BY due_at LIMIT 1) AS oldest
"""


@dataclass(frozen=True, slots=True)
class LastHour:
    """Tries of the last hour. `success_rate` is 0 to 1; both it and `p95_ms` are None when there were none."""

    attempts: int
    delivered: int
    failed: int
    success_rate: float | None
    p95_ms: float | None


@dataclass(frozen=True, slots=True)
class Kpis:
    """How a workspace is doing; days are UTC's. `oldest_due_seconds` is 0 when nothing is overdue."""

    events_today: int
    delivered_today: int
    last_hour: LastHour
    pending: int
    held: int
    oldest_due_seconds: float
    dead_letters_open: int
    business: Business


def read(tx: Tx) -> Kpis:
    """Return the figures of the transaction's workspace."""
    hour, backlog = tx.one(_HOUR, sampled=SAMPLED), tx.one(_BACKLOG)
    events, delivered = tx.one(_EVENTS), tx.one(_DELIVERED)
    assert hour is not None and backlog is not None and events is not None and delivered is not None  # noqa: S101, PT018 - aggregates always answer one row
    return Kpis(
        events_today=events.n,
        delivered_today=delivered.n,
        last_hour=LastHour(
            attempts=hour.attempts,
            delivered=hour.delivered,
            failed=hour.attempts - hour.delivered,
            success_rate=round(hour.delivered / hour.attempts, 4) if hour.attempts else None,
            p95_ms=None if hour.p95 is None else round(hour.p95, 1),
        ),
        pending=backlog.pending,
        held=backlog.held,
        oldest_due_seconds=round(backlog.oldest or 0.0, 1),
        dead_letters_open=backlog.dead,
        business=business.read(tx),
    )
