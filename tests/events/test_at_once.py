"""What is plain is one statement and no less: the same rows as in a transaction, nothing where the definitions have changed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event as sqlalchemy_event

from server.events.at_once import AtOnce, Request
from server.events.envelope import NewEvent
from server.events.loops import MOST_PASSES, Trail
from server.events.routes import touch_routes
from server.flows.aggregate import Flow
from server.flows.repository import FLOWS
from server.kernel.errors import Unavailable
from server.kernel.ids import new_uuid
from server.queue.hints import Hints
from server.store import Cause, straight
from server.syncs.aggregate import SyncJob
from server.syncs.repository import SYNC_JOBS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server.events.envelope import Published
    from server.store import Scope
    from tests.support.product import Product

ANNA = Cause("user:anna", "cor_1", "evt_0")
URL = "http://127.0.0.1:9/hook"
ROWS = """
SELECT e.workspace_id, e.type, e.source, e.subject, e.data, e.correlation_id, e.causation_id, e.principal, e.schema_version, e.extensions,
       k.content_hash, d.webhook_id, d.state, d.order_key, d.order_no, d.expires_at - d.created_at AS expires, u.lane, u.lane_limit,
       u.priority, u.due_at = 'infinity' AS held, u.workspace_id AS of
FROM events e JOIN event_keys k USING (uid) LEFT JOIN deliveries d ON d.event_uid = e.uid LEFT JOIN due u ON u.ref = d.id
WHERE e.type NOT LIKE 'crossdock.%' ORDER BY e.uid, d.webhook_id
"""


def new(type_: str = "order.created", **more: Any) -> NewEvent:
    return NewEvent(type=type_, **{"data": '{"n": 1}', **more})


def ordinary(product: Product, *news: NewEvent, scope: Scope | None = None) -> list[Published]:
    """Publish in a transaction; what the rooms know of the definitions is fresh after it."""
    with product.core.tenant.begin(scope or product.scope, ANNA) as tx:
        return product.core.publisher.publish(tx, news)


def at_once(product: Product, *requests: list[NewEvent], scope: Scope | None = None) -> list[list[Published] | None]:
    found = [Request(ANNA, news) for news in requests]
    return product.core.at_once.publish(product.core.tenant, scope or product.scope, found)


def superuser(product: Product, statement: str) -> None:
    with psycopg.connect(product.settings.database_url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(statement.encode())


def stored(product: Product) -> int:
    return int(product.rows("SELECT count(*) FROM events WHERE type NOT LIKE 'crossdock.%'")[0][0])


@pytest.fixture
def known(product: Product) -> Product:
    """A product that has a webhook, and has published before."""
    product.webhook("hook", URL, events=["order.*"])
    ordinary(product, new("warm.up"))
    return product


def test_it_is_one_statement_with_what_it_owes(known: Product, monkeypatch: pytest.MonkeyPatch) -> None:
    rung: list[int] = []
    monkeypatch.setattr(known.core.owing, "hint", lambda: rung.append(1))
    said = []
    run = straight.rows
    monkeypatch.setattr(straight, "rows", lambda *given: said.append(given[1]) or run(*given))
    begun: list[Any] = []
    sqlalchemy_event.listen(known.core.tenant.engine, "begin", begun.append)
    [[published]] = at_once(known, [new(subject="SO-1")])
    assert (len(said), begun, rung) == (1, [], [1])
    [row] = known.rows("SELECT d.state, e.id, e.subject FROM deliveries d JOIN events e ON e.uid = d.event_uid")
    assert tuple(row) == ("pending", published.id, "SO-1")
    assert len(known.rows("SELECT 1 FROM due WHERE kind = 'delivery' AND due_at <= now()")) == 1


def test_what_nobody_takes_is_stored_and_rings_for_nobody(known: Product, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known.core.owing, "hint", lambda: pytest.fail("there is nothing to do"))
    [[published]] = at_once(known, [new("nobody.cares")])
    assert not published.duplicate
    assert known.rows("SELECT 1 FROM deliveries") == []


events_of_somebody = st.lists(
    st.builds(
        NewEvent,
        type=st.sampled_from(["order.created", "order.paid", "stock.low", "other"]),
        data=st.sampled_from(['{"a": 1}', "null", '"ü"', "[1, 2.50]", '{"deep": {"x": [true]}}']),
        subject=st.none() | st.builds(lambda: str(new_uuid())),
        source=st.sampled_from(["api", "shop"]),
        correlation_id=st.none() | st.just("cor_other"),
        causation_id=st.none() | st.just("evt_other"),
        extensions=st.none() | st.just({"userid": "u1"}),
    ),
    min_size=1,
    max_size=5,
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events_of_somebody)
def test_both_ways_write_the_same_rows(many: Product, news: list[NewEvent]) -> None:
    tables = "events, event_keys, deliveries, due"
    superuser(many, f"TRUNCATE {tables}")
    ordinary(many, *news)
    expected = [tuple(row) for row in many.rows(ROWS)]
    superuser(many, f"TRUNCATE {tables}")
    [published] = at_once(many, news)
    assert published is not None
    for written, wanted in zip(many.rows(ROWS), expected, strict=True):
        assert tuple(written) == wanted


@pytest.fixture
def many(product: Product) -> Iterator[Product]:
    """A product with webhooks of several kinds, none of which keeps an order."""
    product.webhook("orders", URL, events=["order.*"], priority="high", max_in_flight=3)
    product.webhook("paid", URL, events=["order.paid"], expires="2h")
    product.webhook("resting", URL, events=["*"])
    product.act("resting", "pause")
    ordinary(product, new("warm.up"))
    return product


def test_nothing_is_stored_where_the_definitions_have_changed_since(known: Product) -> None:
    before = stored(known)
    known.webhook("second", URL, events=["order.*"])
    assert at_once(known, [new()], [new("nobody.cares")]) == [None, None]
    assert stored(known) == before
    ordinary(known, new())
    assert len(known.rows("SELECT 1 FROM deliveries")) == 2
    assert at_once(known, [new()])[0] is not None
    assert len(known.rows("SELECT 1 FROM deliveries")) == 4


def test_a_process_that_knows_nothing_yet_leaves_it_to_the_publisher(product: Product) -> None:
    assert at_once(product, [new()]) == [None]
    assert stored(product) == 0


def test_a_known_key_stores_nothing_and_spares_the_requests_beside_it(known: Product) -> None:
    ordinary(known, new(id="e-1"))
    answers = at_once(known, [new(id="e-1")], [new(id="e-2")], [new(id="e-2")], [new()])
    assert [None if each is None else each[0].id[:4] for each in answers] == [None, "e-2", None, "evt_"]
    assert len(known.rows("SELECT 1 FROM deliveries")) == 3
    assert ordinary(known, new(id="e-2"))[0].duplicate


def test_several_events_of_one_request_under_keys_of_their_own_are_not_taken_apart(known: Product) -> None:
    before = stored(known)
    assert at_once(known, [new(id="e-1"), new(id="e-2")]) == [None]
    assert stored(known) == before
    [published] = at_once(known, [new(), new()])
    assert published is not None
    assert stored(known) == before + 2


@pytest.mark.parametrize("kind", ["order", "fan-out", "sync job", "flow", "schema", "ours", "chain"])
def test_what_is_not_plain_is_left_to_the_publisher(known: Product, kind: str) -> None:
    news = new()
    if kind == "order":
        known.webhook("ordered", URL, events=["order.created"], order_by="data.n")
    elif kind == "fan-out":
        for number in range(201):
            known.webhook(f"many-{number}", URL, events=["order.created"])
    elif kind == "sync job":
        _sync(known)
    elif kind == "flow":
        _flow(known)
    elif kind == "schema":
        _schema(known)
        news = new(data='{"n": "no number"}')
    elif kind == "ours":
        news = new("crossdock.webhook.disabled", source="crossdock")
    else:
        news = new(extensions=Trail(("webhook/hook",) * MOST_PASSES).extensions())
    ordinary(known, new("warm.up"))
    before = stored(known)
    assert at_once(known, [new()] if kind in ("order", "fan-out", "sync job", "flow") else [news]) == [None]
    assert stored(known) == before


def _sync(product: Product) -> None:
    job = SyncJob(new_uuid())
    source = {"call": "db.query.read", "primary_key": ["id"]}
    target = {"call": "erp.customers.upsert", "match_on": ["id"]}
    job.create("job", {"name": "job", "source": source, "target": target, "events": ["order.*"]}, 1, {})
    job.activate()
    with product.tx() as tx:
        touch_routes(tx)
        SYNC_JOBS.add(tx, job)


def _flow(product: Product) -> None:
    flow = Flow(new_uuid())
    flow.create(
        "flow", {"name": "flow", "events": ["else.where"], "steps": [{"id": "a", "emit": {"type": "x.y"}}]}, 1, {}
    )
    flow.activate()
    with product.tx() as tx:
        touch_routes(tx)
        FLOWS.add(tx, flow)


def _schema(product: Product) -> None:
    body = {
        "apiVersion": "crossdock/v1",
        "kind": "EventType",
        "name": "order.created",
        "schema": {"type": "object", "properties": {"n": {"type": "integer"}}},
    }
    with product.tx() as tx:
        touch_routes(tx)
        tx.run(
            """INSERT INTO definitions (organization_id, workspace_id, kind, name, version, origin, hash, body, updated_at, updated_by)
               VALUES (:organization_id, :workspace_id, 'EventType', 'order.created', 1, 'git', 'x', CAST(:body AS json), now(), 'x')""",
            body=json.dumps(body),
        )


def test_a_checked_schema_is_noted_with_the_event(known: Product) -> None:
    _schema(known)
    ordinary(known, new("warm.up"))
    assert at_once(known, [new()])[0] is not None
    assert known.rows("SELECT schema_version FROM events WHERE type = 'order.created'")[0][0] == 1


def test_quick_repetition_is_looked_into(known: Product) -> None:
    same = [at_once(known, [new(subject="SO-1")])[0] for _ in range(5)]
    assert [each is None for each in same] == [False, False, True, True, True]
    assert at_once(known, [new(subject="SO-2")])[0] is not None
    assert at_once(known, [new()])[0] is not None


def test_what_is_left_to_the_publisher_is_counted_by_it_alone(known: Product) -> None:
    known.webhook("ordered", URL, events=["order.created"], order_by="data.n")
    ordinary(known, new("warm.up"))
    assert [at_once(known, [new(subject="SO-1")])[0] for _ in range(3)] == [None] * 3
    assert known.core.publisher.loops.calm(known.scope.workspace_id, []) is True
    assert not [key for key in known.core.publisher.loops._now if "SO-1" in key]


def test_a_hint_that_breaks_stores_nothing_twice(known: Product, monkeypatch: pytest.MonkeyPatch) -> None:
    before = stored(known)
    broken = Hints(redis.Redis(port=1))
    monkeypatch.setattr(Hints, "_give", lambda _: 1 / 0)
    monkeypatch.setattr(known.core.owing, "hint", broken)
    assert at_once(known, [new()])[0] is not None
    assert stored(known) == before + 1


def test_a_workspace_stores_nothing_in_another(known: Product, monkeypatch: pytest.MonkeyPatch) -> None:
    other = known.workspace("acme", "shop")
    ordinary(known, new("warm.up"), scope=other)
    monkeypatch.setattr(known.core.at_once, "_keyed", _as_of(known.core.at_once, other.workspace_id))
    before = stored(known)
    with pytest.raises(Exception, match="row-level security"):
        at_once(known, [new()])
    assert stored(known) == before


def _as_of(plain: AtOnce, workspace_id: int) -> Any:
    real = plain._keyed

    def keyed(_: int, *given: Any) -> Any:
        return [(_of(event, workspace_id), hash_) for event, hash_ in real(_, *given)]

    return keyed


def _of(event: Any, workspace_id: int) -> Any:
    event.workspace_id = workspace_id
    return event


def test_a_database_that_is_away_is_said_and_nothing_is_stored(known: Product) -> None:
    before = stored(known)
    assert at_once(known, [new()])[0] is not None
    superuser(
        known,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    with pytest.raises(Unavailable):
        at_once(known, [new()])
    known.core.engine.close()
    assert at_once(known, [new()])[0] is not None
    assert stored(known) == before + 2
