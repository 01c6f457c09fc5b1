"""The adapter contract itself: validation, health, what is shown and what is not."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import requests

from server.kernel.clock import ManualClock
from server.sdk import Adapter, CallRequest, Context, Health, Operation, Schema, Tenant, measured
from server.sdk.schemas import is_json, pointer_to

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["id"],
    "properties": {"id": {"type": "string", "maxLength": 5}, "a/b": {"items": {"type": "integer"}}},
}


class Shop(Adapter):
    id = "shop"
    version = "1.0.0"
    operations = (
        Operation(name="items.get", about="Read one item.", input_schema=SCHEMA, output_schema={"type": "object"}),
    )

    def execute(self, request, _context):
        return [("id", request.input["id"])]

    def health_check(self, context):
        return measured(context, lambda: context.clock.advance(context.config["seconds"]) or {"up": True})


def context(**config):
    return Context(
        correlation_id="cor_1",
        tenant=Tenant("acme", "shop"),
        user="usr_1",
        timestamp=NOW,
        http=requests.Session(),
        clock=ManualClock(NOW),
        config=config,
    )


@pytest.mark.parametrize(
    ("given", "pointers"),
    [
        ({"id": "1"}, []),
        ({}, [""]),
        ({"id": 1}, ["/id"]),
        ({"id": "123456", "a/b": [1, "x"]}, ["/a~1b/1", "/id"]),
        ({"id": "1", "more": 1}, [""]),
        (None, [""]),
        ({1: 2}, [""]),
        ({"id": {1, 2}}, [""]),
    ],
)
def test_a_call_is_validated_with_a_pointer_for_each_error(given, pointers):
    result = Shop().validate(CallRequest("items.get", given))
    assert sorted(error.pointer for error in result.errors) == pointers
    assert result.is_valid == (not pointers)


def test_an_error_does_not_show_the_value():
    errors = Shop().validate(CallRequest("items.get", {"id": "a secret value"})).errors
    assert "secret" not in str(errors)


def test_an_unknown_operation_is_not_valid():
    assert not Shop().validate(CallRequest("items.put", {})).is_valid


def test_an_answer_of_pairs_becomes_an_object_and_there_is_no_endpoint():
    shop = Shop()
    assert shop.transform(shop.execute(CallRequest("items.get", {"id": "1"}), context())) == {"id": "1"}
    assert shop.endpoint({}) is None


@pytest.mark.parametrize(
    ("seconds", "status"), [(0.1, "healthy"), (2.0, "healthy"), (3.0, "degraded"), (-1, "healthy")]
)
def test_health_is_measured(seconds, status):
    health = Shop().health_check(context(seconds=seconds))
    assert (health.status, health.latency_ms) == (status, max(seconds, 0) * 1000)
    assert is_json(health.as_dict())


def test_health_is_shown_with_its_time_in_utc():
    health = Health(status="healthy", latency_ms=1.5, last_checked=NOW)
    assert health.as_dict() == {
        "status": "healthy", "latency_ms": 1.5, "last_checked": "2026-11-22T12:00:00Z", "details": {},
    }  # fmt: skip


def test_a_context_does_not_show_its_config():
    assert "s3cret" not in repr(context(token="s3cret"))


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "strin"},
        {"$ref": "http://127.0.0.1:1/schema.json"},
        {"$ref": "file:///etc/passwd"},
        {"pattern": "(a+)+(?=b)"},
        {"pattern": "(a)\\1"},
        {"properties": {"a": {"$ref": "other.json"}}},
        7,
    ],
)
def test_a_schema_that_is_none_or_leaves_itself_is_refused(schema):
    with pytest.raises(ValueError):  # noqa: PT011 - the library's own sentences differ
        Schema(schema)


def test_a_schema_may_refer_to_itself():
    assert Schema({"$ref": "#/$defs/a", "$defs": {"a": {"type": "array", "items": {"$ref": "#/$defs/a"}}}}).accepts(
        [[], [[]]]
    )


def test_there_are_at_most_twenty_errors():
    assert len(Schema({"items": {"type": "string"}}).errors([1] * 1000)) == 20


def test_a_pointer_escapes_its_parts():
    assert pointer_to(["a/b", "c~d", 0]) == "/a~1b/c~0d/0"


@pytest.mark.parametrize("value", [{1: 2}, {"a": float("nan")}, {"a": {1}}, object(), {"a": (1, 2)}])
def test_what_is_no_json_is_told(value):
    assert not is_json(value)
