"""A delivery that is lost goes another way, once, whoever dies; what became of it stands at the delivery."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from server.authoring.check import check
from server.documents.catalog import FixedCatalog
from server.documents.reading import File
from server.integrations.aggregate import Integration
from server.integrations.plugins import discover
from server.integrations.spec import plugin_facts
from server.kernel.ids import new_uuid, show
from server.operations import retention
from server.store.repository import SqlRepository
from server.webhooks import usecases
from tests.support.product import until
from tests.support.receiver import Answer, Receiver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.product import Product

WITH = {"method": {"value": "POST"}, "path": {"value": "/lost"}, "json": {"order": "data.n", "of": "event.type"}}
FALLBACK = {"call": "other.request.send", "with": WITH}
ONCE = {"schedule": ["10ms"], "jitter": 0}


@pytest.fixture
def other() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


def declare(product: Product, receiver: Receiver, other: Receiver, **more: Any) -> None:
    integration = Integration(new_uuid())
    policy = {"retry": {"attempts": 3, "initial": "10ms", "max": "10ms"}, "breaker": {"failures": 100}}
    with product.tx() as tx:
        body = {"name": "other", "plugin": "http", "config": {"base_url": other.url}, "policy": policy}
        integration.create("other", body, 1, {})
        integration.activate()
        SqlRepository("integrations", Integration).add(tx, integration)
    receiver.answer = Answer(500)
    product.webhook("hook", receiver.url, **({"retry": ONCE, "fallback": FALLBACK} | more))


def the_delivery(product: Product) -> Any:
    return product.rows("SELECT id, state, reason, attempts, error FROM deliveries")[0]


def test_a_delivery_that_is_exhausted_goes_another_way(product: Product, receiver: Receiver, other: Receiver) -> None:
    declare(product, receiver, other)
    product.publish({"n": 7})
    with product.worker():
        [hit] = other.wait(1)
        until(lambda: product.states() == {"discarded": 1})
    row = the_delivery(product)
    message = product.rows("SELECT message_id FROM deliveries")[0].message_id
    assert (hit.path, hit.body) == ("/lost", b'{"order": 7, "of": "order.created"}')
    lost = show("dead", product.rows("SELECT id FROM dead_letters")[0].id)
    assert hit.headers["idempotency-key"] == f"{message}:fallback:{lost}"
    assert (
        hit.headers["x-correlation-id"]
        == product.rows("SELECT correlation_id FROM events WHERE type = 'order.created'")[0].correlation_id
    )
    assert (row.reason, row.attempts, row.error["code"]) == ("fallback", 2, "DELIVERY_EXHAUSTED")
    assert row.error["details"]["fallback"] == {"call": "other.request.send", "outcome": "done"}
    [letter] = product.rows("SELECT reason, resolution, resolved_by FROM dead_letters")
    assert letter == ("exhausted", "fallback", "worker"), "the dead letter is kept, and resolved"
    assert product.rows("SELECT 1 FROM due") == []


def test_a_fallback_has_the_tries_of_its_own_integration_under_one_key(
    product: Product, receiver: Receiver, other: Receiver
) -> None:
    declare(product, receiver, other)
    other.answers = [Answer(503), Answer(503)]
    product.publish({"n": 1})
    with product.worker():
        until(lambda: product.states() == {"discarded": 1})
    assert len(other.hits) == 3
    assert len({hit.headers["idempotency-key"] for hit in other.hits}) == 1


@pytest.mark.parametrize(("status", "hits", "code"), [(503, 3, "UPSTREAM_FAILED"), (400, 1, "UPSTREAM_REFUSED")])
def test_a_fallback_that_fails_leaves_the_dead_letter_with_both_errors(
    product: Product, receiver: Receiver, other: Receiver, status: int, hits: int, code: str
) -> None:
    declare(product, receiver, other)
    other.answer = Answer(status)
    product.publish({"n": 1})
    with product.worker():
        until(lambda: (the_delivery(product).error or {}).get("details", {}).get("fallback"))
    row = the_delivery(product)
    [letter] = product.rows("SELECT resolved_at, error FROM dead_letters")
    assert (row.state, row.reason, len(other.hits)) == ("dead", "exhausted", hits)
    assert letter.resolved_at is None
    for error in (row.error, letter.error):
        assert error["details"]["last"]["details"]["status"] == 500
        assert (error["details"]["fallback"]["outcome"], error["details"]["fallback"]["error"]["code"]) == (
            "failed",
            code,
        )


@pytest.mark.parametrize("waits", ["in order", "parked", "paused"])
def test_what_expires_without_being_tried_goes_another_way(
    product: Product, receiver: Receiver, other: Receiver, waits: str
) -> None:
    declare(product, receiver, other, order_by="data.key", on_stuck="park" if waits == "parked" else "block")
    product.settle()
    if waits == "paused":
        product.act("hook", "pause")
    product.publish(*[{"n": n, "key": "a"} for n in range(3)])
    state = "held" if waits == "parked" else None
    with product.core.engine.engine.begin() as conn:
        conn.execute(text("UPDATE due SET due_at = 'infinity' WHERE kind = 'delivery'"))
        conn.execute(
            text(
                "UPDATE deliveries SET expires_at = now() - interval '1 second', state = coalesce(:state, state), reason = :reason"
            ),
            {"state": state, "reason": state and "parked"},
        )
    assert retention.expire_waiting(product.core.engine) + retention.expire_held(product.core.engine) == 3
    with product.worker():
        until(lambda: product.states() == {"discarded": 3})
    assert sorted(json.loads(hit.body)["order"] for hit in other.hits) == [0, 1, 2]
    assert {row.resolution for row in product.rows("SELECT resolution FROM dead_letters")} == {"fallback"}


def test_one_that_expires_again_without_a_try_has_its_fallback_called_again(
    product: Product, receiver: Receiver, other: Receiver
) -> None:
    declare(product, receiver, other, order_by="data.key")
    other.answers = [Answer(404)]
    product.publish({"n": 1, "key": "a"})
    for state in ("dead", "discarded"):
        with product.core.engine.engine.begin() as conn:
            conn.execute(text("UPDATE due SET due_at = 'infinity' WHERE kind = 'delivery'"))
            conn.execute(text("UPDATE deliveries SET expires_at = now() - interval '1 second'"))
        assert retention.expire_waiting(product.core.engine) == 1
        with product.worker():
            until(lambda: not product.rows("SELECT 1 FROM due WHERE kind = 'fallback'"))
        assert product.states() == {state: 1}
        if state == "dead":
            product.client().post("/api/v1/dead-letters/retry", json={"owner": "webhook/hook"})
    assert (len(other.hits), receiver.hits) == (2, [])


def test_a_removed_webhook_owes_no_fallback(product: Product, receiver: Receiver, other: Receiver) -> None:
    declare(product, receiver, other)
    product.act("hook", "pause")
    product.publish({"n": 1})
    product.act("hook", "archive")
    with product.core.engine.engine.begin() as conn:
        conn.execute(text("UPDATE deliveries SET expires_at = now() - interval '1 second'"))
    assert retention.expire_held(product.core.engine) == 1
    assert product.rows("SELECT 1 FROM due WHERE kind = 'fallback'") == []


@pytest.mark.parametrize("path", ["/dead-letters/{letter}/retry", "/deliveries/{delivery}/retry", "/replays"])
def test_what_a_person_tries_anew_and_is_lost_again_calls_its_fallback_anew(
    product: Product, receiver: Receiver, other: Receiver, path: str
) -> None:
    declare(product, receiver, other)
    other.answers = [Answer(404), Answer(503)]
    product.publish({"n": 1})
    with product.worker():
        until(lambda: (the_delivery(product).error or {}).get("details", {}).get("fallback"))
        [letter] = product.rows("SELECT id, ref FROM dead_letters")
        names = {"letter": show("dead", letter.id), "delivery": show("dlv", letter.ref)}
        asked = {"filter": {"deliveries": [names["delivery"]]}} if path == "/replays" else None
        answer = product.client().post(f"/api/v1{path.format(**names)}", json=asked)
        assert answer.status_code == 202, answer.json
        until(lambda: product.rows("SELECT 1 FROM deliveries WHERE reason = 'fallback'"))
    keys = [hit.headers["idempotency-key"] for hit in other.hits]
    assert len(keys) == 3
    assert keys[1] == keys[2] != keys[0]


@pytest.mark.parametrize("status", [400, 410])
def test_a_refusal_owes_no_fallback(product: Product, receiver: Receiver, other: Receiver, status: int) -> None:
    declare(product, receiver, other)
    receiver.answer = Answer(status)
    product.publish({"n": 1})
    with product.worker():
        until(lambda: product.states() == {"dead": 1})
    assert product.rows("SELECT 1 FROM due WHERE kind = 'fallback'") == []


def test_what_is_next_in_order_goes_once_the_fallback_has_succeeded(
    product: Product, receiver: Receiver, other: Receiver
) -> None:
    declare(product, receiver, other, order_by="data.key")
    receiver.answers = [Answer(500), Answer(500)]
    receiver.answer = Answer()
    product.publish({"n": 1, "key": "a"}, {"n": 2, "key": "a"})
    with product.worker():
        until(lambda: product.states() == {"discarded": 1, "delivered": 1})
    assert len(other.hits) == 1


def test_a_fallback_waits_while_its_integration_rests(product: Product, receiver: Receiver, other: Receiver) -> None:
    declare(product, receiver, other)
    repository = SqlRepository("integrations", Integration)
    for action in ("pause", "resume"):
        with product.tx() as tx:
            integration = repository.get(tx, "other")
            integration.act(action)
            repository.save(tx, integration)
        if action == "pause":
            product.publish({"n": 1})
            with product.worker():
                until(
                    lambda: product.rows(
                        "SELECT 1 FROM due WHERE kind = 'fallback' AND NOT leased AND claims = 0 AND due_at > now()"
                    )
                )
            assert other.hits == []
    product.hurry()
    with product.worker():
        until(lambda: product.states() == {"discarded": 1})


def held_up(answer: Answer) -> tuple[threading.Event, threading.Event, Callable[[Any], Answer]]:
    """Return when a request has come, what lets it be answered, and the receiver's answer that waits for that."""
    begun, release = threading.Event(), threading.Event()

    def hold(_: Any) -> Answer:
        begun.set()
        release.wait(10)
        return answer

    return begun, release, hold


def test_who_retries_the_delivery_takes_it_from_the_fallback(
    product: Product, receiver: Receiver, other: Receiver
) -> None:
    declare(product, receiver, other)
    begun, release, hold = held_up(Answer())
    other.answer = hold
    product.publish({"n": 1})
    with product.worker():
        assert begun.wait(10)
        receiver.answer = Answer()
        with product.tx() as tx:
            usecases.retry(tx, product.core.reopening, the_delivery(product).id)
        until(lambda: product.states() == {"delivered": 1})
        release.set()
        until(lambda: not product.rows("SELECT 1 FROM due"))
    row = the_delivery(product)
    assert (row.state, row.reason, row.error) == ("delivered", None, None), "a late fallback changes nothing"


def refused_by_retry(product: Product, receiver: Receiver) -> None:
    """Try the dead delivery again, against a receiver that refuses it by now."""
    receiver.answer = Answer(400)
    with product.tx() as tx:
        usecases.retry(tx, product.core.reopening, the_delivery(product).id)
    until(lambda: product.rows("SELECT 1 FROM dead_letters WHERE reason = 'refused'"))


def assert_left_as_refused(product: Product) -> None:
    until(lambda: not product.rows("SELECT 1 FROM due"))
    row = the_delivery(product)
    letters = product.rows("SELECT reason, resolution, error FROM dead_letters ORDER BY id")
    assert (row.state, row.reason, row.error["code"]) == ("dead", "refused", "HTTP_STATUS")
    assert [each[:2] for each in letters] == [("exhausted", "replayed"), ("refused", None)]
    assert all("fallback" not in error["details"] for error in (row.error, letters[1].error))


def test_a_fallback_that_waits_is_not_called_for_a_later_refusal(
    product: Product, receiver: Receiver, other: Receiver
) -> None:
    declare(product, receiver, other)
    repository = SqlRepository("integrations", Integration)
    with product.tx() as tx:
        integration = repository.get(tx, "other")
        integration.act("pause")
        repository.save(tx, integration)
    product.publish({"n": 1})
    with product.worker():
        until(lambda: product.rows("SELECT 1 FROM due WHERE kind = 'fallback' AND NOT leased AND due_at > now()"))
        refused_by_retry(product, receiver)
        with product.tx() as tx:
            integration = repository.get(tx, "other")
            integration.act("resume")
            repository.save(tx, integration)
        product.hurry()
        assert_left_as_refused(product)
    assert other.hits == []


@pytest.mark.parametrize("status", [204, 400])
def test_a_fallback_under_way_says_nothing_of_a_later_refusal(
    product: Product, receiver: Receiver, other: Receiver, status: int
) -> None:
    declare(product, receiver, other)
    begun, release, hold = held_up(Answer(status))
    other.answer = hold
    product.publish({"n": 1})
    with product.worker():
        assert begun.wait(10)
        refused_by_retry(product, receiver)
        release.set()
        assert_left_as_refused(product)


def test_a_worker_that_dies_in_between_does_not_make_it_twice(
    product: Product, receiver: Receiver, other: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(product, receiver, other)
    product.publish({"n": 1})
    with monkeypatch.context() as dying:
        dying.setattr("server.webhooks.fallbacks._One._done", lambda *_: None)  # dead between the call and its outcome
        with product.worker():
            other.wait(1)
            until(lambda: product.rows("SELECT 1 FROM call_results WHERE finished_at IS NOT NULL"))
    with product.core.engine.engine.begin() as conn:
        conn.execute(text("UPDATE due SET due_at = now()"))
    with product.worker():
        until(lambda: product.states() == {"discarded": 1})
    assert len(other.hits) == 1


def test_nobody_calls_the_integration_of_another_workspace(
    product: Product, receiver: Receiver, other: Receiver
) -> None:
    declare(product, receiver, other)
    rival = product.workspace("rival", "default")
    product.webhook("theirs", receiver.url, rival, retry=ONCE, fallback=FALLBACK)
    product.publish({"n": 1}, scope=rival)
    with product.worker():
        until(lambda: (the_delivery(product).error or {}).get("details", {}).get("fallback"))
    assert the_delivery(product).error["details"]["fallback"]["error"]["code"] == "NOT_FOUND"
    assert other.hits == []


DOCUMENTS = """\
kind: Integration
name: other
plugin: http
config: {base_url: https://other.example.com}
---
kind: EventType
name: order.created
schema: {type: object, additionalProperties: false, properties: {n: {type: integer}}}
---
kind: Webhook
name: hook
direction: outbound
url: https://hook.example.com/
events: [order.created]
"""


@pytest.mark.parametrize(
    ("fallback", "code"),
    [
        ("{call: other.request.send, with: {path: {value: /lost}, json: data}}", None),
        ("{call: other.request.send, with: {path: {value: /lost}, json: data.m}}", "PATH_UNKNOWN"),
        ("{call: other.request.send}", "MISSING_KEY"),
        ("{call: gone.request.send, with: {path: {value: /lost}}}", "UNKNOWN_REFERENCE"),
        ("{call: other.request.send, with: {json: data}}", "MISSING_KEY"),
        ("{value: 1}", "UNKNOWN_KEY"),
    ],
)
def test_a_declared_fallback_is_checked(fallback: str, code: str | None) -> None:
    file = File("a.yaml", f"{DOCUMENTS}fallback: {fallback}\n".encode())
    result = check([file], FixedCatalog(plugins=plugin_facts(discover())))
    assert (code is None and not result.findings) or code in [each.code for each in result.findings]
