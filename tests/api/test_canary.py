"""Values of secrets are planted, everything is run, failures too, and then looked for: they are in no answer, log line or table."""

from __future__ import annotations

import base64
import io
import json
import logging
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
import structlog

from server.sdk.signing import generate_secret
from server.telemetry.logs import configure
from tests.support.product import until
from tests.support.receiver import Answer, Hit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from werkzeug.test import TestResponse

    from tests.api.world import World

LITERAL = "sk_live_4eC39HqLyjWDarjtT1zdp7dcCANARY"
_DEFINITIONS = """\
kind: Integration
name: shop
plugin: http
config:
  base_url: {url}/api
  auth: {{scheme: bearer, token: {{secret: SHOP_TOKEN}}}}
---
kind: Integration
name: keyed
plugin: http
config:
  base_url: {url}/keyed
  auth: {{scheme: api_key, query: k, key: {{secret: SHOP_KEY}}}}
---
kind: Webhook
name: echoed
direction: outbound
integration: shop
events: [a.b]
sign: {{scheme: standard-webhooks, key: {{secret: HOOK}}}}
---
kind: Webhook
name: refused
direction: outbound
integration: keyed
request: {{path: /bad}}
events: [a.b]
retry: {{schedule: [5s]}}
sign: {{scheme: standard-webhooks, key: {{secret: HOOK}}}}
---
kind: Webhook
name: unsigned
direction: outbound
integration: shop
events: [a.b]
sign: {{scheme: standard-webhooks, key: {{secret: NO_KEY}}}}
"""


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What the product's own logging writes while a test runs."""
    root = logging.getLogger()
    handlers, level, written = root.handlers[:], root.level, io.StringIO()
    configure("api", "debug", written)
    yield written
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


class Plant:
    """What is planted by name, and every answer that came since."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.scope = world.product.workspace("canary", "home")
        self.headers = world.token(self.scope, "admin")[0]
        self.values: dict[str, str] = {"literal": LITERAL, "admin token": self.headers["Authorization"].split(" ")[1]}
        self.answers: list[TestResponse] = []

    def value(self, name: str, value: str = "") -> str:
        self.values[name] = value or f"canary-{name.replace(' ', '-')}-9b1d7e55f0"
        return self.values[name]

    def __call__(
        self, method: str, path: str, body: Any = None, *, headers: dict[str, str] | None = None, **options: Any
    ) -> TestResponse:
        sent = self.headers if headers is None else headers
        answer = self.world.call(method, path, body, headers=sent, **options)
        self.answers.append(answer)
        return answer

    def found(self, text: str) -> list[str]:
        """Return the names of the values that a text holds, in any of the ways in which they are written."""
        return [
            f"{name} as {way}"
            for name, value in self.values.items()
            for way, written in {
                "itself": value,
                "hexadecimal": value.encode().hex(),
                "base 64": base64.b64encode(value.encode()).decode().rstrip("=")[:-1],
                "a URL": quote(value, safe=""),
                "JSON": json.dumps(value)[1:-1],
            }.items()
            if written in text
        ]


def echo(hit: Hit) -> Answer:
    """Answer as a careless system does: with what it was sent."""
    status = 400 if "/bad" in hit.path else 200
    body = json.dumps({"you_sent": hit.headers, "to": hit.path}).encode()
    return Answer(
        status, {"Content-Type": "application/json", "X-Echo": hit.headers.get("authorization", hit.path)}, body
    )


def plant(plant: Plant) -> None:
    """Set secrets by every way there is, good and bad."""
    p = "/api/v1/secrets"
    hook = plant.value("signing key", generate_secret())
    plant("PUT", f"{p}/HOOK", {"value": plant.value("replaced key", generate_secret())})
    plant("PUT", f"{p}/HOOK", {"value": hook}, headers=plant.headers | {"Idempotency-Key": "k1"})
    plant("PUT", f"{p}/HOOK", {"value": hook}, headers=plant.headers | {"Idempotency-Key": "k1"})
    plant("PUT", f"{p}/HOOK", {"value": plant.value("other body")}, headers=plant.headers | {"Idempotency-Key": "k1"})
    plant("POST", p, {"name": "SHOP_TOKEN", "value": plant.value("first token")})
    plant("POST", f"{p}/SHOP_TOKEN/rotate", {"value": plant.value("bearer token")})
    plant("PUT", f"{p}/SHOP_KEY", {"value": plant.value("api key")})
    plant("PUT", f"{p}/NO_KEY", {"value": plant.value("no signing key")})
    refused = plant.value("refused")
    statuses = [
        plant("PUT", f"{p}/1bad", {"value": refused}).status_code,
        plant("PUT", f"{p}/A", {"value": refused, "more": refused}).status_code,
        plant("PUT", f"{p}/A", {"value": [refused]}).status_code,
        plant("PUT", f"{p}/A", {"value": refused * 5000}).status_code,
        plant("PUT", f"{p}/A", data=json.dumps({"value": refused})[:-1], content_type="application/json").status_code,
        plant(
            "PUT", f"{p}/A", data=f'{{"value": "{refused}", "value": 1}}', content_type="application/json"
        ).status_code,
        plant("PUT", f"{p}/A", data=json.dumps({"value": refused}), content_type="text/plain").status_code,
        plant("PUT", f"{p}/A", data=json.dumps({"value": refused + "\0"}), content_type="application/json").status_code,
        plant("POST", f"{p}/NONE/rotate", {"value": refused}).status_code,
        plant("PUT", f"{p}/A", {"value": refused}, headers={}).status_code,
        plant("POST", "/api/v1/webhooks/none/trigger", {"payload": {}, "secret": 1}).status_code,
    ]
    assert statuses == [422, 422, 422, 422, 400, 400, 415, 400, 404, 401, 422]


def declare(plant: Plant, url: str) -> None:
    """Apply definitions that refer to them, and try some that hold a credential."""
    apply = {"files": [{"path": "d.yaml", "text": _DEFINITIONS.format(url=url)}]}
    for path in ("check", "test", "plan", "apply"):
        answer = plant("POST", f"/api/v1/definitions/{path}", apply)
        assert answer.status_code == 200, answer.text
    literal = _DEFINITIONS.format(url=url).replace("{secret: SHOP_TOKEN}", LITERAL)
    refused = {"files": [{"path": "l.yaml", "text": literal}]}
    assert plant("POST", "/api/v1/definitions/check", refused).json["ok"] is False
    assert plant("POST", "/api/v1/definitions/apply", refused).status_code == 422
    config = {"base_url": url, "auth": {"scheme": "bearer", "token": LITERAL}}
    made = plant("POST", "/api/v1/integrations", {"name": "literal", "plugin": "http", "config": config})
    assert made.status_code == 422, made.text
    hook = {
        "name": "userinfo",
        "direction": "outbound",
        "url": f"https://anna:{LITERAL}@a.example.com/x",
        "events": ["a.b"],
    }
    assert plant("POST", "/api/v1/webhooks", hook).status_code == 422


def use(plant: Plant) -> None:
    """Deliver, call and fail with them."""
    call = {"operation": "request.send", "input": {"method": "POST", "path": "/orders", "json": {}}}
    for name, path, status in (
        ("shop", "/orders", 200),
        ("shop", "/bad", 502),
        ("keyed", "/orders", 200),
        ("none", "/x", 404),
    ):
        call["input"] = {"method": "POST", "path": path, "json": {}}
        answer = plant(
            "POST",
            f"/api/v1/integrations/{name}/call",
            call,
            headers=plant.headers | {"Idempotency-Key": f"c{path}{name}"},
        )
        assert answer.status_code == status, answer.text
    for name in ("shop", "keyed"):
        assert plant("POST", f"/api/v1/integrations/{name}/test").status_code == 200
    assert plant("POST", "/api/v1/events", {"type": "a.b", "data": {"n": 1}}).status_code == 202
    with plant.world.product.worker():
        until(lambda: _ended(plant), 20.0)


def _ended(plant: Plant) -> bool:
    rows = plant.world.product.rows(
        "SELECT state, attempts FROM deliveries WHERE workspace_id = :id ORDER BY state", id=plant.scope.workspace_id
    )
    states = {each.state for each in rows}
    return {"dead", "delivered"} <= states and all(each.state != "pending" or each.attempts for each in rows)


def present(plant: Plant) -> None:
    """Present tokens in the wrong places, and make one that is shown once."""
    shown = plant(
        "POST", "/api/v1/tokens", {"name": "t", "role": "viewer"}, headers=plant.headers | {"Idempotency-Key": "t"}
    )
    plant.answers.pop()  # this answer is the one that shows it
    token = plant.value("made token", shown.json["token"])
    assert (
        plant(
            "POST", "/api/v1/tokens", {"name": "t", "role": "viewer"}, headers=plant.headers | {"Idempotency-Key": "t"}
        ).status_code
        == 409
    )
    mine = {"Authorization": f"Bearer {token}"}
    assert plant("GET", "/api/v1/me", headers=mine).status_code == 200
    assert plant("GET", "/api/v1/tokens", headers=mine).status_code == 403
    wrong = plant.value("wrong token", "cdk_" + "Q" * 8 + "_" + "Z" * 27)
    assert plant("GET", "/api/v1/me", headers={"Authorization": f"Bearer {wrong}"}).status_code == 401
    assert plant("GET", f"/api/v1/me?token={token}").status_code == 422
    assert plant("GET", f"/api/v1/webhooks?api_key={token}").status_code == 422


LISTINGS = ("secrets", "tokens", "audit", "definitions", "definitions/export", "webhooks", "integrations", "events", "deliveries",
            "dead-letters", "dead-letters?resolved=true", "members", "metrics", "webhooks/echoed/history", "integrations/shop/history",
            "integrations/shop", "definitions/integration/shop/versions", "secrets/HOOK")  # fmt: skip


def test_no_value_of_a_secret_is_anywhere_but_encrypted(
    world: World, log: io.StringIO, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(world.receiver, "answer", echo)
    canaries = Plant(world)
    plant(canaries)
    declare(canaries, world.receiver.url)
    use(canaries)
    present(canaries)
    for path in LISTINGS:
        assert canaries("GET", f"/api/v1/{path}").status_code == 200, path
    for each in canaries("GET", "/api/v1/deliveries").json["items"]:
        canaries("GET", f"/api/v1/deliveries/{each['id']}/attempts")
    for path in ("/health", "/metrics", "/openapi.json", "/docs"):
        canaries("GET", path)
    _break(canaries, monkeypatch)

    sent = " ".join(f"{hit.path} {hit.headers}" for hit in world.receiver.hits)
    assert {"bearer token as itself", "api key as itself"} <= set(canaries.found(sent))
    assert "request broke" in log.getvalue()
    for answer in canaries.answers:
        assert canaries.found(answer.text + str(answer.headers)) == [], answer.request.path
    assert canaries.found(log.getvalue()) == []
    for table in world.tables():
        rows = " ".join(each.line for each in world.product.rows(f'SELECT t::text AS line FROM "{table}" t'))
        assert canaries.found(rows) == [], table
        bodies = _bytes(world, table)
        assert canaries.found(bodies) == [], table


def _bytes(world: World, table: str) -> str:
    """Return the content of a table's columns of bytes, as text."""
    columns = world.product.rows(
        "SELECT column_name AS name FROM information_schema.columns WHERE table_name = :table AND data_type = 'bytea'",
        table=table,
    )
    found = []
    for column in columns:
        rows = world.product.rows(f'SELECT "{column.name}" AS content FROM "{table}"')
        found += [bytes(row.content).decode("latin-1") for row in rows if row.content is not None]
    return " ".join(found)


def _break(canaries: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the database refuse in the middle of setting a secret: the error holds the statement and its values."""

    def fail(tx: Any, *_: Any, **__: Any) -> None:
        tx.run("SELECT 1 / length(left(:value, 0)) AS oh", value=canaries.value("bound value"))

    monkeypatch.setattr("server.access.audit.record", fail)
    assert canaries("PUT", "/api/v1/secrets/LAST", {"value": canaries.value("last one")}).status_code == 500
    monkeypatch.undo()
