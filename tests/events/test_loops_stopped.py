"""Loops end as dead letters that say why and can be replayed; a burst is no loop."""

from __future__ import annotations

import json
from itertools import count, cycle
from typing import TYPE_CHECKING, Any

import pytest

from server.events import hops
from server.events.envelope import NewEvent
from server.events.hops import Hop
from server.events.loops import MOST_ECHOES, MOST_HOPS, MOST_PASSES, Trail
from server.store import Cause
from tests.support.product import Product, until
from tests.support.receiver import Answer, Hit

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.receiver import Receiver


def letters(product: Product) -> list[dict[str, Any]]:
    return product.client().get("/api/v1/dead-letters").json["items"]


def back(product: Product, *, headers: Callable[[Hit], dict[str, str]] = lambda _: {}) -> Callable[[Hit], Answer]:
    """Be a system that answers each delivery with an event of the same type and subject."""

    def answer(hit: Hit) -> Answer:
        event = {"type": "order.changed", "subject": "SO-1", "data": json.loads(hit.body)["data"]}
        return Answer(product.client().post("/api/v1/events", json=event, headers=headers(hit)).status_code)

    return answer


def crossdock(hit: Hit) -> dict[str, str]:
    return {name: value for name, value in hit.headers.items() if name in hops.HEADERS}


def test_a_chain_over_http_is_refused_after_five_hops_and_its_delivery_is_dead(
    product: Product, receiver: Receiver
) -> None:
    receiver.answer = back(product, headers=crossdock)
    product.webhook("hook", receiver.url, events=["order.changed"])
    product.publish({"n": 1}, type_="order.changed")
    with product.worker():
        until(lambda: product.states().get("dead"))
    assert product.states() == {"delivered": MOST_HOPS, "dead": 1}
    [letter] = letters(product)
    assert (letter["reason"], letter["error"]["code"], letter["owner"]) == ("loop", "LOOP_DETECTED", "webhook/hook")
    assert letter["error"]["details"] == {"rule": "hops", "hops": MOST_HOPS, "path": ["webhook/hook"] * 6}
    events = product.rows(
        "SELECT id, correlation_id, causation_id FROM events WHERE type = 'order.changed' ORDER BY uid"
    )
    assert len({row.correlation_id for row in events}) == 1
    assert [row.causation_id for row in events[1:]] == [row.id for row in events[:-1]]


def test_the_refusal_is_508_before_anything_is_stored(product: Product) -> None:
    refused = product.client().post(
        "/api/v1/events", json={"type": "order.changed", "data": 1}, headers={"Crossdock-Hops": "6"}
    )
    assert (refused.status_code, refused.json["code"]) == (508, "LOOP_DETECTED")
    assert product.rows("SELECT 1 FROM events") == []


def test_a_loop_that_drops_our_headers_is_stopped_by_its_echoes_and_can_be_replayed(
    product: Product, receiver: Receiver
) -> None:
    receiver.answer = back(product)
    product.webhook("hook", receiver.url, events=["order.changed"])
    product.publish({"n": 1}, type_="order.changed")
    [first] = product.rows("SELECT id FROM events WHERE type = 'order.changed'")
    with product.worker():
        [letter] = until(lambda: letters(product))
        receiver.answer = Answer(204)  # mended
        answer = product.client().post(f"/api/v1/dead-letters/{letter['id']}/retry")
        assert answer.status_code < 300, answer.json
        until(lambda: not letters(product))
        until(lambda: set(product.states()) == {"delivered"})
    assert MOST_ECHOES < product.states()["delivered"] < 3 * MOST_ECHOES
    assert (letter["reason"], letter["error"]["details"]["rule"]) == ("loop", "echo")
    assert letter["error"]["details"]["subject"] == "SO-1"
    assert len(letter["error"]["details"]["path"]) > MOST_ECHOES
    assert first.id not in letter["error"]["details"]["path"]


def test_a_program_may_say_much_about_one_thing(product: Product, receiver: Receiver) -> None:
    product.webhook("hook", receiver.url, events=["order.changed"])
    with product.worker():
        for number in range(3 * MOST_ECHOES):
            event = {"type": "order.changed", "subject": "SO-1", "data": {"n": number}}
            assert product.client().post("/api/v1/events", json=event).status_code == 202
            receiver.wait(number + 1)  # each comes after the delivery of the one before
        until(lambda: product.states() == {"delivered": 3 * MOST_ECHOES})


@pytest.mark.parametrize(
    ("size", "headers"), [(50, {}), (1, {"X-Correlation-ID": "nightly"})], ids=["at once", "under one correlation"]
)
def test_a_burst_of_the_same_is_delivered_whole(
    product: Product, receiver: Receiver, size: int, headers: dict[str, str]
) -> None:
    product.webhook("hook", receiver.url, events=["order.changed"])
    with product.worker():
        for number in range(100 // size):
            events = [{"type": "order.changed", "subject": "SO-1", "data": {}}] * size
            assert product.client().post("/api/v1/events", json=events, headers=headers).status_code == 202
            receiver.wait(number + 1)
        until(lambda: product.states() == {"delivered": 100})


def test_what_comes_by_an_endpoint_of_ours_is_an_echo_whatever_it_holds(product: Product, receiver: Receiver) -> None:
    came = count()

    def answer(_: Hit) -> Answer:
        with product.core.tenant.begin(product.scope, Cause("test", f"cor_{next(came)}")) as tx:
            product.core.publisher.publish(tx, [inbound(next(came))])
        return Answer()

    receiver.answer = answer
    product.webhook("hook", receiver.url, events=["order.changed"])
    with product.tx() as tx:
        product.core.publisher.publish(tx, [inbound(0)])
    with product.worker():
        [letter] = until(lambda: letters(product))
    assert letter["error"]["details"]["rule"] == "echo"


def inbound(number: int) -> NewEvent:
    extensions = Trail(("webhook/in",)).extensions()
    return NewEvent(type="order.changed", subject="SO-1", data=json.dumps(number), extensions=extensions)


def test_the_echoes_of_several_processes_are_seen_together(
    product: Product, database_url: str, receiver: Receiver
) -> None:
    other = Product(database_url)
    takes = cycle((back(product), back(other)))

    def answer(hit: Hit) -> Answer:
        return next(takes)(hit)

    receiver.answer = answer
    product.webhook("hook", receiver.url, events=["order.changed"])
    product.publish({"n": 1}, type_="order.changed")
    with product.worker():
        until(lambda: letters(product))
    assert letters(product)[0]["reason"] == "loop"
    other.close()


def test_a_definition_is_passed_ten_times_and_others_go_on(product: Product, receiver: Receiver) -> None:
    product.webhook("looping", receiver.url + "/looping", events=["order.changed"])
    product.webhook("ordered", receiver.url + "/ordered", events=["order.changed"], order_by="event.type")
    trail = Trail(("webhook/looping",) * MOST_PASSES + ("webhook/ordered",) * MOST_PASSES)
    product.webhook("other", receiver.url + "/other", events=["order.changed"])
    with product.tx() as tx:
        product.core.publisher.publish(tx, [NewEvent(type="order.changed", data="1", extensions=trail.extensions())])
    with product.worker():
        until(lambda: product.states() == {"delivered": 1, "dead": 2})
    assert [hit.path for hit in receiver.hits] == ["/other"]
    stopped = {letter["owner"]: letter["error"]["details"] for letter in letters(product)}
    assert stopped.keys() == {"webhook/looping", "webhook/ordered"}
    assert stopped["webhook/looping"] == {
        "rule": "definition",
        "hops": 0,
        "path": [*trail.path, "webhook/looping"],
    }


def test_a_delivery_says_how_far_its_chain_has_come(product: Product, receiver: Receiver) -> None:
    product.webhook("hook", receiver.url)
    product.publish({})
    with product.worker():
        hit = receiver.wait(1)[0]
        until(lambda: product.states() == {"delivered": 1})
    [delivery] = product.client().get("/api/v1/deliveries").json["items"]
    assert hit.headers["crossdock-hops"] == "1"
    assert hit.headers["crossdock-delivery-id"] == delivery["id"]
    assert hit.headers["crossdock-correlation-id"] == delivery["correlation_id"]


def test_the_way_of_another_workspace_is_not_told(product: Product, receiver: Receiver) -> None:
    product.webhook("hook", receiver.url)
    product.publish({})
    with product.worker():
        hop = hops.hop_of(receiver.wait(1)[0].headers)
    other = product.workspace("acme", "shop")
    with product.core.tenant.begin(product.scope, product.cause) as tx:
        assert hops.back(tx, hop).trail == Trail(("webhook/hook",), 1)
    for store in (product.core.tenant, product.core.engine):
        with store.begin(other, product.cause) as tx:
            assert hops.back(tx, hop) == hops.Back(Trail((), 1))


def test_nobody_may_write_a_trail_of_their_own(product: Product) -> None:
    cloud = {"specversion": "1.0", "id": "1", "source": "x", "type": "a.b", "crossdockpath": "webhook/x"}
    refused = product.client().post(
        "/api/v1/events", data=json.dumps(cloud), content_type="application/cloudevents+json"
    )
    assert (refused.status_code, refused.json["code"]) == (422, "EVENT_RESERVED")


def test_what_an_event_says_of_itself_stays(product: Product) -> None:
    told = NewEvent(type="a.b", data="1", correlation_id="mine", causation_id="too", extensions={"dataschema": "x"})
    with product.tx() as tx:
        [event] = hops.carried_on(tx, Hop(2, "theirs"), [told])
    assert (event.correlation_id, event.causation_id) == ("mine", "too")
    assert event.extensions == {"dataschema": "x", "crossdockhops": 2}
