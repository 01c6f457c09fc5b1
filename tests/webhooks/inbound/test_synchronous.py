"""`sync: true`: the answer is made of the events, is the same for a duplicate, and says why nothing was emitted."""

from __future__ import annotations

import dataclasses
import json
import threading
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from server.events.publishing import Publisher
from server.kernel.errors import Unavailable
from server.queue.claims import Claim
from server.webhooks.inbound.synchronous import MapNow
from tests.support.inbound import EMIT, ORDER, change, declare, drained, emitted, letters, request, states, store

if TYPE_CHECKING:
    from collections.abc import Sequence

    from server.events.envelope import NewEvent, Published
    from server.store import Tx
    from tests.support.product import Product

JSON = {"content-type": "application/json"}
KEYED = {"sync": True, "dedupe": {"key": "body.id"}}


def post(product: Product, body: Any, name: str = "orders-in") -> Any:
    return product.receive(name, json.dumps(body).encode(), JSON)


def test_a_sender_is_answered_with_the_events(product: Product) -> None:
    product.webhook("out", "http://127.0.0.1:9/")
    declare(product, **KEYED)
    answer = post(product, ORDER)
    [event] = emitted(product)
    assert answer.status == 200
    assert answer.json["id"].startswith("req_")
    data = {"order": 42, "total": "20.00"}
    assert answer.json["events"] == [{"id": event.id, "type": "order.created", "subject": "42", "data": data}]
    assert (states(product), product.states()) == ({"emitted": 1}, {"pending": 1})
    assert product.rows("SELECT 1 FROM due WHERE kind = 'inbound'") == []


def test_the_definition_makes_the_answer(product: Product) -> None:
    made = {"status": 201, "map": {"number": "events[0].subject", "echo": "body.total", "way": "request.method"}}
    declare(product, **KEYED, answer={**made, "headers": {"X-Way": "in"}, "content_type": "application/vnd.shop+json"})
    for answer in (post(product, ORDER), post(product, ORDER)):
        assert (answer.status, answer.json) == (201, {"number": "42", "echo": "20.00", "way": "POST"})
        assert answer.headers.items() >= {"content-type": "application/vnd.shop+json", "x-way": "in"}.items()


def test_what_emits_nothing_is_answered_without_events(product: Product) -> None:
    declare(product, **KEYED, when="body.go")
    answer = post(product, ORDER)
    assert (answer.status, answer.json["events"], states(product)) == (200, [], {"skipped": 1})


def test_what_cannot_be_mapped_is_answered_422_and_stays_a_dead_letter(product: Product) -> None:
    hook = {"emit": {**EMIT, "data": {"order": {"from": "body.nr", "required": True}}}}
    declare(product, **KEYED, **hook)
    answer = post(product, ORDER)
    assert (answer.status, answer.headers["content-type"]) == (422, "application/problem+json")
    assert (answer.json["code"], answer.json["details"]["pointer"]) == ("EXPR_MISSING", ["emit", "data", "order"])
    [letter] = letters(product)
    assert (letter.reason, letter.error["code"]) == ("mapping", "EXPR_MISSING")
    again = post(product, ORDER)
    assert (again.status, again.body) == (answer.status, answer.body), "a duplicate is answered as the first was"
    change(product, "orders-in", emit=EMIT)
    with product.tx() as tx:
        product.core.reopens["inbound"].reopen(tx, [letter.ref])
    drained(product)
    assert request(product, letter.ref).state == "emitted"


def test_a_duplicate_is_answered_as_the_first_was_and_emits_nothing(product: Product) -> None:
    declare(product, **KEYED)
    first, second = post(product, ORDER), post(product, ORDER)
    assert (second.status, second.headers, second.body) == (first.status, first.headers, first.body)
    assert (len(emitted(product)), states(product)) == (1, {"emitted": 1})


def test_many_of_one_key_at_once_emit_once(product: Product) -> None:
    declare(product, **KEYED)
    post(product, {**ORDER, "id": 1})  # what receives is built once
    answers: list[Any] = []
    threads = [threading.Thread(target=lambda: answers.append(post(product, ORDER))) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert {each.status for each in answers} <= {200, 503}, "503 while the first is being mapped"
    assert len({each.body for each in answers if each.status == 200}) == 1
    assert len(emitted(product)) == 2


def test_an_answer_that_cannot_be_made_gives_way_to_the_plain_one(product: Product) -> None:
    declare(product, **KEYED, answer={"map": {"n": {"from": "body.missing", "required": True}}})
    answer = post(product, ORDER)
    assert (answer.status, len(answer.json["events"])) == (200, 1)
    [row] = product.rows("SELECT state, reason, error FROM inbound_requests")
    assert (row.state, row.reason, row.error["details"]["pointer"]) == ("emitted", "answer", ["answer", "map", "n"])
    assert letters(product) == []


def test_when_the_process_dies_a_worker_maps_it_and_who_asks_again_gets_the_answer(product: Product) -> None:
    declare(product, **KEYED)

    class Dying(Publisher):
        def publish(self, tx: Tx, news: Sequence[NewEvent]) -> list[Published]:
            super().publish(tx, news)
            raise Unavailable("gone", after=1)

    core, own = product.core, product.core.publisher
    product.core = dataclasses.replace(core, publisher=Dying(own.clock, own.catalogue, own.owes))
    product.receipt()
    product.core = core
    assert post(product, ORDER).status == 503
    assert post(product, ORDER).status == 503, "the worker's turn comes when the lease ends"
    assert emitted(product) == []
    with product.core.engine.connect() as conn:
        conn.execute(text("UPDATE due SET due_at = now() - interval '1 second' WHERE kind = 'inbound'"))
    drained(product)
    answer = post(product, ORDER)
    [event] = emitted(product)
    assert (answer.status, [each["id"] for each in answer.json["events"]]) == (200, [event.id])


def test_whoever_lost_its_lease_to_a_worker_publishes_nothing(product: Product) -> None:
    hook = declare(product, **KEYED)
    [one] = store(product, hook, ORDER)
    drained(product)
    with pytest.raises(Unavailable):
        MapNow(product.core.engine, product.core.publisher)(
            product.scope, Claim(one, product.scope.workspace_id, hook.id, 1, 1)
        )
    assert len(emitted(product)) == 1


def test_while_it_is_paused_it_answers_at_once_and_maps_later(product: Product) -> None:
    declare(product, **KEYED)
    product.act("orders-in", "pause")
    answer = post(product, ORDER)
    assert (answer.status, "events" in answer.json) == (202, False)
    product.act("orders-in", "resume")
    product.settle()
    drained(product)
    assert len(emitted(product)) == 1


def test_an_answer_without_content_has_none(product: Product) -> None:
    declare(product, **KEYED, answer={"status": 204})
    for answer in (post(product, ORDER), post(product, ORDER)):
        assert (answer.status, answer.body) == (204, b"")
    assert len(emitted(product)) == 1
