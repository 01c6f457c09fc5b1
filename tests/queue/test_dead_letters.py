"""What a dead letter keeps, and the alert that each raises: deliverable, exact, and without storms or loops."""

from __future__ import annotations

import json
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from sqlalchemy import text

from server.events import alerts
from server.kernel.errors import Failure
from server.kernel.ids import new_uuid
from server.kernel.stacks import stack_of
from server.queue import dead_letters
from server.queue.dead_letters import DeadLetter
from server.webhooks import sending
from tests.support.product import Product, until
from tests.support.receiver import Answer, Receiver

if TYPE_CHECKING:
    from uuid import UUID

    from server.store import Scope

NEVER = {"schedule": ["10ms"], "jitter": 0}


def letters(product: Product) -> list[dict[str, Any]]:
    return list(product.client().get("/api/v1/dead-letters").json["items"])


def told(product: Product, scope: Scope | None = None) -> list[dict[str, Any]]:
    rows = product.rows(
        "SELECT data FROM events WHERE type = :type AND workspace_id = :id ORDER BY uid",
        type=alerts.TYPE,
        id=(scope or product.scope).workspace_id,
    )
    return [json.loads(row.data) for row in rows]


def tell(product: Product) -> int:
    return alerts.drain(product.core.engine, product.core.publisher)


def bury(product: Product, count: int, owner: UUID, name: str = "orders", scope: Scope | None = None) -> None:
    letter = {
        "workspace_id": (scope or product.scope).workspace_id,
        "kind": "delivery",
        "owner": f"webhook/{name}",
        "owner_id": owner,
        "reason": "exhausted",
        "error": Failure("X", "x"),
        "correlation_id": "cor_x",
        "attempts": 3,
    }
    with product.core.engine.connect() as conn:
        dead_letters.add(conn, [DeadLetter(**letter, ref=new_uuid()) for _ in range(count)])


def minute_over(product: Product) -> None:
    with product.core.engine.engine.begin() as conn:
        conn.execute(text("UPDATE alert_counts SET minute = minute - interval '1 minute'"))


def test_an_alert_says_what_died_and_is_delivered_to_who_subscribes_by_name(
    product: Product, receiver: Receiver
) -> None:
    receiver.answer = lambda hit: Answer(503 if hit.path == "/orders" else 204)
    product.webhook("orders", receiver.url + "/orders", retry=NEVER)
    product.webhook("ops", receiver.url + "/ops", events=["crossdock.dead_letter.created"])
    product.webhook("all", receiver.url + "/all", events=["**"])
    product.publish({"order": 1})
    with product.worker():
        until(lambda: [each for each in receiver.hits if each.path == "/ops"])
    [letter] = [each for each in letters(product) if each["owner"] == "webhook/orders"]
    [hit] = [each for each in receiver.hits if each.path == "/ops"]
    body = json.loads(hit.body)
    assert body["type"] == "crossdock.dead_letter.created"
    data = body["data"]
    assert data.pop("first_attempt_at") < data.pop("last_attempt_at")
    assert data == {
        "severity": "high",
        "message": "failed after 2 attempts",
        "count": 1,
        "owner": "webhook/orders",
        "kind": "delivery",
        "reason": "exhausted",
        "error": {"code": "DELIVERY_EXHAUSTED", "message": letter["error"]["message"]},
        "dead_letter_id": letter["id"],
        "ref": letter["ref"],
        "attempts": 2,
        "correlation_id": letter["correlation_id"],
        "adapter": None,
    }
    row = product.rows("SELECT subject, correlation_id FROM events WHERE type = :type", type=alerts.TYPE)[0]
    assert (row.subject, row.correlation_id) == ("webhook/orders", letter["correlation_id"])
    assert len([each for each in receiver.hits if each.path == "/all"]) == 1, "`**` leaves our own events out"


def test_a_dead_letter_of_an_alert_raises_none(product: Product, receiver: Receiver) -> None:
    receiver.answer = Answer(400)
    product.webhook("orders", receiver.url)
    product.webhook("ops", receiver.url, events=["crossdock.dead_letter.created", "crossdock.webhook.failed"])
    product.publish({"order": 1})
    with product.worker():
        until(lambda: product.states() == {"dead": 4})
        until(lambda: not product.rows("SELECT 1 FROM dead_letters WHERE alert_due"))
        assert tell(product) == 0
    assert [each["owner"] for each in told(product)] == ["webhook/orders"]
    assert Counter(each["owner"] for each in letters(product)) == {"webhook/orders": 1, "webhook/ops": 3}


def test_a_flood_is_told_as_ten_and_a_sum_whose_counts_add_up(product: Product) -> None:
    owner, calm = new_uuid(), new_uuid()
    bury(product, 1200, owner)
    bury(product, 2, calm, "calm")
    while tell(product):
        pass
    assert Counter(each["owner"] for each in told(product)) == {"webhook/orders": 10, "webhook/calm": 2}
    minute_over(product)
    bury(product, 5, owner)
    while tell(product):
        pass
    events = told(product)
    assert sum(each["count"] for each in events if each["owner"] == "webhook/orders") == 1205
    [summary] = [each for each in events if each["count"] > 1]
    assert (summary["count"], summary["severity"]) == (1190, "high")
    assert summary["message"] == "1190 more dead letters in one minute"
    minute_over(product)
    tell(product)
    assert len(told(product)) == len(events)
    assert product.rows("SELECT 1 FROM alert_counts") == []


def test_many_processes_tell_each_dead_letter_once(product: Product) -> None:
    owner = new_uuid()
    bury(product, 900, owner)
    with ThreadPoolExecutor(4) as pool:
        while sum(pool.map(lambda _: tell(product), range(4))):
            pass
    assert [each["count"] for each in told(product)] == [1] * 10
    minute_over(product)
    assert tell(product) == 1
    assert sum(each["count"] for each in told(product)) == 900


def test_what_breaks_while_telling_is_told_the_next_time(product: Product, monkeypatch: pytest.MonkeyPatch) -> None:
    bury(product, 3, new_uuid())
    with monkeypatch.context() as patch:
        patch.setattr(product.core.publisher, "publish_ours", _breaks)
        with pytest.raises(RuntimeError):
            tell(product)
    assert told(product) == []
    assert tell(product) == 3
    assert len(told(product)) == 3


def _breaks(*_: Any) -> None:
    raise RuntimeError("power cut")


def test_alerts_stay_in_their_workspace(product: Product, receiver: Receiver) -> None:
    other = product.workspace("other", "main")
    product.webhook("ops", receiver.url, other, events=["crossdock.dead_letter.created"])
    bury(product, 2, new_uuid())
    tell(product)
    assert (len(told(product)), told(product, other), product.states()) == (2, [], {})
    bury(product, 1, new_uuid(), scope=other)
    tell(product)
    assert (len(told(product)), len(told(product, other)), product.states()) == (2, 1, {"pending": 1})


def test_a_schema_of_the_workspace_cannot_keep_an_alert_back(product: Product) -> None:
    body = {"name": alerts.TYPE, "schema": {"type": "string"}}
    with product.tx() as tx:
        tx.run(
            """INSERT INTO definitions (organization_id, workspace_id, kind, name, version, origin, hash, body, updated_by)
               VALUES (:organization_id, :workspace_id, 'EventType', :name, 1, 'api', '', CAST(:body AS json), '')""",
            name=f"{alerts.TYPE}@1",
            body=json.dumps(body),
        )
        tx.run("UPDATE workspaces SET routes_version = routes_version + 1 WHERE id = :workspace_id")
    bury(product, 1, new_uuid())
    assert tell(product) == 1
    assert len(told(product)) == 1


def test_a_batch_without_dead_ones_asks_nothing_of_dead_letters(
    product: Product, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    product.webhook("orders", receiver.url)
    product.publish(*[{"n": n} for n in range(50)])
    execute = psycopg.Cursor.execute

    def said(cursor: Any, query: Any, *given: Any, **more: Any) -> Any:
        if threading.current_thread().name.startswith("ledger"):  # not the chores, which look after all kinds
            seen.append(str(query))
        return execute(cursor, query, *given, **more)

    monkeypatch.setattr(psycopg.Cursor, "execute", said)
    with product.worker():
        until(lambda: product.states() == {"delivered": 50})
    assert [each for each in seen if "INTO attempts" in each]
    assert not [
        each
        for each in seen
        if "INTO dead_letters" in each or "order_counters" in each or "INTO endpoint_health" in each
    ]


def test_a_failing_map_names_expression_position_and_value_and_others_go_on(
    product: Product, receiver: Receiver
) -> None:
    product.webhook("orders", receiver.url, map={"total": "mul(data.total, 2)"})
    product.webhook("plain", receiver.url)
    product.publish({"total": 1}, {"total": "12 pounds, Bearer abcdef0123456789"}, {"total": 3})
    with product.worker():
        until(lambda: product.states() == {"delivered": 5, "dead": 1})
    [letter] = letters(product)
    error = letter["error"]
    assert (letter["reason"], letter["attempts"], error["source"]) == ("mapping", 0, "mapping")
    assert error["details"]["expression"] == "mul(data.total, 2)"
    assert error["details"]["position"] == 0
    assert error["details"]["pointer"] == ["total"]
    assert "12 pounds" in error["details"]["value"]
    assert len(error["details"]["value"]) <= 80
    shown = [letter, *product.client().get("/api/v1/deliveries?state=dead").json["items"]]
    assert "abcdef0123456789" not in json.dumps(shown), "a credential in the data is not kept in the error"
    until(lambda: tell(product) or told(product))
    assert told(product)[0]["message"] == "failed after 0 attempts"


def test_a_fault_of_ours_keeps_its_stack_without_any_value(
    product: Product, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        password = "hunter2"
        raise KeyError(password)

    monkeypatch.setattr(sending, "render", broken)
    product.webhook("orders", receiver.url)
    product.publish({"n": 1})
    with product.worker():
        until(lambda: product.hurry() or product.states() == {"dead": 1})
    [letter] = letters(product)
    last = letter["error"]["details"]["last"]
    assert last["code"] == "INTERNAL"
    assert last["details"]["stack"][-1] == "KeyError"
    assert any(place.startswith("server/webhooks/sending.py:") for place in last["details"]["stack"])
    assert "hunter2" not in json.dumps(letter)


def test_a_stack_names_places_of_causes_too_and_no_folder_of_the_machine() -> None:
    def deep(levels: int) -> None:
        if levels:
            deep(levels - 1)
        raise ValueError("secret text")

    try:
        try:
            deep(50)
        except ValueError as error:
            raise RuntimeError("more secret text") from error
    except RuntimeError as error:
        stack = stack_of(error)
    assert "ValueError" in stack
    assert stack[-1] == "RuntimeError"
    assert len(stack) <= 12 + 12 + 2
    assert "secret" not in "".join(stack)
    assert not [place for place in stack if place.startswith("/")]


def test_the_adapter_is_the_integration(product: Product) -> None:
    product.webhook("orders", "", integration="erp", order_by="lower(data.key)")
    product.publish({"key": 1})
    [letter] = letters(product)
    assert (letter["adapter"], letter["reason"]) == ("integration/erp", "mapping")
