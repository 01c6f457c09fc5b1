"""The tick: each time of each job once, whoever looks and however often; missed times; runs that overlap."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from server.kernel.clock import ManualClock
from server.kernel.ids import new_uuid
from server.store import Cause, Store
from server.syncs import runs, ticks
from server.syncs.repository import SYNC_JOBS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.syncs.conftest import Jobs

START = datetime(2026, 5, 1, tzinfo=UTC)
TEN = timedelta(minutes=10)
ANNA = Cause("user:anna", "cor_1", "evt_0")


def test_three_schedulers_with_a_stepped_clock_give_each_of_200_slots_one_run(jobs: Jobs) -> None:
    """F13 of the fault table."""
    jobs.add(START, overlap="queue")
    moment = START
    with ThreadPoolExecutor(3) as pool:
        for _ in range(200):
            moment += TEN
            started = list(pool.map(jobs.tick, [moment + timedelta(seconds=1)] * 3))
            assert sum(started) == 1
            jobs.end()
    assert jobs.nominals() == jobs.nominals("sync_slots") == [START + n * TEN for n in range(1, 201)]


def test_schedulers_whose_clocks_differ_give_each_slot_one_run(jobs: Jobs) -> None:
    for number in range(20):
        jobs.add(START, f"job-{number}", overlap="queue", misfire="all", grace="1d")

    def walk(late: int) -> int:
        clock = ManualClock(START + timedelta(seconds=late))
        started = 0
        for _ in range(12):
            clock.advance(300)
            started += jobs.tick(clock.now())
        return started

    with ThreadPoolExecutor(3) as pool:
        assert sum(pool.map(walk, (0, 20, 40))) == 20 * 6
    assert jobs.nominals() == sorted([START + n * TEN for n in range(1, 7)] * 20)
    assert len(jobs.rows("SELECT 1 FROM due WHERE kind = 'sync'")) == 20 * 6


def test_a_slot_that_was_carried_out_is_not_again_when_the_clock_goes_back(jobs: Jobs) -> None:
    job = jobs.add(START, overlap="queue")
    assert jobs.tick(START + TEN) == 1
    with jobs.store.connect() as conn:
        conn.execute(text("UPDATE sync_schedules SET nominal = :at, fire_at = :at"), {"at": START + TEN})
    assert jobs.tick(START + TEN) == 0
    with jobs.store.connect() as conn:
        ticks.reschedule(conn, job, START)
    assert jobs.tick(START + TEN) == 0
    assert jobs.nominals() == [START + TEN]
    assert len(jobs.rows("SELECT 1 FROM due WHERE kind = 'sync'")) == 1


def test_a_tick_that_fails_halfway_leaves_the_slot_to_the_next(jobs: Jobs) -> None:
    jobs.add(START)

    def break_off() -> None:
        with jobs.store.connect() as conn:
            assert ticks.tick_slice(conn, START + TEN) == (1, 1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        break_off()
    assert jobs.nominals() == []
    assert jobs.tick(START + TEN) == 1


def test_a_run_says_of_what_it_is_and_why(jobs: Jobs) -> None:
    job = jobs.add(START)
    jobs.tick(START + TEN)
    [run] = jobs.rows("SELECT * FROM sync_runs")
    assert (run.job_id, run.workspace_id, run.definition_version) == (job, jobs.scope.workspace_id, 1)
    assert (run.state, run.cause, run.nominal, run.principal) == ("queued", "schedule", START + TEN, "scheduler")
    [due] = jobs.rows("SELECT * FROM due WHERE kind = 'sync'")
    assert (due.ref, due.lane, due.workspace_id, due.lane_limit) == (run.id, job, jobs.scope.workspace_id, 1)


@pytest.mark.parametrize(("action", "back"), [("pause", "resume"), ("disable", "activate"), ("deactivate", "activate")])
def test_a_job_that_rests_has_no_times_and_makes_good_none_of_them(jobs: Jobs, action: str, back: str) -> None:
    jobs.add(START, misfire="all", grace="1d")
    jobs.act(action, START)
    assert jobs.following() == []
    assert jobs.tick(START + 5 * TEN) == 0
    jobs.act(back, START + 5 * TEN)
    assert jobs.tick(START + 5 * TEN) == 0
    assert jobs.following() == [START + 6 * TEN]


def test_a_job_that_rests_while_its_reaction_is_late_does_not_run(jobs: Jobs) -> None:
    jobs.add(START)
    with jobs.store.begin(jobs.scope, ANNA) as tx:
        job = SYNC_JOBS.get(tx, "customers")
        job.act("pause")
        SYNC_JOBS.save(tx, job)
    assert jobs.tick(START + TEN) == 0
    assert jobs.following() == []


def test_a_failing_job_is_still_run_and_a_draft_is_not(jobs: Jobs) -> None:
    jobs.add(START)
    jobs.act("fail", START)
    jobs.add(START, "draft", active=False)
    assert jobs.tick(START + TEN) == 1
    assert len(jobs.following()) == 1


def test_a_changed_schedule_counts_from_now_on(jobs: Jobs) -> None:
    jobs.add(START, cron="0 12 * * *")
    jobs.change(START, cron="5 * * * *")
    assert jobs.following() == [START + timedelta(minutes=5)]
    jobs.change(START, cron="0 3 * * *", timezone="Asia/Almaty")
    assert jobs.following() == [START + timedelta(hours=22)]


def test_a_change_beside_the_schedule_drops_no_time_that_has_come(jobs: Jobs) -> None:
    jobs.add(START)
    jobs.change(START + TEN, cron="*/10 * * * *", overlap="queue")
    assert jobs.tick(START + TEN) == 1
    assert jobs.nominals() == [START + TEN]


def test_a_time_of_the_old_schedule_does_not_run_when_the_new_one_lacks_it(jobs: Jobs) -> None:
    jobs.add(START)
    jobs.change(None, cron="5 * * * *")
    assert jobs.tick(START + TEN) == 0
    assert jobs.following() == [START + timedelta(minutes=65)]


MISSED = [
    ("none", [], [10]),
    ("latest", [60], [60]),
    ("all", [10, 20, 30, 40, 50, 60], [10, 20, 30, 40, 50, 60]),
]


@pytest.mark.parametrize(("misfire", "run", "written"), MISSED)
def test_an_hour_without_a_scheduler_is_made_good_as_misfire_says(
    jobs: Jobs, misfire: str, run: list[int], written: list[int]
) -> None:
    jobs.add(START, misfire=misfire, grace="2h")
    jobs.tick(START + timedelta(minutes=63))
    assert [(each - START) // timedelta(minutes=1) for each in jobs.nominals()] == run
    assert [(each - START) // timedelta(minutes=1) for each in jobs.nominals("sync_slots")] == written
    assert jobs.following() == [START + 7 * TEN]
    dropped = {row.dropped for row in jobs.rows("SELECT dropped FROM sync_slots")}
    assert dropped == ({None} if misfire == "all" else {START + TEN})


def test_skip_lets_a_time_pass_while_a_run_is_under_way_and_queue_lets_it_wait(jobs: Jobs) -> None:
    jobs.add(START, "skips", overlap="skip")
    jobs.add(START, "queues", overlap="queue")
    assert jobs.tick(START + TEN) == 2
    assert jobs.tick(START + 2 * TEN) == 1
    skipped = jobs.rows("SELECT nominal FROM sync_slots WHERE run_id IS NULL")
    assert [row.nominal for row in skipped] == [START + 2 * TEN]
    jobs.end()
    assert jobs.tick(START + 3 * TEN) == 2


def test_cancel_asks_the_run_under_way_to_end_and_starts_the_next(jobs: Jobs) -> None:
    jobs.add(START, overlap="cancel")
    jobs.add(START, "other", overlap="queue")
    assert jobs.tick(START + TEN) == 2
    assert jobs.tick(START + 2 * TEN) == 2
    asked = jobs.rows(
        "SELECT r.nominal, j.name FROM sync_runs r JOIN sync_jobs j ON j.id = r.job_id WHERE cancelled_at IS NOT NULL"
    )
    assert [(row.nominal, row.name) for row in asked] == [(START + TEN, "customers")]


def test_a_row_of_waiting_runs_has_an_end(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ticks, "MOST_WAITING", 3)
    jobs.add(START, overlap="queue")
    started = [jobs.tick(START + n * TEN) for n in range(1, 6)]
    assert started == [1, 1, 1, 0, 0]
    assert len(jobs.rows("SELECT 1 FROM sync_slots WHERE run_id IS NULL")) == 2


def test_jitter_holds_a_job_back_by_its_own_share(jobs: Jobs) -> None:
    jobs.add(START, jitter="5m", overlap="queue")
    [row] = jobs.rows("SELECT nominal, fire_at FROM sync_schedules")
    assert row.nominal == START + TEN
    assert timedelta() < row.fire_at - row.nominal < timedelta(minutes=5)
    assert jobs.tick(row.fire_at - timedelta(seconds=1)) == 0
    assert jobs.tick(row.fire_at + timedelta(seconds=1)) == 1
    assert jobs.nominals() == [START + TEN]


def test_workspaces_do_not_see_each_others_schedules_slots_and_runs(
    jobs: Jobs, neighbour: Jobs, database_url: str
) -> None:
    jobs.add(START)
    neighbour.add(START)
    assert jobs.tick(START + TEN) == 2
    fenced = Store(database_url, "crossdock_api")
    try:
        for table in ("sync_jobs", "sync_schedules", "sync_slots", "sync_runs"):
            with fenced.begin(neighbour.scope, ANNA) as tx:
                seen = {row.workspace_id for row in tx.all(f"SELECT workspace_id FROM {table}")}
            assert seen == {neighbour.scope.workspace_id}, table
    finally:
        fenced.close()


def test_the_chore_goes_on_until_nothing_is_due_and_hints_once(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ticks, "AT_ONCE", 3)
    for number in range(8):
        jobs.add(START, f"job-{number}")
    hints: list[int] = []
    hint: Callable[[], None] = lambda: hints.append(1)  # noqa: E731 - shorter than a function
    assert ticks.tick(jobs.store, ManualClock(START + TEN), hint) == 8
    assert ticks.tick(jobs.store, ManualClock(START + TEN), hint) == 0
    assert hints == [1]


def test_a_schedule_that_this_host_cannot_read_waits_and_stops_nobody_else(jobs: Jobs) -> None:
    jobs.add(START, "good")
    job = jobs.add(START, "odd")
    jobs.rows(
        'UPDATE sync_jobs SET body = \'{"schedule": {"cron": "0 0 * * *", "timezone": "Mars/Base"}}\' WHERE name = \'odd\' RETURNING id'
    )
    assert jobs.tick(START + TEN) == 1
    [row] = jobs.rows(f"SELECT fire_at FROM sync_schedules WHERE job_id = '{job}'")
    assert row.fire_at == START + TEN + timedelta(hours=1)


def test_a_run_by_hand_is_due_at_once_with_who_started_it(jobs: Jobs) -> None:
    jobs.add(START)
    hints: list[int] = []
    with jobs.store.begin(jobs.scope, ANNA) as tx:
        job = SYNC_JOBS.get(tx, "customers")
        run = runs.start_run(tx, job, "person", lambda: hints.append(1), key=["C-7"])
        job.trigger("user:anna", runs.shown(run))
        SYNC_JOBS.save(tx, job)
    [row] = jobs.rows("SELECT * FROM sync_runs")
    assert (row.id, row.cause, row.key, row.principal, row.correlation_id) == (
        run,
        "person",
        ["C-7"],
        "user:anna",
        "cor_1",
    )
    assert hints == [1]
    with jobs.store.connect() as conn:
        assert runs.under_way(conn, [job.id, new_uuid()]) == {job.id: 1}


def test_old_slots_are_forgotten(jobs: Jobs) -> None:
    jobs.add(START)
    jobs.tick(START + TEN)
    jobs.rows("UPDATE sync_slots SET at = now() - interval '91 days' RETURNING job_id")
    assert ticks.forget(jobs.store, 100) == 0
    assert ticks.forget(jobs.store, 90) == 1
