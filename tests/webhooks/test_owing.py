"""Who is owed a delivery: by pattern, in the event's own transaction, in chunks when there are many."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from server.queue import claims
from tests.support.product import Product, until

if TYPE_CHECKING:
    from tests.support.receiver import Receiver


def test_patterns_choose_webhooks(product: Product, receiver: Receiver) -> None:
    product.webhook("one", receiver.url + "/one", events=["order.*"])
    product.webhook("two", receiver.url + "/two", events=["**"])
    product.webhook("three", receiver.url + "/three", events=["invoice.paid"])
    product.publish({"n": 1})
    with product.worker():
        until(lambda: product.states() == {"delivered": 2})
    assert sorted(hit.path for hit in receiver.hits) == ["/one", "/two"]


def test_one_delivery_however_many_patterns_match(product: Product, receiver: Receiver) -> None:
    product.webhook("hook", receiver.url, events=["order.*", "**", "order.created"])
    product.publish({})
    assert product.states() == {"pending": 1}


def test_our_own_events_are_owed_by_name_only(product: Product, receiver: Receiver) -> None:
    product.webhook("all", receiver.url, events=["**"])
    product.webhook("ours", receiver.url + "/ours", events=["crossdock.webhook.paused"])
    product.act("all", "pause")
    assert [
        row.name for row in product.rows("SELECT w.name FROM deliveries d JOIN webhooks w ON w.id = d.webhook_id")
    ] == ["ours"]


def test_a_draft_is_owed_nothing_and_a_paused_one_is_held(product: Product, receiver: Receiver) -> None:
    product.webhook("draft", receiver.url)
    product.act("draft", "deactivate")
    product.webhook("paused", receiver.url)
    product.act("paused", "pause")
    product.publish({})
    assert product.states() == {"held": 1}


def test_many_subscribers_are_owed_by_one_row_and_each_gets_its_delivery_once(
    product: Product, receiver: Receiver
) -> None:
    with product.tx() as tx:
        tx.run("UPDATE workspaces SET routes_version = routes_version + 1 WHERE id = :workspace_id")
        tx.many(
            """INSERT INTO webhooks (organization_id, workspace_id, id, name, state, version, definition_version, body,
                                     created_at, created_by, updated_at, updated_by)
               VALUES (:organization_id, :workspace_id, gen_random_uuid(), :name, 'active', 1, 1,
                       jsonb_build_object('name', CAST(:name AS text), 'direction', 'outbound', 'url', CAST(:url AS text),
                                          'events', jsonb_build_array('order.created')), now(), 't', now(), 't')""",
            [{"name": f"many-{n}", "url": receiver.url} for n in range(1500)],
        )
    product.webhook("ordered", receiver.url, order_by="data.key")
    product.publish({"key": "a"})
    assert product.states() == {"pending": 1}, "the ordered one is written at once"
    assert len(product.rows("SELECT 1 FROM due WHERE kind = 'fanout'")) == 1
    assert [product.fan_out(600) for _ in range(4)] == [600, 600, 300, 0], "in pieces, as there is room"
    assert product.states() == {"pending": 1501}
    assert product.rows("SELECT 1 FROM fanouts") == []
    assert product.rows("SELECT webhook_id FROM deliveries GROUP BY 1 HAVING count(*) > 1") == []


def test_what_a_fan_out_writes_is_what_a_webhook_alone_is_owed(product: Product, receiver: Receiver) -> None:
    """The database writes fan-outs, the publisher the others: both by the same rules."""
    said = {"expires": "1h30m", "max_in_flight": 3, "priority": "low"}
    for name, more in (("plain", {}), ("said", said), ("still", {}), ("late", {"expires": "2h"})):
        product.webhook(name, receiver.url, **more)
    product.act("still", "pause")
    wanted = """SELECT w.name, d.message_id, d.state, d.expires_at - d.created_at AS expires, d.attempts, due.lane_limit, due.priority,
                       due.due_at = 'infinity' AS held, due.lane = w.id AS lane, due.workspace_id
                FROM deliveries d JOIN webhooks w ON w.id = d.webhook_id LEFT JOIN due ON due.ref = d.id ORDER BY w.name"""
    product.publish({})
    alone = product.rows(wanted)
    with product.tx() as tx:
        event = tx.one("SELECT uid FROM events WHERE type = 'order.created'").uid
        tx.run("DELETE FROM deliveries")
        tx.run("DELETE FROM due")
        tx.run(
            """INSERT INTO fanouts (id, workspace_id, event_uid, webhook_ids)
               SELECT :event, :workspace_id, :event, array_agg(id) FROM webhooks""",
            event=event,
        )
        claims.add(tx.conn, "fanout", [claims.Due(event, tx.scope.workspace_id, event)])
    product.settle()
    assert product.rows(wanted) == alone
    assert len(alone) == 4
    ids = [row.id for row in product.rows("SELECT id FROM deliveries")]
    assert {each.version for each in ids} == {7}
    assert all(abs((each.int >> 80) - time.time_ns() // 1_000_000) < 60_000 for each in ids)


def test_events_and_deliveries_are_stored_together_or_not_at_all(product: Product, receiver: Receiver) -> None:
    product.webhook("hook", receiver.url)

    class Broken(RuntimeError):
        pass

    def breaks(*_: object) -> None:
        raise Broken

    product.core.publisher.owes.append(breaks)
    assert product.client().post("/api/v1/events", json={"type": "order.created", "data": {}}).status_code == 500
    product.core.publisher.owes.remove(breaks)
    assert product.states() == {}
    assert product.rows("SELECT 1 FROM events WHERE source = 'api'") == []
    assert product.rows("SELECT 1 FROM due WHERE kind = 'delivery'") == []


def test_a_batch_with_one_bad_item_stores_nothing(product: Product, receiver: Receiver) -> None:
    product.webhook("hook", receiver.url)
    answer = product.client().post(
        "/api/v1/events", json=[{"type": "order.created", "data": {}}, {"type": "order created", "data": {}}]
    )
    assert answer.status_code == 422
    assert answer.json["errors"][0]["pointer"] == "/1/type"
    assert product.states() == {}
