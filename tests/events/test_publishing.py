"""Answered 2xx means stored, once per (source, id)."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.support.product import Product


def post(product: Product, body: Any, content_type: str = "application/json", **headers: str) -> Any:
    data = body if isinstance(body, bytes) else json.dumps(body)
    return product.client().post("/api/v1/events", data=data, content_type=content_type, headers=headers)


def test_an_event_is_stored_and_read_back_digit_by_digit(product: Product) -> None:
    body = b'{"type":"order.paid","id":"e-1","source":"shop","subject":"SO-1","data":{"total":12.50,"n":1.0}}'
    assert post(product, body).json == {"id": "e-1", "duplicate": False}
    answer = product.client().get("/api/v1/events/e-1")
    assert b'"total":12.50,"n":1.0' in answer.data
    assert (answer.json["type"], answer.json["subject"], answer.json["source"]) == ("order.paid", "SO-1", "shop")


def test_the_same_again_is_a_duplicate_and_other_content_a_conflict(product: Product) -> None:
    event = {"type": "order.paid", "id": "e-1", "data": {"a": 1, "b": 2}}
    assert post(product, event).json == {"id": "e-1", "duplicate": False}
    assert post(product, event | {"data": {"b": 2, "a": 1}}).json == {"id": "e-1", "duplicate": True}
    refused = post(product, event | {"data": {"a": 2}})
    assert (refused.status_code, refused.json["code"]) == (409, "EVENT_CONFLICT")
    assert post(product, event | {"source": "elsewhere"}).json["duplicate"] is False
    assert len(product.rows("SELECT 1 FROM events WHERE id = 'e-1'")) == 2


def test_a_batch_is_answered_in_its_order_with_its_duplicates(product: Product) -> None:
    post(product, {"type": "a.b", "id": "2", "data": 0})
    items = [{"type": "a.b", "id": id_, "data": 0} for id_ in ("1", "2", "3", "3")]
    answer = post(product, items).json["items"]
    assert [(each["id"], each["duplicate"]) for each in answer] == [
        ("1", False),
        ("2", True),
        ("3", False),
        ("3", True),
    ]


def test_a_conflict_in_a_batch_stores_nothing_of_it(product: Product) -> None:
    post(product, {"type": "a.b", "id": "2", "data": 0})
    refused = post(product, [{"type": "a.b", "id": "1", "data": 0}, {"type": "a.b", "id": "2", "data": 1}])
    assert (refused.status_code, refused.json["errors"][0]["pointer"]) == (409, "/1/id")
    assert product.rows("SELECT 1 FROM events WHERE id = '1'") == []


def test_fifty_publishers_of_one_id_store_one_event(product: Product) -> None:
    event = {"type": "a.b", "id": "race", "data": {"n": 1}}
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: post(product, event), range(50)))
    assert {each.status_code for each in answers} == {202}
    assert sum(not each.json["duplicate"] for each in answers) == 1
    assert len(product.rows("SELECT 1 FROM events WHERE id = 'race'")) == 1


def test_the_same_id_in_another_workspace_is_another_event(product: Product) -> None:
    other = product.workspace("acme", "shop")
    post(product, {"type": "a.b", "id": "1", "data": 1})
    answer = product.client(other).post("/api/v1/events", json={"type": "a.b", "id": "1", "data": 2})
    assert (answer.status_code, answer.json["duplicate"]) == (202, False)


def test_cloudevents_come_structured_binary_and_in_batches(product: Product) -> None:
    cloud = {"specversion": "1.0", "id": "c-1", "source": "/erp", "type": "stock.low", "data": {"sku": "A"}}
    assert post(product, cloud, "application/cloudevents+json").json == {"id": "c-1", "duplicate": False}
    batch = post(product, [cloud, cloud | {"id": "c-2", "correlationid": "x-1"}], "application/cloudevents-batch+json")
    assert [each["duplicate"] for each in batch.json["items"]] == [True, False]
    binary = {"ce-specversion": "1.0", "ce-id": "c-3", "ce-source": "/erp", "ce-type": "stock.low", "ce-subject": "A"}
    assert post(product, b'{"sku":"B"}', "application/json", **binary).status_code == 202
    read = product.client().get("/api/v1/events/c-3").json
    assert (read["source"], read["subject"], read["data"]) == ("/erp", "A", {"sku": "B"})
    assert product.client().get("/api/v1/events/c-2").json["correlation_id"] == "x-1"


def test_the_older_envelope_is_taken(product: Product) -> None:
    event = {
        "id": "o-1",
        "type": "order.created",
        "timestamp": "2026-01-31T12:00:00Z",
        "data": {"order": 1},
        "metadata": {"source": "sales", "correlationId": "corr-9", "userId": "u-7"},
    }
    assert post(product, event).status_code == 202
    read = product.client().get("/api/v1/events/o-1").json
    assert (read["source"], read["correlation_id"], read["time"]) == ("sales", "corr-9", "2026-01-31T12:00:00Z")
    assert read["extensions"] == {"userid": "u-7"}


def test_the_catalogue_refuses_what_breaks_its_schema_with_a_pointer(product: Product) -> None:
    with product.tx() as tx:
        tx.run("UPDATE workspaces SET routes_version = routes_version + 1 WHERE id = :workspace_id")
        body = {
            "name": "order.created",
            "version": 1,
            "schema": {"type": "object", "required": ["order_id"], "properties": {"order_id": {"type": "string"}}},
        }
        tx.run(
            """INSERT INTO definitions (organization_id, workspace_id, kind, name, version, origin, hash, body, updated_by)
               VALUES (:organization_id, :workspace_id, 'EventType', 'order.created@1', 1, 'api', 'h', CAST(:body AS jsonb), 't')""",
            body=json.dumps(body),
        )
    refused = post(
        product,
        [{"type": "order.created", "data": {"order_id": "1"}}, {"type": "order.created", "data": {"order_id": 1}}],
    )
    assert (refused.status_code, refused.json["code"]) == (422, "SCHEMA_VIOLATION")
    assert refused.json["errors"][0]["pointer"] == "/1/data/order_id"
    assert product.rows("SELECT 1 FROM events WHERE type = 'order.created'") == []
    unknown = post(product, {"type": "order.created", "data": {"order_id": "1"}, "schema_version": 7})
    assert unknown.status_code == 422


BAD: list[tuple[Any, str, int, str]] = [
    (b"", "application/json", 400, ""),
    (b"{", "application/json", 400, ""),
    (b"[]", "application/json", 422, ""),
    (b"1", "application/json", 422, ""),
    ({"data": {}}, "application/json", 422, "/type"),
    ({"type": "a.b"}, "application/json", 422, "/data"),
    ({"type": 1, "data": {}}, "application/json", 422, "/type"),
    ({"type": "a b", "data": {}}, "application/json", 422, "/type"),
    ({"type": "crossdock.webhook.paused", "data": {}}, "application/json", 422, "/type"),
    ({"type": "a.b", "source": "crossdock", "data": {}}, "application/json", 422, "/source"),
    ({"type": "a.b", "data": {}, "typ": 1}, "application/json", 422, "/typ"),
    ({"type": "a.b", "data": {}, "time": "yesterday"}, "application/json", 422, "/time"),
    ({"type": "a.b", "data": {}, "time": 5}, "application/json", 422, "/time"),
    ({"type": "a.b", "data": {}, "time": "0001-01-01T00:00:00+14:00"}, "application/json", 422, "/time"),
    ([{"type": "a.b", "data": 1, "time": "9999-12-31T23:59:59-14:00"}], "application/json", 422, "/0/time"),
    (
        {"specversion": "1.0", "type": "a.b", "id": "1", "source": "s", "time": "9999-12-31T23:59:59-14:00"},
        "application/cloudevents+json",
        422,
        "/time",
    ),
    ({"type": "a.b", "data": {}, "id": ""}, "application/json", 422, "/id"),
    ({"type": "a.b", "data": {}, "id": "x" * 257}, "application/json", 422, "/id"),
    ({"type": "a.b", "data": {}, "subject": "a\nb"}, "application/json", 422, "/subject"),
    ({"type": "a.b", "data": {}, "correlation_id": "a b"}, "application/json", 422, "/correlation_id"),
    ({"type": "a.b", "data": {}, "schema_version": True}, "application/json", 422, "/schema_version"),
    ([{"type": "a.b", "data": {}}, 7], "application/json", 422, "/1"),
    ([{"type": "a.b", "data": 1}] * 1001, "application/json", 422, ""),
    (
        {"specversion": "0.3", "type": "a.b", "id": "1", "source": "s"},
        "application/cloudevents+json",
        422,
        "/specversion",
    ),
    ({"specversion": "1.0", "type": "a.b"}, "application/cloudevents+json", 422, "/id"),
    (
        {"specversion": "1.0", "type": "a.b", "id": "1", "source": "s", "data_base64": "AA=="},
        "application/cloudevents+json",
        422,
        "/data_base64",
    ),
    (
        {"specversion": "1.0", "type": "a.b", "id": "1", "source": "s", "Bad-Ext": 1},
        "application/cloudevents+json",
        422,
        "/Bad-Ext",
    ),
    (b'{"type":"a.b","data":{"a":1,"a":2}}', "application/json", 400, ""),
    (b'{"type":"a.b","data":NaN}', "application/json", 400, ""),
    (b'{"type":"a.b","data":"\xff"}', "application/json", 400, ""),
    (b'{"type":"a.b","data":' + b"[" * 100 + b"]" * 100 + b"}", "application/json", 400, ""),
    (b'{"type":"a.b","data":1}', "text/csv", 415, ""),
    (b"hello", "text/plain", 422, ""),
]


@pytest.mark.parametrize(("body", "content_type", "status", "pointer"), BAD)
def test_bad_input_is_refused_with_its_place_and_nothing_is_stored(
    product: Product, body: Any, content_type: str, status: int, pointer: str
) -> None:
    refused = post(product, body, content_type)
    assert refused.status_code == status, refused.json
    assert refused.content_type == "application/problem+json"
    assert refused.json["code"]
    if pointer:
        assert pointer in [each["pointer"] for each in refused.json["errors"]]
    assert product.rows("SELECT 1 FROM events") == []


def test_listings_page_and_filter(product: Product) -> None:
    post(product, [{"type": f"a.t{n % 2}", "subject": f"s{n}", "data": n} for n in range(5)])
    client = product.client()
    first = client.get("/api/v1/events?limit=3").json
    second = client.get("/api/v1/events", query_string={"limit": 3, "cursor": first["next"]}).json
    assert [each["data"] for each in first["items"] + second["items"]] == [4, 3, 2, 1, 0]
    assert second["next"] is None
    assert [each["data"] for each in client.get("/api/v1/events?type=a.t1").json["items"]] == [3, 1]
    assert [each["data"] for each in client.get("/api/v1/events?subject=s2").json["items"]] == [2]
    assert client.get("/api/v1/events?since=2999-01-01T00:00:00Z").json["items"] == []
    assert client.get("/api/v1/events?cursor=nonsense").status_code == 422


def test_an_id_of_several_sources_asks_which(product: Product) -> None:
    for source in ("a", "b"):
        post(product, {"type": "a.b", "id": "x", "source": source, "data": source})
    refused = product.client().get("/api/v1/events/x")
    assert (refused.status_code, refused.json["code"], refused.json["details"]["sources"]) == (
        409,
        "AMBIGUOUS_EVENT",
        ["a", "b"],
    )
    assert product.client().get("/api/v1/events/x?source=b").json["data"] == "b"
