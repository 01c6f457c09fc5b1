"""Events start runs: in their own transaction, late enough to see what they tell of, and no more of them than are needed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from server.events.catalogue import Catalogue
from server.events.envelope import NewEvent, to_json
from server.events.publishing import Publisher
from server.events.routes import touch_routes
from server.kernel.clock import SystemClock
from server.kernel.ids import new_uuid
from server.store import Cause, Store
from server.syncs import runs
from server.syncs.aggregate import SyncJob
from server.syncs.holding import release, release_strays
from server.syncs.owing import Owing
from server.syncs.repository import SYNC_JOBS
from tests.support.tenants import make_workspace

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from uuid import UUID

    from server.store import Scope

ANNA = Cause("user:anna", "cor_1", "evt_0")
ONE = {"events": ["customer.*"], "on_event": {"one": "data.id"}}
WHOLE = {"events": ["customer.changed"]}


class Bench:
    """A workspace with sync jobs that take events, and what it is owed."""

    def __init__(self, store: Store, scope: Scope, hints: list[int]) -> None:
        self.store, self.scope, self.hints = store, scope, hints
        clock = SystemClock()
        self.publisher = Publisher(clock, Catalogue(), [Owing(clock, lambda: hints.append(1))])

    def job(self, name: str = "customers", settle: str | None = None, **body: Any) -> UUID:
        cursor = {"cursor": {"fields": ["at"], "settle": settle}} if settle else {}
        whole = {
            "name": name,
            "source": {"call": "db.query.read", "primary_key": ["id"], **cursor},
            "target": {"call": "erp.customers.upsert", "match_on": ["id"]},
            **body,
        }
        job = SyncJob(new_uuid())
        job.create(name, whole, 1, {})
        job.activate()
        with self.store.begin(self.scope, ANNA) as tx:
            touch_routes(tx)
            SYNC_JOBS.add(tx, job)
        return job.id

    def act(self, action: Any) -> None:
        with self.store.begin(self.scope, ANNA) as tx:
            touch_routes(tx)
            job = SYNC_JOBS.get(tx, "customers")
            job.act(action)
            SYNC_JOBS.save(tx, job)
            if action == "resume":
                release(tx, job.id)

    def publish(self, *data: Any, type_: str = "customer.changed", version: int | None = None) -> None:
        new = [NewEvent(type=type_, data=to_json(each), schema_version=version) for each in data]
        with self.store.begin(self.scope, ANNA) as tx:
            self.publisher.publish(tx, new)

    def type(self, version: int, **body: Any) -> None:
        """Declare a version of `customer.changed`."""
        whole = {"name": "customer.changed", "version": version, "schema": {"type": "object"}, **body}
        with self.store.begin(self.scope, ANNA) as tx:
            touch_routes(tx)
            tx.run(
                """INSERT INTO definitions (organization_id, workspace_id, kind, name, version, origin, hash, body, updated_by)
                   VALUES (:org, :workspace_id, 'EventType', :name, 1, 'api', 'h', CAST(:body AS json), 'anna')""",
                org=self.scope.organization_id,
                name=f"customer.changed@{version}",
                body=json.dumps(whole),
            )

    def rows(self, sql: str) -> Sequence[Any]:
        with self.store.connect() as conn:
            return conn.exec_driver_sql(sql).all()

    def runs(self) -> Sequence[Any]:
        return self.rows("SELECT * FROM sync_runs ORDER BY id")

    def waits(self) -> list[int]:
        """Return in how many seconds each run is due, rounded; -1 where it is held."""
        found = self.rows(
            """SELECT CASE WHEN due_at = 'infinity' THEN -1 ELSE round(extract(epoch FROM due_at - now())) END AS n
               FROM due WHERE kind = 'sync' ORDER BY due_at"""
        )
        return [int(row.n) for row in found]

    def begin(self) -> None:
        """Let every run begin."""
        self.rows("UPDATE sync_runs SET state = 'running' WHERE state = 'queued' RETURNING id")


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    store = Store(database_url, "crossdock_engine")
    yield store
    store.close()


@pytest.fixture
def bench(store: Store, database_url: str) -> Bench:
    return Bench(store, make_workspace(database_url), [])


def test_an_event_starts_a_run_with_what_it_came_from(bench: Bench) -> None:
    job = bench.job(**WHOLE)
    bench.publish({"id": 7})
    [run] = bench.runs()
    [event] = bench.rows("SELECT uid FROM events")
    assert (run.job_id, run.cause, run.key, run.event_uid) == (job, "event", None, event.uid)
    assert (run.principal, run.correlation_id, run.state) == ("user:anna", "cor_1", "queued")
    assert (bench.waits(), bench.hints) == ([0], [1])


def test_events_that_no_job_takes_start_nothing(bench: Bench) -> None:
    bench.job(**WHOLE)
    bench.publish({"id": 7}, type_="order.changed")
    assert bench.runs() == []


def test_a_row_of_events_is_one_run_until_it_begins(bench: Bench) -> None:
    bench.job(**WHOLE)
    bench.publish({"id": 1}, {"id": 2})
    bench.publish({"id": 3})
    assert len(bench.runs()) == 1
    bench.begin()
    bench.publish({"id": 4})
    assert len(bench.runs()) == 2


def test_a_run_waits_until_what_the_event_tells_of_has_settled(bench: Bench) -> None:
    bench.job(settle="60s", **WHOLE)
    bench.publish({"id": 1})
    assert bench.waits() == [60]
    bench.rows("UPDATE due SET due_at = due_at - interval '20 seconds' RETURNING ref")
    bench.publish({"id": 2})
    assert bench.waits() == [40, 60]
    bench.rows("UPDATE due SET due_at = due_at - interval '20 seconds' RETURNING ref")
    bench.publish({"id": 3})
    assert bench.waits() == [20, 60], "the second moves on, the first never"


def test_an_event_syncs_the_one_record_that_it_is_about(bench: Bench) -> None:
    bench.job(**ONE)
    bench.publish({"id": 7}, {"id": "C-8"}, {"id": 7})
    bench.publish({"id": 7})
    assert [run.key for run in bench.runs()] == [[7], ["C-8"]]
    bench.begin()
    bench.publish({"id": 7})
    assert [run.key for run in bench.runs()] == [[7], ["C-8"], [7]]


@pytest.mark.parametrize(
    ("events", "key"), [("customer.*", [70]), ("customer.changed@1", [7]), ("customer.changed@2", [70])]
)
def test_an_event_of_an_older_version_comes_as_the_job_asks_for_it(bench: Bench, events: str, key: list[int]) -> None:
    bench.type(1)
    bench.type(2, upcast={"id": "data.number"})
    bench.job(**{**ONE, "events": [events]})
    bench.publish({"id": 7, "number": 70}, version=1)
    assert [run.key for run in bench.runs()] == [key]


def test_an_event_that_no_upcaster_can_lift_leaves_a_failed_run(bench: Bench) -> None:
    bench.type(1)
    bench.type(2, upcast={"id": {"from": "data.number", "required": True}})
    bench.job(**ONE)
    bench.publish({"id": 7}, version=1)
    [run] = bench.runs()
    assert (run.state, run.error["code"]) == ("failed", "EXPR_MISSING")


@pytest.mark.parametrize("data", [{}, {"id": None}, {"id": [1, 2]}, {"id": {"a": 1}}, {"id": True}, {"id": 1.5}])
def test_an_event_without_a_key_leaves_a_failed_run_and_is_still_published(bench: Bench, data: Any) -> None:
    bench.job(**ONE)
    bench.publish(data)
    [run] = bench.runs()
    assert (run.state, run.error["code"]) == ("failed", "EVENT_KEY")
    assert run.ended_at is not None
    assert bench.waits() == []
    assert len(bench.rows("SELECT 1 FROM events")) == 1


def test_runs_of_a_job_that_rests_are_held_and_go_when_it_resumes(bench: Bench) -> None:
    bench.job(**ONE)
    bench.act("pause")
    bench.publish({"id": 1})
    bench.publish({"id": 2})
    assert bench.waits() == [-1, -1]
    bench.act("resume")
    assert bench.waits() == [0, 0]
    bench.act("deactivate")
    bench.publish({"id": 3})
    assert len(bench.runs()) == 2


def test_a_run_that_was_held_at_the_moment_of_the_resume_is_found(bench: Bench) -> None:
    bench.job(**ONE)
    bench.publish({"id": 1})
    bench.rows("UPDATE due SET due_at = 'infinity' RETURNING ref")
    assert release_strays(bench.store, lambda: None) == 1
    assert bench.waits() == [0]
    bench.act("pause")
    bench.rows("UPDATE due SET due_at = 'infinity' RETURNING ref")
    assert release_strays(bench.store, lambda: None) == 0


def test_whole_runs_of_a_job_that_rests_are_one(bench: Bench) -> None:
    bench.job(settle="60s", **WHOLE)
    bench.act("pause")
    bench.publish({"id": 1})
    bench.publish({"id": 2})
    assert bench.waits() == [-1]


def test_an_event_that_is_not_stored_starts_nothing(bench: Bench) -> None:
    bench.job(**WHOLE)

    def break_off() -> None:
        with bench.store.begin(bench.scope, ANNA) as tx:
            bench.publisher.publish(tx, [NewEvent(type="customer.changed", data=to_json({}))])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        break_off()
    assert (bench.runs(), bench.hints) == ([], [])


def test_a_neighbours_events_start_nothing_here(bench: Bench, database_url: str) -> None:
    bench.job(**WHOLE)
    rival = Bench(bench.store, make_workspace(database_url, "rival"), [])
    rival.publisher = bench.publisher
    rival.publish({"id": 1})
    assert bench.runs() == []
    bench.publish({"id": 1})
    assert [run.workspace_id for run in bench.runs()] == [bench.scope.workspace_id]


@pytest.mark.parametrize("body", [ONE, WHOLE])
def test_a_claimed_run_is_no_longer_waited_for(bench: Bench, body: dict[str, Any]) -> None:
    bench.job(**body)
    bench.publish({"id": 1})
    bench.rows("UPDATE due SET leased = true RETURNING ref")
    bench.publish({"id": 1})
    assert len(bench.runs()) == 2


def test_two_jobs_are_both_owed(bench: Bench) -> None:
    bench.job(**ONE)
    bench.job("second", **WHOLE)
    bench.publish({"id": 1})
    assert {(run.key and tuple(run.key)) for run in bench.runs()} == {(1,), None}
    with bench.store.connect() as conn:
        assert sum(runs.under_way(conn, [run.job_id for run in bench.runs()]).values()) == 2
