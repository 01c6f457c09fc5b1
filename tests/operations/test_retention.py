"""What retention takes away, and above all what it leaves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from server.kernel.errors import Failure
from server.kernel.ids import new_uuid
from server.operations import retention
from server.queue import claims, dead_letters
from server.queue.dead_letters import DeadLetter
from server.store import processes
from server.store.processes import Process
from server.webhooks.owing import message_id
from tests.support.product import Product, until
from tests.support.receiver import Answer

if TYPE_CHECKING:
    from uuid import UUID

    from tests.support.receiver import Receiver

NOW = datetime.now(UTC)
LONG_AGO = NOW - timedelta(days=200)


def monday(moment: datetime) -> datetime:
    day = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    return day - timedelta(days=day.weekday())


def own_week(product: Product, moment: datetime) -> str:
    """Make the partitions of the week of a moment that has passed: as they were made when it was ahead."""
    week = monday(moment)
    name = week.strftime("%Y%m%d")
    with product.core.engine.engine.begin() as conn:
        conn.exec_driver_sql("RESET ROLE")
        for table in ("events", "deliveries", "attempts"):
            bounds = f"crossdock_first_uuid('{week}')", f"crossdock_first_uuid('{week + timedelta(days=7)}')"
            conn.exec_driver_sql(
                f"CREATE TABLE IF NOT EXISTS {table}_{name} PARTITION OF {table} FOR VALUES FROM ({bounds[0]}) TO ({bounds[1]})"
            )
        conn.exec_driver_sql("SET ROLE crossdock_engine")
    return name


def partitions(product: Product) -> set[str]:
    return {
        row.name
        for table in ("events", "deliveries", "attempts")
        for row in product.rows(f"SELECT name FROM crossdock_partitions('{table}')")
    }


def old_delivery(product: Product, webhook_id: UUID, at: datetime, state: str, **more: object) -> UUID:
    """Store an event, its key, a delivery and an attempt as of a moment that has passed."""
    own_week(product, at)
    milliseconds = int(at.timestamp() * 1000)
    event, delivery, attempt = (new_uuid(milliseconds + n) for n in range(3))
    values = {"event": event, "delivery": delivery, "attempt": attempt, "webhook": webhook_id, "at": at, "state": state}
    values |= {"workspace": product.scope.workspace_id, "message": message_id(event, webhook_id), "id": f"e-{event}"}
    values |= {"expires": more.get("expires", at + timedelta(days=5))}
    statements = (
        """INSERT INTO event_keys (workspace_id, source, id, content_hash, uid) VALUES (:workspace, 'api', :id, '', :event)""",
        """INSERT INTO events (uid, workspace_id, id, source, type, time, recorded_at, data, correlation_id, principal)
           VALUES (:event, :workspace, :id, 'api', 'order.created', :at, :at, '{}', 'cor_old', 'test')""",
        """INSERT INTO deliveries (id, workspace_id, webhook_id, event_uid, message_id, state, created_at, expires_at)
           VALUES (:delivery, :workspace, :webhook, :event, :message, :state, :at, :expires)""",
        """INSERT INTO attempts (id, workspace_id, delivery_id, no, started_at, outcome, worker)
           VALUES (:attempt, :workspace, :delivery, 1, :at, 'success', 'test')""",
    )
    with product.core.engine.engine.begin() as conn:
        for statement in statements:
            conn.execute(text(statement), values)
        if state in ("pending", "held"):
            at_ = "infinity" if state == "held" else None
            claims.add(conn, "delivery", [claims.Due(delivery, product.scope.workspace_id, webhook_id, at_)])
    return delivery


def letter_for(product: Product, delivery: UUID, webhook_id: UUID) -> None:
    letter = DeadLetter(
        workspace_id=product.scope.workspace_id,
        kind="delivery",
        ref=delivery,
        owner="webhook/orders",
        owner_id=webhook_id,
        reason="exhausted",
        error=Failure("X", "x"),
        correlation_id="cor_old",
    )
    with product.core.engine.connect() as conn:
        dead_letters.add(conn, [letter])


def test_partitions_are_made_two_months_ahead_and_once(product: Product) -> None:
    with product.core.engine.engine.begin() as conn:
        conn.exec_driver_sql("RESET ROLE")
        names = [each for each in partitions(product) if each > f"events_{(NOW + timedelta(days=20)):%Y%m%d}"]
        for name in names:
            conn.exec_driver_sql(f"DROP TABLE {name}")
        conn.exec_driver_sql("SET ROLE crossdock_engine")
    assert retention.make_partitions(product.core.engine) == len(names) > 0
    assert retention.make_partitions(product.core.engine) == 0
    product.publish({"n": 1})
    ahead = product.rows("SELECT max(ends) AS ends FROM crossdock_partitions('attempts')")[0].ends
    assert ahead >= NOW + timedelta(days=8 * 7 - 1)


def test_a_week_whose_rows_came_without_a_partition_does_not_stop_the_next_ones(product: Product) -> None:
    this_week = f"events_{monday(NOW):%Y%m%d}"
    next_week = f"events_{monday(NOW) + timedelta(days=7):%Y%m%d}"
    with product.core.engine.engine.begin() as conn:
        conn.exec_driver_sql(f"RESET ROLE; DROP TABLE {this_week}; DROP TABLE {next_week}; SET ROLE crossdock_engine")
    product.publish({"n": 1})
    assert retention.make_partitions(product.core.engine) == 1
    assert next_week in partitions(product)
    assert this_week not in partitions(product)
    assert product.rows("SELECT count(*) AS n FROM events_rest")[0].n == 1


def test_a_new_partition_takes_rows_under_the_fence_of_its_table(product: Product) -> None:
    with product.core.engine.engine.begin() as conn:
        conn.exec_driver_sql(f"RESET ROLE; DROP TABLE events_{monday(NOW):%Y%m%d}; SET ROLE crossdock_engine")
    retention.make_partitions(product.core.engine)
    product.publish({"n": 1})
    other = product.workspace("other", "main")
    with product.tx(other) as tx:
        assert tx.all("SELECT uid FROM events") == []
    with product.tx() as tx, pytest.raises(DBAPIError, match="permission denied"):
        tx.all(f"SELECT uid FROM events_{monday(NOW):%Y%m%d}")


def test_what_is_old_and_finished_goes_with_its_keys_and_what_is_young_stays(product: Product) -> None:
    webhook = product.webhook("orders", "http://127.0.0.1:9/")
    old_delivery(product, webhook.id, LONG_AGO, "delivered")
    old_delivery(product, webhook.id, NOW - timedelta(days=30), "delivered")
    product.publish({"n": 1})
    week = f"{monday(LONG_AGO):%Y%m%d}"
    assert retention.drop_partitions(product.core.engine, 90) == 3
    assert not {f"events_{week}", f"deliveries_{week}", f"attempts_{week}"} & partitions(product)
    assert retention.forget_event_keys(product.core.engine, 90) == 1
    assert product.rows("SELECT count(*) AS n FROM deliveries")[0].n == 2
    assert (
        product.rows("SELECT count(*) AS n FROM event_keys k WHERE NOT EXISTS (SELECT FROM events WHERE uid = k.uid)")[
            0
        ].n
        == 0
    )
    assert retention.drop_partitions(product.core.engine, 90) == 0


@pytest.mark.parametrize("state", ["pending", "held", "dead"])
def test_a_week_with_an_unfinished_delivery_or_an_open_dead_letter_stays_whole(product: Product, state: str) -> None:
    webhook = product.webhook("orders", "http://127.0.0.1:9/")
    kept = old_delivery(product, webhook.id, LONG_AGO, state)
    if state == "dead":
        letter_for(product, kept, webhook.id)
    old_delivery(product, webhook.id, LONG_AGO + timedelta(days=14), "delivered")
    assert retention.drop_partitions(product.core.engine, 90) == 3, "the other week goes"
    assert retention.forget_event_keys(product.core.engine, 90) == 1
    week = f"{monday(LONG_AGO):%Y%m%d}"
    assert {f"events_{week}", f"deliveries_{week}", f"attempts_{week}"} <= partitions(product)
    row = product.rows(
        "SELECT e.id, a.no FROM deliveries d JOIN events e ON e.uid = d.event_uid JOIN attempts a ON a.delivery_id = d.id"
    )
    assert [each.no for each in row] == [1]
    assert product.client().get(f"/api/v1/events/{row[0].id}").status_code == 200, "its key is still there"


def test_a_dead_letter_that_was_discarded_lets_its_week_go(product: Product) -> None:
    webhook = product.webhook("orders", "http://127.0.0.1:9/")
    delivery = old_delivery(product, webhook.id, LONG_AGO, "dead")
    letter_for(product, delivery, webhook.id)
    assert retention.drop_partitions(product.core.engine, 90) == 0
    letters = product.client().get("/api/v1/dead-letters").json["items"]
    assert product.client().post(f"/api/v1/dead-letters/{letters[0]['id']}/discard").status_code == 200
    assert retention.drop_partitions(product.core.engine, 90) == 3


def test_a_partition_that_somebody_reads_is_left_for_the_next_run(product: Product) -> None:
    webhook = product.webhook("orders", "http://127.0.0.1:9/")
    old_delivery(product, webhook.id, LONG_AGO, "delivered")
    with product.core.engine.connect() as reader:
        for table in ("events", "deliveries", "attempts"):
            reader.exec_driver_sql(f"SELECT count(*) FROM {table}")
        assert retention.drop_partitions(product.core.engine, 90) == 0
    assert retention.drop_partitions(product.core.engine, 90) == 3


@pytest.mark.parametrize(
    ("table", "days"), [("events", 0), ("events", -5), ("secrets", 90), ("events; DROP TABLE x", 90)]
)
def test_the_function_drops_nothing_young_and_nothing_else(product: Product, table: str, days: int) -> None:
    with pytest.raises(DBAPIError, match="may be dropped"), product.core.engine.connect() as conn:
        conn.exec_driver_sql("SELECT crossdock_drop_expired(%s, %s)", (table, days))


def test_only_the_engine_may_drop_partitions(product: Product) -> None:
    with product.tx() as tx, pytest.raises(DBAPIError, match="permission denied"):
        tx.one("SELECT crossdock_drop_expired('events', 90)")


def test_a_held_delivery_whose_time_is_over_becomes_a_dead_letter(product: Product) -> None:
    webhook = product.webhook("orders", "http://127.0.0.1:9/")
    product.act("orders", "pause")
    product.publish({"n": 1}, {"n": 2})
    assert retention.expire_held(product.core.engine) == 0
    with product.core.engine.engine.begin() as conn:
        conn.exec_driver_sql("UPDATE deliveries SET expires_at = now() - interval '1 second'")
    assert retention.expire_held(product.core.engine) == 2
    assert product.states() == {"dead": 2}
    letters = product.client().get("/api/v1/dead-letters").json["items"]
    assert [(each["reason"], each["owner"], each["error"]["code"]) for each in letters] == [
        ("expired", "webhook/orders", "DELIVERY_EXPIRED")
    ] * 2
    assert letters[0]["correlation_id"].startswith("cor_")
    assert product.rows("SELECT count(*) AS n FROM due WHERE kind = 'delivery'")[0].n == 0
    assert retention.expire_held(product.core.engine) == 0
    assert webhook.state == "active"


def test_what_expires_while_it_is_held_says_what_held_it(product: Product, receiver: Receiver) -> None:
    receiver.answer = Answer(400)
    product.webhook("orders", receiver.url, order_by="data.key", on_stuck="park")
    product.settle()
    product.publish(*[{"key": "a"}] * 2)
    with product.worker():
        until(lambda: product.states() == {"dead": 1, "held": 1})
    product.webhook("paused", receiver.url)
    for name in ("orders", "paused"):
        product.act(name, "pause")
    product.publish({"key": "b"})
    with product.core.engine.engine.begin() as conn:
        conn.exec_driver_sql("UPDATE deliveries SET expires_at = now() - interval '1 second' WHERE state = 'held'")
    assert retention.expire_held(product.core.engine) == 3
    told = product.rows(
        """SELECT l.owner, l.error ->> 'message' AS letter, d.error ->> 'message' AS delivery
           FROM dead_letters l JOIN deliveries d ON d.id = l.ref WHERE l.reason = 'expired'"""
    )
    start = "the delivery's time was over while"
    parked = f"{start} it was parked behind a dead letter of its order"
    paused = f"{start} its webhook or integration was paused or disabled"
    assert sorted(told) == [
        ("webhook/orders", parked, parked),
        ("webhook/orders", paused, paused),
        ("webhook/paused", paused, paused),
    ]


def test_held_deliveries_of_a_webhook_at_work_are_released(product: Product) -> None:
    hinted = []
    for name in ("orders", "paused"):
        product.webhook(name, "http://127.0.0.1:9/")
        product.act(name, "pause")
    product.publish({"n": 1}, {"n": 2})
    with product.core.engine.engine.begin() as conn:  # the race: active again, and nobody released
        conn.exec_driver_sql("UPDATE webhooks SET state = 'active' WHERE name = 'orders'")
    assert retention.release_stranded(product.core.engine, lambda: hinted.append(1)) == 2
    assert product.states() == {"pending": 2, "held": 2}
    assert hinted
    assert retention.release_stranded(product.core.engine, lambda: None) == 0


def test_what_a_paused_integration_holds_stays_held(product: Product) -> None:
    product.webhook("orders", "http://127.0.0.1:9/", integration="erp")
    product.publish({"n": 1})
    with product.core.engine.engine.begin() as conn:
        conn.exec_driver_sql("UPDATE deliveries SET state = 'held'; UPDATE due SET due_at = 'infinity'")
        conn.exec_driver_sql(
            """INSERT INTO integrations (organization_id, workspace_id, id, name, state, version, definition_version, body,
                 created_at, created_by, updated_at, updated_by)
               VALUES (%s, %s, gen_random_uuid(), 'erp', 'paused', 1, 1, '{}', now(), '', now(), '')""",
            (product.scope.organization_id, product.scope.workspace_id),
        )
    assert retention.release_stranded(product.core.engine, lambda: None) == 0
    with product.core.engine.engine.begin() as conn:
        conn.exec_driver_sql("UPDATE integrations SET state = 'active'")
    assert retention.release_stranded(product.core.engine, lambda: None) == 1


def test_what_was_held_for_a_removed_webhook_ends_as_dead_letters(product: Product) -> None:
    product.webhook("orders", "http://127.0.0.1:9/")
    product.act("orders", "pause")
    product.publish({"n": 1})
    product.act("orders", "archive")
    assert retention.release_stranded(product.core.engine, lambda: None) == 1
    with product.worker():
        from tests.support.product import until

        until(lambda: product.states() == {"dead": 1})
    assert product.client().get("/api/v1/dead-letters").json["items"][0]["reason"] == "removed"


def test_old_keys_letters_and_processes_are_forgotten_in_steps(
    product: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)
    webhook = product.webhook("orders", "http://127.0.0.1:9/")
    for _ in range(5):
        letter_for(product, new_uuid(), webhook.id)
    product.client().post("/api/v1/events", json={"type": "a.b", "data": 1}, headers={"Idempotency-Key": "k"})
    old, young = Process("worker"), Process("worker")
    with product.core.engine.connect() as conn:
        for each in (old, young):
            processes.seen(conn, each)
        conn.exec_driver_sql("UPDATE processes SET seen_at = now() - interval '2 days' WHERE id = %s", (old.id,))
        conn.exec_driver_sql(
            "UPDATE dead_letters SET resolved_at = now() - interval '91 days', resolution = 'discarded'"
        )
        conn.exec_driver_sql("UPDATE idempotency_keys SET created_at = now() - interval '25 hours'")
    letter_for(product, new_uuid(), webhook.id)
    assert retention.forget_dead_letters(product.core.engine, 90) == 5
    assert retention.forget_idempotency_keys(product.core.engine) == 1
    assert retention.forget_processes(product.core.engine) == 1
    assert product.rows("SELECT count(*) AS n FROM dead_letters")[0].n == 1


def test_every_chore_runs_on_an_empty_database(product: Product) -> None:
    chores = retention.chores(product.core.engine, product.settings, product.core.hint)
    assert len({each.name for each in chores}) == len(chores)
    assert [each.run() for each in chores] == [0] * len(chores)
