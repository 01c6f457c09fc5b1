"""A worker that is killed with heads of orders in its hands changes no order: what it held is repeated before the next goes."""

from __future__ import annotations

import json
import random
import threading
from collections import defaultdict
from typing import TYPE_CHECKING

import pytest

from tests.support.product import until
from tests.support.receiver import Answer, Hit, Receiver

if TYPE_CHECKING:
    from tests.support.fleet import Fleet

FLEET = {"apis": 1, "schedulers": 1}
KEYS, EACH = 6, 30


@pytest.mark.serial
def test_a_killed_worker_changes_no_order(fleet: Fleet) -> None:
    dice, guard = random.Random(7), threading.Lock()
    arrived: defaultdict[tuple[str, int], list[int]] = defaultdict(list)

    def answer(hit: Hit) -> Answer:
        data = json.loads(hit.body)["data"]
        with guard:
            arrived[hit.path, data["key"]].append(data["n"])
            return Answer(503 if dice.random() < 0.1 else 204, delay=0.02)

    with Receiver() as receiver:
        receiver.answer = answer
        for policy in ("block", "skip"):
            fleet.product.webhook(
                f"order-{policy}",
                f"{receiver.url}/{policy}",
                events=["load.order"],
                order_by="data.key",
                on_stuck=policy,
                max_in_flight=50,
                retry={"schedule": ["10ms"] * 50, "jitter": 0},
            )
        for n in range(EACH):
            fleet.product.publish(*[{"key": key, "n": n} for key in range(KEYS)], type_="load.order")
            if n == EACH // 3:
                fleet.kill(fleet.workers[0])
                fleet.start(fleet.workers[0])
        until(lambda: not fleet.rows("SELECT 1 FROM deliveries WHERE state <> 'delivered'"), 40, "all got through")
    assert len(arrived) == 2 * KEYS
    for key, numbers in arrived.items():
        assert sorted(set(numbers)) == list(range(EACH)), key
        assert numbers == sorted(numbers), f"{key}: a repeat came after the next one"
