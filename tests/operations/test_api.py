"""Health, metrics and key figures over HTTP."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from server import bootstrap
from server.app import create_app
from server.kernel.clock import SystemClock
from server.operations import checks, metrics
from server.operations.api import Operations, blueprint
from server.operations.flights import Flights
from server.operations.health import External, Finding, Health
from server.store import processes
from server.store.processes import Process
from tests.support.product import until

if TYPE_CHECKING:
    from flask.testing import FlaskClient

    from server.store import Scope
    from tests.support.product import Product
    from tests.support.receiver import Receiver


@pytest.fixture
def client(product: Product) -> FlaskClient:
    return application(product)


def application(product: Product, **parts: Any) -> FlaskClient:
    """The real frame with tokens, and the room of operations."""
    health = Health(
        checks.parts(product.settings, product.core.engine) | parts,
        checks.NEEDED,
        lambda workspace_id: [
            each
            for each in (
                External(product.scope.workspace_id, "integration/erp", lambda: Finding("pass", "healthy")),
                External(0, "integration/elsewhere", lambda: Finding("pass", "healthy")),
            )
            if workspace_id in (None, each.workspace_id)
        ],
        flights=Flights(),
        clock=SystemClock(),
    )
    operations = Operations(product.core.tenant, health, metrics.Backlog(product.core.engine), "the-instance-token")
    services = bootstrap.api(product.settings, built=product.core)
    rooms = [each for each in services.blueprints if each.name != "operations"]
    return create_app(
        replace(services, blueprints=[*rooms, blueprint(operations)], observers=[metrics.observe])
    ).test_client()


def token(
    product: Product, scope: Scope | None = None, role: str = "viewer", scopes: tuple[str, ...] = ()
) -> dict[str, str]:
    made = product.client(scope).post("/api/v1/tokens", json={"name": "t", "role": role, "scopes": list(scopes)})
    assert made.status_code == 201, made.json
    return {"Authorization": f"Bearer {made.json['token']}"}


def at_work(product: Product) -> None:
    with product.core.engine.connect() as conn:
        processes.seen(conn, Process("worker"))
        processes.seen(conn, Process("scheduler"))


def test_anybody_sees_the_instance_and_no_tenant(product: Product, client: FlaskClient) -> None:
    at_work(product)
    answer = client.get("/health")
    assert answer.status_code == 200
    assert answer.json["status"] == "degraded", "there is no Redis in this test"
    assert set(answer.json["checks"]) == {
        *("database", "schema", "redis", "workers", "scheduler", "queue", "disk", "memory", "integrations")
    }
    assert "erp" not in answer.text
    assert "elsewhere" not in answer.text


def test_a_token_names_the_integrations_of_its_workspace(product: Product, client: FlaskClient) -> None:
    answer = client.get("/health", headers=token(product))
    assert "integration/erp" in answer.json["checks"]
    assert "integration/elsewhere" not in answer.json["checks"]
    assert client.get("/health", headers={"Authorization": "Bearer wrong"}).status_code == 401
    few = token(product, role="viewer", scopes=("events:read",))
    assert client.get("/health", headers=few).status_code == 403


def test_nobody_at_work_is_unhealthy_but_live_and_ready(client: FlaskClient) -> None:
    assert client.get("/health").status_code == 503
    assert client.get("/health").json["status"] == "unhealthy"
    assert client.get("/health/live").json["status"] == "healthy"
    assert client.get("/health/ready").status_code == 200


def test_liveness_and_health_answer_while_the_database_is_away(product: Product) -> None:
    lost = replace(product.settings, database_url="postgresql+psycopg://nobody@127.0.0.1:1/none")
    gone = bootstrap.core(lost)
    health = Health(
        checks.parts(lost, gone.engine), checks.NEEDED, lambda _: [], flights=Flights(), clock=SystemClock()
    )
    services = bootstrap.api(lost, built=gone)
    room = blueprint(Operations(gone.tenant, health, metrics.Backlog(gone.engine)))
    client = create_app(replace(services, blueprints=[room])).test_client()
    assert client.get("/health/live").status_code == 200
    ready = client.get("/health/ready")
    assert ready.status_code == 503
    assert ready.json["checks"]["database"]["message"] == "DATABASE_AWAY: the database is away"
    assert client.get("/health").status_code == 503
    assert "127.0.0.1" not in client.get("/health").text


def test_metrics_need_a_token_and_show_a_workspace_its_own_series_only(product: Product, client: FlaskClient) -> None:
    product.workspace("other", "main")
    client.get("/api/v1/events", headers=token(product))
    assert client.get("/metrics").status_code == 401
    assert client.get("/metrics", headers=token(product, scopes=("events:read",))).status_code == 403
    mine = client.get("/metrics", headers=token(product))
    assert mine.status_code == 200
    assert mine.content_type.startswith("text/plain; version=0.0.4")
    assert 'crossdock_deliveries_pending{workspace="default/default"} 0.0' in mine.text
    assert 'route="/api/v1/events",status="200",workspace="default/default"' in mine.text
    assert "other/main" not in mine.text
    whole = client.get("/metrics", headers={"Authorization": "Bearer the-instance-token"}).text
    assert 'crossdock_deliveries_pending{workspace="other/main"} 0.0' in whole
    assert 'crossdock_processes{role="worker"} 0.0' in whole


def test_the_backlog_is_in_the_gauges(product: Product) -> None:
    for name in ("orders", "other"):
        product.webhook(name, "http://127.0.0.1:9/")
    product.act("other", "pause")
    product.publish({"n": 1}, {"n": 2}, {"n": 3})
    with product.core.engine.engine.begin() as conn:
        conn.exec_driver_sql("UPDATE due SET due_at = now() - interval '50 seconds' WHERE due_at < 'infinity'")
        conn.exec_driver_sql(
            """INSERT INTO dead_letters (workspace_id, id, kind, ref, owner, owner_id, reason, error, attempts, correlation_id)
               VALUES (%s, gen_random_uuid(), 'delivery', gen_random_uuid(), 'webhook/orders', gen_random_uuid(), 'x', '{}', 1, 'c')""",
            (product.scope.workspace_id,),
        )
    found = {
        gauge.name: value for gauge, labels, value in metrics.Backlog(product.core.engine)() if "workspace" in labels
    }
    assert found.pop("crossdock_due_oldest_age_seconds") == pytest.approx(50, abs=5)
    assert found.pop("crossdock_webhook_backlog_age_seconds") == pytest.approx(0, abs=5)
    assert found == {
        "crossdock_webhooks_unwell": 0,
        "crossdock_sync_jobs_unwell": 0,
        "crossdock_deliveries_pending": 3,
        "crossdock_deliveries_held": 3,
        "crossdock_dead_letters_open": 1,
        "crossdock_breakers_open": 0,
        "crossdock_flow_runs_not_undone": 0,
        "crossdock_flow_undo_stalled_seconds": 0,
    }


def test_the_database_is_asked_for_gauges_once_in_five_seconds(product: Product) -> None:
    now = [100.0]
    backlog = metrics.Backlog(product.core.engine, monotonic=lambda: now[0])
    first = backlog()
    product.workspace("new", "main")
    assert backlog() is first
    now[0] += 5.0
    assert len(backlog()) > len(first)


def test_key_figures_follow_the_work(product: Product, client: FlaskClient, receiver: Receiver) -> None:
    product.webhook("orders", f"{receiver.url}/hook")
    events = product.rows("SELECT count(*) AS n FROM events")[0].n
    product.publish({"n": 1}, {"n": 2})
    with product.worker():
        until(lambda: product.states() == {"delivered": 2})
    found = client.get("/api/v1/metrics", headers=token(product)).json
    assert found["events_today"] == events + 2
    assert found["delivered_today"] == 2
    hour = found.pop("last_hour")
    assert (hour["attempts"], hour["delivered"], hour["failed"], hour["success_rate"]) == (2, 2, 0, 1.0)
    assert 0 < hour["p95_ms"] < 5000
    assert (found["pending"], found["held"], found["dead_letters_open"], found["oldest_due_seconds"]) == (0, 0, 0, 0)


def test_key_figures_of_an_idle_workspace_are_zeros_and_nulls(product: Product, client: FlaskClient) -> None:
    other = product.workspace("other", "main")
    product.webhook("orders", "http://127.0.0.1:9/")
    product.publish({"n": 1})
    found = client.get("/api/v1/metrics", headers=token(product, other)).json
    assert found == {
        "events_today": 0,
        "delivered_today": 0,
        "last_hour": {"attempts": 0, "delivered": 0, "failed": 0, "success_rate": None, "p95_ms": None},
        "pending": 0,
        "held": 0,
        "oldest_due_seconds": 0.0,
        "dead_letters_open": 0,
        "business": {
            "orders_processed": 0,
            "average_order_value": None,
            "conversion_rate": None,
            "fulfilment_seconds": None,
        },
    }


def test_outcomes_of_deliveries_are_counted_with_their_workspace(product: Product, receiver: Receiver) -> None:
    product.webhook("orders", f"{receiver.url}/hook")
    counted: list[Any] = []
    with product.worker() as worker:
        after = worker.deliveries.after

        def both(outcomes: Any, jobs: Any) -> None:
            after(outcomes, jobs)
            metrics.count_outcomes(outcomes, jobs)
            counted.extend(outcomes)

        worker.deliveries.after = both
        product.publish({"n": 1})
        until(lambda: counted)
    text = metrics.render(list).decode()
    assert 'crossdock_delivery_attempts_total{outcome="success",workspace="default/default"}' in text
    assert 'crossdock_deliveries_ended_total{state="delivered",workspace="default/default"}' in text
    assert 'crossdock_delivery_attempt_seconds_bucket{le="' in text
