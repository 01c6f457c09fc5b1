"""Dead ones of an order that are retried: each in its place, when its turn comes, and never two of a key at once."""

from __future__ import annotations

import json
import random
import threading
import time
from collections import defaultdict
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from server.integrations.aggregate import Integration
from server.kernel.ids import new_uuid, show
from server.operations import retention
from server.store.repository import SqlRepository
from server.webhooks import usecases
from tests.support.product import Product, until
from tests.support.receiver import Answer, Hit, Receiver

if TYPE_CHECKING:
    from collections.abc import Collection

KEYS, EACH = 4, 6


class Watching:
    """A receiver that fails now and then, and sees what it accepts in which order, and whether two of a key come at once."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.under_way: set[int] = set()
        self.broken: list[str] = []
        self.accepted: defaultdict[int, list[int]] = defaultdict(list)
        self._lock = threading.Lock()

    def __call__(self, hit: Hit) -> Answer:
        data = json.loads(hit.body)["data"]
        key, n = data["key"], data["n"]
        with self._lock:
            if key in self.under_way:
                self.broken.append(f"{n} of {key} came beside another one")
            self.under_way.add(key)
        time.sleep(self.dice.random() * 0.02)
        with self._lock:
            self.under_way.discard(key)
            if self.dice.random() < 0.2:
                return Answer(503)
            self.accepted[key].append(n)
        return Answer(204)


def all_dead(product: Product, receiver: Receiver, policy: str, keys: int = 1, each: int = 3) -> None:
    """Make a webhook, and `each` events of `keys` keys whose deliveries are all dead letters, in their places."""
    retry = {"schedule": ["10ms"] * 40, "jitter": 0}
    product.webhook("hook", receiver.url, order_by="data.key", on_stuck=policy, max_in_flight=50, retry=retry)
    product.settle()  # its activation releases what is parked
    product.publish(*[{"key": key, "n": n} for n in range(each) for key in range(keys)])
    with product.core.engine.engine.begin() as conn:
        conn.execute(text("UPDATE deliveries SET expires_at = now() - interval '1 second'"))
        conn.execute(text("UPDATE due SET due_at = 'infinity' WHERE kind = 'delivery'"))
    assert retention.expire_waiting(product.core.engine) == keys * each
    assert product.states() == {"dead": keys * each}


def letters(product: Product) -> dict[tuple[int, int], str]:
    """Return the open dead letters, by key and number."""
    rows = product.rows(
        """SELECT l.id, d.order_key, d.order_no FROM dead_letters l JOIN deliveries d ON d.id = l.ref
           WHERE l.resolved_at IS NULL"""
    )
    return {(int(row.order_key), row.order_no - 1): show("dead", row.id) for row in rows}


def retry(product: Product, *ids: str) -> None:
    for each in ids:
        assert product.client().post(f"/api/v1/dead-letters/{each}/retry").status_code == 202


def first_gap(numbers: Collection[int]) -> int:
    """Return how many go before the first that is missing."""
    return next(n for n in range(EACH + 1) if n not in numbers)


@pytest.mark.parametrize("policy", ["block", "park"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_any_dead_ones_that_are_retried_go_one_at_a_time_and_not_before_those_that_are_still_dead(
    product: Product, receiver: Receiver, policy: str, seed: int
) -> None:
    receiver.answer = watching = Watching(seed)
    all_dead(product, receiver, policy, KEYS, EACH)
    found = letters(product)
    chosen = [mark for mark in found if watching.dice.random() < 0.8]
    watching.dice.shuffle(chosen)
    go = {key: first_gap({n for of, n in chosen if of == key}) for key in range(KEYS)}
    with product.worker():
        retry(product, *[found[mark] for mark in chosen])
        until(lambda: product.states().get("delivered", 0) == sum(go.values()))
        time.sleep(0.2)
        assert {key: len(watching.accepted[key]) for key in range(KEYS)} == go
        waiting = {"block": "pending", "park": "held"}[policy]
        assert product.states().get(waiting, 0) == len(chosen) - sum(go.values())
        assert product.client().post("/api/v1/dead-letters/retry", json={"owner": "webhook/hook"}).status_code == 202
        until(lambda: product.states() == {"delivered": KEYS * EACH})
    assert watching.broken == []
    assert watching.accepted == {key: list(range(EACH)) for key in range(KEYS)}


@pytest.mark.parametrize("policy", ["block", "park"])
def test_what_is_published_meanwhile_comes_after_those_that_are_retried(
    product: Product, receiver: Receiver, policy: str
) -> None:
    receiver.answer = watching = Watching(7)
    all_dead(product, receiver, policy)
    with product.worker():
        retry(product, *letters(product).values())
        product.publish(*[{"key": 0, "n": n} for n in range(3, 6)])
        until(lambda: product.states() == {"delivered": 6})
    assert (watching.broken, watching.accepted) == ([], {0: [0, 1, 2, 3, 4, 5]})


def test_a_head_that_dies_again_parks_the_others_that_were_retried(product: Product, receiver: Receiver) -> None:
    receiver.answer = Answer(400)
    all_dead(product, receiver, "park")
    with product.worker():
        retry(product, *letters(product).values())
        until(lambda: product.states() == {"dead": 1, "held": 2})
        receiver.answer = watching = Watching(3)
        product.act("hook", "pause")
        product.act("hook", "resume")
        until(lambda: product.states() == {"dead": 1, "delivered": 2})
    assert watching.accepted == {0: [1, 2]}


def test_a_discarded_head_lets_the_retried_one_behind_it_go(product: Product, receiver: Receiver) -> None:
    all_dead(product, receiver, "block")
    found = letters(product)
    with product.worker():
        retry(product, found[0, 1])
        assert product.client().post(f"/api/v1/dead-letters/{found[0, 0]}/discard").status_code == 200
        until(lambda: product.states() == {"discarded": 1, "delivered": 1, "dead": 1})


def test_those_of_a_paused_webhook_go_in_their_order_when_it_is_resumed(product: Product, receiver: Receiver) -> None:
    receiver.answer = watching = Watching(5)
    all_dead(product, receiver, "block")
    product.act("hook", "pause")
    retry(product, *reversed(letters(product).values()))
    assert product.states() == {"held": 3}
    with product.worker():
        product.act("hook", "resume")
        until(lambda: product.states() == {"delivered": 3})
    assert (watching.broken, watching.accepted) == ([], {0: [0, 1, 2]})


def test_passed_over_ones_go_at_once_beside_their_order(product: Product, receiver: Receiver) -> None:
    all_dead(product, receiver, "skip")
    assert product.rows("SELECT DISTINCT order_no FROM deliveries") == [(None,)]
    ids = [show("dead", row.id) for row in product.rows("SELECT id FROM dead_letters")]
    retry(product, *ids)
    assert len(product.rows("SELECT 1 FROM due WHERE kind = 'delivery' AND due_at <= now()")) == 3


@pytest.mark.parametrize("policy", ["block", "park"])
def test_one_that_waits_for_its_turn_is_not_sent_before_it_by_hand(
    product: Product, receiver: Receiver, policy: str
) -> None:
    all_dead(product, receiver, policy, each=2)
    retry(product, letters(product)[0, 1])
    second = show("dlv", product.rows("SELECT id FROM deliveries WHERE order_no = 2")[0].id)
    answer = product.client().post(f"/api/v1/deliveries/{second}/retry")
    assert (answer.status_code, answer.json["code"]) == (409, "DELIVERY_WAITS")
    with product.worker():
        retry(product, letters(product)[0, 0])
        until(lambda: product.states() == {"delivered": 2})
    assert [json.loads(hit.body)["data"]["n"] for hit in receiver.hits] == [0, 1]


@pytest.mark.parametrize("order", [{"order_by": "data.key"}, {}])
def test_one_that_a_paused_integration_holds_is_told_so_when_it_is_sent_by_hand(
    product: Product, order: dict[str, str]
) -> None:
    integration, repository = Integration(new_uuid()), SqlRepository("integrations", Integration)
    with product.tx() as tx:
        integration.create(
            "shop", {"name": "shop", "plugin": "http", "config": {"base_url": "http://127.0.0.1:9/"}}, 1, {}
        )
        integration.activate()
        integration.act("pause")
        repository.add(tx, integration)
    product.webhook("hook", "", integration="shop", **order)
    product.settle()  # its activation lets go what is held
    product.publish({"key": 0})
    with product.worker():
        until(lambda: product.states() == {"held": 1})
    [delivery] = product.rows("SELECT id FROM deliveries")
    answer = product.client().post(f"/api/v1/deliveries/{show('dlv', delivery.id)}/retry")
    assert (answer.status_code, answer.json["code"]) == (409, "DELIVERY_HELD")
    assert "its integration is paused; resume it first" in answer.text
    assert product.states() == {"held": 1}


def test_two_who_retry_one_at_once_send_it_once_and_keep_its_place(product: Product, receiver: Receiver) -> None:
    all_dead(product, receiver, "block")
    head = product.rows("SELECT id FROM deliveries WHERE order_no = 1")[0].id

    def again() -> None:
        with product.tx() as tx:
            usecases.retry(tx, product.core.reopening, head)

    second = threading.Thread(target=again)
    with product.tx() as tx:
        usecases.retry(tx, product.core.reopening, head)
        second.start()
        time.sleep(0.3)
    second.join(10)
    assert product.rows("SELECT order_no, epoch FROM deliveries JOIN due ON ref = id") == [(1, 0)]
