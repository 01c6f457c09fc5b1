"""Integrations, webhooks and event types as REST resources."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.definitions import ALL, ORDER_CREATED, ORDERS, WAREHOUSE, changed

if TYPE_CHECKING:
    from tests.authoring_db.conftest import Client, Hand

HTTP = {"name": "erp", "plugin": "http", "config": {"base_url": "https://erp.example.com"}}
HOOK = {
    "name": "to-erp",
    "direction": "outbound",
    "integration": "erp",
    "events": ["order.created"],
    "metadata": {"team": "sales", "tier": 1, "urgent": True, "zip": "0501"},
    "retry": {"schedule": ["5s"], "jitter": 0.25},
}
TYPE = {"name": "order.paid", "version": 2, "schema": {"type": "object"}, "metadata": {"team": "it"}}


def names(page: dict[str, Any]) -> list[str]:
    return [each["name"] for each in page["items"]]


def test_what_is_created_is_active_and_owned_by_the_api(api: Client) -> None:
    made = api("POST", "/integrations", HTTP, 201)
    assert api.headers["Location"] == "/api/v1/integrations/erp"
    assert (made["state"], made["version"], made["origin"], made["drifted"]) == ("active", 1, "api", False)
    assert (made["created_by"], made["definition"]) == ("token:admin", HTTP)
    assert api.etag == '"2"'
    assert api("GET", "/integrations/erp") == made
    hook = api("POST", "/webhooks", HOOK, 201)
    assert hook["definition"] == HOOK
    assert sorted(hook["allowed"]) == ["archive", "deactivate", "disable", "fail", "pause"]


def test_event_types_are_named_with_their_version(api: Client) -> None:
    made = api("POST", "/event-types", TYPE, 201)
    assert (made["name"], api.headers["Location"]) == ("order.paid@2", "/api/v1/event-types/order.paid@2")
    assert api("GET", "/event-types/order.paid@2") == made
    assert names(api("GET", "/event-types?metadata.team=it")) == ["order.paid@2"]
    assert names(api("GET", "/event-types?metadata.team=sales")) == []
    changed = api("PUT", "/event-types/order.paid@2", {**TYPE, "description": "new"}, match='"1"')
    assert (changed["version"], changed["created_by"], api.etag) == (2, "token:admin", '"2"')
    api("DELETE", "/event-types/order.paid@2", status=204, match='"2"')
    api("GET", "/event-types/order.paid@2", status=404)
    assert api("POST", "/event-types/order.paid@2/restore")["version"] == 4


def test_a_name_is_taken_once_and_free_again_after_a_delete(api: Client) -> None:
    api("POST", "/integrations", HTTP, 201)
    assert api("POST", "/integrations", HTTP, 409)["code"] == "NAME_TAKEN"
    api("DELETE", "/integrations/erp", status=204, match="*")
    assert api("POST", "/integrations", HTTP, 201)["version"] == 3


@pytest.mark.parametrize(
    ("body", "code", "pointer"),
    [
        ({**HTTP, "plugin": "htpp"}, "UNKNOWN_PLUGIN", "/plugin"),
        ({**HTTP, "nmae": 1}, "UNKNOWN_KEY", "/nmae"),
        ({"name": "erp"}, "MISSING_KEY", ""),
        ({**HTTP, "name": "E R P"}, "WRONG_VALUE", "/name"),
        ({**HTTP, "config": {"auth": {"token": {"secret": "NONE"}}}}, "SECRET_MISSING", "/config/auth/token/secret"),
        ({**HTTP, "kind": "Webhook"}, "INVALID", "/kind"),
        ({**HTTP, "metadata": {"a/b~c": {"x": 1}}}, "WRONG_TYPE", "/metadata/a~1b~0c"),
        ([], "INVALID", ""),
        ("text", "INVALID", ""),
    ],
)
def test_a_body_that_breaks_a_rule_is_refused_with_a_pointer(api: Client, body: Any, code: str, pointer: str) -> None:
    refused = api("POST", "/integrations", body, 422)
    assert (refused["code"], refused["errors"][0]["pointer"]) == (code, pointer)
    assert api("GET", "/integrations")["items"] == []


def test_a_wrong_expression_is_pointed_at(api: Client) -> None:
    api("POST", "/integrations", HTTP, 201)
    refused = api("POST", "/webhooks", {**HOOK, "map": {"a": {"b": "data.x +"}}}, 422)
    assert refused["errors"][0]["pointer"] == "/map/a/b"


def test_a_change_needs_the_etag_that_was_read(api: Client) -> None:
    api("POST", "/integrations", HTTP, 201)
    body = {**HTTP, "description": "new"}
    assert api("PUT", "/integrations/erp", body, 428)["code"] == "IF_MATCH_REQUIRED"
    assert api("PUT", "/integrations/erp", body, 412, match='"1"')["code"] == "VERSION_CONFLICT"
    assert api("PUT", "/integrations/erp", body, match='"2"')["definition"] == body
    assert api.etag == '"3"'
    api("DELETE", "/integrations/erp", status=412, match='"2"')
    api("DELETE", "/integrations/erp", status=428)


def test_the_same_definition_again_writes_nothing(api: Client, hand: Hand) -> None:
    api("POST", "/integrations", HTTP, 201)
    before = hand.snapshot()
    api("PUT", "/integrations/erp", HTTP, match="*")
    assert hand.snapshot() == before


def test_a_name_does_not_change(api: Client) -> None:
    api("POST", "/integrations", HTTP, 201)
    refused = api("PUT", "/integrations/erp", {**HTTP, "name": "other"}, 422, match="*")
    assert refused["errors"][0]["pointer"] == "/name"


def test_what_is_in_use_is_not_deleted(api: Client) -> None:
    api("POST", "/integrations", HTTP, 201)
    api("POST", "/webhooks", HOOK, 201)
    refused = api("DELETE", "/integrations/erp", status=409, match="*")
    assert (refused["code"], refused["details"]["used_by"]) == ("STILL_REFERRED", ["webhook/to-erp"])


def test_what_a_folder_owns_is_read_only_unless_forced_and_then_drifts(api: Client, hand: Hand) -> None:
    hand.apply(WAREHOUSE)
    body = {"name": "warehouse", "plugin": "http", "description": "by hand"}
    refused = api("PUT", "/integrations/warehouse", body, 409, match="*")
    assert (refused["code"], refused["details"]["origin"]) == ("OWNED_BY_FOLDER", "folder:main")
    assert api("DELETE", "/integrations/warehouse", status=409, match="*")["code"] == "OWNED_BY_FOLDER"
    forced = api("PUT", "/integrations/warehouse?force=true", body, match="*")
    assert (forced["origin"], forced["drifted"]) == ("folder:main", True)
    plan = api("POST", "/definitions/plan", {"files": [{"path": "a.yaml", "text": WAREHOUSE}], "origin": "folder:main"})
    assert plan["changes"][0]["drift"].startswith("changed over api by token:admin")
    api("DELETE", "/integrations/warehouse?force=true", status=204, match="*")


def test_a_deleted_one_comes_back_as_a_draft_with_its_history(api: Client) -> None:
    api("POST", "/integrations", HTTP, 201)
    api("DELETE", "/integrations/erp", status=204, match="*")
    api("GET", "/integrations/erp", status=404)
    assert names(api("GET", "/integrations")) == []
    assert api("POST", "/integrations/erp/restore")["state"] == "draft"
    assert api("POST", "/integrations/erp/restore", status=409)["code"] == "NAME_TAKEN"
    assert api("POST", "/integrations/erp/activate")["state"] == "active"
    types = [each["type"].rpartition(".")[2] for each in api("GET", "/integrations/erp/history")["items"]]
    assert types == ["created", "activated", "archived", "restored", "changed", "activated"]
    api("POST", "/integrations/nobody/restore", status=404)


def test_a_webhook_is_not_restored_while_its_integration_is_gone(api: Client) -> None:
    api("POST", "/integrations", HTTP, 201)
    api("POST", "/webhooks", HOOK, 201)
    api("DELETE", "/webhooks/to-erp", status=204, match="*")
    api("DELETE", "/integrations/erp", status=204, match="*")
    refused = api("POST", "/webhooks/to-erp/restore", status=422)
    assert refused["errors"][0]["pointer"] == "/integration"


def test_pause_and_resume_with_a_reason_and_an_optional_if_match(api: Client) -> None:
    api("POST", "/integrations", HTTP, 201)
    api("POST", "/integrations/erp/pause", {"reason": "maintenance"}, 412, match='"1"')
    paused = api("POST", "/integrations/erp/pause", {"reason": "maintenance"}, match='"2"')
    assert (paused["state"], api.etag) == ("paused", '"3"')
    refused = api("POST", "/integrations/erp/pause", status=409)
    assert (refused["code"], refused["details"]["state"]) == ("WRONG_STATE", "paused")
    assert refused["details"]["allowed"] == ["deactivate", "resume", "disable", "archive"]
    assert api("POST", "/integrations/erp/resume")["state"] == "active"
    assert api("POST", "/integrations/erp/disable")["state"] == "disabled"
    last = api("GET", "/integrations/erp/history?limit=200")["items"][2]
    assert (last["type"], last["data"], last["by"]) == (
        "crossdock.integration.paused",
        {"reason": "maintenance"},
        "token:admin",
    )


def test_a_history_is_read_in_pages(api: Client) -> None:
    api("POST", "/integrations", HTTP, 201)
    first = api("GET", "/integrations/erp/history?limit=1")
    second = api("GET", f"/integrations/erp/history?limit=1&cursor={first['next']}")
    assert [each["version"] for page in (first, second) for each in page["items"]] == [1, 2]
    assert second["next"] is None


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["orders", "to-erp"]),
        ("?state=active", ["orders", "to-erp"]),
        ("?state=paused", []),
        ("?metadata.team=sales", ["orders", "to-erp"]),
        ("?metadata.tier=1", ["to-erp"]),
        ('?metadata.tier="1"', []),
        ("?metadata.urgent=true&metadata.team=sales", ["to-erp"]),
        ("?metadata.zip=0501", ["to-erp"]),
        ("?metadata.team=%27%20OR%201=1--", []),
        ("?limit=1", ["orders"]),
    ],
)
def test_lists_are_filtered(api: Client, hand: Hand, query: str, found: list[str]) -> None:
    hand.apply(*ALL)
    api("POST", "/integrations", HTTP, 201)
    api("POST", "/webhooks", HOOK, 201)
    assert names(api("GET", f"/webhooks{query}")) == found


def test_what_was_removed_is_found_by_its_state_until_it_is_restored(api: Client, hand: Hand) -> None:
    hand.apply(*ALL)
    hand.apply(WAREHOUSE, prune=True)
    api("POST", "/integrations", HTTP, 201)
    api("POST", "/webhooks", HOOK, 201)
    api("DELETE", "/webhooks/to-erp", status=204, match="*")
    first = api("GET", "/webhooks?state=archived&limit=1")
    second = api("GET", f"/webhooks?state=archived&limit=1&cursor={first['next']}")
    assert (names(first) + names(second), second["next"]) == (["orders", "to-erp"], None)
    [gone] = second["items"]
    assert (gone["state"], gone["allowed"], gone["definition"]) == ("archived", ["restore"], HOOK)
    assert names(api("GET", "/webhooks?state=archived&metadata.tier=1")) == ["to-erp"]
    assert names(api("GET", "/webhooks")) == []
    api("POST", "/webhooks/to-erp/restore")
    assert names(api("GET", "/webhooks?state=archived")) == ["orders"]
    assert [names(api("GET", f"/{each}?state=archived")) for each in ("integrations", "flows", "sync-jobs")] == [[]] * 3


@pytest.mark.parametrize(
    "query", ["?stat=active", "?state=on", "?metadata.=1", "?metadata.a=1&metadata.a=2", "?limit=0"]
)
def test_a_filter_that_nobody_knows_is_refused(api: Client, query: str) -> None:
    assert api("GET", f"/webhooks{query}", status=422)["errors"][0]["in"] == "query"


@pytest.mark.parametrize(
    ("role", "method", "path", "status"),
    [
        ("viewer", "GET", "/webhooks", 200),
        ("viewer", "POST", "/webhooks/orders/pause", 403),
        ("operator", "POST", "/webhooks/orders/pause", 200),
        ("operator", "POST", "/integrations/warehouse/pause", 200),
        ("operator", "DELETE", "/webhooks/orders?force=true", 403),
        ("editor", "DELETE", "/webhooks/orders?force=true", 204),
    ],
)
def test_who_may_do_what(api: Client, hand: Hand, role: str, method: str, path: str, status: int) -> None:
    hand.apply(*ALL)
    api.as_(role)(method, path, status=status, match="*")


def test_a_paused_webhook_stays_paused_when_its_folder_changes_it(api: Client, hand: Hand) -> None:
    hand.apply(*ALL)
    api("POST", "/webhooks/orders/pause")
    hand.apply(WAREHOUSE, ORDER_CREATED, changed(ORDERS, "description: new"))
    assert api("GET", "/webhooks/orders")["state"] == "paused"


def test_numbers_keep_their_digits(api: Client) -> None:
    body = b'{"name": "erp", "plugin": "http", "metadata": {"rate": 0.10000000000000000001}}'
    answer = api.client.post(
        "/api/v1/integrations",
        data=body,
        content_type="application/json",
        headers={"Authorization": "Bearer admin"},
    )
    assert answer.status_code == 201
    assert b"0.10000000000000000001" in answer.data
