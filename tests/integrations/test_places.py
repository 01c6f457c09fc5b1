"""`concurrency`: so many calls at a time over all processes, fairly, and no place is lost with a process that dies."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
import redis

from server import bootstrap
from server.integrations.aggregate import Integration
from server.integrations.breakers import Ticket
from server.integrations.buckets import Buckets
from server.integrations.gates import Limited, Link, SharedGate
from server.integrations.places import Places
from server.integrations.policies import RateFigures, policy_of
from server.integrations.sharers import UNKNOWN, Sharers
from server.kernel.ids import new_uuid
from server.store.repository import SqlRepository
from tests.support.product import Product, until
from tests.support.receiver import Answer, Receiver

if TYPE_CHECKING:
    from tests.support.receiver import Hit

NOWHERE = "redis://127.0.0.1:1/0"


@pytest.fixture
def it() -> UUID:
    """An integration of the test's own: places of the one before are renewed for as long as this process lives."""
    return uuid4()


def places(url: str, **more: Any) -> Places:
    return Places(redis.Redis.from_url(url), **more)


def test_the_places_are_those_of_all_processes_together(redis_url: str, it: UUID) -> None:
    here, there = places(redis_url), places(redis_url)
    with ThreadPoolExecutor(20) as pool:
        waits = list(pool.map(lambda n: (here, there)[n % 2].take(1, it, 5), range(20)))
    assert waits.count(None) == 5
    assert here.take(1, uuid4(), 1) is None, "another integration has its own"
    assert here.take(2, it, 1) is None, "and another workspace"
    there.release(1, it)
    assert here.take(1, it, 5) is None
    assert here.take(1, it, 5) is not None


def test_each_that_is_refused_is_sent_behind_the_one_before(redis_url: str, it: UUID) -> None:
    here = places(redis_url)
    assert [here.take(1, it, 2) for _ in range(2)] == [None, None]
    waits = [here.take(1, it, 2) or 0.0 for _ in range(4)]
    assert waits == sorted(waits)
    assert waits[3] == pytest.approx(4 * waits[0], rel=0.3), "as far apart as places come free"
    assert max(here.take(1, it, 2) or 0.0 for _ in range(200)) <= 10.0


def test_a_process_that_dies_leaves_no_place_taken(redis_url: str, it: UUID) -> None:
    dead, alive, other = (places(redis_url, lease=0.3) for _ in range(3))
    dead._renewal.start = lambda: None  # a dead process renews nothing
    assert dead.take(1, it, 2) is None
    assert alive.take(1, it, 2) is None
    assert other.take(1, it, 2) is not None
    time.sleep(0.5)
    assert other.take(1, it, 2) is None, "the dead one's"
    assert other.take(1, it, 2) is not None, "the living one's is renewed"


def test_an_emptied_redis_knows_the_places_again(redis_url: str, it: UUID) -> None:
    here, there = places(redis_url, lease=0.3), places(redis_url)
    assert here.take(1, it, 1) is None
    redis.Redis.from_url(redis_url).flushdb()
    until(lambda: redis.Redis.from_url(redis_url).zcard(f"crossdock:places:1:{it}") == 1, 2)
    assert there.take(1, it, 1) is not None


def test_what_was_given_back_is_not_renewed(redis_url: str, it: UUID) -> None:
    here, there = places(redis_url, lease=0.15), places(redis_url)
    for _ in range(30):
        assert here.take(1, it, 1) is None
        time.sleep(0.01)
        here.release(1, it)
    here.release(1, it)
    time.sleep(0.1)
    assert there.take(1, it, 1) is None


def test_without_redis_each_process_has_its_share_of_the_places(it: UUID) -> None:
    sharers = Sharers(None)
    here = places(NOWHERE, sharers=sharers)
    assert [here.take(1, it, 4) for _ in range(3)] == [None, None, 0.5]
    here.release(1, it)
    assert here.take(1, it, 4) is None
    assert here.take(1, uuid4(), 1) is None, "one at least"
    sharers.count = 1
    assert here.take(1, it, 4) is None


def test_the_share_is_by_how_many_processes_there_were(redis_url: str, it: UUID) -> None:
    now = [100.0]
    many = [Sharers(redis.Redis.from_url(redis_url), monotonic=lambda: now[0]) for _ in range(4)]
    assert {each.count for each in many} == {UNKNOWN}
    for _ in range(2):
        for each in many:
            each.note()
        now[0] += 5
    assert {each.count for each in many} == {4}
    buckets = Buckets(redis.Redis.from_url(NOWHERE), many[0], monotonic=lambda: now[0])
    assert [buckets.wait(1, it, RateFigures(8, 4)) for _ in range(3)] == [None, None, pytest.approx(1.0)]


def test_who_finds_no_token_is_sent_behind_the_one_before(redis_url: str, it: UUID) -> None:
    buckets, figures = Buckets(redis.Redis.from_url(redis_url)), RateFigures(1, 2)
    waits = [buckets.wait(1, it, figures) or 0.0 for _ in range(5)]
    assert waits == pytest.approx([0.0, 0.5, 1.0, 1.5, 2.0], abs=0.2)
    time.sleep(0.6)
    assert buckets.wait(1, it, figures) is None


def test_who_is_refused_by_one_limit_holds_nothing_of_the_others(product: Product, redis_url: str, it: UUID) -> None:
    client = redis.Redis.from_url(redis_url)
    gate = SharedGate(product.core.gate.breakers, Buckets(client), Places(client))
    policy = policy_of({"policy": {"concurrency": 1, "rate_limit": {"capacity": 1, "per_second": 0.001}}})
    own = Limited(uuid4(), RateFigures(2, 0.001))
    link, ticket = Link(product.scope.workspace_id, it, policy, own), Ticket(30)
    assert gate.wait(link, ticket) is None
    assert gate.wait(link, ticket).reason == "concurrency"
    gate.record(link, ticket, succeeded=True)
    for _ in range(3):
        assert gate.wait(link, ticket).reason == "rate"
    assert gate.places.take(link.workspace_id, it, 1) is None, "the place was given back"
    assert gate.wait(Link(link.workspace_id, None, policy, own), ticket) is None, "and the webhook's own token"
    assert gate.wait(Link(link.workspace_id, None, policy, own), ticket).reason == "rate"


def test_deliveries_obey_the_concurrency_of_their_integration(
    database_url: str, redis_url: str, receiver: Receiver
) -> None:
    product = Product(database_url, redis_url)
    under_way, most, lock = [0], [0], threading.Lock()

    def slowly(_: Hit) -> Answer:
        with lock:
            under_way[0] += 1
            most[0] = max(most[0], under_way[0])
        time.sleep(0.05)
        with lock:
            under_way[0] -= 1
        return Answer()

    receiver.answer = slowly
    integration = Integration(new_uuid())
    body = {"name": "api", "plugin": "http", "config": {"base_url": receiver.url}, "policy": {"concurrency": 2}}
    with product.tx() as tx:
        integration.create("api", body, 1, {})
        integration.activate()
        SqlRepository("integrations", Integration).add(tx, integration)
    for name in ("one", "two"):
        product.webhook(name, "", integration="api")
    product.publish(*[{"n": n} for n in range(10)])
    other = bootstrap.core(product.settings)
    with product.worker(), Product.worker(_As(product, other)):
        until(lambda: product.states() == {"delivered": 20}, 20)
    assert most[0] == 2
    assert {row.attempts for row in product.rows("SELECT attempts FROM deliveries")} == {1}, "no attempt was burned"
    product.close()
    other.engine.close()
    other.tenant.close()


class _As:
    """Another process of the same product, as far as its worker goes."""

    def __init__(self, product: Product, core: bootstrap.Core) -> None:
        self.settings, self.core = product.settings, core
