"""Events are found by an index whatever is asked, however many there are and however they lie in partitions."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from server.events.envelope import NewEvent
from server.store import Tx

if TYPE_CHECKING:
    from tests.support.product import Product

MANY = 60_000
_FILL = """
INSERT INTO events (uid, workspace_id, id, source, type, subject, time, recorded_at, data, correlation_id, causation_id, principal)
SELECT (substr(crossdock_first_uuid(now() - n * interval '10 seconds')::text, 1, 14) || '7' || substr(md5(n::text), 1, 3) || '-8'
        || substr(md5(n::text), 4, 3) || '-' || substr(md5(n::text), 8, 12))::uuid,
       :workspace, 'e' || n, 'source-' || n % 50, 'noun' || n % 40 || '.created', 'S-' || n % 1000, now(), now(), '{}',
       'cor-' || n / 3, CASE WHEN n % 3 > 0 THEN 'e' || n - 1 END, 'test'
FROM generate_series(1, :many) AS n
"""


def found(product: Product, **query: Any) -> list[str]:
    answer = product.client().get("/api/v1/events", query_string=query)
    assert answer.status_code == 200, answer.json
    return [each["id"] for each in answer.json["items"]]


def publish(product: Product, id_: str, type_: str, **more: Any) -> None:
    with product.tx(more.pop("scope", None)) as tx:
        product.core.publisher.publish(tx, [NewEvent(type=type_, data="{}", id=id_, **more)])


@pytest.fixture
def filled(product: Product) -> Product:
    """A workspace with a week of events in the past, where no partition of their own awaits them, and some of today."""
    with product.core.engine.engine.begin() as conn:
        conn.execute(text("SET ROLE NONE; SET LOCAL statement_timeout = 0"))
        conn.execute(text(_FILL), {"workspace": product.scope.workspace_id, "many": MANY})
        conn.execute(text("ANALYZE events"))
        conn.execute(text("SET ROLE crossdock_engine"))
    return product


def test_every_filter_and_both_wildcards(product: Product) -> None:
    publish(product, "a", "order.created", subject="SO-1", source="shop", correlation_id="c1")
    publish(product, "b", "order.line.added", subject="SO-1", correlation_id="c1")
    publish(product, "c", "invoice.paid", subject="SO-2")
    publish(product, "d", "crossdock.webhook.paused")
    publish(product, "e", "order.created", scope=product.workspace("acme", "other"))
    assert found(product) == ["d", "c", "b", "a"]
    table: list[tuple[dict[str, str], list[str]]] = [
        ({"type": "order.created"}, ["a"]),
        ({"type": "order.*"}, ["a"]),
        ({"type": "order.**"}, ["b", "a"]),
        ({"type": "**"}, ["c", "b", "a"]),
        ({"type": "crossdock.**"}, ["d"]),
        ({"type": "none.*"}, []),
        ({"subject": "SO-1"}, ["b", "a"]),
        ({"subject": "SO-1", "type": "*.created"}, ["a"]),
        ({"source": "shop"}, ["a"]),
        ({"correlation_id": "c1"}, ["b", "a"]),
        ({"since": "2100-01-01T00:00:00Z"}, []),
        ({"since": "0001-01-01T00:00:00Z", "source": "shop"}, ["a"]),
        ({"until": "0001-01-01T00:00:00Z"}, []),
        ({"until": "2100-01-01T00:00:00Z", "type": "*.paid"}, ["c"]),
    ]
    for query, expected in table:
        assert found(product, **query) == expected, query
    assert product.client().get("/api/v1/events?type=order..x").json["code"] == "PATTERN_INVALID"


def test_pages_of_a_pattern_are_whole(product: Product) -> None:
    for number in range(9):
        publish(product, f"e{number}", f"order.{'created' if number % 2 else 'changed'}")
    seen, cursor = [], {}
    while True:
        answer = product.client().get("/api/v1/events", query_string={"type": "order.*", "limit": 2, **cursor}).json
        seen += [each["id"] for each in answer["items"]]
        if answer["next"] is None:
            break
        cursor = {"cursor": answer["next"]}
    assert seen == [f"e{number}" for number in reversed(range(9))]


def looked_at(plan: dict[str, Any]) -> int:
    """Return how many rows a plan has read, filtered ones too; fail where it reads a table from end to end."""
    if plan["Node Type"] == "Seq Scan":
        assert plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0) <= 500, plan  # a week with next to nothing
    mine = plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0) if "Scan" in plan["Node Type"] else 0
    return int(mine * plan["Actual Loops"]) + sum(looked_at(each) for each in plan.get("Plans", []))


@pytest.mark.timeout(120)
def test_no_question_reads_more_than_its_answer(filled: Product, monkeypatch: pytest.MonkeyPatch) -> None:
    questions: list[dict[str, Any]] = [
        {},
        {"type": "noun7.created"},
        {"type": "*.created"},
        {"type": "noun7.*"},
        {"type": "none.created"},
        {"subject": "S-7"},
        {"subject": "none"},
        {"source": "source-7"},
        {"source": "none"},
        {"correlation_id": "cor-77"},
        {"correlation_id": "none"},
        {"until": "2026-01-01T00:00:00Z"},
        {"since": "2020-01-01T00:00:00Z", "source": "source-7"},
    ]
    plans: list[dict[str, Any]] = []
    real = Tx.all

    def explained(tx: Any, sql: str, **values: Any) -> Any:
        if "FROM events" in sql:
            row = real(tx, f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", **values)[0]
            plan = row[0] if isinstance(row[0], list) else json.loads(row[0])
            plans.append(plan[0]["Plan"])
        return real(tx, sql, **values)

    monkeypatch.setattr(Tx, "all", explained)
    for query in questions:
        plans.clear()
        found(filled, limit=20, **query)
        assert plans, query
        # 21 rows of each index of each of 11 partitions, of 40 types at most; of the 60,000 never many
        assert sum(map(looked_at, plans)) < 4000, (query, [looked_at(each) for each in plans])
