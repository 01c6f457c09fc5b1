"""The tests of an inbound definition run without a network, secret or server, and what can be seen to be wrong is said before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml

from server.authoring.check import check
from server.authoring.testing import test as run
from server.documents.catalog import FixedCatalog
from server.documents.reading import File

if TYPE_CHECKING:
    from server.authoring.check import CheckResult

SHOP = """\
kind: Webhook
name: shop-orders
direction: inbound
path: shop/{shop}/orders
verify: {scheme: shopify, key: {secret: SHOP_SECRET}}
dedupe: {key: headers.x_shopify_webhook_id, ttl: 7d}
when: headers.x_shopify_topic == 'orders/create'
emit:
  type: order.created
  subject: text(body.id)
  data:
    order_id: {from: "concat('SHOP-', text(body.id))", required: true}
    shop: params.shop
    total: {from: body.total_price, type: decimal}
    lines:
      each: body.line_items
      map: {sku: item.sku, quantity: item.quantity}
"""
TYPE = """\
kind: EventType
name: order.created
schema:
  type: object
  additionalProperties: false
  required: [order_id, lines]
  properties:
    order_id: {type: string}
    shop: {type: string}
    total: {type: string}
    note: {type: string}
    lines:
      type: array
      items: {type: object, required: [sku], properties: {sku: {type: string}, quantity: {type: integer}}}
"""
GIVEN = {
    "headers": {"X-Shopify-Topic": "orders/create", "X-Shopify-Webhook-Id": "w-1"},
    "params": {"shop": "north"},
    "json": {"id": 42, "total_price": 20.5, "line_items": [{"sku": "A1", "quantity": 2}]},
}
DATA = {"order_id": "SHOP-42", "shop": "north", "total": "20.5", "lines": [{"sku": "A1", "quantity": 2}]}
EVENT = {"type": "order.created", "subject": "42", "data": DATA}


def checked(text: str, *more: str) -> CheckResult:
    return check([File(f"{number}.yaml", each.encode()) for number, each in enumerate((text, *more))], FixedCatalog())


def played(expect: dict[str, Any], text: str = SHOP, *more: str, **given: Any) -> list[str]:
    """Return the differences of one test of a definition."""
    body = yaml.safe_load(text)
    body["tests"] = [{"name": "it", "given": {"request": {**GIVEN, **given}}, "expect": expect}]
    result = checked(yaml.safe_dump(body), *more)
    assert result.ok, result.findings
    [outcome] = run(result.documents, FixedCatalog()).outcomes
    return list(outcome.differences)


def test_a_request_emits_what_is_expected() -> None:
    assert played({"events": [EVENT]}, SHOP, TYPE) == []


CASES: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("another subject", {"events": [{**EVENT, "subject": "43"}]}, {}, 'events[0].subject: expected "43", got "42"'),
    ("too few events", {"events": []}, {}, "events: expected 0, emitted 1"),
    ("not skipped", {"skipped": True}, {}, "skipped: expected true, got false"),
    (
        "skipped, not emitted",
        {"events": [EVENT]},
        {"headers": {"X-Shopify-Topic": "x"}},
        "events: expected 1, emitted 0",
    ),
    (
        "an error nobody expected",
        {"events": [EVENT]},
        {"json": {"id": []}},
        "the request becomes a dead letter: EXPR_TYPE",
    ),
    ("no error", {"error": "EXPR_MISSING"}, {}, 'error: expected "EXPR_MISSING", got null'),
    (
        "another error",
        {"error": "EXPR_MISSING"},
        {"json": {"id": []}},
        'error: expected "EXPR_MISSING", got "EXPR_TYPE"',
    ),
    ("another answer", {"answer": {"status": 200}}, {}, "answer.status: expected 200, got 202"),
]


@pytest.mark.parametrize(("expect", "given", "said"), [each[1:] for each in CASES], ids=[each[0] for each in CASES])
def test_a_difference_is_told(expect: dict[str, Any], given: dict[str, Any], said: str) -> None:
    assert played(expect, **given)[0].startswith(said)


def test_what_is_expected_may_be_nothing_or_an_error() -> None:
    assert played({"skipped": True}, headers={}) == []
    assert played({"error": "EXPR_MISSING"}, json={}, text=SHOP.replace("text(body.id))", "body.id)")) == []


def test_an_event_that_breaks_its_schema_is_told_as_it_would_be_refused() -> None:
    loose = TYPE.replace("order_id: {type: string}", "order_id: {type: string, maxLength: 3}")
    assert played({"error": "SCHEMA_VIOLATION"}, SHOP, loose) == []
    assert "SCHEMA_VIOLATION" in played({"events": [EVENT]}, SHOP, loose)[0]


BODIES: list[tuple[str, dict[str, Any], str]] = [
    ("form", {"form": {"id": "7", "paid": True}}, "concat(body.id, body.paid)"),
    ("xml", {"xml": "<order><id>7</id></order>"}, "body.order.id"),
    ("csv", {"csv": "id,sku\n7,A\n"}, "body[0].id"),
    ("raw", {"body": "7", "headers": {"Content-Type": "text/plain"}}, "body.text"),
    ("query", {"query": {"id": 7}, "method": "GET"}, "request.query.id"),
]


@pytest.mark.parametrize(("given", "subject"), [each[1:] for each in BODIES], ids=[each[0] for each in BODIES])
def test_bodies_of_every_format_can_be_given(given: dict[str, Any], subject: str) -> None:
    text = SHOP.partition("when:")[0] + f"methods: [POST, GET]\nemit: {{type: a.b, subject: '{subject}', data: body}}\n"
    body = yaml.safe_load(text)
    request = {"params": {"shop": "x"}, **given}
    expected = "7true" if "form" in given else "7"
    body["tests"] = [
        {"name": "it", "given": {"request": request}, "expect": {"events": [{"type": "a.b", "subject": expected}]}}
    ]
    result = checked(yaml.safe_dump(body))
    assert result.ok, result.findings
    assert run(result.documents, FixedCatalog()).failed == ()


def test_a_synchronous_answer_is_made_of_the_events() -> None:
    text = SHOP + "sync: true\nanswer: {status: 201, map: {number: 'events[0].subject', of: params.shop}}\n"
    assert played({"events": [EVENT], "answer": {"status": 201, "json": {"number": "42", "of": "north"}}}, text) == []
    assert played({"error": "EXPR_TYPE", "answer": {"status": 422}}, text, json={"id": []}) == []


TEST = "tests: [{name: a, given: {request: {}}, expect: %s}]"
ORDER_ID = "order_id: {from: \"concat('SHOP-', text(body.id))\", required: true}"
LINES = "each: body.line_items\n      map: {sku: item.sku, quantity: item.quantity}"
WRONG: list[tuple[str, str, str, str, str]] = [
    ("a matcher", "", TEST % "{event: []}", "UNKNOWN_KEY", "no field of expect"),
    ("nothing expected", "", TEST % "{}", "MISSING_KEY", "always passes"),
    ("two ends", "", TEST % "{events: [], skipped: true}", "CONTRADICTION", "one way"),
    ("two bodies", "", "tests: [{name: a, given: {request: {json: 1, body: x}}, expect: {events: []}}]", "CONTRADICTION", "one body"),
    ("a type never emitted", "", TEST % "{events: [{type: order.create}]}", "WRONG_VALUE", "never emits"),
    ("a method not taken", "", "tests: [{name: a, given: {request: {method: GET}}, expect: {events: []}}]", "WRONG_VALUE", "takes POST"),
    ("a parameter", "params.shop", "params.shp", "PATH_UNKNOWN", 'no field "shp"'),
    ("a header's name", "headers.x_shopify_topic", 'headers."X-Shopify-Topic"', "HEADER_NAME", "X-Shopify-Topic"),
    ("a request's field", "text(body.id)", "request.idd", "PATH_UNKNOWN", 'no field "idd"'),
    ("a root", "text(body.id)", "data.id", "EXPR_UNKNOWN_ROOT", "unknown name"),
    ("item without each", "text(body.id)", "item.id", "EXPR_UNKNOWN_ROOT", "unknown name"),
    ("a field that the schema has not", "shop: params.shop", "stop: params.shop", "EMIT_SCHEMA", "no field"),
    ("a field that it requires", ORDER_ID, "note: body.x", "EMIT_SCHEMA", 'requires the field "order_id"'),
    ("another type", "type: decimal", "type: integer", "EMIT_SCHEMA", "type integer is made here"),
    ("a literal", "total: {from: body.total_price, type: decimal}", "total: {value: 3}", "EMIT_SCHEMA", "order.created"),
    ("inside each", "sku: item.sku, ", "", "EMIT_SCHEMA", 'requires the field "sku"'),
    ("an object for a list", LINES, "sku: body.sku", "EMIT_SCHEMA", "a mapping is made here"),
    ("an answer too early", "", "answer: {map: {a: body.a}}", "CONTRADICTION", "goes with"),
    ("an answer of nothing", "", "sync: true\nanswer: {map: {a: 'events[0].sbject'}}", "PATH_UNKNOWN", 'no field "sbject"'),
    ("an answer without a body", "", "sync: true\nanswer: {status: 204, map: {a: body.a}}", "CONTRADICTION", "has no body"),
    ("a fixed answer", "", "sync: true\nanswer: {body: ok}", "CONTRADICTION", "made of the events"),
    ("a version of nothing", "  subject: text(body.id)\n", "", "CONTRADICTION", 'needs a "subject"'),
    ("a version of the schema", "  type: order.created\n", "  type: order.created\n  schema_version: 3\n", "WRONG_VALUE", "no version 3"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("before", "after", "code", "said"), [each[1:] for each in WRONG], ids=[each[0] for each in WRONG]
)
def test_what_can_be_seen_to_be_wrong_is_an_error(before: str, after: str, code: str, said: str) -> None:
    text = SHOP.replace(before, after) if before else SHOP + after + "\n"
    if code == "CONTRADICTION" and "version" not in text and "subject" in before:
        text += "version: body.updated_at\n"
    result = checked(text, TYPE)
    assert {(each.code, said in each.message) for each in result.errors} == {(code, True)}, result.findings


def test_a_type_that_is_nearly_known_is_a_warning() -> None:
    result = checked(SHOP.replace("order.created", "order.craeted"), TYPE)
    assert [(each.code, each.severity, each.suggestion) for each in result.findings] == [
        ("UNKNOWN_EVENT_TYPE", "warning", "order.created")
    ]


def test_a_good_definition_has_no_findings() -> None:
    assert checked(SHOP, TYPE).findings == ()
    several = SHOP.replace(
        "emit:\n  type",
        "emit:\n- each: body.line_items\n  type: parcel.packed\n  subject: item.sku\n  data: {sku: item.sku}\n- type",
    )
    assert checked(several, TYPE).findings == ()
