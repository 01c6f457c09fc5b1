"""The health of endpoints: since when they fail, who is told, and when they are disabled."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event, text

from server.config import Settings
from server.webhooks import health
from tests.support.product import Product, until
from tests.support.receiver import Answer, Receiver

if TYPE_CHECKING:
    from collections.abc import Iterator

DAYS = 86_400.0
AGAIN = {"schedule": ["10ms"] * 99, "jitter": 0}


def record_of(product: Product) -> Any:
    rows = product.rows("SELECT failing_since, last_failure_at, last_success_at FROM endpoint_health")
    return rows[0] if rows else None


def state_of(product: Product, name: str = "hook") -> str:
    return str(product.rows("SELECT state FROM webhooks WHERE name = :name", name=name)[0].state)


def age(product: Product, first: str, last: str) -> None:
    """Let the first and the last failure be that long ago."""
    with product.core.engine.engine.begin() as conn:
        conn.execute(
            text(
                "UPDATE endpoint_health SET failing_since = now() - CAST(:a AS interval), last_failure_at = now() - CAST(:b AS interval)"
            ),
            {"a": first, "b": last},
        )


def disable(product: Product, seconds: float = 5 * DAYS) -> int:
    return health.disable_hopeless(product.core.engine, product.core.webhooks, seconds)


@pytest.fixture
def writes(product: Product) -> Iterator[list[str]]:
    """Every statement on `endpoint_health` that writes."""
    seen: list[str] = []

    def note(_conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "endpoint_health" in statement and statement.lstrip().startswith(("INSERT", "UPDATE")):
            seen.append(statement)

    event.listen(product.core.engine.engine, "before_cursor_execute", note)
    yield seen
    event.remove(product.core.engine.engine, "before_cursor_execute", note)


def test_the_first_failure_and_the_first_success_after_it_are_written_and_nothing_else(
    product: Product, receiver: Receiver, writes: list[str]
) -> None:
    product.webhook("hook", receiver.url, retry=AGAIN)
    product.settle()
    with product.worker():
        product.publish(*[{"n": n} for n in range(20)])
        until(lambda: product.states() == {"delivered": 20})
        assert (record_of(product), writes) == (None, []), "one that works is not written at all"
        receiver.answers = [Answer(503)] * 30
        product.publish({"n": 21})
        until(lambda: record_of(product))
        since = record_of(product).failing_since
        assert since is not None
        until(lambda: product.states() == {"delivered": 21})
        until(lambda: record_of(product).failing_since is None)
        assert record_of(product).last_success_at >= since
        product.publish(*[{"n": n} for n in range(20)])
        until(lambda: product.states() == {"delivered": 41})
    assert len(writes) == 2, "one when it began to fail, one when it worked again; the thirty tries in between are none"


def test_a_fault_of_ours_is_not_the_endpoints(product: Product, receiver: Receiver) -> None:
    product.webhook("hook", receiver.url, sign={"scheme": "standard-webhooks", "key": {"secret": "MISSING"}})
    product.publish({})
    with product.worker():
        until(lambda: product.rows("SELECT 1 FROM deliveries WHERE attempts = 1"))
    assert record_of(product) is None
    assert receiver.hits == []


@pytest.mark.parametrize(
    ("first", "last", "disabled"),
    [
        ("5 days 1 minute", "0", 1),
        ("4 days 23 hours", "0", 0),
        ("9 days", "6 days", 0),  # one bad moment, and nothing was owed since
        ("9 days", "3 days", 1),
    ],
)
def test_nothing_but_failures_for_five_days_disables(
    product: Product, receiver: Receiver, first: str, last: str, disabled: int
) -> None:
    receiver.answer = Answer(503)
    product.webhook("hook", receiver.url)
    product.settle()  # its activation forgets what was before it
    product.publish({})
    with product.worker():
        until(lambda: record_of(product))
    age(product, first, last)
    assert disable(product) == disabled
    assert state_of(product) == ("disabled" if disabled else "active")
    assert disable(product) == 0


def test_a_success_that_no_worker_lived_to_note_keeps_it_going(product: Product, receiver: Receiver) -> None:
    product.webhook("hook", receiver.url)
    product.publish({})
    with product.worker():
        until(lambda: product.states() == {"delivered": 1})
    with product.core.engine.engine.begin() as conn:
        conn.execute(
            text("INSERT INTO endpoint_health (workspace_id, webhook_id) SELECT workspace_id, id FROM webhooks")
        )
    age(product, "6 days", "0")
    assert disable(product) == 0
    assert state_of(product) == "active"
    assert record_of(product).failing_since == record_of(product).last_success_at


def test_the_owner_is_told_by_a_deliverable_event_and_activating_releases_what_was_held(
    product: Product, receiver: Receiver
) -> None:
    receiver.answer = lambda hit: Answer(503 if hit.path == "/orders" else 204)
    product.webhook("hook", receiver.url + "/orders", retry={"schedule": ["10ms"], "jitter": 0})
    product.webhook("ops", receiver.url + "/ops", events=["crossdock.webhook.failed", "crossdock.webhook.disabled"])
    with product.worker():
        product.publish({"n": 1})
        until(lambda: [each for each in receiver.hits if each.path == "/ops"])
        age(product, "6 days", "0")
        assert disable(product) == 1
        until(lambda: len([each for each in receiver.hits if each.path == "/ops"]) == 2)
        failed, disabled = [json.loads(each.body) for each in receiver.hits if each.path == "/ops"]
        assert (failed["type"], failed["data"]["name"]) == ("crossdock.webhook.failed", "hook")
        assert (disabled["type"], disabled["data"]["name"]) == ("crossdock.webhook.disabled", "hook")
        assert disabled["data"]["reason"].startswith("no delivery got through in 5 days, since ")
        product.publish({"n": 2})
        assert product.states()["held"] == 1
        receiver.answer = Answer(204)
        product.act("hook", "activate")
        until(lambda: "held" not in product.states())
        until(
            lambda: (
                product.client().post("/api/v1/dead-letters/retry", json={"owner": "webhook/hook"}).json["count"] == 1
            )
        )
        until(lambda: product.states().keys() == {"delivered"})
    assert record_of(product) is None, "its time to fail begins anew"
    assert disable(product) == 0


def test_a_receiver_that_is_gone_is_disabled_at_once_with_the_reason(product: Product, receiver: Receiver) -> None:
    receiver.answer = lambda hit: Answer(410 if hit.path == "/orders" else 204)
    product.webhook("hook", receiver.url + "/orders")
    product.webhook("ops", receiver.url + "/ops", events=["crossdock.webhook.disabled"])
    with product.worker():
        product.publish({"n": 1})
        until(lambda: [each for each in receiver.hits if each.path == "/ops"])
    [told] = [json.loads(each.body) for each in receiver.hits if each.path == "/ops"]
    assert told["data"]["reason"] == "the receiver answered 410: it is gone"
    assert record_of(product) is None


def test_failures_of_one_workspace_disable_nothing_of_another(product: Product, receiver: Receiver) -> None:
    other = product.workspace("other", "main")
    receiver.answer = lambda hit: Answer(503 if hit.path == "/mine" else 204)
    product.webhook("hook", receiver.url + "/mine")
    product.webhook("hook", receiver.url + "/theirs", other)
    product.settle()
    product.publish({})
    product.publish({}, scope=other)
    with product.worker():
        until(lambda: record_of(product))
        until(lambda: product.states() == {"pending": 1, "delivered": 1})
    with product.tx(other) as tx:
        assert tx.all("SELECT 1 FROM endpoint_health") == []
        health.forget(tx, product.rows("SELECT webhook_id AS id FROM endpoint_health")[0].id)
    age(product, "6 days", "0")
    assert disable(product) == 1
    states = product.rows("SELECT workspace_id, state FROM webhooks")
    assert {row.workspace_id: row.state for row in states} == {
        product.scope.workspace_id: "disabled",
        other.workspace_id: "active",
    }


@pytest.mark.parametrize(
    ("text_", "seconds"), [("5d", 5 * DAYS), ("90m", 5400.0), ("30s", 30.0), ("0", 0.0), ("", 5 * DAYS)]
)
def test_how_long_is_a_setting(text_: str, seconds: float) -> None:
    assert Settings.from_env({"CROSSDOCK_DISABLE_AFTER": text_}).disable_after == seconds


@pytest.mark.parametrize("wrong", ["5", "d", "-1d", "5 days", "1.5d", "٥d"])
def test_a_duration_that_is_none_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="CROSSDOCK_DISABLE_AFTER"):
        Settings.from_env({"CROSSDOCK_DISABLE_AFTER": wrong})


def test_zero_disables_none(product: Product, receiver: Receiver) -> None:
    receiver.answer = Answer(503)
    product.webhook("hook", receiver.url)
    product.publish({})
    with product.worker():
        until(lambda: record_of(product))
    age(product, "90 days", "0")
    assert disable(product, 0.0) == 0
