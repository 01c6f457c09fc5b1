"""A call that cannot be: the tries of its policy, then its fallback, and both failures when that fails too."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from server.authoring.check import check
from server.authoring.references import references_of
from server.documents.catalog import FixedCatalog
from server.documents.reading import File
from server.integrations.aggregate import Integration
from server.integrations.calls import Caller
from server.integrations.keys import SqlKeys
from server.integrations.plugins import discover
from server.integrations.spec import plugin_facts
from server.integrations.usecases import ByHand
from server.kernel.clock import SystemClock
from server.kernel.errors import Permanent, Postponed, Retryable
from server.kernel.ids import new_uuid
from server.store.repository import SqlRepository
from server.transport.addresses import AddressPolicy
from tests.support.receiver import Answer, Receiver

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.product import Product

OK = Answer(200, {"Content-Type": "application/json"}, b'{"ok": true}')
FAST = {"retry": {"attempts": 3, "initial": "10ms", "max": "10ms"}, "breaker": {"failures": 3, "reset": "1m"}}
WITH = {"method": {"value": "PUT"}, "path": {"value": "/second"}, "json": "error.code"}
SEND = {"method": "POST", "path": "/orders", "json": {"id": 1}}


class Systems:
    """Two integrations, `main` with a fallback, each with a receiver."""

    def __init__(self, product: Product, main: Receiver, other: Receiver) -> None:
        self.product, self.main, self.other = product, main, other
        self.caller = Caller(clock=SystemClock(), gate=product.core.gate, keys=SqlKeys(product.core.engine))
        loopback = AddressPolicy(["127.0.0.0/8"])
        self.by_hand = ByHand(product.core.tenant, product.core.secrets, discover(), self.caller, lambda _: loopback)
        main.answer, other.answer = Answer(503), OK

    def declare(self, fallback: Any, policy: Any = FAST) -> None:
        self._add("main", self.main, policy=policy, **({"fallback": fallback} if fallback else {}))
        self._add("other", self.other, policy=FAST, fallback={"value": {"never": "used"}})

    def _add(self, name: str, receiver: Receiver, **more: Any) -> None:
        integration = Integration(new_uuid())
        with self.product.tx() as tx:
            body = {"name": name, "plugin": "http", "config": {"base_url": receiver.url}, **more}
            integration.create(name, body, 1, {})
            integration.activate()
            SqlRepository("integrations", Integration).add(tx, integration)

    def call(self, key: str | None = None) -> Any:
        return self.by_hand.call(self.product.scope, self.product.cause, "main", "request.send", SEND, key=key)


@pytest.fixture
def systems(product: Product) -> Iterator[Systems]:
    with Receiver() as main, Receiver() as other:
        made = Systems(product, main, other)
        yield made
        made.caller.close()


def test_the_tries_of_the_policy_come_first_under_one_key(systems: Systems) -> None:
    systems.declare({"call": "other.request.send", "with": WITH})
    called = systems.call()
    assert (called.fallback, called.tries, called.output["body"]) == (True, 3, {"ok": True})
    assert called.error.code == "UPSTREAM_FAILED"
    assert len({hit.headers["idempotency-key"] for hit in systems.main.hits}) == 1
    assert len(systems.main.hits) == 3, "N retries are N + 1 calls"
    [hit] = systems.other.hits
    assert (hit.path, hit.body) == ("/second", b'"UPSTREAM_FAILED"')
    assert hit.headers["idempotency-key"] == systems.main.hits[0].headers["idempotency-key"] + ":fallback"


def test_a_try_that_succeeds_needs_no_fallback(systems: Systems) -> None:
    systems.declare({"value": 1})
    systems.main.answers = [Answer(503), OK]
    called = systems.call()
    assert (called.fallback, called.tries, called.error) == (False, 2, None)


@pytest.mark.parametrize("fallback", [None, {"call": "other.request.send"}])
def test_an_open_breaker_ends_a_call_at_once(systems: Systems, fallback: Any) -> None:
    systems.declare(fallback)
    if fallback is None:
        with pytest.raises(Retryable) as failed:
            systems.call()
        assert failed.value.details["tries"] == 3
    else:
        assert systems.call().fallback
    began = time.monotonic()
    if fallback is None:
        with pytest.raises(Postponed) as refused:
            systems.call()
        assert (refused.value.code, refused.value.details["tries"]) == ("CIRCUIT_OPEN", 0)
        assert refused.value.after > 50
    else:
        called = systems.call()
        assert (called.fallback, called.tries, called.error.code) == (True, 0, "CIRCUIT_OPEN")
        assert systems.other.hits[-1].path == "/orders", "without `with` the input is the same"
    assert time.monotonic() - began < 2
    assert len(systems.main.hits) == 3


def test_a_breaker_that_opens_between_the_tries_ends_them(systems: Systems) -> None:
    systems.declare(None, FAST | {"breaker": {"failures": 2, "reset": "1m"}})
    with pytest.raises(Postponed) as refused:
        systems.call()
    assert (refused.value.code, refused.value.details["tries"]) == ("CIRCUIT_OPEN", 2)
    assert refused.value.details["last"]["code"] == "UPSTREAM_FAILED"


def test_a_constant_is_given_and_marked(systems: Systems) -> None:
    systems.declare({"value": {"status": "unknown"}})
    called = systems.call()
    assert (called.output, called.fallback, called.error.retryable) == ({"status": "unknown"}, True, True)


def test_a_refusal_needs_no_fallback(systems: Systems) -> None:
    systems.declare({"value": 1})
    systems.main.answer = Answer(400)
    with pytest.raises(Permanent) as refused:
        systems.call()
    assert "fallback" not in refused.value.details
    assert len(systems.main.hits) == 1


def test_a_fallback_that_fails_is_told_with_both_errors_and_its_own_is_not_followed(systems: Systems) -> None:
    systems.declare({"call": "other.request.send"})
    systems.other.answer = Answer(400)
    with pytest.raises(Retryable) as failed:
        systems.call()
    assert (failed.value.code, failed.value.source) == ("UPSTREAM_FAILED", "integration/main")
    other = failed.value.details["fallback"]
    assert (other["code"], other["source"], other["retryable"]) == ("UPSTREAM_REFUSED", "integration/other", False)


@pytest.mark.parametrize(
    ("fallback", "code"),
    [
        ({"call": "gone.request.send"}, "NOT_FOUND"),
        ({"call": "other.request.gone"}, "UNKNOWN_OPERATION"),
        ({"call": "other.request.send", "with": {"path": "input.json.id"}}, "INPUT_INVALID"),
    ],
)
def test_a_fallback_that_cannot_be_made_is_told_too(systems: Systems, fallback: Any, code: str) -> None:
    systems.declare(fallback)
    with pytest.raises(Retryable) as failed:
        systems.call()
    assert failed.value.details["fallback"]["code"] == code
    assert systems.other.hits == []


def test_what_the_fallback_did_is_not_done_again_by_the_call(systems: Systems) -> None:
    systems.declare({"call": "other.request.send"})
    first = systems.call("run:step")
    systems.main.answer = OK
    with systems.product.core.engine.engine.begin() as conn:
        conn.exec_driver_sql("DELETE FROM breakers")
    assert systems.call("run:step").output == first.output
    assert (len(systems.main.hits), len(systems.other.hits)) == (3, 1)


def test_over_rest_a_key_of_another_call_is_the_callers_to_mend(systems: Systems) -> None:
    systems.declare(None)
    client, headers = systems.product.client(), {"Idempotency-Key": "k-1"}
    answers = [
        client.post(
            "/api/v1/integrations/main/call",
            json={"operation": "request.send", "input": SEND | {"path": path}},
            headers=headers,
        )
        for path in ("/orders", "/others")
    ]
    assert [each.status_code for each in answers] == [502, 422], [each.json for each in answers]
    assert answers[1].json["code"] == "CALL_KEY_REUSED"


def test_over_rest_the_answer_says_what_gave_it(systems: Systems) -> None:
    systems.declare({"call": "other.request.send"})
    body = {"operation": "request.send", "input": SEND}
    answer = systems.product.client().post("/api/v1/integrations/main/call", json=body).json
    assert (answer["fallback"], answer["tries"], answer["output"]["status"]) == (True, 3, 200)
    assert answer["error"]["code"] == "UPSTREAM_FAILED"


GATEWAY = "kind: Integration\nname: {}\nplugin: http\nconfig: {{base_url: https://{}.example.com}}\n"
FALLBACK = GATEWAY.format("main", "main") + "fallback: "


@pytest.mark.parametrize(
    ("fallback", "code", "suggestion"),
    [
        ("{call: other.request.send}", None, None),
        ("{call: other.request.send, with: {path: input.path, json: {from: error.code, default: x}}}", None, None),
        ("{call: other.request.send, with: {value: {path: /x}}}", None, None),
        ("{call: other.request.send, with: {from: input}}", None, None),
        ("{value: {status: unknown}}", None, None),
        ("{value: null}", None, None),
        ("{}", "MISSING_KEY", None),
        ("other.request.send", "WRONG_TYPE", None),
        ("{call: other, with: {path: input.path}}", "WRONG_VALUE", None),
        ("{call: othr.request.send}", "UNKNOWN_REFERENCE", "other.request.send"),
        ("{call: other.request.sned}", "UNKNOWN_OPERATION", "other.request.send"),
        ("{call: main.request.send}", "CONTRADICTION", None),
        ("{call: other.request.send, with: {path: data.path}}", "EXPR_UNKNOWN_ROOT", None),
        ("{call: other.request.send, with: {path: input.path, jsn: input.json}}", "UNKNOWN_KEY", "json"),
        ("{call: other.request.send, with: {json: input.json}}", "MISSING_KEY", None),
        ("{call: other.request.send, with: {value: {path: 1}}}", "WRONG_VALUE", None),
        ("{call: other.request.send, value: 1}", "UNKNOWN_KEY", None),
    ],
)
def test_a_declared_fallback_is_checked(fallback: str, code: str | None, suggestion: str | None) -> None:
    text = f"{GATEWAY.format('other', 'other')}---\n{FALLBACK}{fallback}\n"
    result = check([File("a.yaml", text.encode())], FixedCatalog(plugins=plugin_facts(discover())))
    assert [each.code for each in result.findings] == ([code] if code else []), [str(each) for each in result.findings]
    if suggestion:
        assert result.findings[0].suggestion == suggestion


def test_an_integration_is_not_removed_while_it_is_a_fallback() -> None:
    body = {"fallback": {"call": "other.request.send"}}
    assert references_of("Integration", body) == {("Integration", "other")}
    assert ("Integration", "other") in references_of("Webhook", {"integration": "main", **body})
    assert references_of("Integration", {"fallback": {"value": 1}}) == set()
