"""One breaker and one bucket for all processes; exactly one probe; and deliveries that wait for them burn no attempt."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
import redis
from sqlalchemy import text

from server.integrations.aggregate import Integration
from server.integrations.breakers import Breakers, Guarded, Ticket
from server.integrations.buckets import Buckets
from server.integrations.gates import Limited, Link
from server.integrations.policies import BreakerFigures, RateFigures, policy_of
from server.integrations.sharers import Sharers
from server.kernel.ids import new_uuid
from server.queue import claims
from server.store import Store
from server.store.repository import SqlRepository
from tests.support.product import Product, until
from tests.support.receiver import Answer, Receiver

FIGURES = BreakerFigures(failures=3, successes=2, reset=60)
AWAY = Store("postgresql+psycopg://127.0.0.1:1/none", "crossdock_engine")


def guarded(product: Product) -> Guarded:
    return Guarded(product.scope.workspace_id, uuid4(), FIGURES)


def state(product: Product) -> str:
    return str(product.rows("SELECT state FROM breakers")[0].state)


def pass_time(product: Product) -> None:
    with product.core.engine.engine.begin() as conn:
        conn.execute(text("UPDATE breakers SET opened_at = opened_at - interval '61 seconds'"))


class Process:
    """A process that calls: each call has a ticket of its own, and the last one's is at hand."""

    def __init__(self, product: Product, what: Guarded, seconds: float = 30, **more: Any) -> None:
        self.breakers = Breakers(product.core.engine, **more)
        self.what = what
        self.seconds = seconds
        self.ticket = Ticket(seconds)

    def wait(self) -> float | None:
        self.ticket = Ticket(self.seconds)
        return self.breakers.wait(self.what, self.ticket)

    def record(self, succeeded: bool | None, ticket: Ticket | None = None) -> None:
        self.breakers.record(self.what, ticket or self.ticket, succeeded=succeeded)

    def fail(self, times: int) -> None:
        for _ in range(times):
            assert self.wait() is None
            self.record(False)


def test_the_breaker_goes_through_its_states(product: Product) -> None:
    what = guarded(product)
    here, there = Process(product, what), Process(product, what)
    here.fail(2)
    here.record(True)
    here.fail(2)
    assert state(product) == "closed", "failures count in a row"
    here.fail(1)
    assert state(product) == "open"
    assert 59 < there.wait() <= 60, "the other process sees it"
    pass_time(product)
    assert there.wait() is None
    assert here.wait() == 1.0, "one probe at a time"
    there.record(True)
    assert state(product) == "half-open"
    assert here.wait() is None
    here.record(False)
    assert state(product) == "open", "one failure while half-open opens it again"
    pass_time(product)
    for _ in range(2):
        assert here.wait() is None
        here.record(True)
    assert state(product) == "closed"


def test_half_open_lets_exactly_one_of_twenty_through(product: Product) -> None:
    what = guarded(product)
    processes = [Process(product, what) for _ in range(20)]
    processes[0].fail(3)
    pass_time(product)
    with ThreadPoolExecutor(20) as pool:
        waits = list(pool.map(Process.wait, processes))
    assert waits.count(None) == 1


def test_a_probe_without_an_outcome_is_given_back(product: Product) -> None:
    process, other = (Process(product, what) for what in [guarded(product)] for _ in range(2))
    process.fail(3)
    pass_time(product)
    assert process.wait() is None
    assert other.wait() == 1.0
    other.record(None)
    assert other.wait() == 1.0, "only by whoever it is"
    process.record(None)
    assert other.wait() is None


@pytest.mark.parametrize("late", [True, False, None])
def test_what_began_before_it_opened_is_not_taken_for_the_probe(product: Product, late: bool | None) -> None:
    what = guarded(product)
    slow, probe = Process(product, what), Process(product, what)
    assert slow.wait() is None
    probe.fail(3)
    pass_time(product)
    assert probe.wait() is None
    slow.record(late)
    assert state(product) == "half-open"
    assert Process(product, what).wait() == 1.0, "the probe is still under way"
    probe.record(True)
    assert Process(product, what).wait() is None, "the second of two"


def test_a_probe_may_take_its_time_and_one_of_a_process_that_died_is_replaced(product: Product) -> None:
    what = guarded(product)
    slow, other = Process(product, what, seconds=3600, lease=1.5), Process(product, what)
    slow.fail(3)
    pass_time(product)
    assert slow.wait() is None
    for _ in range(10):
        time.sleep(0.25)
        assert other.wait() == 1.0, "it is renewed for as long as it is under way"
    slow.breakers.store = AWAY
    until(lambda: other.wait() is None, 5)
    slow.breakers.store = product.core.engine
    slow.record(True)
    assert state(product) == "half-open", "it was given up"
    other.record(False)
    assert state(product) == "open"


def test_a_probe_is_held_for_no_longer_than_the_work_of_its_process(product: Product) -> None:
    what = guarded(product)
    process = Process(product, what, seconds=3600)
    process.fail(3)
    pass_time(product)
    assert process.wait() is None
    [row] = product.rows("SELECT extract(epoch FROM probe_until - now())::float AS seconds FROM breakers")
    assert row.seconds <= claims.LEASE_SECONDS


def test_a_probe_that_nobody_ended_is_not_renewed_for_ever(product: Product) -> None:
    what, now = guarded(product), [100.0]
    forgotten = Process(product, what, seconds=30, lease=0.9, monotonic=lambda: now[0])
    other = Process(product, what)
    forgotten.fail(3)
    pass_time(product)
    assert forgotten.wait() is None
    time.sleep(1.2)
    assert other.wait() == 1.0
    now[0] += 60
    until(lambda: other.wait() is None, 5)


def test_the_bucket_is_one_for_all_processes(redis_url: str) -> None:
    figures, integration = RateFigures(5, 0.001), uuid4()
    processes = [Buckets(redis.Redis.from_url(redis_url)) for _ in range(4)]
    waits = [each.wait(1, integration, figures) for _ in range(3) for each in processes]
    assert waits.count(None) == 5
    assert all(wait is None or wait > 100 for wait in waits)
    assert processes[0].wait(2, uuid4(), figures) is None, "another integration has its own"


def test_without_redis_each_process_has_its_share() -> None:
    now = [100.0]
    buckets = Buckets(redis.Redis.from_url("redis://127.0.0.1:1/0"), monotonic=lambda: now[0])
    figures, integration = RateFigures(10, 2), uuid4()
    assert [buckets.wait(1, integration, figures) for _ in range(5)] == [None] * 5
    assert buckets.wait(1, integration, figures) == pytest.approx(1.0)
    now[0] += 1
    assert buckets.wait(1, integration, figures) is None


@pytest.mark.parametrize(("capacity", "sharers"), [(1, 2), (2, 3), (20, 21), (100, 3)])
def test_without_redis_a_share_below_one_token_still_comes_to_one(capacity: int, sharers: int) -> None:
    now = [100.0]
    counted = Sharers(None)
    counted.count = sharers
    buckets, integration = Buckets(None, counted, monotonic=lambda: now[0]), uuid4()
    granted = 0
    for _ in range(6000):
        granted += buckets.wait(1, integration, RateFigures(capacity, 10)) is None
        now[0] += 0.1
    fair = 600 * 10 / sharers
    assert 0.9 * fair <= granted <= fair + max(1, capacity / sharers)


def test_where_there_is_nothing_to_ask_nobody_is_asked(product: Product) -> None:
    gate, what = product.core.gate, uuid4()
    link = Link(product.scope.workspace_id, what, policy_of({"policy": "communication-gateway"}))
    assert not gate.clear(link)
    assert gate.wait(link, Ticket(30)) is None
    assert gate.clear(link)
    assert not gate.clear(replace(link, own=Limited(uuid4(), RateFigures(1, 1))))
    for policy in ("sales-system", {"concurrency": 1}):
        assert not gate.clear(replace(link, policy=policy_of({"policy": policy})))


def through_integration(product: Product, receiver: Receiver, policy: Any, **webhook: Any) -> None:
    integration = Integration(new_uuid())
    body = {"name": "api", "plugin": "http", "config": {"base_url": receiver.url + "/base"}, "policy": policy}
    with product.tx() as tx:
        integration.create("api", body, 1, {})
        integration.activate()
        SqlRepository("integrations", Integration).add(tx, integration)
    product.webhook("hook", "", integration="api", request={"method": "PUT", "path": "/orders"}, **webhook)


def test_a_delivery_goes_through_its_integration(product: Product, receiver: Receiver) -> None:
    through_integration(product, receiver, "sales-system")
    product.publish({"n": 1})
    with product.worker():
        [hit] = receiver.wait(1)
        until(lambda: product.states() == {"delivered": 1})
    assert hit.path == "/base/orders"


def test_a_request_that_was_not_sent_does_not_close_a_breaker(product: Product, receiver: Receiver) -> None:
    receiver.url = "http://10.1.2.3"
    through_integration(product, receiver, {"breaker": {"failures": 3, "successes": 1}})
    [row] = product.rows("SELECT id FROM integrations")
    Process(product, Guarded(product.scope.workspace_id, row.id, FIGURES)).fail(3)
    pass_time(product)
    product.publish({"n": 1})
    with product.worker():
        until(lambda: product.states() == {"dead": 1})
    assert [each.code for each in product.rows("SELECT error ->> 'code' AS code FROM dead_letters")] == [
        "ADDRESS_REFUSED"
    ]
    [breaker] = product.rows("SELECT state, failures, probe FROM breakers")
    assert (breaker.state, breaker.failures, breaker.probe) == ("half-open", 3, None)


def test_an_open_breaker_postpones_and_burns_no_attempt(product: Product, receiver: Receiver) -> None:
    receiver.answer = Answer(503)
    policy = {"breaker": {"failures": 2, "reset": "1m"}, "retry": {"attempts": 5, "initial": "1h", "max": "1h"}}
    through_integration(product, receiver, policy)
    product.publish({"n": 1}, {"n": 2})
    with product.worker():
        until(lambda: len(product.rows("SELECT 1 FROM deliveries WHERE attempts = 1")) == 2)
        until(lambda: state(product) == "open")
        product.publish({"n": 3})
        until(lambda: product.rows("SELECT 1 FROM deliveries WHERE reason = 'breaker'"))
        [row] = product.rows(
            "SELECT d.attempts, due.claims FROM deliveries d JOIN due ON due.ref = d.id WHERE reason = 'breaker'"
        )
        assert (row.attempts, row.claims) == (0, 0)
        assert len(receiver.hits) == 2
        receiver.answer = Answer(204)
        pass_time(product)
        product.hurry()
        until(lambda: "delivered" in product.states())


def test_what_an_open_breaker_postponed_goes_again_by_itself_at_its_reset(product: Product, receiver: Receiver) -> None:
    receiver.answers = [Answer(503)]
    policy = {"breaker": {"failures": 1, "reset": "2s"}, "retry": {"attempts": 3, "initial": "10ms", "max": "10ms"}}
    through_integration(product, receiver, policy)
    product.publish({"n": 1})
    with product.worker():
        until(lambda: product.rows("SELECT 1 FROM breakers WHERE state = 'open'"))
        product.publish(*[{"n": n} for n in range(5)])
        until(lambda: product.rows("SELECT 1 FROM deliveries WHERE reason = 'breaker'"))
        until(lambda: product.states() == {"delivered": 6})
    assert state(product) == "closed"
    assert sum(row.attempts for row in product.rows("SELECT attempts FROM deliveries")) == len(receiver.hits) == 7


def test_without_the_database_no_attempt_is_burned(product: Product, receiver: Receiver) -> None:
    through_integration(product, receiver, "default")
    breakers = product.core.gate.breakers
    store, breakers.store = breakers.store, AWAY
    product.publish({"n": 1})
    with product.worker():
        until(lambda: product.rows("SELECT 1 FROM deliveries WHERE reason = 'database' AND attempts = 0"))
        breakers.store = store
        until(lambda: product.states() == {"delivered": 1})
    assert product.rows("SELECT attempts FROM deliveries")[0].attempts == 1


def test_a_rate_postpones(product: Product, receiver: Receiver) -> None:
    through_integration(product, receiver, {"rate_limit": {"capacity": 2, "per_second": 0.001}})
    product.publish(*[{"n": n} for n in range(4)])
    with product.worker():
        until(lambda: product.rows("SELECT 1 FROM deliveries WHERE reason = 'rate' AND attempts = 0"))
    assert 1 <= len(receiver.hits) <= 2


def test_a_webhook_has_a_rate_of_its_own_with_an_integration_and_without(product: Product, receiver: Receiver) -> None:
    rate = {"capacity": 2, "per_second": 0.001}
    through_integration(product, receiver, "default", rate_limit=rate)
    product.webhook("slow", receiver.url + "/slow", rate_limit=rate)
    product.webhook("free", receiver.url + "/free")
    product.publish(*[{"n": n} for n in range(4)])
    with product.worker():
        until(lambda: product.states().get("delivered", 0) >= 6)
        until(lambda: len(product.rows("SELECT 1 FROM deliveries WHERE reason = 'rate' AND attempts = 0")) == 6)
    paths = [hit.path for hit in receiver.hits]
    assert [paths.count(each) for each in ("/free", "/slow", "/base/orders")] == [4, 1, 1]


def test_a_paused_integration_holds_its_webhooks_deliveries(product: Product, receiver: Receiver) -> None:
    through_integration(product, receiver, "default")
    repository = SqlRepository("integrations", Integration)

    def act(action: Any) -> None:
        with product.tx() as tx:
            integration = repository.get(tx, "api")
            integration.act(action)
            repository.save(tx, integration)

    act("pause")
    product.publish({"n": 1})
    with product.worker():
        until(lambda: product.states() == {"held": 1})
        act("resume")
        until(lambda: product.states() == {"delivered": 1}, 20)
