"""The figures that Prometheus reads: what processes count, and the backlog, which only the database knows.

A workspace's token with `health:read` sees the series of its workspace; the instance's own metrics token sees all of them.
"""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any
from uuid import UUID

from server.flows import metrics as flows
from server.kernel.errors import Unavailable
from server.store.processes import alive
from server.telemetry import metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy.engine import Connection

    from server.store import Store
    from server.telemetry.metrics import Metric, Sample
    from server.web.frame import Served
    from server.webhooks.job import Job
    from server.webhooks.queries import Outcome

REQUESTS = metrics.counter(
    "crossdock_http_requests_total", "Requests that were answered.", "workspace", "method", "route", "status"
)
REQUEST_SECONDS = metrics.histogram(
    "crossdock_http_request_seconds", "How long answers took.", "workspace", "method", "route"
)
ATTEMPTS = metrics.counter("crossdock_delivery_attempts_total", "Tries that ended, by outcome.", "workspace", "outcome")
ATTEMPT_SECONDS = metrics.histogram(
    "crossdock_delivery_attempt_seconds", "How long receivers took to answer.", "workspace"
)
ENDED = metrics.counter(
    "crossdock_deliveries_ended_total", "Deliveries that ended: delivered, skipped or dead.", "workspace", "state"
)
PENDING = metrics.gauge("crossdock_deliveries_pending", "Deliveries that will be tried.", "workspace")
HELD = metrics.gauge(
    "crossdock_deliveries_held",
    "Deliveries that wait for a webhook or an integration that is paused or disabled, or are parked behind a dead letter.",
    "workspace",
)
OLDEST = metrics.gauge(
    "crossdock_due_oldest_age_seconds", "How long the oldest due work has waited; 0: nothing is overdue.", "workspace"
)
DEAD = metrics.gauge("crossdock_dead_letters_open", "Dead letters that nobody has replayed or discarded.", "workspace")
BREAKERS = metrics.gauge("crossdock_breakers_open", "Integrations that are not called for now.", "workspace")
PROCESSES = metrics.gauge("crossdock_processes", "Processes at work, by role.", "role")
PARTS = metrics.gauge(
    "crossdock_part_up", "1 while the database, or Redis where one is set, answers the API; else 0.", "part"
)
WEBHOOK_AGE = metrics.gauge(
    "crossdock_webhook_backlog_age_seconds",
    "How old the oldest delivery is that a webhook still tries: the 20 oldest of a workspace, 1,000 in all.",
    "workspace",
    "webhook",
)
UNWELL = metrics.gauge("crossdock_webhooks_unwell", "Webhooks that are failing or disabled.", "workspace")
JOBS_UNWELL = metrics.gauge(
    "crossdock_sync_jobs_unwell", "Sync jobs that are disabled, or whose last run failed.", "workspace"
)

FRESH_SECONDS = 5.0
_SHARE = 20.0
"""Asking takes a twentieth of the database's time at most, however long the tables are."""
_ENDED = frozenset({"delivered", "skipped", "dead"})
_NAMES = """
SELECT w.id, o.name || '/' || w.name AS name FROM workspaces w JOIN organizations o ON o.id = w.organization_id
ORDER BY w.id LIMIT 10000
"""
_BACKLOG: dict[str, str] = {
    "crossdock_deliveries_pending": "SELECT workspace_id, count(*) AS value FROM deliveries WHERE state = 'pending' GROUP BY 1",
    "crossdock_deliveries_held": "SELECT workspace_id, count(*) AS value FROM deliveries WHERE state = 'held' GROUP BY 1",
    "crossdock_due_oldest_age_seconds": """SELECT workspace_id, extract(epoch FROM now() - min(due_at))::float AS value
                                           FROM due WHERE due_at <= now() GROUP BY 1""",
    "crossdock_dead_letters_open": """SELECT workspace_id, count(*) AS value FROM dead_letters
                                      WHERE resolved_at IS NULL GROUP BY 1""",
    "crossdock_webhooks_unwell": """SELECT workspace_id, count(*) AS value FROM webhooks
                                    WHERE state IN ('failing', 'disabled') AND deleted_at IS NULL GROUP BY 1""",
    "crossdock_sync_jobs_unwell": """SELECT workspace_id, count(*) AS value FROM sync_jobs
                                     WHERE state IN ('failing', 'disabled') AND deleted_at IS NULL GROUP BY 1""",
    "crossdock_breakers_open": "SELECT workspace_id, count(*) AS value FROM breakers WHERE state <> 'closed' GROUP BY 1",
}
_GAUGES: Sequence[Metric] = (PENDING, HELD, OLDEST, DEAD, UNWELL, JOBS_UNWELL, BREAKERS)
# The id of a delivery has the moment in which it was made in its first 48 bits; PostgreSQL 15 knows no least uuid.
_AGES = """
SELECT ages.workspace_id, w.name, extract(epoch FROM now())::float AS now, ages.oldest FROM (
  SELECT *, row_number() OVER (PARTITION BY workspace_id ORDER BY oldest) AS place FROM (
    SELECT workspace_id, lane, min(ref::text COLLATE "C") AS oldest FROM due
    WHERE kind = 'delivery' AND due_at < 'infinity' GROUP BY workspace_id, lane
  ) AS backlogs
) AS ages JOIN webhooks w ON w.id = ages.lane WHERE ages.place <= 20
ORDER BY ages.place, ages.oldest LIMIT 1000
"""


def observe(served: Served) -> None:
    """Count one answered request: an observer of the HTTP frame."""
    REQUESTS.add(workspace=served.workspace, method=served.method, route=served.route, status=str(served.status))
    REQUEST_SECONDS.observe(served.seconds, workspace=served.workspace, method=served.method, route=served.route)


def count_outcomes(outcomes: Sequence[Outcome], jobs: Mapping[UUID, Job]) -> None:
    """Count what became of deliveries: something that the delivery engine does after recording."""
    tried: Counter[tuple[str, str]] = Counter()
    ended: Counter[tuple[str, str]] = Counter()
    names: dict[int, str] = {}
    for outcome in outcomes:
        workspace = names.get(outcome.claim.workspace_id)
        if workspace is None:
            workspace = names[outcome.claim.workspace_id] = str(jobs[outcome.claim.ref].scope)
        if outcome.attempt is not None:
            tried[workspace, outcome.attempt.outcome] += 1
            if "total" in outcome.attempt.timings:
                ATTEMPT_SECONDS.observe(outcome.attempt.timings["total"] / 1000, workspace=workspace)
        if outcome.state in _ENDED:
            ended[workspace, outcome.state] += 1
    for (workspace, name), number in tried.items():
        ATTEMPTS.add(number, workspace=workspace, outcome=name)
    for (workspace, name), number in ended.items():
        ENDED.add(number, workspace=workspace, state=name)


class Backlog:
    """Asks the database for the gauges, at most every five seconds however many ask us."""

    def __init__(
        self,
        engine: Store,
        redis: Callable[[], bool] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine
        self._redis = redis
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._until = 0.0
        self._samples: list[Sample] = []

    def __call__(self) -> Sequence[Sample]:
        """Return the gauges of all workspaces; while the database is away only that it is."""
        with self._lock:
            began = self._monotonic()
            if began >= self._until:
                try:
                    with self._engine.connect() as conn:
                        samples = [*_ask(conn), (PARTS, {"part": "database"}, 1.0)]
                except Unavailable:
                    samples = [(PARTS, {"part": "database"}, 0.0)]
                spent = self._monotonic() - began
                if self._redis is not None:
                    samples.append((PARTS, {"part": "redis"}, float(self._redis())))
                self._samples = samples
                self._until = self._monotonic() + max(FRESH_SECONDS, _SHARE * spent)
            return self._samples


def render(backlog: Callable[[], Sequence[Sample]], workspace: str | None = None) -> bytes:
    """Return all figures as text, or with `organization/workspace` only the series of that one."""
    text = metrics.render([backlog])
    if workspace is None:
        return text
    own = re.compile(rb'[{,]workspace="' + re.escape(workspace).encode() + rb'"[,}]')
    lines = text.splitlines(keepends=True)
    return b"".join(line for line in lines if line.startswith(b"#") or own.search(line))


def _ask(conn: Connection) -> list[Sample]:
    """Return every gauge of every workspace, zeros too: a series that vanishes cannot be alerted on."""
    names: dict[int, str] = {row.id: row.name for row in conn.exec_driver_sql(_NAMES)}
    samples: list[Sample] = []
    for gauge in _GAUGES:
        values: dict[int, Any] = {row.workspace_id: row.value for row in conn.exec_driver_sql(_BACKLOG[gauge.name])}
        samples.extend((gauge, {"workspace": name}, float(values.get(id_, 0))) for id_, name in names.items())
    samples.extend(
        (WEBHOOK_AGE, {"workspace": names[row.workspace_id], "webhook": row.name}, _age(row))
        for row in conn.exec_driver_sql(_AGES)
        if row.workspace_id in names
    )
    samples.extend(flows.ask(conn, names))
    roles = [row.role for row in alive(conn)]
    samples.extend(
        (PROCESSES, {"role": role}, float(roles.count(role))) for role in sorted({*roles, "worker", "scheduler"})
    )
    return samples


def _age(row: Any) -> float:
    """Return the seconds since the delivery of the row's id was made."""
    return max(0.0, float(row.now) - (UUID(row.oldest).int >> 80) / 1000)
