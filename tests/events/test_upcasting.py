"""An event of an older version comes as the newest to those who read the newest, and is kept as it was published."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from server.authoring.check import check
from server.documents.catalog import FixedCatalog
from server.documents.reading import File
from server.events.upcasting import STANDING, ladders_of
from server.kernel.errors import CrossdockError
from server.webhooks.dry_run import event_of
from tests.support.product import Product, until

if TYPE_CHECKING:
    from server.events.envelope import Event
    from tests.support.receiver import Receiver

V1 = {"type": "object", "required": ["total"], "properties": {"total": {"type": "number"}, "id": {"type": "string"}}}
V2 = {"type": "object", "required": ["amount"], "properties": {"amount": {"type": "string"}, "id": {"type": "string"}}}
V3 = {"type": "object", "required": ["amounts"], "properties": {"amounts": {"type": "array"}, "by": {"type": "string"}}}
TO_2 = {"amount": {"from": "data.total", "type": "text"}, "id": "data.id"}
TO_3 = {"amounts": ["data.amount"], "by": "event.source"}


def catalogue(product: Product, *versions: dict[str, Any]) -> None:
    for number, version in enumerate(versions, 1):
        body = {"name": "order.paid", "version": number, **version}
        answer = product.client().post("/api/v1/event-types", json=body)
        assert answer.status_code == 201, answer.json


def three(product: Product) -> None:
    catalogue(product, {"schema": V1}, {"schema": V2, "upcast": TO_2}, {"schema": V3, "upcast": TO_3})


def pay(product: Product, version: int | None, data: Any, **more: Any) -> str:
    event = {"type": "order.paid", "data": data, "source": "shop", **more}
    if version is not None:
        event["schema_version"] = version
    answer = product.client().post("/api/v1/events", json=event)
    assert answer.status_code == 202, answer.json
    return str(answer.json["id"])


def test_an_event_keeps_the_version_that_it_was_checked_by(product: Product) -> None:
    catalogue(product, {"schema": V1})
    first = pay(product, None, {"total": 12.50})
    product.client().post("/api/v1/event-types", json={"name": "order.paid", "version": 2, "schema": V2})
    second = pay(product, None, {"amount": "1"})
    shown = {name: product.client().get(f"/api/v1/events/{name}").json["schema_version"] for name in (first, second)}
    assert shown == {first: 1, second: 2}


def test_the_newest_version_is_shown_to_those_who_ask(product: Product) -> None:
    three(product)
    identity = pay(product, 1, {"total": 12.50, "id": "SO-1"})
    stored = product.client().get(f"/api/v1/events/{identity}").json
    assert (stored["schema_version"], stored["data"]) == (1, {"total": 12.50, "id": "SO-1"})
    newest = {"schema_version": 3, "data": {"amounts": ["12.5"], "by": "shop"}}
    [listed] = product.client().get("/api/v1/events?upcast=true&type=order.paid").json["items"]
    one = product.client().get(f"/api/v1/events/{identity}?upcast=true").json
    assert {key: listed[key] for key in newest} == {key: one[key] for key in newest} == newest


def test_webhooks_get_the_version_that_they_ask_for(product: Product, receiver: Receiver) -> None:
    three(product)
    for name, events in {"newest": ["order.*"], "second": ["order.paid@2"], "first": ["order.paid@1"]}.items():
        product.webhook(
            name, f"{receiver.url}/{name}", events=events, map={"v": "event.schema_version", "data": "data"}
        )
    pay(product, 1, {"total": 5, "id": "SO-1"})
    pay(product, 2, {"amount": "6", "id": "SO-2"})
    with product.worker():
        until(lambda: product.states() == {"delivered": 5, "skipped": 1})
    bodies = [(hit.path, json.loads(hit.body)) for hit in receiver.hits]
    came = [(path, body["v"], body["data"]) for path, body in bodies]
    assert sorted(came, key=str) == [
        ("/first", 1, {"total": 5, "id": "SO-1"}),
        ("/newest", 3, {"amounts": ["5"], "by": "shop"}),
        ("/newest", 3, {"amounts": ["6"], "by": "shop"}),
        ("/second", 2, {"amount": "5", "id": "SO-1"}),
        ("/second", 2, {"amount": "6", "id": "SO-2"}),
    ]
    assert [row.reason for row in product.rows("SELECT reason FROM deliveries WHERE state = 'skipped'")] == ["version"]


def test_the_order_goes_by_the_newest_version_too(product: Product, receiver: Receiver) -> None:
    three(product)
    product.webhook("hook", receiver.url, events=["order.paid"], order_by="data.amounts[0]")
    pay(product, 1, {"total": 5})
    pay(product, 2, {"amount": "5"})
    assert [row.order_key for row in product.rows("SELECT order_key FROM deliveries ORDER BY order_no")] == ["5", "5"]


def test_an_up_caster_that_fails_is_a_dead_letter_and_mended_goes_on(product: Product, receiver: Receiver) -> None:
    bad = {**TO_2, "amount": "sub(data.id, data.total)"}
    catalogue(product, {"schema": {"type": "object"}}, {"schema": V2, "upcast": bad})
    product.webhook("hook", receiver.url, events=["order.paid"])
    identity = pay(product, 1, {"total": 5, "id": "x"})
    assert product.client().get(f"/api/v1/events/{identity}?upcast=true").json["schema_version"] == 1
    with product.worker():
        until(lambda: product.states() == {"dead": 1})
        [letter] = product.client().get("/api/v1/dead-letters").json["items"]
        assert letter["reason"] == "mapping"
        held = product.client().get("/api/v1/event-types/order.paid@2")
        body = {"name": "order.paid", "version": 2, "schema": V2, "upcast": TO_2}
        headers = {"If-Match": held.headers["ETag"]}
        assert product.client().put("/api/v1/event-types/order.paid@2", json=body, headers=headers).status_code == 200
        product.client().post(f"/api/v1/dead-letters/{letter['id']}/retry")
        until(lambda: product.states() == {"delivered": 1})
    assert json.loads(receiver.hits[0].body)["data"] == {"amount": "5", "id": "x"}


def test_another_workspace_casts_by_its_own(product: Product) -> None:
    three(product)
    other = product.workspace("acme", "shop")
    answer = product.client(other).post("/api/v1/events", json={"type": "order.paid", "data": {}, "schema_version": 1})
    shown = product.client(other).get(f"/api/v1/events/{answer.json['id']}?upcast=true").json
    assert (shown["schema_version"], shown["data"]) == (1, {})


def event(version: int | None, data: str = '{"total": 1}') -> Event:
    made = event_of({"event": "order.paid", "data": json.loads(data)})
    made.schema_version = version
    return made


BODIES = [{"name": "order.paid", "version": 2, "upcast": TO_2}, {"name": "order.paid", "version": 4, "upcast": TO_3}]


@pytest.mark.parametrize(
    ("version", "to", "reached"),
    [(1, None, 2), (1, 1, 1), (2, None, 2), (3, None, 4), (None, None, None), (9, None, 9)],
)
def test_up_casters_reach_as_far_as_there_is_no_gap(version: int | None, to: int | None, reached: int | None) -> None:
    assert ladders_of(BODIES)["order.paid"].lift(event(version), to).schema_version == reached
    assert STANDING.lift(event(version), to).schema_version == version


def test_a_map_that_older_rules_took_fails_for_its_events_only() -> None:
    ladders = ladders_of([*BODIES, {"name": "x.y", "version": 2, "upcast": {"a": "no_such_function(data)"}}])
    assert ladders["order.paid"].lift(event(1)).schema_version == 2
    with pytest.raises(CrossdockError):
        ladders["x.y"].lift(event(1))


FIRST = """\
kind: EventType
name: order.paid
schema: {type: object, required: [total], properties: {total: {type: number}, id: {type: string}}}
example: {total: 12.5}
"""
SECOND = """\
kind: EventType
name: order.paid
version: 2
schema: {type: object, required: [amount], properties: {amount: {type: string}}}
upcast: {amount: {from: data.total, type: text}}
"""
HOOK = """\
kind: Webhook
name: hook
direction: outbound
url: https://receiver.example.com/in
events: [order.paid]
map: {amount: data.amount}
"""


def findings(*texts: str) -> list[tuple[str, int, str]]:
    files = [File(f"f{number}.yaml", text.encode()) for number, text in enumerate(texts)]
    return [(each.code, each.line, each.message) for each in check(files, FixedCatalog()).findings]


def test_a_good_up_caster_has_no_findings() -> None:
    assert findings(FIRST, SECOND, HOOK) == []


@pytest.mark.parametrize(
    ("texts", "code", "line", "said"),
    [
        ((FIRST, SECOND.replace("data.total", "data.totl")), "PATH_UNKNOWN", 5, "totl"),
        ((FIRST, SECOND.replace("data.total", "row.total")), "EXPR_UNKNOWN_ROOT", 5, "row"),
        ((FIRST, SECOND.replace(", type: text}}\n", "}}\n")), "UPCAST", 5, "older version's example"),
        ((FIRST, SECOND.replace("amount: {from", "amnt: {from")), "UPCAST", 5, "amount"),
        ((SECOND,), "UNKNOWN_REFERENCE", 5, "no version 1"),
        ((FIRST + "upcast: {a: data}\n",), "CONTRADICTION", 5, "no version before"),
        ((FIRST, SECOND, HOOK.replace("data.amount", "data.total")), "PATH_UNKNOWN", 6, "total"),
        ((FIRST, SECOND, HOOK.replace("[order.paid]", "[order.paid@1]")), "PATH_UNKNOWN", 6, "amount"),
        ((FIRST, SECOND, HOOK.replace("[order.paid]", "[order.paid@3]")), "UNKNOWN_REFERENCE", 5, "1, 2"),
        ((FIRST, SECOND, HOOK.replace("[order.paid]", "[order.paid@2, order.paid@1]")), "CONTRADICTION", 5, "already"),
        ((FIRST, SECOND, HOOK.replace("[order.paid]", "['order.*@1']")), "WRONG_VALUE", 5, "order.created@1"),
        ((FIRST, SECOND, HOOK.replace("[order.paid]", "[order.paid@0]")), "WRONG_VALUE", 5, "order.created@1"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_seen_at_check(texts: tuple[str, ...], code: str, line: int, said: str) -> None:
    found = findings(*texts)
    assert [(each[0], each[1]) for each in found][:1] == [(code, line)], found
    assert said in found[0][2]


def test_a_pinned_webhook_is_checked_against_its_version() -> None:
    pinned = HOOK.replace("[order.paid]", "[order.paid@1]").replace("data.amount", "data.total")
    assert findings(FIRST, SECOND, pinned) == []
