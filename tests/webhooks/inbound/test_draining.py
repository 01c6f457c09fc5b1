"""Due requests are mapped in batches: held while their webhook stands still, few at a time when they may be poison."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from server.events.publishing import Publisher
from server.telemetry import metrics
from server.webhooks.inbound import loading
from server.webhooks.inbound.drain import Inbound
from tests.support.inbound import ORDER, change, declare, drained, emitted, letters, request, states, store, worker
from tests.support.product import until

if TYPE_CHECKING:
    from tests.support.product import Product


def claimed_before(product: Product, times: int) -> None:
    with product.core.engine.connect() as conn:
        conn.execute(text("UPDATE due SET claims = :times WHERE kind = 'inbound'"), {"times": times})


def test_a_worker_of_the_product_maps_what_is_due(product: Product) -> None:
    hook = declare(product)
    with product.worker():
        store(product, hook, ORDER)
        until(lambda: emitted(product))


def test_a_paused_webhook_holds_its_requests_and_resume_lets_the_oldest_go_first(product: Product) -> None:
    hook = declare(product)
    product.act("orders-in", "pause")
    store(product, hook, *({**ORDER, "id": number} for number in range(5)))
    drained(product)
    assert states(product) == {"received": 5}
    product.act("orders-in", "resume")
    product.settle()
    drained(product)
    assert [each.subject for each in emitted(product)] == ["0", "1", "2", "3", "4"]


def test_what_is_held_of_a_removed_webhook_becomes_a_dead_letter(product: Product) -> None:
    hook = declare(product)
    product.act("orders-in", "pause")
    store(product, hook, ORDER)
    drained(product)
    product.act("orders-in", "archive")
    product.settle()
    drained(product)
    [letter] = letters(product)
    assert (letter.reason, letter.error["code"]) == ("removed", "WEBHOOK_REMOVED")


def test_what_was_claimed_again_and_again_is_poison(product: Product) -> None:
    [one] = store(product, declare(product), ORDER)
    claimed_before(product, 10)
    drained(product)
    [letter] = letters(product)
    assert (letter.ref, letter.reason, letter.error["code"]) == (one, "poison", "INBOUND_POISON")
    assert emitted(product) == []


def test_of_those_that_may_be_poison_few_go_at_a_time_each_in_a_transaction_of_its_own(product: Product) -> None:
    hook = declare(product)
    store(product, hook, *({**ORDER, "id": number} for number in range(12)))
    claimed_before(product, 5)
    one = worker(product)
    one.drain()
    assert states(product) == {"emitted": 3, "received": 9}
    rows = product.rows("SELECT claims, leased FROM due WHERE kind = 'inbound'")
    assert {(row.claims, row.leased) for row in rows} == {(5, False)}, (
        "the others are given back, and it does not count"
    )
    assert len(product.rows("SELECT DISTINCT xmin FROM events WHERE type = 'order.created'")) == 3
    until(lambda: one.drain() == 0 and states(product) == {"emitted": 12})


def test_no_more_bodies_than_memory_has_room_for_are_loaded_at_once(
    product: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "_LOAD", loading._LOAD.replace(str(loading.BATCH_BYTES), "3000"))
    hook = declare(product)
    store(product, hook, *({**ORDER, "pad": "x" * 1000} for _ in range(10)))
    with product.core.engine.connect() as conn:
        ids = [row.id for row in product.rows("SELECT id FROM inbound_requests")]
        assert len(loading.load(conn, ids)) == 3
    drained(product)
    until(lambda: worker(product).drain() == 0 and states(product) == {"emitted": 10})


def test_what_takes_too_long_is_given_back_before_its_lease_ends(product: Product) -> None:
    hook = declare(product)
    store(product, hook, *({**ORDER, "id": number} for number in range(10)))
    ticks = iter(range(1000))
    slow = Inbound(product.core.engine, product.core.publisher, monotonic=lambda: float(next(ticks)))
    slow.drain()
    assert states(product) == {"emitted": 2, "received": 8}
    assert product.rows("SELECT 1 FROM due WHERE kind = 'inbound' AND leased") == []


def test_many_workspaces_whose_mapping_is_slow_share_that_time(product: Product) -> None:
    scopes = [product.workspace("default", f"slow-{number}") for number in range(5)]
    for scope in scopes:
        store(product, declare(product, scope=scope), *({**ORDER, "id": number} for number in range(5)), scope=scope)
    ticks = iter(range(1000))
    Inbound(product.core.engine, product.core.publisher, monotonic=lambda: float(next(ticks))).drain()
    assert states(product) == {"emitted": 2, "received": 23}
    rows = product.rows("SELECT DISTINCT leased, claims FROM due WHERE kind = 'inbound'")
    assert [(row.leased, row.claims) for row in rows] == [(False, 0)]


def test_of_a_definition_that_is_not_kept_the_request_says_so_and_replay_maps_it(product: Product) -> None:
    hook = declare(product)
    [one] = store(product, hook, ORDER)
    with product.core.engine.connect() as conn:
        conn.execute(text("UPDATE inbound_requests SET definition_version = 7"))
    drained(product)
    assert request(product, one).error["code"] == "VERSION_MISSING"
    change(product, "orders-in")
    with product.tx() as tx:
        product.core.reopens["inbound"].reopen(tx, [one])
    drained(product)
    assert request(product, one).state == "emitted"


def test_workers_that_race_emit_each_request_once(product: Product) -> None:
    hook = declare(product)
    for _ in range(5):
        store(product, hook, *({**ORDER, "id": number} for number in range(60)))
    threads = [threading.Thread(target=drained, args=(product,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert states(product) == {"emitted": 300}
    assert len(emitted(product)) == 300


def test_a_worker_that_dies_before_the_commit_has_done_nothing(product: Product) -> None:
    class Dying(Publisher):
        def publish(self, tx, news):  # type: ignore[no-untyped-def]
            super().publish(tx, news)
            raise SystemExit

    own = product.core.publisher
    store(product, declare(product), ORDER)
    with pytest.raises(SystemExit):
        Inbound(product.core.engine, Dying(own.clock, own.catalogue, own.owes)).drain()
    assert (states(product), emitted(product)) == ({"received": 1}, [])
    with product.core.engine.connect() as conn:
        conn.execute(text("UPDATE due SET due_at = now() - interval '1 second'"))  # its lease ends
    drained(product)
    assert states(product) == {"emitted": 1}


def test_what_requests_have_become_is_counted(product: Product) -> None:
    hook = declare(product, "counted", when="body.n > 1")
    store(product, hook, {**ORDER, "n": 2}, {**ORDER, "n": 3}, {"n": 1}, {"n": "x"})
    drained(product)
    text = metrics.render([]).decode()
    for state, count in {"emitted": 2, "skipped": 1, "dead": 1}.items():
        labels = f'state="{state}",webhook="counted",workspace="default/default"'
        assert f"crossdock_inbound_mapped_total{{{labels}}} {count}.0" in text
