"""The tick: what is due by schedule becomes runs, each time of each job once, however many schedulers there are.

When a job runs next stands in `sync_schedules`, found by one index, so that jobs that are not due cost nothing. A time is
carried out by the row in `sync_slots` that it is the key of, in one transaction with its run and with what comes next.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import structlog
from sqlalchemy import text

from server.kernel.errors import Permanent
from server.kernel.ids import new_uuid, show
from server.queue.claims import PRIORITIES
from server.store.values import read_json
from server.syncs import runs
from server.syncs.cron import CronError
from server.syncs.job import DEFAULT_PRIORITY
from server.syncs.runs import NewRun
from server.syncs.schedule import Due, Schedule, due, schedule_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from uuid import UUID

    from sqlalchemy.engine import Connection, Row

    from server.kernel.clock import Clock
    from server.store import Store

log = structlog.get_logger("crossdock.syncs")
AT_ONCE = 400
"""So many jobs one transaction looks at."""
MOST_SLICES = 50
MOST_WAITING = 100
"""So many runs of one job wait at most; further times are skipped."""
WORKING = ("active", "failing")
_PRINCIPAL = "scheduler"
_BROKEN_PAUSE = timedelta(hours=1)
_A_MOMENT = timedelta(microseconds=1)

_DUE = """
SELECT s.job_id, s.workspace_id, s.nominal, j.state, j.definition_version, CAST(j.body -> 'schedule' AS text) AS schedule,
       j.body ->> 'priority' AS priority
FROM sync_schedules s JOIN sync_jobs j ON j.id = s.job_id
WHERE s.fire_at <= %(now)s ORDER BY s.fire_at LIMIT %(limit)s FOR UPDATE OF s SKIP LOCKED
"""
_SLOTS = """
INSERT INTO sync_slots (workspace_id, job_id, nominal, at, run_id, dropped)
SELECT workspace_id, job_id, nominal, %(now)s, run_id, dropped
FROM unnest(%(workspaces)s::bigint[], %(jobs)s::uuid[], %(nominals)s::timestamptz[], %(runs)s::uuid[], %(dropped)s::timestamptz[])
     AS t(workspace_id, job_id, nominal, run_id, dropped)
ON CONFLICT (job_id, nominal) DO NOTHING RETURNING run_id
"""
_NEXT = """
UPDATE sync_schedules s SET nominal = t.nominal, fire_at = t.fire_at
FROM unnest(%(jobs)s::uuid[], %(nominals)s::timestamptz[], %(fires)s::timestamptz[]) AS t(job_id, nominal, fire_at)
WHERE s.job_id = t.job_id
"""
_JOB = """
SELECT j.workspace_id, j.state, j.deleted_at, CAST(j.body -> 'schedule' AS text) AS schedule, s.nominal
FROM sync_jobs j LEFT JOIN sync_schedules s ON s.job_id = j.id WHERE j.id = :id FOR SHARE OF j
"""
_PUT = """
INSERT INTO sync_schedules (workspace_id, job_id, nominal, fire_at) VALUES (:workspace_id, :id, :nominal, :fire_at)
ON CONFLICT (job_id) DO UPDATE SET nominal = excluded.nominal, fire_at = excluded.fire_at
"""


@dataclass(frozen=True, slots=True)
class Step:
    """What a tick does with one job: the runs to start, the times skipped for one under way, and when it is due next."""

    job: UUID
    workspace_id: int
    following: datetime
    fire_at: datetime
    runs: tuple[NewRun, ...] = ()
    cancels: bool = False
    skipped: tuple[datetime, ...] = ()
    dropped: datetime | None = None


def tick(store: Store, clock: Clock, hint: Callable[[], None]) -> int:
    """Carry out every time that has come; return how many runs were started."""
    started = 0
    for _ in range(MOST_SLICES):
        with store.connect() as conn:
            looked, begun = tick_slice(conn, clock.now())
        started += begun
        if looked < AT_ONCE:
            break
    if started:
        hint()
    return started


def tick_slice(conn: Connection, now: datetime) -> tuple[int, int]:
    """Look at the jobs that are due longest, at most `AT_ONCE`; return how many these were, and how many runs were started."""
    rows = conn.exec_driver_sql(_DUE, {"now": now, "limit": AT_ONCE}).all()
    if not rows:
        return 0, 0
    busy = runs.under_way(conn, [row.job_id for row in rows])
    steps, resting = [], []
    for row in rows:
        if row.state in WORKING and row.schedule is not None:
            steps.append(_step(row, busy.get(row.job_id, 0), now))
        else:
            resting.append(row.job_id)
    if resting:  # its reaction is under way; when it works again, it is scheduled anew
        conn.execute(text("DELETE FROM sync_schedules WHERE job_id = ANY(:jobs)"), {"jobs": resting})
    return len(rows), _carry_out(conn, steps, now)


def _step(row: Row[Any], busy: int, now: datetime) -> Step:
    try:
        schedule = _read(row.schedule)
    except CronError as error:
        # Checked where it was applied: this host knows fewer time zones. Another may know it, and other jobs go on.
        log.error("schedule cannot be read", job=str(row.job_id), code=error.code, reason=str(error))  # noqa: TRY400
        later = now + _BROKEN_PAUSE
        return Step(row.job_id, row.workspace_id, row.nominal, later)
    if schedule.fires_at(row.job_id, row.nominal) > now or not _is_time(schedule, row.nominal):
        # The job has another schedule by now, and its reaction is under way.
        following = schedule.cron.after(now)
        return Step(row.job_id, row.workspace_id, following, schedule.fires_at(row.job_id, following))
    found = due(schedule, row.job_id, row.nominal, now)
    chosen = _chosen(schedule, found, busy)
    started = tuple(_run(row, each) for each in found.run if each in chosen)
    skipped = tuple(each for each in found.run if each not in chosen)
    fire_at = schedule.fires_at(row.job_id, found.following)
    cancels = schedule.overlap == "cancel" and busy > 0 and bool(started)
    return Step(row.job_id, row.workspace_id, found.following, fire_at, started, cancels, skipped, found.dropped)


def _chosen(schedule: Schedule, found: Due, busy: int) -> frozenset[datetime]:
    """Return the times that get a run: with `skip` none beside another, but for those that `misfire: all` makes good."""
    chosen: list[datetime] = []
    for each in found.run:
        waits = schedule.overlap != "skip" or (schedule.misfire == "all" and each in found.caught_up)
        # With `cancel` those before it end, but not at once: the limit holds for them, too.
        if (busy + len(chosen) == 0) or (waits and busy + len(chosen) < MOST_WAITING):
            chosen.append(each)
    return frozenset(chosen)


def _run(row: Row[Any], nominal: datetime) -> NewRun:
    return NewRun(
        id=new_uuid(),
        workspace_id=row.workspace_id,
        job_id=row.job_id,
        definition_version=row.definition_version,
        cause="schedule",
        principal=_PRINCIPAL,
        correlation_id=show("cor", new_uuid()),
        nominal=nominal,
        priority=PRIORITIES[row.priority or DEFAULT_PRIORITY],
    )


def _carry_out(conn: Connection, steps: Sequence[Step], now: datetime) -> int:
    slots = [slot for step in steps for slot in _slots(step)]
    values = {
        "now": now,
        "workspaces": [step.workspace_id for step, _, _ in slots],
        "jobs": [step.job for step, _, _ in slots],
        "nominals": [nominal for _, nominal, _ in slots],
        "runs": [run for _, _, run in slots],
        "dropped": [step.dropped for step, _, _ in slots],
    }
    ours = {row.run_id for row in conn.exec_driver_sql(_SLOTS, values)} if slots else set()
    mine = [run for step in steps for run in step.runs if run.id in ours]
    runs.start(conn, mine)
    runs.cancel(conn, [step.job for step in steps if step.cancels], [run.id for run in mine])
    following = {
        "jobs": [step.job for step in steps],
        "nominals": [step.following for step in steps],
        "fires": [step.fire_at for step in steps],
    }
    conn.exec_driver_sql(_NEXT, following)
    return len(mine)


def _slots(step: Step) -> Iterator[tuple[Step, datetime | None, UUID | None]]:
    """Yield what is written of a step; times that were only dropped leave the first of them behind, so that it is seen."""
    yield from ((step, run.nominal, run.id) for run in step.runs)
    yield from ((step, nominal, None) for nominal in step.skipped)
    if step.dropped is not None and not step.runs and not step.skipped:
        yield step, step.dropped, None


def _is_time(schedule: Schedule, nominal: datetime) -> bool:
    return schedule.cron.after(nominal - _A_MOMENT) == nominal


@lru_cache(maxsize=4096)
def _read(written: str) -> Schedule:
    found = schedule_of(read_json(written))
    if found is None:
        raise CronError("there is no schedule")
    return found


def reschedule(conn: Connection, job: UUID, now: datetime) -> None:
    """Bring a job's next time up to its present definition and state; again and again it gives the same.

    A time that has come but was not carried out yet stays due, when the schedule still has it.

    Raises:
        Permanent: CRON, TIME_ZONE, this host cannot read what was checked on another.

    """
    row = conn.execute(text(_JOB), {"id": job}).first()
    if row is None or row.deleted_at is not None or row.state not in WORKING or row.schedule is None:
        conn.execute(text("DELETE FROM sync_schedules WHERE job_id = :id"), {"id": job})
        return
    try:
        schedule = _read(row.schedule)
    except CronError as error:
        raise Permanent(str(error), code=error.code, source="schedule") from error
    waiting = row.nominal is not None and row.nominal <= now and _is_time(schedule, row.nominal)
    nominal = row.nominal if waiting else schedule.cron.after(now)
    fire_at = schedule.fires_at(job, nominal)
    conn.execute(text(_PUT), {"workspace_id": row.workspace_id, "id": job, "nominal": nominal, "fire_at": fire_at})


def forget(store: Store, days: int) -> int:
    """Delete the slots that are older than `days`, 10,000 at a time; return how many went."""
    with store.connect() as conn:
        gone = conn.execute(
            text(
                """DELETE FROM sync_slots WHERE (job_id, nominal) IN (
                     SELECT job_id, nominal FROM sync_slots WHERE at < now() - make_interval(days => :days) LIMIT 10000)"""
            ),
            {"days": days},
        )
        return gone.rowcount
