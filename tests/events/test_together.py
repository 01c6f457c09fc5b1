"""Requests that wait share the next transaction; each is answered for itself."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import pytest

from server.events.envelope import NewEvent
from server.events.together import LEADERS, MOST, Together
from server.kernel.errors import Conflict, Unavailable
from server.store import Cause

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from server.events.envelope import Published
    from server.store import Tx
    from tests.support.product import Product

WHO: ContextVar[str] = ContextVar("WHO", default="nobody")


class Crowd:
    """Publishes from many threads at once, while what publishes is held up so that they gather."""

    def __init__(self, product: Product) -> None:
        self.product = product
        self.together = Together(product.core.tenant, product.core.publisher, product.core.at_once)
        self.held = threading.Event()
        self.transactions: list[int] = []
        publish = product.core.publisher.publish

        def slowly(tx: Tx, news: Sequence[NewEvent]) -> list[Published]:
            self.transactions.append(len(news))
            self.held.wait(10)
            return publish(tx, news)

        product.core.publisher.publish = slowly

    def one(self, new: NewEvent, finish: Callable[[Tx, list[Published]], Any] | None = None, who: str = "one") -> Any:
        WHO.set(who)
        cause = Cause("token:test", f"cor_{who}")
        return self.together.publish(self.product.scope, cause, lambda _: [new], finish or (lambda _, made: made[0]))

    def all(self, work: Sequence[Callable[[], Any]]) -> list[Any]:
        """Start all of it, let them gather, and return what each returned or raised."""
        with ThreadPoolExecutor(len(work)) as pool:
            futures = [pool.submit(each) for each in work]
            time.sleep(0.3)
            self.held.set()
            return [each.exception(20) or each.result() for each in futures]


@pytest.fixture
def crowd(product: Product) -> Crowd:
    return Crowd(product)


def new(number: int, id_: str | None = None, data: str | None = None) -> NewEvent:
    return NewEvent(type="order.created", data=data or f'{{"n": {number}}}', id=id_ or f"e-{number}")


def test_those_that_wait_share_a_transaction_and_each_gets_its_own_answer(crowd: Crowd) -> None:
    made = crowd.all([lambda n=n: crowd.one(new(n), who=f"who-{n}") for n in range(30)])
    assert [each.id for each in made] == [f"e-{n}" for n in range(30)]
    assert not any(each.duplicate for each in made)
    assert sorted(crowd.transactions)[:LEADERS] == [1] * LEADERS
    assert len(crowd.transactions) <= LEADERS + 2
    rows = crowd.product.rows(
        "SELECT id, correlation_id, principal FROM events WHERE type = 'order.created' ORDER BY id"
    )
    assert {row.id: row.correlation_id for row in rows} == {f"e-{n}": f"cor_who-{n}" for n in range(30)}
    assert {row.principal for row in rows} == {"token:test"}


def test_one_that_conflicts_fails_alone(crowd: Crowd) -> None:
    work = [lambda n=n: crowd.one(new(n)) for n in range(10)]
    work.insert(6, lambda: crowd.one(new(99, "e-3", '{"other": 1}')))
    work.insert(8, lambda: crowd.one(new(3)))
    made = crowd.all(work)
    refused = [each for each in made if isinstance(each, Conflict)]
    twice = sum(1 for each in made if not isinstance(each, Conflict) and each.duplicate)
    # Whichever of the three with one id came first: the two alike are the first and its duplicate, or both are refused.
    assert ([each.code for each in refused], twice) in ((["EVENT_CONFLICT"], 1), (["EVENT_CONFLICT"] * 2, 0))
    assert len(crowd.product.rows("SELECT FROM events WHERE type = 'order.created'")) == 10


def test_what_follows_runs_in_the_context_of_its_own_request_and_in_its_transaction(crowd: Crowd) -> None:
    def finish(tx: Tx, made: list[Published]) -> tuple[str, str]:
        if WHO.get() == "who-7":
            raise Conflict("not this one")
        tx.run("INSERT INTO event_keys VALUES (:workspace_id, 'done', :id, 'x', gen_random_uuid())", id=made[0].id)
        return WHO.get(), made[0].id

    made = crowd.all([lambda n=n: crowd.one(new(n), finish, f"who-{n}") for n in range(12)])
    assert [each for n, each in enumerate(made) if n != 7] == [(f"who-{n}", f"e-{n}") for n in range(12) if n != 7]
    assert isinstance(made[7], Conflict)
    assert len(crowd.product.rows("SELECT FROM event_keys WHERE source = 'done'")) == 11
    assert crowd.product.rows("SELECT FROM events WHERE id = 'e-7'") == []


def test_other_principals_do_not_share(crowd: Crowd) -> None:
    def of(name: str, number: int) -> Any:
        cause = Cause(name, "cor_x")
        return crowd.together.publish(crowd.product.scope, cause, lambda _: [new(number)], lambda _, made: made[0])

    crowd.all([lambda n=n: of(f"token:{n % 2}", n) for n in range(20)])
    rows = crowd.product.rows("SELECT id, principal FROM events WHERE type = 'order.created'")
    assert {row.id: row.principal for row in rows} == {f"e-{n}": f"token:{n % 2}" for n in range(20)}


def test_all_are_told_when_the_database_is_away_and_the_line_goes_on_afterwards(crowd: Crowd) -> None:
    publish = crowd.product.core.publisher.publish

    def away(*_: object) -> list[Published]:
        crowd.held.wait(10)
        raise Unavailable("away", code="DATABASE_AWAY", after=1)

    crowd.product.core.publisher.publish = away
    made = crowd.all([lambda n=n: crowd.one(new(n)) for n in range(10)])
    assert {getattr(each, "code", None) for each in made} == {"DATABASE_AWAY"}
    assert len({id(each) for each in made}) == 10
    crowd.product.core.publisher.publish = publish
    assert crowd.one(new(1)).id == "e-1"
    assert crowd.together._lines == {}


def test_one_who_gives_up_waiting_is_not_called_to_lead(crowd: Crowd) -> None:
    crowd.together.wait_seconds = 0.1
    made = crowd.all([lambda n=n: crowd.one(new(n)) for n in range(10)])
    assert sum(isinstance(each, Unavailable) for each in made) == 10 - LEADERS
    assert crowd.together._lines == {}
    assert crowd.one(new(99)).id == "e-99"


def test_a_transaction_has_a_limit(crowd: Crowd) -> None:
    crowd.all([lambda n=n: crowd.one(new(n)) for n in range(2 * MOST + 20)])
    assert max(crowd.transactions) <= MOST
    assert len(crowd.product.rows("SELECT FROM events WHERE type = 'order.created'")) == 2 * MOST + 20
