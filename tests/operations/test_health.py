"""Health: every part in parallel, each within its time; nothing of a tenant for those who show no token."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from server.kernel.clock import SystemClock
from server.kernel.errors import Retryable
from server.operations import checks
from server.operations.flights import Flights
from server.operations.health import External, Finding, Health
from server.operations.integrations import externals
from server.sdk.adapter import Health as SystemHealth
from server.store import processes
from server.store.processes import Process

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.product import Product


def passing() -> Finding:
    return Finding("pass", "answers")


def make(
    parts: dict[str, Callable[[], Finding]] | None = None, outside: list[External] | None = None, **more: Any
) -> Health:
    everything = outside or []

    def listed(workspace_id: int | None) -> list[External]:
        return [each for each in everything if workspace_id in (None, each.workspace_id)]

    options = {"flights": Flights(), "clock": SystemClock(), "part_seconds": 0.2, "external_seconds": 0.3, **more}
    return Health(parts or {"database": passing}, ["database"], listed, **options)


def finds(status: Any, message: str = "so") -> Callable[[], Finding]:
    return lambda: Finding(status, message)


@pytest.mark.parametrize(
    ("statuses", "whole"),
    [
        (["pass", "pass"], "healthy"),
        (["pass", "warn"], "degraded"),
        (["warn", "fail"], "unhealthy"),
        (["pass", "fail"], "unhealthy"),
    ],
)
def test_all_pass_is_healthy_any_fail_is_unhealthy_else_degraded(statuses: list[Any], whole: str) -> None:
    report = make({f"part-{n}": finds(each) for n, each in enumerate(statuses)}).instance().as_dict()
    assert report["status"] == whole
    assert set(report) == {"status", "checks", "timestamp"}
    assert all(set(each) == {"status", "latency", "message"} for each in report["checks"].values())
    assert datetime.fromisoformat(report["timestamp"]).tzinfo == UTC


def test_parts_are_asked_at_the_same_time() -> None:
    together = threading.Barrier(6, timeout=2)

    def meet() -> Finding:
        together.wait()
        return Finding("pass", "met")

    outside = [External(1, f"integration/{n}", meet) for n in range(3)]
    report = make({f"part-{n}": meet for n in range(3)}, outside, part_seconds=2.0, external_seconds=2.0).instance()
    assert report.status == "healthy"


def test_a_check_that_hangs_ends_at_its_time_out_and_is_not_asked_again_meanwhile() -> None:
    release, asked = threading.Event(), []

    def hang() -> Finding:
        asked.append(1)
        release.wait(10)
        return Finding("pass", "came late")

    health = make({"database": hang, "disk": passing})
    began = time.monotonic()
    report = health.instance()
    assert 0.15 < time.monotonic() - began < 1.0
    assert (report.checks["database"].status, report.checks["database"].message) == ("fail", "no answer within 0.2 s")
    assert report.checks["disk"].status == "pass"
    began = time.monotonic()
    assert [health.instance().status for _ in range(20)] == ["unhealthy"] * 20
    assert time.monotonic() - began < 0.15, "who hung before is not waited for again"
    assert len(asked) == 1
    release.set()
    time.sleep(0.05)
    assert health.instance().checks["database"].message == "came late"


def test_many_callers_cost_one_question() -> None:
    asked = []

    def slow() -> Finding:
        asked.append(1)
        time.sleep(0.1)
        return Finding("pass", "answers")

    health = make(outside=[External(1, "integration/erp", slow)])
    threads = [threading.Thread(target=health.instance) for _ in range(20)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(asked) == 1
    assert health.instance().checks["integrations"].latency >= 100


def test_questions_under_way_are_bounded() -> None:
    release = threading.Event()
    flights = Flights(most=3)
    asked = [flights.ask(f"{n}", lambda: release.wait(5), 0.0) for n in range(5)]
    assert [each is None for each in asked] == [False, False, False, True, True]
    release.set()


def test_whatever_breaks_is_a_failing_check_without_a_secret() -> None:
    def breaks() -> Finding:
        raise RuntimeError("password=hunter2")

    def refuses() -> Finding:
        raise Retryable("no way to https://user:hunter2@erp.example", code="UPSTREAM_FAILED")

    report = make({"database": breaks}, [External(1, "integration/erp", refuses)]).workspace(1)
    assert report.checks["database"].message == "broke: RuntimeError"
    assert report.checks["integration/erp"].status == "fail"
    assert "hunter2" not in str(report.as_dict())


def test_others_see_counts_of_integrations_and_their_workspace_sees_names() -> None:
    outside = [
        External(1, "integration/erp", passing),
        External(1, "integration/shop", finds("warn")),
        External(2, "integration/bank", finds("fail")),
    ]
    health = make(outside=outside)
    anybody = health.instance()
    assert anybody.checks["integrations"].message == "3 asked, 1 failing, 1 degraded"
    assert not [word for word in ("erp", "shop", "bank") if word in str(anybody.as_dict())]
    mine = health.workspace(1)
    assert {name for name in mine.checks if "integration" in name} == {"integration/erp", "integration/shop"}
    assert (anybody.status, mine.status) == ("unhealthy", "degraded")


def test_a_list_that_cannot_be_had_is_a_warning() -> None:
    def away(_workspace_id: int | None) -> list[External]:
        raise Retryable("away")

    health = make()
    health.externals = away
    assert health.instance().checks["integrations"].status == "warn"


def test_readiness_asks_only_what_the_api_needs_and_liveness_nothing() -> None:
    health = make({"database": passing, "workers": finds("fail")}, [External(1, "integration/erp", finds("fail"))])
    assert health.ready().status == "healthy"
    assert set(health.ready().checks) == {"database"}
    health = make({"database": finds("fail")})
    assert health.ready().status == "unhealthy"
    assert health.live().status == "healthy"


def test_integrations_at_work_are_asked_each_in_its_workspace(product: Product) -> None:
    other = product.workspace("other", "main")
    with product.core.engine.engine.begin() as conn:
        for scope, name, state in (
            (product.scope, "erp", "active"),
            (product.scope, "old", "paused"),
            (other, "erp", "failing"),
        ):
            conn.exec_driver_sql(
                """INSERT INTO integrations (organization_id, workspace_id, id, name, state, version, definition_version,
                     body, created_at, created_by, updated_at, updated_by)
                   VALUES (%s, %s, gen_random_uuid(), %s, %s, 1, 1, '{}', now(), '', now(), '')""",
                (scope.organization_id, scope.workspace_id, name, state),
            )
    asked = []

    def ask(scope: Any, name: str) -> SystemHealth:
        asked.append((str(scope), name))
        status = "healthy" if scope.workspace_id == product.scope.workspace_id else "unhealthy"
        return SystemHealth(status=status, latency_ms=12.0, last_checked=datetime.now(UTC))

    listed = externals(product.core.engine, ask)
    found = {(each.workspace_id, each.name): each.ask().status for each in listed(None)}
    assert found == {
        (product.scope.workspace_id, "integration/erp"): "pass",
        (other.workspace_id, "integration/erp"): "fail",
    }
    assert sorted(asked) == [("default/default", "erp"), ("other/main", "erp")]
    assert [each.workspace_id for each in listed(other.workspace_id)] == [other.workspace_id]
    with product.core.engine.engine.begin() as conn:
        conn.exec_driver_sql(
            """INSERT INTO breakers (workspace_id, integration_id, state, opened_at)
               SELECT workspace_id, id, 'open', now() FROM integrations WHERE name = 'erp'"""
        )
    resting = {each.workspace_id: each.ask() for each in listed(None)}
    assert resting[product.scope.workspace_id] == Finding("warn", "its breaker is open: healthy, 12 ms")
    assert resting[other.workspace_id] == Finding("fail", "its breaker is open: unhealthy, 12 ms")


def test_workers_and_scheduler_are_those_seen_lately(product: Product) -> None:
    assert checks.at_work(product.core.engine, "worker", "workers").status == "fail"
    with product.core.engine.connect() as conn:
        processes.seen(conn, Process("worker"))
    assert checks.at_work(product.core.engine, "worker", "workers").message == "1 at work"
    assert checks.at_work(product.core.engine, "scheduler", "schedulers").status == "fail"


@pytest.mark.parametrize(
    ("age", "leased", "status"), [(0, False, "pass"), (60, False, "warn"), (600, True, "warn"), (600, False, "fail")]
)
def test_the_queue_is_judged_by_its_oldest_due_work(product: Product, age: int, *, leased: bool, status: str) -> None:
    product.webhook("orders", "http://127.0.0.1:9/")
    product.publish({"n": 1}, {"n": 2})
    with product.core.engine.engine.begin() as conn:
        conn.exec_driver_sql("UPDATE due SET due_at = now() - %s * interval '1 second'", (age,))
        if leased:
            conn.exec_driver_sql(
                """UPDATE due SET leased = true, due_at = now() + interval '5 seconds'
                   WHERE ref = (SELECT ref FROM due ORDER BY ref LIMIT 1)"""
            )
    assert checks.queue(product.core.engine).status == status


def test_an_empty_queue_passes(product: Product) -> None:
    assert checks.queue(product.core.engine) == Finding("pass", "nothing is overdue")


@pytest.mark.parametrize(("known", "status"), [("0001", "warn"), ("9999", "fail")])
def test_a_newer_schema_than_ones_own_is_served_and_an_older_one_is_not(
    product: Product, monkeypatch: pytest.MonkeyPatch, known: str, status: str
) -> None:
    monkeypatch.setattr(checks, "_newest", lambda: known)
    assert checks.schema(product.core.engine).status == status


def test_the_database_redis_disk_and_memory_answer(product: Product, redis_url: str, tmp_path: Path) -> None:
    assert checks.database(product.core.engine).status == "pass"
    assert checks.schema(product.core.engine).status == "pass"
    assert checks.redis_server(redis_url).status == "pass"
    assert checks.redis_server("redis://127.0.0.1:1/0").status == "warn"
    assert checks.disk(tmp_path / "not" / "there" / "yet").status in ("pass", "warn")
    assert checks.memory().message.endswith("% available")
