"""Deliveries are found by an index whatever is asked, however many there are."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from server.kernel.ids import new_uuid
from server.store import Tx
from server.webhooks import reading
from tests.events.test_searching import looked_at

if TYPE_CHECKING:
    from tests.support.product import Product

MANY = 40_000
# The oldest five are dead, of a replay, and of an event that is still here; all others are of events long gone.
_FILL = """
INSERT INTO deliveries (id, workspace_id, webhook_id, event_uid, message_id, state, created_at, expires_at, replay_id)
SELECT (substr(crossdock_first_uuid(now() - n * interval '2 seconds')::text, 1, 14) || '7' || substr(md5(n::text), 1, 3)
        || '-8' || substr(md5(n::text), 4, 3) || '-' || substr(md5(n::text), 8, 12))::uuid,
       workspace_id, webhook_id, CASE WHEN n > :many - 5 THEN event_uid ELSE gen_random_uuid() END, message_id,
       CASE WHEN n > :many - 5 THEN 'dead' ELSE 'delivered' END, now(), now(),
       CASE WHEN n > :many - 5 THEN CAST(:replay AS uuid) END
FROM deliveries CROSS JOIN generate_series(1, :many) AS n
"""
_FAILED = """
INSERT INTO attempts (id, workspace_id, delivery_id, no, started_at, outcome, worker)
SELECT (substr(crossdock_first_uuid(now())::text, 1, 14) || substr(id::text, 15))::uuid, workspace_id, id, 1, now(), 'failure', 'w'
FROM deliveries WHERE state = 'dead'
"""


@pytest.mark.timeout(120)
def test_no_filter_reads_more_than_its_answer(product: Product, monkeypatch: pytest.MonkeyPatch) -> None:
    product.webhook("orders", "http://127.0.0.1:9/")
    [event] = product.publish({"n": 1})
    replay = new_uuid()
    with product.core.engine.engine.begin() as conn:
        conn.execute(text("SET ROLE NONE; SET LOCAL statement_timeout = 0"))
        conn.execute(text(_FILL), {"many": MANY, "replay": replay})
        conn.execute(text(_FAILED))
        conn.execute(text("ANALYZE deliveries, attempts, events, event_keys"))
        conn.execute(text("SET ROLE crossdock_engine"))
    plans: list[dict[str, Any]] = []
    real = Tx.all

    def explained(tx: Any, sql: str, **values: Any) -> Any:
        if "FROM deliveries" in sql:
            row = real(tx, f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", **values)[0]
            plan = row[0] if isinstance(row[0], list) else json.loads(row[0])
            plans.append(plan[0]["Plan"])
        return real(tx, sql, **values)

    monkeypatch.setattr(Tx, "all", explained)
    questions: list[tuple[dict[str, Any], int]] = [
        ({"replay": replay}, 5),
        ({"state": "dead"}, 5),
        ({"event": event}, 6),
        ({"failed": True}, 5),
    ]
    for query, count in questions:
        plans.clear()
        with product.tx() as tx:
            assert len(reading.deliveries(tx, before=None, limit=51, **query)) == count, query
        assert sum(map(looked_at, plans)) < 1000, (query, [looked_at(each) for each in plans])
