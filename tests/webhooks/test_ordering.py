"""Order where asked: the next of a key is first sent after the one before ended."""

from __future__ import annotations

import json
import random
from collections import defaultdict

from tests.support.product import Product, until
from tests.support.receiver import Answer, Hit, Receiver


def seen(receiver: Receiver) -> dict[str, list[int]]:
    """Return per key the numbers in the order of their first arrival."""
    order: dict[str, list[int]] = defaultdict(list)
    for hit in receiver.hits:
        data = json.loads(hit.body)["data"]
        if data["n"] not in order[data["key"]]:
            order[data["key"]].append(data["n"])
    return order


def test_keys_arrive_in_order_through_failures_over_two_workers(product: Product, receiver: Receiver) -> None:
    product.webhook(
        "hook", receiver.url, order_by="data.key", retry={"schedule": ["10ms"] * 20, "jitter": 0}, max_in_flight=50
    )
    dice = random.Random(1)
    receiver.answer = lambda _: Answer(500 if dice.random() < 0.2 else 204)
    for start in range(0, 60, 20):
        product.publish(*[{"key": f"k{n % 3}", "n": n} for n in range(start, start + 20)])
    with product.worker(), product.worker():
        until(lambda: product.states() == {"delivered": 60}, 40)
    for numbers in seen(receiver).values():
        assert numbers == sorted(numbers)
        assert len(numbers) == 20


def test_a_dead_head_blocks_its_key_only_and_discard_lets_the_next_go(product: Product, receiver: Receiver) -> None:
    def answer(hit: Hit) -> Answer:
        return Answer(400 if json.loads(hit.body)["data"]["n"] == 0 else 204)

    receiver.answer = answer
    product.webhook("hook", receiver.url, order_by="data.key")
    product.publish({"key": "a", "n": 0}, {"key": "a", "n": 1}, {"key": "b", "n": 2}, {"n": 3})
    with product.worker():
        until(lambda: product.states() == {"dead": 1, "pending": 1, "delivered": 2})
        [letter] = product.client().get("/api/v1/dead-letters").json["items"]
        assert product.client().post(f"/api/v1/dead-letters/{letter['id']}/discard").status_code == 200
        until(lambda: product.states() == {"discarded": 1, "delivered": 3})


def test_retrying_a_dead_head_lets_its_key_go_on_in_order(product: Product, receiver: Receiver) -> None:
    receiver.answers = [Answer(400)]
    product.webhook("hook", receiver.url, order_by="data.key")
    product.publish({"key": "a", "n": 0}, {"key": "a", "n": 1})
    with product.worker():
        until(lambda: product.states() == {"dead": 1, "pending": 1})
        [letter] = product.client().get("/api/v1/dead-letters").json["items"]
        product.client().post(f"/api/v1/dead-letters/{letter['id']}/retry")
        until(lambda: product.states() == {"delivered": 2})
    assert seen(receiver) == {"a": [0, 1]}


def test_a_skipped_one_does_not_hold_its_key(product: Product, receiver: Receiver) -> None:
    product.webhook("hook", receiver.url, order_by="data.key", when="data.n > `0`")
    product.publish({"key": "a", "n": 0}, {"key": "a", "n": 1})
    with product.worker():
        until(lambda: product.states() == {"skipped": 1, "delivered": 1})


def test_held_deliveries_keep_their_order_on_resume(product: Product, receiver: Receiver) -> None:
    product.webhook("hook", receiver.url, order_by="data.key")
    product.act("hook", "pause")
    for n in range(5):
        product.publish({"key": "a", "n": n})
    with product.worker():
        product.act("hook", "resume")
        until(lambda: product.states() == {"delivered": 5}, 20)
    assert seen(receiver) == {"a": [0, 1, 2, 3, 4]}


def test_a_key_that_cannot_be_computed_is_a_dead_letter_and_the_event_is_stored(
    product: Product, receiver: Receiver
) -> None:
    product.webhook("hook", receiver.url, order_by="lower(data.key)")
    product.publish({"key": 1}, {"key": "A"})
    assert product.states() == {"dead": 1, "pending": 1}
    [letter] = product.client().get("/api/v1/dead-letters").json["items"]
    assert letter["reason"] == "mapping"
