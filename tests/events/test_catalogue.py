"""Whoever publishes, an event keeps the schema of its type; a refusal shows no value."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from server.events.envelope import NewEvent
from server.kernel.errors import Invalid
from tests.support.product import Product

if TYPE_CHECKING:
    from tests.support.receiver import Receiver

CARD = "4111-1111-1111-1111"
SCHEMA = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}, "card": {"maxLength": 4}}}


def declare(product: Product, **more: Any) -> None:
    body = {"name": "order.paid", "schema": SCHEMA, **more}
    answer = product.client().post("/api/v1/event-types", json=body)
    assert answer.status_code == 201, answer.json


def post(product: Product, data: Any) -> Any:
    return product.client().post("/api/v1/events", json={"type": "order.paid", "data": data})


def test_a_violation_is_refused_with_its_places_and_without_its_values(product: Product) -> None:
    declare(product)
    refused = post(product, {"n": "x", "card": CARD})
    assert (refused.status_code, refused.json["code"]) == (422, "SCHEMA_VIOLATION")
    assert {each["pointer"] for each in refused.json["errors"]} == {"/0/data/n", "/0/data/card"}
    assert CARD not in refused.text
    assert product.rows("SELECT 1 FROM events WHERE type = 'order.paid'") == []


def test_every_publisher_is_held_to_it(product: Product, receiver: Receiver) -> None:
    declare(product)
    with pytest.raises(Invalid), product.tx() as tx:
        product.core.publisher.publish(tx, [NewEvent(type="order.paid", data='{"n": 1.5}', source="flow/x")])
    product.webhook("hook", receiver.url, events=["order.paid"])
    triggered = product.client().post("/api/v1/webhooks/hook/trigger", json={"payload": {"n": "x"}})
    assert (triggered.status_code, triggered.json["code"]) == (422, "SCHEMA_VIOLATION")
    assert post(product, {"n": 1}).status_code == 202


def test_other_processes_see_a_change_at_once(product: Product, database_url: str) -> None:
    other = Product(database_url)
    assert post(other, {"n": "x"}).status_code == 202
    declare(product)
    assert post(other, {"n": "x"}).status_code == 422
    assert other.client(other.workspace("acme", "shop")).post(
        "/api/v1/events", json={"type": "order.paid", "data": {"n": "x"}}
    ).status_code == 202, "another workspace has declared nothing"  # fmt: skip
    other.close()


def test_a_thousand_violations_are_shown_by_twenty(product: Product) -> None:
    declare(product)
    items = [{"type": "order.paid", "data": {"n": str(number)}} for number in range(1000)]
    refused = product.client().post("/api/v1/events", data=json.dumps(items), content_type="application/json")
    assert (refused.status_code, len(refused.json["errors"])) == (422, 20)
