"""When sync jobs run, over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from server.store.values import read_json
from server.syncs import runs, schemas
from server.syncs.cron import DEFAULT_ZONE
from server.syncs.repository import SYNC_JOBS
from server.syncs.schedule import schedule_of
from server.web import current, paging
from server.web.permissions import requires
from server.web.room import Room

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy.engine import Row

    from server.kernel.clock import Clock
    from server.store import Store, Tx
    from server.syncs.aggregate import SyncJob


def blueprint(store: Store, clock: Clock) -> Room:
    """Make the room of schedules."""
    room = Room("sync-schedules", description="When sync jobs run.")

    @room.route("/api/v1/sync-schedules")
    @requires("definitions:read")
    @room.arguments(schemas.PageQuery, location="query")
    @room.response(200, schemas.NextPage)
    def list_schedules(query: dict[str, Any]) -> dict[str, Any]:
        """List the next time of every sync job, by name."""
        position = paging.after(query, "sync-schedules", str) or [""]
        with store.begin(current.scope(), current.cause()) as tx:
            rows = _page(tx, str(position[0]), query["limit"] + 1)
        return paging.page(rows, query["limit"], "sync-schedules", lambda row: [row.name], _next)

    @room.route("/api/v1/sync-jobs/<name>/schedule")
    @requires("definitions:read")
    @room.arguments(schemas.CountQuery, location="query")
    @room.response(200, schemas.ScheduleSchema)
    def get_schedule(query: dict[str, Any], name: str) -> dict[str, Any]:
        """Show when one sync job runs next, as its definition says now, and what became of its last times."""
        with store.begin(current.scope(), current.cause()) as tx:
            job = SYNC_JOBS.get(tx, name)
            past = [_past(row) for row in tx.all(_PAST, job=job.id, limit=query["count"])]
        return {**shown(job, clock.now(), query["count"]), "past": past}

    return room


_PAST = """
SELECT nominal, at, run_id, dropped FROM sync_slots WHERE workspace_id = :workspace_id AND job_id = :job
ORDER BY nominal DESC LIMIT :limit
"""


def _past(row: Row[Any]) -> dict[str, Any]:
    run = None if row.run_id is None else runs.shown(row.run_id)
    return {"nominal": row.nominal, "at": row.at, "run_id": run, "dropped": row.dropped}


def shown(job: SyncJob, now: datetime, count: int) -> dict[str, Any]:
    """Return when a job runs after a moment, as the API shows it."""
    schedule = schedule_of(job.body.get("schedule"))
    if schedule is None:
        nothing = dict.fromkeys(("cron", "timezone", "misfire", "overlap"))
        return {"name": job.name, "state": job.state, **nothing, "times": []}
    times = []
    at = now
    for _ in range(count):
        at = schedule.cron.after(at)
        local = at.astimezone(schedule.cron.zone).isoformat()
        times.append({"nominal": at, "local": local, "fires_at": schedule.fires_at(job.id, at)})
    return {
        "name": job.name,
        "state": job.state,
        "cron": job.body["schedule"]["cron"],
        "timezone": schedule.cron.zone.key,
        "misfire": schedule.misfire,
        "overlap": schedule.overlap,
        "times": times,
    }


def _page(tx: Tx, after: str, limit: int) -> Sequence[Row[Any]]:
    return tx.all(
        """SELECT j.name, j.state, CAST(j.body -> 'schedule' AS text) AS schedule, s.nominal, s.fire_at
           FROM sync_jobs j LEFT JOIN sync_schedules s ON s.job_id = j.id
           WHERE j.workspace_id = :workspace_id AND j.deleted_at IS NULL AND j.name > :after
           ORDER BY j.name LIMIT :limit""",
        after=after,
        limit=limit,
    )


def _next(row: Row[Any]) -> dict[str, Any]:
    schedule = read_json(row.schedule) if row.schedule is not None else {}
    zone = schedule.get("timezone", DEFAULT_ZONE) if schedule else None
    return {
        "name": row.name,
        "state": row.state,
        "cron": schedule.get("cron"),
        "timezone": zone,
        "nominal": row.nominal,
        "fires_at": row.fire_at,
    }
