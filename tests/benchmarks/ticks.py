"""What schedules cost: `python -m tests.benchmarks.ticks` with a database of its own, 10,000 jobs in it.

Three figures: a tick when nothing is due, ticks over an hour of a usual mix, and one when every job is due at once.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from server.kernel.clock import ManualClock
from server.kernel.ids import new_uuid
from server.runtime.embedded import DURABLE, EmbeddedPostgres
from server.store import Store
from server.store.migrate import upgrade
from server.syncs import ticks
from tests.support.tenants import make_workspace

if TYPE_CHECKING:
    from uuid import UUID

JOBS = 10_000
START = datetime(2026, 5, 1, tzinfo=UTC)
ZONES = ("UTC", "Europe/Paris", "America/New_York", "Asia/Almaty")


def crons() -> list[str]:
    """A usual mix: every minute of the hour has its share of jobs that run every quarter, hourly and daily."""
    quarters = [f"{n % 15}-59/15 * * * *" for n in range(15)]
    hourly = [f"{n} * * * *" for n in range(60)]
    daily = [f"{n % 60} {n % 24} * * *" for n in range(120)]
    return [*quarters, *hourly, *daily]


def fill(store: Store, workspace: int, organization: int, mix: list[str]) -> None:
    padding = "x" * 1500  # a definition as large as the usual one
    rows: list[tuple[UUID, str]] = []
    for number in range(JOBS):
        schedule = {"cron": mix[number % len(mix)], "timezone": ZONES[number % len(ZONES)], "overlap": "queue"}
        rows.append((new_uuid(), json.dumps({"description": padding, "schedule": schedule})))
    with store.connect() as conn:
        conn.exec_driver_sql(
            """INSERT INTO sync_jobs (organization_id, workspace_id, id, name, state, version, definition_version, body,
                                      created_at, created_by, updated_at, updated_by)
               SELECT %(organization)s, %(workspace)s, id, id::text, 'active', 1, 1, body, now(), 'x', now(), 'x'
               FROM unnest(%(ids)s::uuid[], %(bodies)s::json[]) AS t(id, body)""",
            {
                "organization": organization,
                "workspace": workspace,
                "ids": [row[0] for row in rows],
                "bodies": [row[1] for row in rows],
            },
        )
        for job, _ in rows:
            ticks.reschedule(conn, job, START)


def end(store: Store) -> None:
    with store.connect() as conn:
        conn.exec_driver_sql("UPDATE sync_runs SET state = 'succeeded' WHERE state = 'queued'")
        conn.exec_driver_sql("DELETE FROM due WHERE kind = 'sync'")


def timed(store: Store, moment: datetime) -> tuple[float, int]:
    began = time.perf_counter()
    started = ticks.tick(store, ManualClock(moment), lambda: None)
    return (time.perf_counter() - began) * 1000, started


def measure(url: str) -> dict[str, float]:
    store = Store(url, "crossdock_engine")
    scope = make_workspace(url)
    fill(store, scope.workspace_id, scope.organization_id, crons())
    idle = sorted(timed(store, START)[0] for _ in range(50))
    usual, runs = [], 0
    for step in range(900):  # half an hour of ticks, two seconds apart
        took, started = timed(store, START + timedelta(seconds=2 * step))
        usual.append(took)
        runs += started
        if started:
            end(store)
    busy = sorted(usual)
    with store.connect() as conn:
        conn.exec_driver_sql("UPDATE sync_schedules SET fire_at = nominal")
    found: dict[str, float] = {
        "jobs": JOBS,
        "idle_ms_p50": idle[25],
        "idle_ms_max": idle[-1],
        "usual_ms_mean": sum(usual) / len(usual),
        "usual_ms_p50": busy[len(busy) // 2],
        "usual_ms_p99": busy[len(busy) * 99 // 100],
        "usual_ms_max": busy[-1],
        "usual_runs": runs,
    }
    took, started = timed(store, START + timedelta(days=2))
    slices = JOBS / ticks.AT_ONCE
    found |= {"all_at_once_ms": took, "all_at_once_runs": started, "slice_ms": took / slices}
    store.close()
    return {key: round(value, 2) for key, value in found.items()}


def main() -> int:
    """Start a server that is as durable as a real one, measure, and print the figures."""
    with tempfile.TemporaryDirectory(prefix="crossdock-bench-") as folder:
        server = EmbeddedPostgres(Path(folder) / "postgres", DURABLE)
        server.start()
        try:
            url = server.url_of("postgres")
            upgrade(url)
            found = measure(url)
        finally:
            server.stop()
    sys.stdout.write(f"{json.dumps(found, indent=1)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
