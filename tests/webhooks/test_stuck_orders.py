"""What a dead head of an order does to those behind it: block, park, skip; and what people can do about it."""

from __future__ import annotations

import json
import random
import threading
import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from server.operations import retention
from server.queue import claims
from server.webhooks import ordering
from tests.support.product import Product, until
from tests.support.receiver import Answer, Hit, Receiver

if TYPE_CHECKING:
    from collections.abc import Callable

NEVER = {"schedule": ["1h"], "jitter": 0}


def number(hit: Hit) -> int:
    return int(json.loads(hit.body)["data"]["n"])


def refusing(*numbers: int) -> Callable[[Hit], Answer]:
    return lambda hit: Answer(400 if number(hit) in numbers else 204)


def key_of(product: Product, receiver: Receiver, policy: str, count: int = 4, dead: int = 0) -> None:
    """Make a webhook, and events 0 … count-1 of one key, of which one is refused."""
    receiver.answer = refusing(dead)
    product.webhook("hook", receiver.url, order_by="data.key", on_stuck=policy)
    product.settle()  # its activation releases what is parked
    product.publish(*[{"key": "a", "n": n} for n in range(count)])


def letters(product: Product) -> list[dict[str, Any]]:
    return list(product.client().get("/api/v1/dead-letters").json["items"])


def resolve(product: Product, action: str) -> None:
    [letter] = letters(product)
    assert product.client().post(f"/api/v1/dead-letters/{letter['id']}/{action}").status_code in (200, 202)


def held(product: Product) -> list[dict[str, Any]]:
    return list(product.client().get("/api/v1/deliveries?state=held").json["items"])


def change(product: Product, **more: Any) -> None:
    with product.tx() as tx:
        tx.run("UPDATE workspaces SET routes_version = routes_version + 1 WHERE id = :workspace_id")
        webhook = product.core.webhooks.get(tx, "hook")
        webhook.change({**webhook.body, **more}, webhook.definition_version + 1, {})
        product.core.webhooks.save(tx, webhook)


def test_skip_lets_the_next_go_and_the_dead_one_is_out_of_the_order(product: Product, receiver: Receiver) -> None:
    key_of(product, receiver, "skip", dead=1)
    with product.worker():
        until(lambda: product.states() == {"delivered": 3, "dead": 1})
        assert [number(hit) for hit in receiver.hits] == [0, 1, 2, 3]
        [row] = product.rows("SELECT order_key, order_no FROM deliveries WHERE state = 'dead'")
        assert (row.order_key, row.order_no) == ("a", None)
        receiver.answer = Answer(204)
        resolve(product, "retry")
        until(lambda: product.states() == {"delivered": 4})


def test_a_skipped_one_that_is_retried_holds_up_nobody(product: Product, receiver: Receiver) -> None:
    key_of(product, receiver, "skip", count=1)
    with product.worker():
        until(lambda: product.states() == {"dead": 1})
        receiver.answer = lambda hit: Answer(503 if number(hit) == 0 else 204)
        resolve(product, "retry")
        receiver.wait(2)
        product.publish({"key": "a", "n": 5}, {"key": "a", "n": 6})
        until(lambda: product.states() == {"pending": 1, "delivered": 2})


def test_park_holds_the_rest_of_the_key_only_and_what_comes_after(product: Product, receiver: Receiver) -> None:
    key_of(product, receiver, "park", dead=1)
    with product.worker():
        until(lambda: product.states() == {"delivered": 1, "dead": 1, "held": 2})
        product.publish({"key": "a", "n": 4}, {"key": "b", "n": 5})
        until(lambda: product.states() == {"delivered": 2, "dead": 1, "held": 3})
        assert {(each["state"], each["reason"]) for each in held(product)} == {("held", "parked")}
        assert retention.release_stranded(product.core.engine, lambda: None) == 0
        assert product.states() == {"delivered": 2, "dead": 1, "held": 3}


@pytest.mark.parametrize(("action", "order"), [("retry", [0, 1, 1, 2, 3]), ("discard", [0, 1, 2, 3])])
def test_parked_ones_go_in_order_once_their_head_has_ended(
    product: Product, receiver: Receiver, action: str, order: list[int]
) -> None:
    key_of(product, receiver, "park", dead=1)
    with product.worker():
        until(lambda: product.states() == {"delivered": 1, "dead": 1, "held": 2})
        receiver.answer = Answer(204)
        resolve(product, action)
        until(lambda: product.states().get("delivered", 0) == 3 + (action == "retry"))
    assert [number(hit) for hit in receiver.hits] == order


def test_a_head_that_dies_again_parks_those_that_came_meanwhile(product: Product, receiver: Receiver) -> None:
    key_of(product, receiver, "park", count=2)
    with product.worker():
        until(lambda: product.states() == {"dead": 1, "held": 1})
        receiver.answer = Answer(400, delay=0.5)
        resolve(product, "retry")
        product.publish({"key": "a", "n": 2})
        until(lambda: product.states() == {"dead": 1, "held": 2})


def test_a_resume_passes_over_the_dead_head_of_parked_ones(product: Product, receiver: Receiver) -> None:
    key_of(product, receiver, "park", dead=1)
    with product.worker():
        until(lambda: product.states() == {"delivered": 1, "dead": 1, "held": 2})
        product.act("hook", "pause")
        product.publish({"key": "a", "n": 4})
        product.act("hook", "resume")
        until(lambda: product.states() == {"delivered": 4, "dead": 1})
    assert [number(hit) for hit in receiver.hits] == [0, 1, 2, 3, 4]
    assert len(letters(product)) == 1


def test_a_resume_does_not_pass_over_a_head_that_blocks(product: Product, receiver: Receiver) -> None:
    key_of(product, receiver, "block", dead=1)
    with product.worker():
        until(lambda: product.states() == {"delivered": 1, "dead": 1, "pending": 2})
        product.act("hook", "pause")
        product.publish({"key": "a", "n": 4})
        product.act("hook", "resume")
        until(lambda: product.states() == {"delivered": 1, "dead": 1, "pending": 3})
        resolve(product, "discard")
        until(lambda: product.states() == {"delivered": 4, "discarded": 1})
    assert [number(hit) for hit in receiver.hits] == [0, 1, 2, 3, 4]


def test_a_key_that_blocks_goes_on_when_its_webhook_is_changed_to_skip(product: Product, receiver: Receiver) -> None:
    key_of(product, receiver, "block")
    with product.worker():
        until(lambda: product.states() == {"dead": 1, "pending": 3})
        change(product, on_stuck="skip")
        until(lambda: product.states() == {"dead": 1, "delivered": 3})


def test_the_keys_of_a_removed_webhook_end_one_after_the_other(product: Product, receiver: Receiver) -> None:
    key_of(product, receiver, "park")
    with product.worker():
        until(lambda: product.states() == {"dead": 1, "held": 3})
        product.act("hook", "archive")
        assert retention.release_stranded(product.core.engine, lambda: None) == 3
        until(lambda: product.states() == {"dead": 4})
    assert sorted(each["reason"] for each in letters(product)) == ["refused", "removed", "removed", "removed"]


def test_a_replay_by_hand_goes_beside_the_order(product: Product, receiver: Receiver) -> None:
    key_of(product, receiver, "block", dead=99)
    with product.worker():
        until(lambda: product.states() == {"delivered": 4})
        receiver.answer = lambda hit: Answer(503 if number(hit) == 1 else 204)
        again = next(each for each in receiver.hits if number(each) == 1).headers["webhook-id"]
        [row] = product.rows("SELECT id FROM deliveries WHERE message_id = :id", id=again)
        listed = product.client().get("/api/v1/deliveries").json["items"]
        [delivery] = [each["id"] for each in listed if each["message_id"] == again]
        assert product.client().post(f"/api/v1/deliveries/{delivery}/retry").status_code == 202
        receiver.wait(5)
        product.publish({"key": "a", "n": 7})
        until(lambda: product.states() == {"delivered": 4, "pending": 1})
        assert product.rows("SELECT order_no FROM deliveries WHERE id = :id", id=row.id)[0].order_no is None


@pytest.mark.parametrize("policy", ["block", "park", "skip"])
def test_what_waits_behind_a_stuck_head_ends_as_dead_letters_when_its_time_is_over(
    product: Product, receiver: Receiver, policy: str
) -> None:
    key_of(product, receiver, policy, count=3)
    product.act("hook", "pause")  # nothing is tried: with skip, too, they wait
    with product.core.engine.engine.begin() as conn:
        conn.execute(text("UPDATE deliveries SET state = 'pending', expires_at = now() - interval '1 second'"))
        conn.execute(
            text(
                "UPDATE due SET due_at = now() + interval '1 hour' WHERE ref = (SELECT min(id::text)::uuid FROM deliveries)"
            )
        )
    assert retention.expire_held(product.core.engine) == 0
    assert retention.expire_waiting(product.core.engine) == 2
    assert product.states() == {"pending": 1, "dead": 2}, "the head is tried, and expires by itself"
    assert [(each["reason"], each["error"]["code"]) for each in letters(product)] == [
        ("expired", "DELIVERY_EXPIRED")
    ] * 2
    assert product.rows("SELECT count(*) AS n FROM due WHERE kind = 'delivery'")[0].n == 1
    assert retention.expire_waiting(product.core.engine) == 0


def test_parked_ones_whose_time_is_over_end_as_dead_letters(product: Product, receiver: Receiver) -> None:
    key_of(product, receiver, "park", count=3)
    with product.worker():
        until(lambda: product.states() == {"dead": 1, "held": 2})
    with product.core.engine.engine.begin() as conn:
        conn.execute(text("UPDATE deliveries SET expires_at = now() - interval '1 second'"))
    assert retention.expire_held(product.core.engine) == 2
    assert product.states() == {"dead": 3}


def test_counters_that_nobody_uses_are_forgotten_and_their_keys_start_anew(
    product: Product, receiver: Receiver
) -> None:
    receiver.answer = refusing(1)
    product.webhook("hook", receiver.url, order_by="data.key", retry=NEVER)
    product.publish({"key": "idle", "n": 0}, {"key": "stuck", "n": 1}, {"key": "young", "n": 2})
    with product.worker():
        until(lambda: product.states() == {"delivered": 2, "dead": 1})
        with product.core.engine.engine.begin() as conn:
            conn.execute(text("UPDATE order_counters SET used_on = current_date - 8 WHERE order_key <> 'young'"))
        assert retention.forget_order_counters(product.core.engine) == 1
        assert {row.order_key for row in product.rows("SELECT order_key FROM order_counters")} == {"stuck", "young"}
        product.publish({"key": "idle", "n": 3}, {"key": "idle", "n": 4}, {"key": "stuck", "n": 5})
        until(lambda: product.states() == {"delivered": 4, "dead": 1, "pending": 1})
        assert retention.forget_order_counters(product.core.engine) == 0
    assert [number(hit) for hit in receiver.hits][-2:] == [3, 4]


def test_a_counter_that_is_being_counted_up_is_not_forgotten(product: Product) -> None:
    webhook = product.webhook("hook", "http://127.0.0.1:9/", order_by="data.key")
    product.publish({"key": "a"})
    with product.core.engine.engine.begin() as conn:
        conn.execute(text("UPDATE deliveries SET state = 'delivered'"))
        conn.execute(text("UPDATE order_counters SET used_on = current_date - 8"))
    with product.tx() as tx:
        last, head = ordering.count_up(tx.conn, product.scope.workspace_id, {(webhook.id, "a"): 1})[webhook.id, "a"]
        assert (last, head) == (2, None)
        assert retention.forget_order_counters(product.core.engine) == 0
    assert retention.forget_order_counters(product.core.engine) == 0


def test_a_key_is_found_free_by_who_waited_for_the_one_that_freed_it(product: Product) -> None:
    """The race that would strand a delivery: publishing while the last one of its key is being recorded as delivered."""
    webhook = product.webhook("hook", "http://127.0.0.1:9/", order_by="data.key")
    product.publish({"key": "a", "n": 0})
    with product.core.engine.connect() as conn:
        [claim] = claims.claim(conn, "delivery", 1)
    recorded, published = threading.Event(), threading.Event()

    def publish() -> None:
        recorded.wait(5)
        product.publish({"key": "a", "n": 1})
        published.set()

    thread = threading.Thread(target=publish)
    thread.start()
    with product.core.engine.connect() as conn:
        conn.exec_driver_sql("UPDATE deliveries SET state = 'delivered' WHERE id = %s", (claim.ref,))
        claims.finish(conn, "delivery", [claim])
        ordering.ended(conn, [ordering.Ended(claim.ref, (webhook.id, "a"))])
        recorded.set()
        assert not published.wait(0.3), "the publisher waits for the key"
    thread.join(10)
    assert product.rows("SELECT 1 FROM due WHERE kind = 'delivery' AND due_at <= now()"), "it may go at once"


def test_any_text_is_a_key(product: Product, receiver: Receiver) -> None:
    """An empty one, and one longer than an index takes, too."""
    product.webhook("hook", receiver.url, order_by="data.key")
    long = "".join(chr(33 + random.Random(n).randrange(90)) for n in range(20_000))
    texts = ["", " ", "a" * 600, "a" * 601, long, {"a": [1, 2]}]
    for n in range(3):
        product.publish(*[{"key": key, "n": n} for key in texts])
    with product.worker():
        until(lambda: product.states() == {"delivered": 3 * len(texts)})
    keys = product.rows("SELECT order_key, count(*) AS n FROM deliveries GROUP BY order_key")
    assert {row.n for row in keys} == {3}
    assert len(keys) == len(texts)
    assert max(len(row.order_key) for row in keys) <= 512


def test_keys_of_two_workspaces_with_the_same_names_do_not_meet(product: Product, receiver: Receiver) -> None:
    other = product.workspace("other", "main")
    receiver.answer = lambda hit: Answer(400 if hit.path == "/mine" else 204)
    product.webhook("hook", receiver.url + "/mine", order_by="data.key", on_stuck="park")
    product.webhook("hook", receiver.url + "/theirs", other, order_by="data.key", on_stuck="park")
    product.settle()
    for n in range(3):
        product.publish({"key": "a", "n": n})
        product.publish({"key": "a", "n": n}, scope=other)
    with product.worker():
        until(lambda: product.states() == {"dead": 1, "held": 2, "delivered": 3})
    mine = product.rows("SELECT id FROM webhooks WHERE workspace_id = :id", id=product.scope.workspace_id)[0].id
    with product.tx(other) as tx:
        assert ordering.pass_over_webhook(tx.conn, other.workspace_id, mine) == 0
    assert product.states() == {"dead": 1, "held": 2, "delivered": 3}


class Strict:
    """A receiver that fails, refuses once and stalls, and that sees whether two of a key come at the same time."""

    def __init__(self, policy: str, keys: int, each: int) -> None:
        self.dice = random.Random(policy)
        self.refuses = {(key, n) for key in range(keys) for n in range(each) if self.dice.random() < 0.06}
        self.waived = set() if policy == "block" else self.refuses  # retried by hand beside the order
        self.refused: set[tuple[int, int]] = set()
        self.under_way: set[tuple[int, int]] = set()
        self.accepted: defaultdict[int, list[int]] = defaultdict(list)
        self.broken: list[str] = []
        self._lock = threading.Lock()

    def __call__(self, hit: Hit) -> Answer:
        data = json.loads(hit.body)["data"]
        mark = (data["key"], data["n"])
        with self._lock:
            if mark not in self.waived and any(key == mark[0] for key, _ in self.under_way - self.waived):
                self.broken.append(f"{mark} came beside {self.under_way}")
            self.under_way.add(mark)
        time.sleep(self.dice.random() * 0.005)
        with self._lock:
            self.under_way.discard(mark)
            if mark in self.refuses - self.refused:
                self.refused.add(mark)
                return Answer(400)
            if self.dice.random() < 0.15:
                return Answer(503)
            self.accepted[mark[0]].append(mark[1])
        return Answer(204)

    def judge(self) -> None:
        assert self.broken == []
        assert self.refused == self.refuses
        for key, numbers in self.accepted.items():
            in_order = [n for n in numbers if (key, n) not in self.waived]
            assert in_order == sorted(in_order), (key, numbers)
            assert len(set(numbers)) == len(numbers)


def meddle(product: Product, dice: random.Random, done: Callable[[], bool]) -> None:
    """Retry and discard what dies, and pause and resume in between, until it is done."""
    end = time.monotonic() + 60
    for turn in range(1000):
        for letter in letters(product):
            action = "discard" if dice.random() < 0.3 else "retry"
            product.client().post(f"/api/v1/dead-letters/{letter['id']}/{action}")
        if turn in (3, 6):
            product.act("hook", "pause")
            product.act("hook", "resume")
        retention.release_stranded(product.core.engine, lambda: None)  # the scheduler's: a pause that crossed a resume
        if done() or time.monotonic() > end:
            return
        time.sleep(0.1)


def heads(product: Product) -> list[Any]:
    """What stands first in each key: for the message when it does not go on."""
    return product.rows(
        """SELECT DISTINCT ON (d.order_key) d.order_key, d.order_no, d.state, d.reason, d.attempts,
                  CAST(due.due_at AS text) AS due, due.leased, w.state
           FROM deliveries d JOIN webhooks w ON w.id = d.webhook_id LEFT JOIN due ON due.ref = d.id
           WHERE d.state NOT IN ('delivered', 'discarded') ORDER BY d.order_key, d.order_no"""
    )


@pytest.mark.parametrize("policy", ["block", "park", "skip"])
def test_fifo_per_key_holds_through_failures_deaths_retries_discards_and_pauses(
    product: Product, receiver: Receiver, policy: str
) -> None:
    keys, each_key = 6, 25
    receiver.answer = strict = Strict(policy, keys, each_key)
    retry = {"schedule": ["10ms"] * 40, "jitter": 0}
    product.webhook("hook", receiver.url, order_by="data.key", on_stuck=policy, max_in_flight=50, retry=retry)

    def publish(half: range) -> None:
        for n in range(each_key):
            product.publish(*[{"key": key, "n": n} for key in half])

    publishers = [threading.Thread(target=publish, args=(half,)) for half in (range(keys // 2), range(keys // 2, keys))]

    def done() -> bool:
        return not any(each.is_alive() for each in publishers) and product.states().keys() <= {"delivered", "discarded"}

    with product.worker(), product.worker():
        for thread in publishers:
            thread.start()
        meddle(product, strict.dice, done)
    states = product.states()
    assert states.get("delivered", 0) + states.get("discarded", 0) == keys * each_key, heads(product)
    strict.judge()
