"""The AsyncAPI document is one by the official schema, says what the workspace has, and nothing that is secret."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import pytest

from server.events.asyncapi import MOST_CHANNELS, Known, document
from server.sdk.schemas import Schema

if TYPE_CHECKING:
    from tests.support.product import Product

OFFICIAL = jsonschema_rs.Draft7Validator(
    json.loads((Path(__file__).parent / "asyncapi" / "asyncapi-3.0.0.json").read_text("utf-8"))
)
NODE = {"type": "object", "properties": {"kids": {"type": "array", "items": {"$ref": "#/$defs/n"}}}}
TYPES = [
    {
        "kind": "EventType",
        "name": "order.paid",
        "schema": {"type": "object", "required": ["total"], "properties": {"total": {"type": "number"}}},
        "example": {"total": 1},
        "description": "Paid.",
    },
    {
        "kind": "EventType",
        "name": "order.paid",
        "version": 2,
        "schema": {"type": "object", "properties": {"amount": {"type": "string"}}},
        "upcast": {"amount": "text(data.total)"},
        "example": {"amount": "1"},
    },
    {
        "kind": "EventType",
        "name": "tree.grown",
        "schema": {"$defs": {"n": NODE}, "$ref": "#/$defs/n"},
        "example": {"kids": [{}]},
    },
]
WEBHOOKS = [
    {
        "kind": "Webhook",
        "direction": "outbound",
        "name": "newest",
        "url": "https://user:pw@receiver.example.com:8443/T0/SECRET?token=SECRET",
        "events": ["order.*", "tree.grown"],
    },
    {
        "kind": "Webhook",
        "direction": "outbound",
        "name": "first",
        "integration": "warehouse",
        "events": ["order.paid@1"],
        "request": {"method": "PUT"},
    },
    {
        "kind": "Webhook",
        "direction": "outbound",
        "name": "mapped",
        "url": "https://receiver.example.com",
        "events": ["**"],
        "map": {"a": "data"},
    },
    {
        "kind": "Webhook",
        "direction": "inbound",
        "name": "shop",
        "path": "shop/{shop}/orders",
        "methods": ["POST", "PUT"],
        "description": "Orders.",
        "verify": {"scheme": "shopify", "key": {"secret": "SHOP"}},
        "emit": {"type": "order.paid"},
    },
    {
        "kind": "Webhook",
        "direction": "inbound",
        "name": "raw",
        "path": "raw",
        "content_types": ["text/csv"],
        "verify": {"scheme": "none"},
        "emit": [{"type": "a.b"}, {"type": "c.d"}],
    },
]
INTEGRATIONS = {"warehouse": {"config": {"base_url": "https://warehouse.example.com/api", "auth": {"secret": "X"}}}}


def made(**more: Any) -> dict[str, Any]:
    known = Known("acme", "shop", 7, more.get("types", TYPES), more.get("webhooks", WEBHOOKS), INTEGRATIONS)
    return json.loads(json.dumps(document(known, "127.0.0.1:8080", "http")))


def at(whole: Any, reference: str) -> Any:
    for step in reference.removeprefix("#/").split("/"):
        whole = whole[step.replace("~1", "/").replace("~0", "~")]
    return whole


def references(node: Any) -> list[str]:
    if isinstance(node, list):
        return [found for each in node for found in references(each)]
    if not isinstance(node, dict):
        return []
    own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
    return own + [found for each in node.values() for found in references(each)]


@pytest.mark.parametrize("known", [{}, {"types": [], "webhooks": []}, {"webhooks": []}, {"types": []}], ids=str)
def test_the_document_is_one_by_the_official_schema(known: dict[str, Any]) -> None:
    whole = made(**known)
    assert [error.message for error in OFFICIAL.iter_errors(whole)] == []
    for reference in references(whole):
        assert at(whole, reference) is not None


def test_every_example_fits_its_payload() -> None:
    whole = made()
    messages = whole["components"]["messages"]
    assert len(messages) == 6
    for message in messages.values():
        payload = message["payload"]["schema"]
        schema = Schema({**payload, "components": whole["components"]})
        for example in message["examples"]:
            assert schema.errors(example["payload"]) == ()
            assert not schema.accepts({**example["payload"], "type": "other"})


def test_each_webhook_has_the_messages_of_the_versions_that_it_gets() -> None:
    whole = made()
    messages = {name: sorted(channel["messages"]) for name, channel in whole["channels"].items()}
    assert messages == {
        "event.order.paid": ["v1", "v2"],
        "event.tree.grown": ["v1"],
        "webhook.newest": ["order.paid.v2", "tree.grown.v1"],
        "webhook.first": ["order.paid.v1"],
        "webhook.mapped": ["mapped"],
        "webhook.shop": ["request"],
        "webhook.raw": ["request"],
    }
    operations = {
        name: (each["action"], each["bindings"]["http"]["method"]) for name, each in whole["operations"].items()
    }
    assert operations == {
        "publish.order.paid": ("receive", "POST"),
        "publish.tree.grown": ("receive", "POST"),
        "webhook.newest": ("send", "POST"),
        "webhook.first": ("send", "PUT"),
        "webhook.mapped": ("send", "POST"),
        "webhook.shop.post": ("receive", "POST"),
        "webhook.shop.put": ("receive", "PUT"),
        "webhook.raw": ("receive", "POST"),
    }
    shop = whole["channels"]["webhook.shop"]
    assert (shop["address"], list(shop["parameters"])) == ("/in/acme/shop/shop/{shop}/orders", ["shop"])
    assert whole["channels"]["webhook.raw"]["x-crossdock-emits"] == ["a.b", "c.d"]


def test_of_a_receiver_only_the_host_is_told() -> None:
    whole = made()
    assert whole["servers"]["receiver.newest"] == {"host": "receiver.example.com:8443", "protocol": "https"}
    assert whole["servers"]["integration.warehouse"] == {"host": "warehouse.example.com", "protocol": "https"}
    for secret in ("SECRET", "pw@", "SHOP", '/api"'):
        assert secret not in json.dumps({key: value for key, value in whole.items() if key != "components"})


def test_a_large_workspace_has_a_bounded_document() -> None:
    webhooks = [{**WEBHOOKS[0], "name": f"w{number}"} for number in range(MOST_CHANNELS + 5)]
    whole = made(webhooks=webhooks)
    assert len(whole["channels"]) == MOST_CHANNELS + 2
    assert "5 webhooks are left out" in whole["info"]["description"]


def test_it_is_served_and_follows_the_definitions(product: Product) -> None:
    empty = product.client().get("/api/v1/asyncapi.json")
    assert (empty.status_code, empty.json["channels"]) == (200, {})
    tag = empty.headers["ETag"]
    assert product.client().get("/api/v1/asyncapi.json", headers={"If-None-Match": tag}).status_code == 304
    body = {key: value for key, value in TYPES[0].items() if key != "kind"}
    assert product.client().post("/api/v1/event-types", json=body).status_code == 201
    full = product.client().get("/api/v1/asyncapi.json", headers={"If-None-Match": tag})
    assert list(full.json["channels"]) == ["event.order.paid"]
    assert [error.message for error in OFFICIAL.iter_errors(full.json)] == []
    other = product.client(product.workspace("acme", "shop")).get("/api/v1/asyncapi.json").json
    assert (other["channels"], other["info"]["title"]) == ({}, "Crossdock: acme/shop")
