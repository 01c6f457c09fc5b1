"""The figures of flows: what workers count, and what only the database knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from server.flows.flow import Atomic, Call
from server.telemetry import metrics

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.engine import Connection

    from server.flows.advancing import Course
    from server.flows.progress import Record
    from server.telemetry.metrics import Sample

STARTED = metrics.counter(
    "crossdock_flow_runs_started_total", "Runs of flows that began their first step.", "workspace", "flow"
)
ENDED = metrics.counter(
    "crossdock_flow_runs_ended_total",
    "Runs of flows that ended: completed, failed, compensated, cancelled, compensation_failed.",
    "workspace",
    "flow",
    "state",
)
STEP_SECONDS = metrics.histogram(
    "crossdock_flow_step_seconds",
    "How long steps of flows took that call other systems, with their tries and pauses.",
    "workspace",
    "flow",
)
RUNS = metrics.gauge(
    "crossdock_flow_runs",
    "Runs under way, failed, or not undone, by state: the 20 flows of a workspace with the most, 1,000 in all.",
    "workspace",
    "flow",
    "state",
)
AGE = metrics.gauge(
    "crossdock_flow_run_age_seconds",
    "How long ago the oldest run was started that is under way, by state: of the same flows.",
    "workspace",
    "flow",
    "state",
)
STALLED = metrics.gauge(
    "crossdock_flow_undo_stalled_seconds",
    "How long a run that is being undone has not come on, the longest; 0: none is.",
    "workspace",
)
NOT_UNDONE = metrics.gauge(
    "crossdock_flow_runs_not_undone",
    "Runs of which something could not be undone: they wait for a person.",
    "workspace",
)
_KEPT = frozenset(("failed", "compensation_failed"))
_RUNS = """
SELECT counted.workspace_id, f.name, counted.state, counted.number, counted.seconds FROM (
  SELECT *, dense_rank() OVER (PARTITION BY workspace_id ORDER BY of_flow DESC, flow_id) AS place FROM (
    SELECT r.workspace_id, r.flow_id, r.state, count(*) AS number,
      extract(epoch FROM now() - min(r.created_at))::float AS seconds,
      sum(count(*)) OVER (PARTITION BY r.workspace_id, r.flow_id) AS of_flow
    FROM workspaces w
    CROSS JOIN unnest(ARRAY['queued', 'running', 'waiting', 'compensating', 'cancelling', 'failed', 'compensation_failed']) AS s(state)
    JOIN flow_runs r ON r.workspace_id = w.id AND r.state = s.state
    GROUP BY r.workspace_id, r.flow_id, r.state
  ) AS each
) AS counted JOIN flows f ON f.id = counted.flow_id WHERE counted.place <= 20
ORDER BY counted.place, counted.workspace_id LIMIT 1000
"""
_STALLED = """
SELECT undone.workspace_id, max(extract(epoch FROM now() - undone.since))::float AS value FROM (
  SELECT r.workspace_id,
    (SELECT max(greatest(s.began_at, s.ended_at, s.undone_at)) FROM flow_steps s WHERE s.run_id = r.id) AS since
  FROM workspaces w CROSS JOIN (VALUES ('compensating'), ('cancelling')) AS s(state)
  CROSS JOIN LATERAL (
    SELECT id, workspace_id FROM flow_runs WHERE workspace_id = w.id AND state = s.state ORDER BY id LIMIT 100) AS r
) AS undone GROUP BY 1
"""
_NOT_UNDONE = """
SELECT workspace_id, count(*) AS value FROM dead_letters
WHERE resolved_at IS NULL AND kind = 'flow' AND reason = 'compensation_failed' GROUP BY 1
"""


def count(workspace: str, flow: str, record: Record, course: Course, *, began: bool) -> None:
    """Count what was stored of a run: that it began, its steps that ended, and its end."""
    if began:
        STARTED.add(workspace=workspace, flow=flow)
    for row in record.rows:
        if row.state in ("done", "failed") and row.ended_at is not None and row.began_at is not None:
            step = course.step_at(row.path)
            if isinstance(step.work, Call | Atomic) and not step.container:
                STEP_SECONDS.observe((row.ended_at - row.began_at).total_seconds(), workspace=workspace, flow=flow)
    if record.over:
        ENDED.add(workspace=workspace, flow=flow, state=course.run.state)


def ask(conn: Connection, names: Mapping[int, str]) -> list[Sample]:
    """Return the gauges of flows; `names` are the workspaces."""
    samples: list[Sample] = []
    for row in conn.exec_driver_sql(_RUNS):
        if row.workspace_id in names:
            labels = {"workspace": names[row.workspace_id], "flow": row.name, "state": row.state}
            samples.append((RUNS, labels, float(row.number)))
            if row.state not in _KEPT:
                samples.append((AGE, labels, max(0.0, row.seconds)))
    for gauge, sql in ((STALLED, _STALLED), (NOT_UNDONE, _NOT_UNDONE)):
        values = {row.workspace_id: row.value or 0.0 for row in conn.exec_driver_sql(sql)}
        samples.extend((gauge, {"workspace": name}, float(values.get(id_, 0))) for id_, name in names.items())
    return samples
