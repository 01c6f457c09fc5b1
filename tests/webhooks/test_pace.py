"""Whoever is woken by hints learns when there are none: before a worker says that nobody needs to ring, and once somebody must.

And which endpoints get one request at a time.
"""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from server.kernel.ids import new_uuid
from server.queue.hints import TRUSTED_SECONDS
from server.webhooks.pace import AWAKE_SECONDS, LISTEN_SECONDS, TIMER_SECONDS, Pace, SlowLanes
from tests.support.product import Product, until
from tests.support.receiver import Answer, Hit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.receiver import Receiver


class Said:
    """Takes down what is said, and in which order."""

    def __init__(self) -> None:
        self.words: list[str] = []

    def awake(self) -> None:
        self.words.append("awake")

    def asleep(self) -> None:
        self.words.append("asleep")


def test_others_are_told_before_hints_are_spared_and_after_they_come_again() -> None:
    said, now = Said(), [100.0]
    pace = Pace(said, lambda: now[0])
    pace.turned = lambda: said.words.append("turned, awake" if pace.awake else "turned")

    async def work() -> None:
        pace.busy()
        await asyncio.sleep(0.05)  # it is said in a thread
        pace.busy()
        now[0] += AWAKE_SECONDS
        await pace.rest()

    asyncio.run(work())
    assert said.words == ["turned, awake", "awake", "asleep", "turned"]


def test_one_who_goes_to_sleep_looks_once_more_when_nobody_believes_it_awake() -> None:
    """A publisher that was told of a worker at work just before takes its word a little longer."""
    said, now, rested = Said(), [100.0], []
    pace = Pace(said, lambda: now[0])
    pace.turned = lambda: said.words.append("turned")

    async def room(seconds: float) -> None:
        rested.append(round(seconds, 3))
        now[0] += seconds

    pace.room = room  # type: ignore[method-assign]

    async def work() -> None:
        pace.busy()
        await asyncio.sleep(0.05)
        now[0] += AWAKE_SECONDS
        for _ in range(4):
            await pace.rest()

    asyncio.run(work())
    assert said.words == ["turned", "awake", "asleep", "turned", "turned"]
    assert rested == [LISTEN_SECONDS, TIMER_SECONDS, TIMER_SECONDS]
    assert LISTEN_SECONDS > TRUSTED_SECONDS


def test_a_slow_look_is_not_the_last_one() -> None:
    """It saw what there was when it began: what was spared a hint meanwhile is for the next, which begins when that is over."""
    said, now, began = Said(), [100.0], []
    pace = Pace(said, lambda: now[0])

    async def room(seconds: float) -> None:
        now[0] += seconds

    pace.room = room  # type: ignore[method-assign]

    async def work() -> None:
        pace.busy()
        await asyncio.sleep(0.05)
        now[0] += AWAKE_SECONDS
        asleep = now[0]
        for _ in range(3):
            await pace.rest()
            began.append(round(now[0] - asleep, 3))
            now[0] += 3 * LISTEN_SECONDS  # so long it looks

    asyncio.run(work())
    assert began == [0.0, round(3 * LISTEN_SECONDS, 3), round(6 * LISTEN_SECONDS + TIMER_SECONDS, 3)]


def test_one_who_is_rung_while_it_listens_is_awake_and_says_so() -> None:
    said, now = Said(), [100.0]
    pace = Pace(said, lambda: now[0])

    async def work() -> None:
        pace.busy()
        await asyncio.sleep(0.05)
        now[0] += AWAKE_SECONDS
        await pace.rest()
        pace.busy()
        pace.ring()
        await asyncio.wait_for(pace.rest(), 1)
        await asyncio.sleep(0.05)

    asyncio.run(work())
    assert said.words == ["awake", "asleep", "awake"]


def test_who_hangs_gets_one_request_at_a_time_and_who_answers_late_only_where_room_is_short() -> None:
    slow = SlowLanes()
    hangs, late, quick = new_uuid(), new_uuid(), new_uuid()
    slow.learn(hangs, answered=False, milliseconds=3)
    slow.learn(late, answered=True, milliseconds=2500)
    slow.learn(quick, answered=True, milliseconds=20)
    assert slow(crowded=False) == [hangs]
    assert slow(crowded=True) == [hangs, late]
    slow.learn(hangs, answered=True, milliseconds=2500)
    assert slow(crowded=False) == []
    slow.learn(hangs, answered=True, milliseconds=20)
    slow.learn(late, answered=False, milliseconds=2500)
    assert slow(crowded=True) == slow(crowded=False) == [late]


def test_only_the_latest_are_remembered() -> None:
    slow = SlowLanes()
    lanes = [new_uuid() for _ in range(1005)]
    for lane in lanes:
        slow.learn(lane, answered=False, milliseconds=1)
    assert slow(crowded=False) == lanes[5:]


def test_a_receiver_that_takes_its_time_gets_as_many_at_a_time_as_it_may(product: Product, receiver: Receiver) -> None:
    receiver.answer = Answer(204, delay=2.1)
    product.webhook("hook", receiver.url, max_in_flight=5)
    product.publish({"n": 0})
    with product.worker():
        until(lambda: product.states() == {"delivered": 1})
        product.publish(*[{"n": n} for n in range(1, 6)])
        began = time.monotonic()
        until(lambda: product.states() == {"delivered": 6})
    assert time.monotonic() - began < 2 * 2.1, "one after the other they would take 10 s"


@contextmanager
def hanging(receiver: Receiver) -> Iterator[None]:
    """Let the receiver answer nothing on paths that begin with /hangs, nor to what says so, until the block ends."""
    going_on = threading.Event()

    def answer(hit: Hit) -> Answer:
        if hit.path.startswith("/hangs") or b"hangs" in hit.body:
            going_on.wait(20)
        return Answer()

    receiver.answer = answer
    try:
        yield
    finally:
        going_on.set()


@pytest.mark.parametrize("endpoints", [1, 4])
def test_a_burst_for_endpoints_that_hang_holds_nobody_up_until_their_time_is_over(
    product: Product, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, endpoints: int
) -> None:
    """They take all places before any of their tries has ended, so that nothing is known of them yet."""
    monkeypatch.setattr("server.webhooks.drain.IN_FLIGHT", 40)
    for n in range(endpoints):
        product.webhook(f"hangs-{n}", f"{receiver.url}/hangs/{n}", max_in_flight=100, events=[f"stuck.{n}"])
        product.publish(*[{}] * (40 // endpoints), type_=f"stuck.{n}")
    product.webhook("hook", f"{receiver.url}/quick")
    with product.worker(), hanging(receiver):
        receiver.wait(40)
        began = time.monotonic()
        product.publish(*[{"n": n} for n in range(100)])
        until(lambda: product.states().get("delivered") == 100)
        assert time.monotonic() - began < 6, "their tries have 30 s"
        for n in range(endpoints):
            product.publish({}, type_=f"stuck.{n}")
        product.publish({"n": 100})
        until(lambda: product.states().get("delivered") == 101)
        assert len([hit for hit in receiver.hits if hit.path != "/quick"]) == 40, "and they get no more"


def test_one_request_that_hangs_does_not_tell_of_its_endpoint(
    product: Product, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.webhooks.drain.IN_FLIGHT", 40)
    product.webhook("hook", f"{receiver.url}/quick")
    product.webhook("hangs", f"{receiver.url}/hangs", max_in_flight=100, events=["stuck"])
    with product.worker(), hanging(receiver):
        product.publish({"it": "hangs"})
        receiver.wait(1)
        product.publish(*[{}] * 39, type_="stuck")
        receiver.wait(40)
        time.sleep(2.1)
        product.publish(*[{"n": n} for n in range(100)])
        until(lambda: product.states().get("delivered") == 100)


def test_those_that_hang_take_no_more_than_as_many_places_again(
    product: Product, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.webhooks.drain.IN_FLIGHT", 10)
    for name in ("first", "second"):
        product.webhook(name, f"{receiver.url}/hangs/{name}", max_in_flight=30, events=[f"stuck.{name}"])
    with product.worker() as worker, hanging(receiver):
        product.publish(*[{}] * 10, type_="stuck.first")
        receiver.wait(10)
        product.publish(*[{}] * 30, type_="stuck.second")
        receiver.wait(20)
        time.sleep(2.5)
        assert (len(receiver.hits), len(worker.deliveries.jobs)) == (20, 20)
