"""A request that died is retried or given up by its dead letter, or found by a filter and mapped once more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from server.kernel.ids import new_uuid, show
from tests.replays.replaying import ask, finish, see
from tests.support.inbound import EMIT, ORDER, change, declare, drained, emitted, letters, request, states, store

if TYPE_CHECKING:
    from uuid import UUID

    from tests.support.product import Product

BROKEN = {**EMIT, "data": {"order": {"from": "body.nr", "required": True}}}


def dead(product: Product, count: int = 1) -> list[UUID]:
    """Return requests that a broken definition could not map."""
    ids = store(product, declare(product, emit=BROKEN), *({**ORDER, "id": number} for number in range(count)))
    drained(product)
    assert states(product) == {"dead": count}
    return ids


def letter_action(product: Product, action: str, *, status: int = 202) -> Any:
    [letter] = product.client().get("/api/v1/dead-letters").json["items"]
    answer = product.client().post(f"/api/v1/dead-letters/{letter['id']}/{action}")
    assert answer.status_code == status, answer.text
    return letter


def test_after_the_definition_is_mended_a_dead_letter_is_retried_by_the_present_one(product: Product) -> None:
    [one] = dead(product)
    change(product, "orders-in", emit=EMIT)
    letter = letter_action(product, "retry")
    assert (letter["kind"], letter["reason"], letter["ref"]) == ("inbound", "mapping", show("req", one))
    drained(product)
    row = request(product, one)
    assert (row.state, row.round, row.error, len(row.event_ids)) == ("emitted", 2, None, 1)
    assert len(emitted(product)) == 1
    assert [each.resolution for each in letters(product)] == ["replayed"]


def test_one_that_fails_again_is_a_dead_letter_again(product: Product) -> None:
    dead(product)
    letter_action(product, "retry")
    drained(product)
    assert [each.resolution for each in letters(product)] == ["replayed", None]
    assert letters(product)[1].attempts == 2


def test_a_dead_letter_is_given_up(product: Product) -> None:
    [one] = dead(product)
    letter_action(product, "discard", status=200)
    assert request(product, one).state == "discarded"


def test_what_a_paused_webhook_retries_waits_for_it(product: Product) -> None:
    [one] = dead(product)
    change(product, "orders-in", emit=EMIT)
    product.act("orders-in", "pause")
    letter_action(product, "retry")
    drained(product)
    assert request(product, one).state == "received"
    product.act("orders-in", "resume")
    product.settle()
    drained(product)
    assert request(product, one).state == "emitted"


def test_all_that_emitted_nothing_is_replayed_by_a_filter(product: Product) -> None:
    dead(product, 25)
    hook = declare(product, "other")
    store(product, hook, *[ORDER] * 3)
    drained(product)
    change(product, "orders-in", emit=EMIT)
    found = ask(product, 200, filter={"webhook": "orders-in"}, dry_run=True)
    assert (found["count"], found["samples"][0]["webhook"], found["samples"][0]["state"]) == (25, "orders-in", "dead")
    assert found["samples"][0]["request_id"].startswith("req_")
    replay = ask(product, filter={"webhook": "orders-in"})
    finish(product)
    seen = see(product, replay)
    assert (seen["state"], seen["total"], seen["done"], seen["skipped"]) == ("done", 25, 25, 0)
    assert product.rows("SELECT DISTINCT priority FROM due WHERE kind = 'inbound'")[0].priority == 2
    drained(product)
    assert states(product) == {"emitted": 28}
    assert {each.resolution for each in letters(product)} == {"replayed"}
    again = ask(product, 200, filter={"webhook": "orders-in"}, dry_run=True)
    assert again["count"] == 0, "what has emitted is left alone, unless it is named"


def test_requests_are_replayed_by_status_and_by_id(product: Product) -> None:
    hook = declare(product, when="body.go")
    skipped, gone = store(product, hook, {**ORDER, "go": False}, {**ORDER, "id": 7, "go": True})
    drained(product)
    change(product, "orders-in", when="body.id")
    ask(product, filter={"webhook": "orders-in", "status": ["skipped"]})
    finish(product)
    drained(product)
    assert request(product, skipped).state == "emitted"
    ask(product, filter={"requests": [show("req", gone)]})
    finish(product)
    drained(product)
    assert len(request(product, gone).event_ids) == 2, "whoever names one that has emitted means it: as another event"
    assert [each.subject for each in emitted(product)] == ["7", "42", "7"]


def test_a_filter_that_cannot_be_meant_is_refused(product: Product) -> None:
    declare(product)
    product.webhook("out", "http://127.0.0.1:9/")
    cases: list[tuple[dict[str, Any], str]] = [
        ({"filter": {"webhook": "orders-in", "type": "a.b"}}, "/filter/type"),
        ({"filter": {"webhook": "orders-in", "status": ["delivered"]}}, "/filter/status"),
        ({"filter": {"webhook": "orders-in"}, "backfill": True}, "/backfill"),
        ({"filter": {"webhook": "out", "status": ["stale"]}}, "/filter/status"),
        ({"filter": {"type": "a.b", "status": ["stale"]}}, "/filter/status"),
        ({"filter": {"requests": ["dlv_1"]}}, "/filter/requests/0"),
        ({"filter": {"requests": [show("req", new_uuid())]}}, "/filter/requests/0"),
    ]
    for body, pointer in cases:
        answer = ask(product, 422, **body)
        assert answer["errors"][0]["pointer"] == pointer, body


def test_a_workspace_replays_nothing_of_another(product: Product) -> None:
    [one] = dead(product)
    other = product.workspace("default", "other")
    answer = ask(product, 422, scope=other, filter={"requests": [show("req", one)]})
    assert answer["code"] == "REPLAY_REFUSED"
    with product.tx(other) as tx:
        product.core.reopens["inbound"].reopen(tx, [one])
        product.core.reopens["inbound"].discard(tx, [one])
    assert (request(product, one).state, request(product, one).round) == ("dead", 1)
