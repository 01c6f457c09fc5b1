"""Definitions over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.definitions import ALL, ORDER_CREATED, ORDERS, SIGNED, WAREHOUSE, changed

if TYPE_CHECKING:
    from flask import Flask

    from tests.authoring_db.conftest import Client, Hand


def files(*texts: str, **more: Any) -> dict[str, Any]:
    return {"files": [{"path": f"f{number}.yaml", "text": text} for number, text in enumerate(texts)], **more}


def main(*texts: str, **more: Any) -> dict[str, Any]:
    return files(*texts, origin="folder:main", **more)


def test_check_answers_every_finding_with_its_place(api: Client) -> None:
    answer = api("POST", "/definitions/check", files(WAREHOUSE.replace("plugin", "plugni")))
    assert answer["ok"] is False
    (finding,) = answer["findings"]
    assert (finding["file"], finding["line"], finding["code"]) == ("f0.yaml", 3, "UNKNOWN_KEY")
    assert finding["suggestion"] == "plugin"
    assert api("POST", "/definitions/check", files(*ALL)) == {"findings": [], "ok": True}


def test_a_check_knows_what_the_workspace_has(api: Client, hand: Hand) -> None:
    assert api("POST", "/definitions/check", files(ORDERS))["ok"] is False
    hand.apply(WAREHOUSE)
    assert api("POST", "/definitions/check", files(ORDERS))["ok"] is True


def test_the_definitions_own_tests_run(api: Client) -> None:
    given = "given: {event: order.created, data: {order_id: SO-1}}"
    tested = changed(
        ORDERS,
        "map: {id: data.order_id}",
        "tests:",
        f"  - {{name: right, {given}, expect: {{requests: [{{method: POST, json: {{id: SO-1}}}}]}}}}",
        f"  - {{name: wrong, {given}, expect: {{requests: [{{method: POST, json: {{id: SO-2}}}}]}}}}",
    )
    answer = api("POST", "/definitions/test", files(WAREHOUSE, ORDER_CREATED, tested))
    assert answer["findings"] == []
    assert [(each["test"], each["ok"]) for each in answer["results"]] == [("right", True), ("wrong", False)]
    assert answer["results"][1]["problems"]
    assert answer["ok"] is False


def test_plan_then_apply_with_its_base(api: Client, hand: Hand) -> None:
    plan = api("POST", "/definitions/plan", main(*ALL))
    assert [(each["action"], each["kind"], each["name"]) for each in plan["changes"]] == [
        ("create", "event-type", "order.created@1"),
        ("create", "integration", "warehouse"),
        ("create", "webhook", "orders"),
    ]
    assert {"path": "/retry", "after": {"schedule": ["5s", "5m"], "jitter": 0.2}} in plan["changes"][2]["diff"]
    assert hand.rows("SELECT FROM definitions") == []
    applied = api("POST", "/definitions/apply", main(*ALL, base=plan["base"]))
    assert applied["unchanged"] == 0
    assert applied["applied"][2] == {"action": "create", "kind": "webhook", "name": "orders", "version": 1}
    refused = api("POST", "/definitions/apply", main(*ALL, base=plan["base"]), 409)
    assert refused["code"] == "BASE_MOVED"
    assert api("POST", "/definitions/apply", main(*ALL)) == {"applied": [], "unchanged": 3}


def test_a_plan_of_what_does_not_check_says_why_and_plans_nothing(api: Client, hand: Hand) -> None:
    hand.apply(*ALL)
    plan = api("POST", "/definitions/plan", main(WAREHOUSE.replace("plugin", "plugni"), prune=True))
    assert (plan["changes"], [each["code"] for each in plan["findings"]]) == ([], ["UNKNOWN_KEY"])
    refused = api("POST", "/definitions/apply", main(WAREHOUSE.replace("plugin", "plugni"), prune=True), 422)
    assert refused["code"] == "CHECK_FAILED"
    assert refused["details"]["findings"][0]["line"] == 3


def test_a_missing_secret_is_a_finding_of_plan_and_refuses_the_apply(api: Client) -> None:
    plan = api("POST", "/definitions/plan", main(*ALL, SIGNED))
    assert [(each["code"], each["file"], each["line"]) for each in plan["findings"]] == [
        ("SECRET_MISSING", "f3.yaml", 10)
    ]
    assert api("POST", "/definitions/apply", main(*ALL, SIGNED), 422)["code"] == "SECRET_MISSING"


def test_prune_over_http(api: Client, hand: Hand) -> None:
    hand.apply(*ALL)
    plan = api("POST", "/definitions/plan", main(WAREHOUSE))
    assert plan["kept"] == ["event-type/order.created@1", "webhook/orders"]
    api("POST", "/definitions/apply", main(WAREHOUSE, prune=True))
    assert [each["name"] for each in api("GET", "/definitions")["items"]] == ["warehouse"]


def test_a_pruned_integration_is_no_longer_known_to_the_files_that_remain(api: Client, hand: Hand) -> None:
    hand.apply(*ALL)
    plan = api("POST", "/definitions/plan", main(ORDER_CREATED, ORDERS, prune=True))
    assert [each["code"] for each in plan["findings"]] == ["UNKNOWN_REFERENCE"]


def test_definitions_are_listed_in_pages_and_read_with_an_etag(api: Client, hand: Hand) -> None:
    hand.apply(*ALL[:2])
    hand.apply(ALL[2], origin="api")
    first = api("GET", "/definitions?limit=2")
    assert [each["kind"] for each in first["items"]] == ["event-type", "integration"]
    rest = api("GET", f"/definitions?limit=2&cursor={first['next']}")
    assert [(each["name"], rest["next"]) for each in rest["items"]] == [("orders", None)]
    assert [each["name"] for each in api("GET", "/definitions?origin=api")["items"]] == ["orders"]
    assert [each["name"] for each in api("GET", "/definitions?kind=integration")["items"]] == ["warehouse"]
    one = api("GET", "/definitions/webhook/orders")
    assert (one["origin"], one["body"]["retry"]["jitter"], api.etag) == ("api", 0.2, '"1"')


def test_versions_and_rollback(api: Client, hand: Hand) -> None:
    hand.apply(WAREHOUSE)
    hand.apply(changed(WAREHOUSE, "description: new"))
    back = api("POST", "/definitions/integration/warehouse/rollback", {})
    assert (back["version"], back["drifted"], "description" in back["body"]) == (3, True, False)
    listed = api("GET", "/definitions/integration/warehouse/versions?limit=2")
    assert [(each["version"], each["action"]) for each in listed["items"]] == [(3, "rollback"), (2, "change")]
    rest = api("GET", f"/definitions/integration/warehouse/versions?limit=2&cursor={listed['next']}")
    assert [(each["version"], each["action"]) for each in rest["items"]] == [(1, "create")]
    api("POST", "/definitions/integration/warehouse/rollback", {"version": 2}, 412, match='"1"')
    api("POST", "/definitions/integration/warehouse/rollback", {"version": 2}, match='"3"')
    assert api("POST", "/definitions/integration/warehouse/rollback", {"version": 9}, 404)["code"] == "NOT_FOUND"


def test_an_export_applied_again_changes_nothing(api: Client, hand: Hand) -> None:
    hand.apply(*ALL)
    exported = api("GET", "/definitions/export")
    assert api("POST", "/definitions/apply", {**exported, "origin": "folder:main", "prune": True}) == {
        "applied": [],
        "unchanged": 3,
    }


def test_the_same_idempotency_key_applies_once(api: Client, hand: Hand) -> None:
    first = api("POST", "/definitions/apply", main(*ALL), Idempotency_Key="k-1")
    assert len(first["applied"]) == 3
    assert api("POST", "/definitions/apply", main(*ALL), Idempotency_Key="k-1") == first


@pytest.mark.parametrize(
    ("role", "method", "path", "status"),
    [
        ("viewer", "POST", "/definitions/plan", 200),
        ("operator", "POST", "/definitions/apply", 403),
        ("editor", "POST", "/definitions/apply", 200),
    ],
)
def test_who_may_look_and_who_may_apply(api: Client, role: str, method: str, path: str, status: int) -> None:
    api.as_(role)(method, path, main(WAREHOUSE), status)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/files"),
        ({"files": [{"path": "a"}]}, "/files/0/text"),
        ({"files": [{"path": "a\u0007", "text": ""}]}, "/files/0/path"),
        ({"files": [], "origin": "folder:"}, "/origin"),
        ({"files": [], "origin": "other"}, "/origin"),
        ({"files": [], "prune": "yes"}, "/prune"),
        ({"files": [], "more": 1}, "/more"),
    ],
)
def test_a_body_of_another_shape_is_refused_with_a_pointer(api: Client, body: dict[str, Any], pointer: str) -> None:
    assert api("POST", "/definitions/plan", body, 422)["errors"][0]["pointer"] == pointer


@pytest.mark.parametrize(
    "path",
    [
        "/definitions/webhook/nobody",
        "/definitions/nothing/orders",
        "/definitions/webhook/nobody/versions",
        "/definitions/webhook/%00",
    ],
)
def test_what_is_not_there_is_not_found(api: Client, path: str) -> None:
    api("GET", path, status=400 if "%00" in path else 404)


def test_two_workspaces_do_not_see_each_other(api: Client, hand: Hand, app: Flask) -> None:
    hand.apply(*ALL)
    rival = api.as_("admin@rival")
    assert rival("GET", "/definitions")["items"] == []
    assert rival("GET", "/webhooks")["items"] == []
    rival("GET", "/definitions/webhook/orders", status=404)
    rival("GET", "/webhooks/orders", status=404)
    rival("POST", "/definitions/webhook/orders/rollback", {}, status=404)
    rival("DELETE", "/webhooks/orders", status=404, match="*")
    assert rival("GET", "/definitions/export") == {"files": []}
    assert rival("POST", "/definitions/check", files(ORDERS))["ok"] is False


def test_hostile_files_are_findings(api: Client) -> None:
    texts = [
        "a: [" * 1000,
        "&a [*a]",
        "kind: Webhook\n" * 2,
        "\t",
        "x" * 300_000,
        "{" * 10_000,
        "!!python/object:os.system x",
    ]
    answer = api("POST", "/definitions/check", files(*texts))
    assert answer["ok"] is False
    assert {each["file"] for each in answer["findings"]} >= {f"f{number}.yaml" for number in range(7)}
