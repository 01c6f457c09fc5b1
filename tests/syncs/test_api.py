"""Schedules over HTTP and on the command line, and what follows when a job changes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from server import bootstrap, reactions
from server.app import create_app
from server.cli.shell import Shell
from server.cli.syncs import sync
from server.config import Settings
from server.kernel.clock import ManualClock
from server.kernel.ids import new_uuid
from server.kernel.lifecycle import Changed, Moved
from server.reactions import REACTIONS
from server.store import Cause, Store
from server.syncs import runs
from server.syncs.aggregate import SyncJob
from server.syncs.api import blueprint
from server.syncs.repository import SYNC_JOBS
from tests.authoring_db.conftest import Client, Frame

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.product import Product
    from tests.syncs.conftest import Jobs

NOW = datetime(2026, 10, 24, 12, tzinfo=UTC)
ANNA = Cause("user:anna", "cor_1", "evt_0")


@pytest.fixture
def api(jobs: Jobs, neighbour: Jobs, database_url: str) -> Iterator[Client]:
    fenced = Store(database_url, "crossdock_api")
    scopes = {"main": jobs.scope, "rival": neighbour.scope}
    app = create_app(Frame(Settings(), fenced, [blueprint(fenced, ManualClock(NOW))], scopes))
    yield Client(app.test_client(), "viewer")
    fenced.close()


def test_the_next_times_of_a_job_are_shown_over_a_change_of_the_clock(api: Client, jobs: Jobs) -> None:
    jobs.add(NOW, cron="15 2 * * *", timezone="Europe/Paris")
    shown = api("GET", "/sync-jobs/customers/schedule?count=2")
    assert (shown["cron"], shown["timezone"], shown["misfire"], shown["overlap"]) == (
        "15 2 * * *",
        "Europe/Paris",
        "latest",
        "skip",
    )
    assert [(each["nominal"], each["local"]) for each in shown["times"]] == [
        ("2026-10-25T00:15:00Z", "2026-10-25T02:15:00+02:00"),
        ("2026-10-26T01:15:00Z", "2026-10-26T02:15:00+01:00"),
    ]
    assert [each["fires_at"] for each in shown["times"]] == [each["nominal"] for each in shown["times"]]


def test_all_schedules_are_listed_by_name_in_pages(api: Client, jobs: Jobs) -> None:
    for name in ("c", "a", "b"):
        jobs.add(NOW, name, active=name != "b")
    first = api("GET", "/sync-schedules?limit=2")
    rest = api("GET", f"/sync-schedules?limit=2&cursor={first['next']}")
    assert [each["name"] for each in first["items"]] == ["a", "b"]
    assert [each["name"] for each in rest["items"]] == ["c"]
    assert [each["nominal"] for each in first["items"]] == ["2026-10-24T12:10:00Z", None]
    assert (first["items"][0]["cron"], first["items"][0]["timezone"], rest["next"]) == ("*/10 * * * *", "UTC", None)


def test_a_job_without_a_schedule_has_no_times(api: Client, jobs: Jobs) -> None:
    jobs.add(NOW)
    jobs.rows("UPDATE sync_jobs SET body = '{}' RETURNING id")
    shown = api("GET", "/sync-jobs/customers/schedule")
    assert (shown["cron"], shown["times"]) == (None, [])


def test_the_times_that_have_come_are_shown_with_their_runs(api: Client, jobs: Jobs) -> None:
    jobs.add(NOW, misfire="latest", grace="2h")
    jobs.tick(NOW + timedelta(minutes=31))
    jobs.tick(NOW + timedelta(minutes=40))
    skipped, ran = api("GET", "/sync-jobs/customers/schedule")["past"]
    assert (skipped["nominal"], skipped["run_id"], skipped["dropped"]) == ("2026-10-24T12:40:00Z", None, None)
    assert (ran["nominal"], ran["run_id"][:4], ran["dropped"]) == (
        "2026-10-24T12:30:00Z",
        "run_",
        "2026-10-24T12:10:00Z",
    )


def test_another_workspace_sees_no_schedule(api: Client, jobs: Jobs) -> None:
    jobs.add(NOW)
    rival = api.as_("viewer@rival")
    assert rival("GET", "/sync-schedules")["items"] == []
    rival("GET", "/sync-jobs/customers/schedule", status=404)
    api("GET", "/sync-jobs/customers/schedule")


@pytest.mark.parametrize("query", ["?count=0", "?count=101", "?count=x", "?more=1"])
def test_a_query_that_nobody_knows_is_refused(api: Client, jobs: Jobs, query: str) -> None:
    jobs.add(NOW)
    api("GET", f"/sync-jobs/customers/schedule{query}", status=422)


def test_the_command_shows_what_the_api_says(api: Client, jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs.add(NOW, cron="0 */6 * * *")

    class Rest:
        """Speaks to the application in this process, as the command line does."""

        def get(self, path: str, **query: Any) -> Any:
            asked = "&".join(f"{key}={value}" for key, value in query.items() if value is not None)
            found = api("GET", f"{path.removeprefix('/api/v1')}?{asked}")
            return type("Answer", (), {"value": found, "raw": b"", "text": ""})()

    monkeypatch.setattr(Shell, "rest", property(lambda _: Rest()))
    said = CliRunner().invoke(sync, ["schedule", "customers", "--count", "2"], obj=Shell()).output
    assert "2026-10-24T18:00:00" in said.replace("Z", "")
    listed = CliRunner().invoke(sync, ["schedule"], obj=Shell()).output
    assert "0 */6 * * *" in listed


def test_what_a_person_does_with_a_job_changes_when_it_runs(product: Product) -> None:
    """Through the reaction that its event owes."""

    def settle(action: Any) -> int:
        with product.core.engine.begin(product.scope, ANNA) as tx:
            found = SYNC_JOBS.find(tx, "customers")
            job = found.aggregate if found else SyncJob(new_uuid())
            if found is None:
                job.create("customers", {"schedule": {"cron": "0 0 1 1 *"}}, 1, {})
            job.act(action)
            SYNC_JOBS.add(tx, job) if found is None else SYNC_JOBS.save(tx, job)
        reactions.drain(product.core.engine, reactions.Services(lambda: None))
        with product.core.engine.connect() as conn:
            return len(conn.exec_driver_sql("SELECT 1 FROM sync_schedules").all())

    assert [settle(action) for action in ("activate", "pause", "resume", "fail", "archive")] == [1, 0, 1, 1, 0]


def test_the_runs_of_a_job_that_was_removed_are_asked_to_end(product: Product) -> None:
    with product.core.engine.begin(product.scope, ANNA) as tx:
        job = SyncJob(new_uuid())
        job.create("customers", {}, 1, {})
        job.activate()
        SYNC_JOBS.add(tx, job)
        run = runs.start_run(tx, job, "event", lambda: None)
        tx.run("UPDATE due SET due_at = 'infinity' WHERE ref = :run", run=run)
    with product.core.engine.begin(product.scope, ANNA) as tx:
        job = SYNC_JOBS.get(tx, "customers")
        job.act("archive")
        SYNC_JOBS.save(tx, job)
    reactions.drain(product.core.engine, reactions.Services(lambda: None))
    [row] = product.rows("SELECT cancelled_at FROM sync_runs")
    assert row.cancelled_at is not None
    [due] = product.rows("SELECT due_at < now() AS now FROM due WHERE kind = 'sync'")
    assert due.now


def test_every_move_of_a_job_that_bears_on_its_times_has_its_reaction() -> None:
    unmoved = {"failed", "recovered", "restored"}
    moves = {
        each.type().removeprefix("crossdock.sync_job.") for each in SyncJob.events if issubclass(each, Moved | Changed)
    }
    types = {f"crossdock.sync_job.{each}" for each in moves - unmoved}
    assert types == {each for each in REACTIONS if each.startswith("crossdock.sync_job.")}


def test_the_scheduler_ticks(product: Product) -> None:
    names = [each.name for each in bootstrap.scheduler(product.core.settings, built=product.core).chores]
    assert {"tick-sync-jobs", "forget-sync-work"} <= set(names)
