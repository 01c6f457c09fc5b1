"""A stored request becomes its events, once, or a dead letter that says where and why."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from server.kernel.errors import CrossdockError
from server.kernel.ids import new_uuid, show
from server.queue import claims
from server.queue.claims import Claim
from server.webhooks.inbound.loading import load
from server.webhooks.inbound.mapping import Mapped, Mapper, Skipped
from tests.support.inbound import (
    EMIT,
    ORDER,
    change,
    declare,
    drained,
    emitted,
    letters,
    request,
    states,
    store,
    worker,
)

if TYPE_CHECKING:
    from uuid import UUID

    from tests.support.product import Product


def test_a_request_becomes_an_event_with_its_chain(product: Product) -> None:
    hook = declare(product)
    [one] = store(product, hook, ORDER)
    drained(product)
    [event] = emitted(product)
    row = request(product, one)
    assert (event.subject, json.loads(event.data)) == ("42", {"order": 42, "total": "20.00"})
    assert (event.source, event.causation_id, event.correlation_id) == (
        "webhook/orders-in",
        show("req", one),
        f"cor_{one}",
    )
    assert (row.state, row.event_ids, row.error) == ("emitted", [event.id], None)
    assert row.finished_at is not None
    assert product.rows("SELECT 1 FROM due WHERE kind = 'inbound'") == []


def test_what_an_event_owes_is_owed(product: Product) -> None:
    product.webhook("out", "http://127.0.0.1:9/")
    store(product, declare(product), ORDER)
    drained(product)
    assert product.states() == {"pending": 1}


def test_a_false_condition_is_skipped_and_a_broken_one_is_a_dead_letter(product: Product) -> None:
    hook = declare(product, when="body.n > 1")
    skipped, broken, good = store(product, hook, {"n": 1}, {"n": "x"}, {**ORDER, "n": 2})
    drained(product)
    assert [request(product, each).state for each in (skipped, broken, good)] == ["skipped", "dead", "emitted"]
    assert request(product, skipped).reason == "when"
    [letter] = letters(product)
    assert (letter.reason, letter.error["code"], letter.error["details"]["pointer"]) == (
        "mapping",
        "EXPR_TYPE",
        ["when"],
    )
    assert letter.error["details"]["expression"] == "body.n > 1"


REQUIRED = {**EMIT, "data": {"lines": {"each": "body.lines", "map": {"sku": {"from": "item.sku", "required": True}}}}}
WRONG: list[tuple[str, dict[str, Any], Any, str, str, list[Any]]] = [
    (
        "a value is missing",
        {"emit": REQUIRED},
        {"lines": [{}]},
        "mapping",
        "EXPR_MISSING",
        ["emit", "data", "lines", "map", "sku"],
    ),
    ("the body is no JSON", {}, b"{not json", "mapping", "MALFORMED", []),
    (
        "the subject is a list",
        {"emit": {**EMIT, "subject": "body.id"}},
        {"id": []},
        "mapping",
        "EMIT_REFUSED",
        ["emit", "subject"],
    ),
    (
        "the subject has control signs",
        {"emit": {**EMIT, "subject": "body.id"}},
        {"id": "a\nb"},
        "mapping",
        "EMIT_REFUSED",
        ["emit", "subject"],
    ),
    (
        "the time is none",
        {"emit": {**EMIT, "time": "body.at"}},
        {"at": "noon"},
        "mapping",
        "EMIT_REFUSED",
        ["emit", "time"],
    ),
    (
        "the source is ours",
        {"emit": {**EMIT, "source": "body.s"}},
        {"s": "crossdock"},
        "mapping",
        "EMIT_REFUSED",
        ["emit", "source"],
    ),
    (
        "the second of two fails",
        {"emit": [EMIT, {**EMIT, "id": "body.id"}]},
        {"id": " "},
        "mapping",
        "EMIT_REFUSED",
        ["emit", 1, "id"],
    ),
    (
        "each goes through no list",
        {"emit": {**EMIT, "each": "body.id"}},
        {"id": 1},
        "mapping",
        "EMIT_REFUSED",
        ["emit", "each"],
    ),
    (
        "too many events",
        {"emit": {**EMIT, "each": "body.n", "subject": "text(item)"}},
        {"n": [1] * 1001},
        "mapping",
        "EMIT_MANY",
        ["emit"],
    ),
]


def test_what_cannot_be_mapped_is_a_dead_letter_with_its_place(product: Product) -> None:
    asked = {}
    for number, (case, more, body, *expected) in enumerate(WRONG):
        [bad] = store(product, declare(product, f"hook-{number}", **more), body)
        asked[bad] = (case, f"webhook/hook-{number}", *expected)
    [good] = store(product, declare(product), ORDER)
    drained(product)
    found = {each.ref: each for each in letters(product)}
    for bad, (case, name, reason, code, pointer) in asked.items():
        letter = found.pop(bad)
        details = letter.error["details"]
        assert (letter.reason, letter.error["code"], details.get("pointer", [])) == (reason, code, pointer), case
        assert (details["definition"], details["version"], letter.owner, letter.attempts) == (name, 1, name, 1)
        assert request(product, bad).error == letter.error
    assert not found
    assert request(product, good).state == "emitted", "and the one beside them goes on"


def schema(product: Product) -> None:
    body = {"name": "order.created", "schema": {"type": "object", "properties": {"total": {"type": "string"}}}}
    with product.tx() as tx:
        tx.run("UPDATE workspaces SET routes_version = routes_version + 1 WHERE id = :workspace_id")
        tx.run(
            """INSERT INTO definitions (organization_id, workspace_id, kind, name, version, origin, hash, body, updated_by)
               VALUES (:organization_id, :workspace_id, 'EventType', 'order.created@1', 1, 'api', '', CAST(:body AS json), 'me')""",
            body=json.dumps(body),
        )


def test_one_that_breaks_the_schema_is_a_dead_letter_and_those_beside_it_go_on(product: Product) -> None:
    schema(product)
    hook = declare(product)
    ids = store(product, hook, ORDER, {**ORDER, "total": 7}, ORDER)
    drained(product)
    assert [request(product, each).state for each in ids] == ["emitted", "dead", "emitted"]
    [letter] = letters(product)
    assert (letter.reason, letter.error["code"]) == ("schema", "SCHEMA_VIOLATION")
    assert letter.error["details"]["errors"][0]["pointer"] == "/0/data/total"


def test_what_the_store_refuses_is_found_among_many_by_halving(product: Product) -> None:
    hook = declare(product, emit={**EMIT, "id": "text(body.key)"})
    first = [store(product, hook, {**ORDER, "key": number})[0] for number in range(3)]
    drained(product)
    again = [store(product, hook, {**ORDER, "key": 10 + number})[0] for number in range(5)]
    [other] = store(product, hook, {**ORDER, "key": 1, "total": "21.00"})
    [same] = store(product, hook, {**ORDER, "key": 2})
    drained(product)
    assert {request(product, each).state for each in (*first, *again, same)} == {"emitted"}
    [letter] = letters(product)
    assert (letter.ref, letter.reason, letter.error["code"]) == (other, "refused", "EVENT_CONFLICT")
    assert len(emitted(product)) == 8, "the same content under the same id is the same event"


def test_signs_that_the_database_cannot_hold_do_not_stop_the_others(product: Product) -> None:
    hook = declare(product, emit={**EMIT, "source": "body.s"})
    bad, good = store(product, hook, {**ORDER, "s": "a\ud800"}, {**ORDER, "s": "shop"})
    drained(product)
    assert (request(product, bad).state, request(product, good).state) == ("dead", "emitted")


def test_several_events_and_one_for_each_of_a_list_keep_their_order_and_have_ids_of_their_own(product: Product) -> None:
    lines = {
        "type": "order.line",
        "each": "body.lines",
        "when": "item.n > 1",
        "subject": "item.sku",
        "data": {"n": "item.n", "of": "body.id"},
    }
    hook = declare(product, emit=[EMIT, lines])
    [one] = store(product, hook, {**ORDER, "lines": [{"sku": "A", "n": 2}, {"sku": "B", "n": 1}, {"sku": "C", "n": 3}]})
    drained(product)
    assert [each.subject for each in emitted(product, "order.line")] == ["A", "C"]
    ids = [each.id for type_ in ("order.created", "order.line") for each in emitted(product, type_)]
    assert request(product, one).event_ids == ids
    assert len(set(ids)) == 3


def test_attributes_are_what_the_definition_says(product: Product) -> None:
    said = {**EMIT, "id": "body.id", "time": "body.at", "source": "body.shop", "correlation": "body.ref"}
    store(product, declare(product, emit=said), {**ORDER, "shop": "shop-1", "ref": "R-7"})
    drained(product)
    [event] = emitted(product)
    assert (event.id, event.source, event.correlation_id, event.time.isoformat()) == (
        "42",
        "shop-1",
        "R-7",
        "2026-01-01T10:00:00+00:00",
    )


def test_a_request_is_mapped_by_the_definition_that_it_was_taken_under(product: Product) -> None:
    hook = declare(product)
    store(product, hook, ORDER)
    change(product, "orders-in", emit={**EMIT, "type": "order.changed"})
    drained(product)
    assert (len(emitted(product)), len(emitted(product, "order.changed"))) == (1, 0)


def test_a_workspace_sees_nothing_of_another(product: Product) -> None:
    other = product.workspace("default", "other")
    mine, theirs = declare(product), declare(product, scope=other)
    store(product, mine, ORDER)
    store(product, theirs, {**ORDER, "id": 7}, scope=other)
    drained(product)
    seen = {(each.workspace_id, each.subject) for each in emitted(product)}
    assert seen == {(product.scope.workspace_id, "42"), (other.workspace_id, "7")}
    with product.tx(other) as tx:
        rows = tx.all("SELECT workspace_id FROM inbound_requests")
    assert {row.workspace_id for row in rows} == {other.workspace_id}, "row-level security fences the API's role"


def test_whoever_comes_with_an_old_lease_publishes_nothing(product: Product) -> None:
    [one] = store(product, declare(product), ORDER)
    zombie = worker(product).ending
    with product.core.engine.connect() as conn:
        [old] = claims.claim(conn, "inbound", 10)
    with product.core.engine.connect() as conn:
        conn.exec_driver_sql("UPDATE due SET due_at = now() - interval '1 second'")  # its lease ends
    drained(product)
    with product.core.engine.connect() as conn:
        [(_, stored)] = load(conn, [one])
    late = Claim(old.ref, old.workspace_id, old.lane, old.epoch, old.claims)
    stored = dataclasses.replace(stored, state="received")  # as it was when the late one read it
    zombie.prepare(product.scope, [stored])
    ready = zombie.ready(product.scope, late, stored)
    assert isinstance(ready.made, Mapped)
    other = [dataclasses.replace(each, id="evt_of_the_zombie") for each in ready.made.events]
    zombie.end(product.scope, [(late, stored, dataclasses.replace(ready, made=Mapped(tuple(other))))])
    assert len(emitted(product)) == 1, "even what has another id, which no key would stop"
    assert states(product) == {"emitted": 1}


def test_the_ids_of_its_events_follow_from_the_request_and_the_round() -> None:
    mapper = Mapper({"name": "x", "emit": [EMIT, EMIT]})
    one, two = new_uuid(), new_uuid()

    def ids(request: UUID, round_: int) -> list[str | None]:
        made = mapper.run({"request": {"id": "req_x"}, "body": ORDER}, request, round_, "cor")
        assert isinstance(made, Mapped)
        return [each.id for each in made.events]

    assert ids(one, 1) == ids(one, 1), "whoever maps it"
    assert len({*ids(one, 1), *ids(one, 2), *ids(two, 1)}) == 6


def test_a_request_that_comes_back_from_our_own_delivery_goes_on_with_its_chain(product: Product) -> None:
    hook = declare(product)
    headers = {"crossdock-hops": "2", "crossdock-correlation-id": "cor_first"}
    store(product, hook, ORDER, headers=headers)
    drained(product)
    [event] = emitted(product)
    assert event.extensions == {"crossdockpath": "webhook/orders-in", "crossdockhops": 2}


BODIES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5) | st.sampled_from("abn"), inner, max_size=4)
    ),
    max_leaves=12,
)
SOME = Mapper(
    {
        "name": "x",
        "when": "body.a != 'no'",
        "version": "body.n",
        "emit": [
            {
                "type": "a.b",
                "each": "body.a",
                "subject": "item.b",
                "data": {"b": {"from": "item.b", "type": "decimal"}},
            },
            {"type": "a.b", "subject": "body.b", "data": "body", "id": "body.n", "time": "body.a", "source": "body.b"},
        ],
    }
)


@settings(max_examples=500, deadline=None)
@example({"b": 1e308})
@given(BODIES)
def test_whatever_comes_is_mapped_or_refused_with_its_place(body: Any) -> None:
    failed: CrossdockError | None = None
    try:
        made = SOME.run({"request": {"id": "req_x"}, "body": body}, new_uuid(), 1, "cor")
    except CrossdockError as error:
        failed = error
    assert failed.details["pointer"] if failed is not None else isinstance(made, Mapped | Skipped)
