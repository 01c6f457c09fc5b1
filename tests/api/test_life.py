"""A definition's whole life over REST, and the life of everything else that a workspace holds."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from standardwebhooks import Webhook as Verifier

from server.sdk.signing import generate_secret
from tests.support.product import until

if TYPE_CHECKING:
    from werkzeug.test import TestResponse

    from server.store import Scope
    from tests.api.world import World

SHOP = """\
kind: Integration
name: shop
plugin: http
config:
  base_url: {url}/api
  auth: {{scheme: bearer, token: {{secret: SHOP_TOKEN}}}}
"""
TYPE = """\
kind: EventType
name: order.created
version: 1
schema: {type: object, required: [order_id, total], properties: {order_id: {type: string}, total: {type: string}}}
"""
HOOK = """\
kind: Webhook
name: orders
direction: outbound
integration: shop
request: {path: /orders}
events: [order.created]
when: to_decimal(data.total) > 100
sign: {scheme: standard-webhooks, key: {secret: SHOP_HOOK}}
map: {number: data.order_id, total: {from: data.total, type: decimal, round: 2}}
tests:
  - name: a large order goes out
    given: {event: order.created, data: {order_id: SO-1, total: "200"}}
    answers: [{status: 204}]
    expect: {requests: [{path: /api/orders, json: {number: SO-1, total: "200.00"}}]}
"""


@dataclass
class Desk:
    """Somebody at work in a workspace."""

    world: World
    scope: Scope
    headers: dict[str, str]

    def __call__(self, method: str, path: str, body: Any = None, status: int = 200, **headers: str) -> Any:
        """Call the API; return the JSON of the answer."""
        self.answer = self.raw(method, path, body, **headers)
        assert self.answer.status_code == status, (method, path, self.answer.text)
        return self.answer.json if self.answer.data else None

    def raw(self, method: str, path: str, body: Any = None, **headers: str) -> TestResponse:
        sent = self.headers | {name.replace("_", "-"): value for name, value in headers.items()}
        return self.world.call(method, f"/api/v1{path}", body, headers=sent)

    @property
    def etag(self) -> str:
        return self.answer.headers["ETag"]

    def as_(self, role: str, **options: Any) -> Desk:
        return Desk(self.world, self.scope, self.world.token(self.scope, role, **options)[0])


@pytest.fixture
def desk(world: World, request: pytest.FixtureRequest) -> Desk:
    scope = world.product.workspace("life", f"w{zlib.crc32(request.node.name.encode())}")
    return Desk(world, scope, world.token(scope, "admin")[0])


def files(*texts: str, origin: str = "folder:main", **more: Any) -> dict[str, Any]:
    named = [{"path": f"f{number}.yaml", "text": text} for number, text in enumerate(texts)]
    return {"files": named, "origin": origin, **more}


def test_a_definition_from_its_first_check_to_its_drift(desk: Desk, world: World):
    texts = (SHOP.format(url=world.receiver.url), TYPE, HOOK)
    only_files = {"files": files(*texts)["files"]}

    wrong = desk(
        "POST", "/definitions/check", {"files": [{"path": "h.yaml", "text": HOOK.replace("events:", "event:")}]}
    )
    assert not wrong["ok"]
    found = next(each for each in wrong["findings"] if each["line"] == 6)
    assert (found["file"], found["severity"], "events" in str(found)) == ("h.yaml", "error", True)
    checked = desk("POST", "/definitions/check", only_files)
    assert checked["ok"], checked
    tested = desk("POST", "/definitions/test", only_files)
    assert [(each["test"], each["ok"]) for each in tested["results"]] == [("a large order goes out", True)]

    lacking = desk("POST", "/definitions/plan", files(*texts))
    assert {each["code"] for each in lacking["findings"] if each["severity"] == "error"} == {"SECRET_MISSING"}
    assert desk("POST", "/definitions/apply", files(*texts), 422)["code"] == "SECRET_MISSING"
    key = generate_secret()
    desk("PUT", "/secrets/SHOP_HOOK", {"value": key})
    desk("PUT", "/secrets/SHOP_TOKEN", {"value": "a token of the shop"})
    plan = desk("POST", "/definitions/plan", files(*texts))
    assert [(each["action"], each["kind"], each["name"]) for each in plan["changes"]] == [
        ("create", "event-type", "order.created@1"),
        ("create", "integration", "shop"),
        ("create", "webhook", "orders"),
    ]
    assert desk("GET", "/definitions")["items"] == []

    applied = desk("POST", "/definitions/apply", files(*texts, base=plan["base"]), X_Correlation_ID="release-1")
    assert {(each["action"], each["version"]) for each in applied["applied"]} == {("create", 1)}
    assert desk("POST", "/definitions/apply", files(*texts)) == {"applied": [], "unchanged": 3}
    moved = desk("POST", "/definitions/apply", files(*texts, base=plan["base"]), 409)
    assert moved["code"] == "BASE_MOVED"
    assert desk("GET", "/webhooks/orders")["state"] == "active"
    assert [each["type"] for each in desk("GET", "/webhooks/orders/history")["items"]] == [
        "crossdock.webhook.created",
        "crossdock.webhook.activated",
    ]

    _deliver(desk, world, key)

    exported = desk("GET", "/definitions/export")["files"]
    again = desk("POST", "/definitions/plan", {"files": exported, "origin": "folder:main"})
    assert (again["changes"], again["unchanged"], again["findings"]) == ([], 3, [])
    assert key not in str(exported)

    changed = (*texts[:2], HOOK.replace("> 100", "> 1000").replace('"200"', '"2000"').replace('"200.00"', '"2000.00"'))
    second = desk("POST", "/definitions/plan", files(*changed))
    assert [(each["action"], each["name"], each["drift"]) for each in second["changes"]] == [("change", "orders", None)]
    assert "/when" in {each["path"] for each in second["changes"][0]["diff"]}
    desk("POST", "/definitions/apply", files(*changed, base=second["base"]))
    rolled = desk("POST", "/definitions/webhook/orders/rollback", {})
    assert (rolled["version"], rolled["drifted"], rolled["body"]["when"]) == (3, True, "to_decimal(data.total) > 100")
    drift = desk("POST", "/definitions/plan", files(*changed))
    assert [(each["name"], bool(each["drift"])) for each in drift["changes"]] == [("orders", True)]
    kept = desk("GET", "/definitions/webhook/orders/versions")["items"]
    assert [(each["version"], each["action"]) for each in kept] == [(3, "rollback"), (2, "change"), (1, "create")]

    pruned = desk("POST", "/definitions/apply", files(*changed[:2], prune=True))
    assert [(each["action"], each["name"]) for each in pruned["applied"]] == [("remove", "orders")]
    desk("GET", "/webhooks/orders", status=404)
    assert desk("POST", "/webhooks/orders/restore")["state"] == "draft"
    assert desk("POST", "/webhooks/orders/activate")["state"] == "active"


def _deliver(desk: Desk, world: World, key: str) -> None:
    """Publish a large and a small order; the large one arrives, signed and mapped."""
    before = len(world.receiver.hits)
    events = [
        {"type": "order.created", "data": {"order_id": f"SO-{total}", "total": total}, "subject": "order"}
        for total in ("1500", "5")
    ]
    published = desk("POST", "/events", events, 202, X_Correlation_ID="case-7")["items"]
    refused = desk("POST", "/events", {"type": "order.created", "data": {"order_id": 1}}, 422)
    assert refused["code"] == "SCHEMA_VIOLATION"
    with world.product.worker():
        [hit] = world.receiver.wait(before + 1)[before:]
        until(lambda: {each["state"] for each in desk("GET", "/deliveries")["items"]} == {"delivered", "skipped"})
    assert (hit.path, Verifier(key).verify(hit.body, hit.headers)) == (
        "/api/orders",
        {"number": "SO-1500", "total": "1500.00"},
    )
    [delivery] = desk("GET", "/deliveries?state=delivered")["items"]
    assert (delivery["event_id"], delivery["correlation_id"]) == (published[0]["id"], "case-7")
    assert delivery["message_id"] == hit.headers["webhook-id"]
    [attempt] = desk("GET", f"/deliveries/{delivery['id']}/attempts")["items"]
    assert (attempt["outcome"], attempt["status"], attempt["no"]) == ("success", 200, 1)
    assert "a token of the shop" not in str(attempt)
    assert [each["id"] for each in desk("GET", "/events?correlation_id=case-7")["items"]] == [
        each["id"] for each in reversed(published)
    ]


RESOURCES: list[tuple[str, str, dict[str, Any]]] = [
    (
        "webhooks",
        "made",
        {"name": "made", "direction": "outbound", "url": "https://a.example.com/x", "events": ["a.b"]},
    ),
    ("integrations", "made", {"name": "made", "plugin": "http", "config": {"base_url": "https://a.example.com"}}),
    ("event-types", "made.thing@1", {"name": "made.thing", "version": 1, "schema": {"type": "object"}}),
]


@pytest.mark.parametrize(("noun", "name", "body"), RESOURCES, ids=[each[0] for each in RESOURCES])
def test_a_resource_is_made_read_changed_removed_and_restored(desk: Desk, noun: str, name: str, body: dict[str, Any]):
    made = desk("POST", f"/{noun}", {**body, "metadata": {"team": "sales", "level": 3}}, 201)
    assert desk.answer.headers["Location"] == f"/api/v1/{noun}/{name}"
    first = desk.etag
    assert (made["name"], made["origin"], made["version"], made["drifted"]) == (name, "api", 1, False)
    assert desk("GET", f"/{noun}/{name}") == made
    assert desk.etag == first
    assert desk("POST", f"/{noun}", body, 409)["code"] == "NAME_TAKEN"
    for query, count in (("metadata.team=sales", 1), ("metadata.level=3", 1), ("metadata.team=other", 0)):
        assert len(desk("GET", f"/{noun}?{query}")["items"]) == count, query

    changed = {**made["definition"], "description": "changed"}
    assert desk("PUT", f"/{noun}/{name}", changed, 428)["code"] == "IF_MATCH_REQUIRED"
    assert desk("PUT", f"/{noun}/{name}", changed, 412, If_Match='"99"')["details"] == {"current": first}
    shown = desk("PUT", f"/{noun}/{name}", changed, If_Match=first)
    second = desk.etag
    assert (shown["definition"]["description"], shown["version"], second != first) == ("changed", 2, True)
    assert desk("PUT", f"/{noun}/{name}", changed, If_Match=second) == shown
    assert desk.etag == second
    desk("PUT", f"/{noun}/{name}", changed, 412, If_Match=first)
    other = {**changed, "name": "other"}
    assert desk("PUT", f"/{noun}/{name}", other, 422, If_Match=second)["errors"][0]["pointer"] == "/name"

    desk("DELETE", f"/{noun}/{name}", None, 428)
    desk("DELETE", f"/{noun}/{name}", None, 412, If_Match=first)
    desk("DELETE", f"/{noun}/{name}", None, 204, If_Match=second)
    desk("GET", f"/{noun}/{name}", status=404)
    desk("DELETE", f"/{noun}/{name}", None, 404, If_Match="*")
    assert desk("GET", f"/{noun}")["items"] == []
    back = desk("POST", f"/{noun}/{name}/restore")
    assert back["definition"] == shown["definition"]
    assert back.get("state", "draft") == "draft"
    assert desk("POST", f"/{noun}/{name}/restore", None, 409)["code"] == "NAME_TAKEN"


def test_what_a_folder_owns_is_changed_there_or_by_force(desk: Desk):
    desk("POST", "/definitions/apply", files(TYPE))
    path = "/event-types/order.created@1"
    body = desk("GET", path)["definition"]
    assert desk("PUT", path, {**body, "description": "x"}, 409, If_Match="*")["code"] == "OWNED_BY_FOLDER"
    assert desk("DELETE", path, None, 409, If_Match="*")["code"] == "OWNED_BY_FOLDER"
    forced = desk("PUT", f"{path}?force=true", {**body, "description": "x"}, If_Match="*")
    assert (forced["origin"], forced["drifted"]) == ("folder:main", True)


@pytest.mark.parametrize(("noun", "name", "body"), RESOURCES[:2], ids=["webhooks", "integrations"])
def test_states_move_as_the_table_says_and_history_says_who(desk: Desk, noun: str, name: str, body: dict[str, Any]):
    operator = desk.as_("operator")
    me = operator("GET", "/me")["id"]
    desk("POST", f"/{noun}", {**body, "active": False}, 201)
    moves = [
        ("activate", "active"),
        ("pause", "paused"),
        ("resume", "active"),
        ("disable", "disabled"),
        ("activate", "active"),
    ]
    for action, state in moves:
        moved = operator(
            "POST", f"/{noun}/{name}/{action}", {"reason": f"to {state}"}, X_Correlation_ID=f"ticket-{action}"
        )
        assert moved["state"] == state
    wrong = operator("POST", f"/{noun}/{name}/resume", None, 409)
    assert (wrong["code"], "pause" in wrong["details"]["allowed"]) == ("WRONG_STATE", True)
    entries = desk("GET", f"/{noun}/{name}/history")["items"]
    assert [each["version"] for each in entries] == list(range(1, len(entries) + 1))
    assert [(each["by"], each["correlation_id"]) for each in entries[1:]] == [
        (me, f"ticket-{action}") for action, _ in moves
    ]
    assert [each["data"].get("reason") for each in entries[2:4]] == ["to paused", "to active"]


def test_a_paused_webhook_holds_what_it_owes_until_it_is_resumed(desk: Desk, world: World):
    hook = {"name": "held", "direction": "outbound", "url": f"{world.receiver.url}/held", "events": ["thing.done"]}
    desk("POST", "/webhooks", hook, 201)
    desk("POST", "/webhooks/held/pause")
    desk("POST", "/events", {"type": "thing.done", "data": {"n": 1}}, 202)
    assert [each["state"] for each in desk("GET", "/deliveries?webhook=held")["items"]] == ["held"]
    triggered = desk("POST", "/webhooks/held/trigger", {"payload": {"n": 2}}, 202)
    assert desk("GET", f"/deliveries/{triggered['delivery_id']}")["state"] == "held"
    assert desk("POST", f"/deliveries/{triggered['delivery_id']}/retry", None, 409)["code"] == "DELIVERY_HELD"
    desk("POST", "/webhooks/held/resume")
    with world.product.worker():
        until(lambda: {each["state"] for each in desk("GET", "/deliveries?webhook=held")["items"]} == {"delivered"})
    bodies = [hit.body for hit in world.receiver.hits if hit.path == "/held"]
    assert sorted(orjson.loads(each)["data"]["n"] for each in bodies) == [1, 2]


def test_the_query_of_an_address_is_sent(desk: Desk, world: World):
    url = f"{world.receiver.url}/asked?channel=7"
    desk("POST", "/webhooks", {"name": "asked", "direction": "outbound", "url": url, "events": ["q.r"]}, 201)
    desk("POST", "/events", {"type": "q.r", "data": {}}, 202)
    with world.product.worker():
        until(lambda: [each for each in desk("GET", "/deliveries")["items"] if each["state"] == "delivered"])
    [hit] = [each for each in world.receiver.hits if each.path.startswith("/asked")]
    assert hit.path == "/asked?channel=7"


def test_a_dead_letter_is_retried_or_given_up(desk: Desk, world: World):
    desk(
        "POST",
        "/webhooks",
        {"name": "bad", "direction": "outbound", "url": f"{world.receiver.url}/bad", "events": ["x.y"]},
        201,
    )
    desk("POST", "/events", [{"type": "x.y", "data": {"n": number}} for number in range(3)], 202)
    with world.product.worker():
        letters = until(lambda: _letters(desk, 3))
        assert {(each["owner"], each["error"]["details"].get("status")) for each in letters} == {("webhook/bad", 400)}
        gone = desk("POST", f"/dead-letters/{letters[0]['id']}/discard")
        assert (gone["resolution"], gone["resolved_by"]) == ("discarded", desk("GET", "/me")["id"])
        desk("POST", f"/dead-letters/{letters[1]['id']}/retry", None, 202)
        until(lambda: _letters(desk, 2))
        assert desk("POST", "/dead-letters/retry", {"owner": "webhook/bad"}, 202) == {"count": 2}
        until(lambda: _letters(desk, 2))
    resolved = desk("GET", "/dead-letters?resolved=true")["items"]
    assert sorted(each["resolution"] for each in resolved) == ["discarded", "replayed", "replayed", "replayed"]


def _letters(desk: Desk, count: int) -> list[Any]:
    items: list[Any] = desk("GET", "/dead-letters")["items"]
    return items if len(items) == count else []


def test_the_trail_says_who_did_what(desk: Desk):
    me = desk("GET", "/me")["id"]
    correlation = {"X_Correlation_ID": "audit-7"}
    desk("PUT", "/secrets/A", {"value": "x"}, **correlation)
    made = desk("POST", "/tokens", {"name": "ci", "role": "editor", "scopes": ["definitions:read"]}, 201, **correlation)
    desk("PUT", "/members/a@example.com", {"role": "viewer"}, 204, **correlation)
    scoped = Desk(desk.world, desk.scope, {"Authorization": f"Bearer {made['token']}"})
    assert scoped("GET", "/me")["permissions"] == ["definitions:read"]
    scoped("GET", "/definitions")
    scoped("GET", "/webhooks")
    assert scoped("GET", "/secrets", status=403)["details"] == {"permission": "secrets:list"}
    desk("DELETE", f"/tokens/{made['id']}", None, 204, **correlation)
    rows = [each for each in desk("GET", "/audit")["items"] if each["details"].get("correlation_id") == "audit-7"]
    assert [(each["action"], each["target"], each["principal"]) for each in rows] == [
        ("token.revoked", f"token/{made['id']}", me),
        ("member.put", "member/a@example.com", me),
        ("token.created", f"token/{made['id']}", me),
        ("secret.set", "secret/A", me),
    ]
