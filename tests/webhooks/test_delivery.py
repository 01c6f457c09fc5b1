"""From an accepted event to a verified receiver, and what happens when the receiver does not play along."""

from __future__ import annotations

import json
from typing import Any

import pytest
import standardwebhooks
import svix.webhooks

from tests.support.product import Product, until
from tests.support.receiver import Answer, Receiver


def attempts(product: Product, delivery_id: str) -> list[dict[str, Any]]:
    return product.client().get(f"/api/v1/deliveries/{delivery_id}/attempts").json["items"]


def deliveries(product: Product, **query: str) -> list[dict[str, Any]]:
    return product.client().get("/api/v1/deliveries", query_string=query).json["items"]


def letters(product: Product) -> list[dict[str, Any]]:
    return product.client().get("/api/v1/dead-letters").json["items"]


def test_what_is_sent_is_accepted_by_the_official_libraries(product: Product, receiver: Receiver) -> None:
    product.webhook("hook", receiver.url + "/in")
    product.publish({"order_id": "SO-1", "total": 12.5})
    with product.worker():
        hit = receiver.wait(1)[0]
    secret = product.secret_of("hook")
    assert standardwebhooks.Webhook(secret).verify(hit.body, hit.headers) == json.loads(hit.body)
    svix.webhooks.Webhook(secret).verify(hit.body, hit.headers)  # raises when it does not fit
    with pytest.raises(svix.webhooks.WebhookVerificationError):
        svix.webhooks.Webhook(secret).verify(hit.body + b" ", hit.headers)
    assert json.loads(hit.body)["type"] == "order.created"
    assert json.loads(hit.body)["data"] == {"order_id": "SO-1", "total": 12.5}


def test_a_delivery_is_recorded_with_its_attempt(product: Product, receiver: Receiver) -> None:
    receiver.answer = Answer(200, {"X-Api-Key": "hidden", "X-Seen": "1"}, b"thanks" * 2000)
    product.webhook("hook", receiver.url)
    [event] = product.publish({"order_id": "SO-1"})
    with product.worker():
        until(lambda: product.states() == {"delivered": 1})
    [delivery] = deliveries(product, event=event)
    [attempt] = attempts(product, delivery["id"])
    assert (delivery["attempts"], delivery["last_status"], delivery["due_at"]) == (1, 200, None)
    assert (attempt["no"], attempt["outcome"], attempt["status"]) == (1, "success", 200)
    assert len(attempt["response_body"]) == 4096
    assert attempt["response_headers"]["X-Seen"] == "1"
    assert "hidden" not in json.dumps(attempt)
    assert product.secret_of("hook") not in json.dumps(attempt)
    assert attempt["timings"]["total"] > 0
    assert product.rows("SELECT 1 FROM due WHERE kind = 'delivery'") == []


def test_a_retryable_answer_is_tried_again_under_the_same_id(product: Product, receiver: Receiver) -> None:
    receiver.answers = [Answer(503), Answer(500), Answer(204)]
    product.webhook("hook", receiver.url, retry={"schedule": ["1h", "1h"], "jitter": 0})
    product.publish({})
    with product.worker():
        for count in (1, 2, 3):
            receiver.wait(count)
            until(lambda n=count: product.rows("SELECT 1 FROM deliveries WHERE attempts = :n", n=n))
            product.hurry()
        until(lambda: product.states() == {"delivered": 1})
    assert len({hit.headers["webhook-id"] for hit in receiver.hits}) == 1
    assert [each["status"] for each in attempts(product, deliveries(product)[0]["id"])] == [503, 500, 204]


def test_the_next_try_is_a_due_time_not_a_sleep(product: Product, receiver: Receiver) -> None:
    receiver.answer = Answer(500)
    product.webhook("hook", receiver.url, retry={"schedule": ["2h"], "jitter": 0})
    product.publish({})
    with product.worker():
        until(lambda: product.rows("SELECT 1 FROM deliveries WHERE attempts = 1"))
    [row] = product.rows(
        "SELECT extract(epoch FROM due_at - now()) AS seconds, leased FROM due WHERE kind = 'delivery'"
    )
    assert 7000 < row.seconds <= 7200
    assert not row.leased


@pytest.mark.parametrize("after", ["600", "Wed, 21 Oct 2099 07:28:00 GMT"])
def test_retry_after_is_obeyed_up_to_the_expiry(product: Product, receiver: Receiver, after: str) -> None:
    receiver.answer = Answer(429, {"Retry-After": after})
    product.webhook("hook", receiver.url, retry={"schedule": ["1s", "1s"], "jitter": 0})
    product.publish({})
    with product.worker():
        until(lambda: product.rows("SELECT 1 FROM deliveries WHERE attempts = 1"))
    if after == "600":
        [row] = product.rows("SELECT extract(epoch FROM due_at - now()) AS seconds FROM due WHERE kind = 'delivery'")
        assert 590 < row.seconds <= 600
    else:
        assert letters(product)[0]["reason"] == "expired"


def test_tries_that_are_used_up_end_as_a_dead_letter_that_can_be_retried(product: Product, receiver: Receiver) -> None:
    receiver.answer = Answer(500)
    product.webhook("hook", receiver.url, retry={"schedule": ["1h"], "jitter": 0})
    product.publish({})
    with product.worker():
        until(lambda: product.rows("SELECT 1 FROM deliveries WHERE attempts = 1"))
        product.hurry()
        until(lambda: product.states() == {"dead": 1})
        [letter] = letters(product)
        assert (letter["reason"], letter["attempts"], letter["owner"]) == ("exhausted", 2, "webhook/hook")
        assert letter["error"]["code"] == "DELIVERY_EXHAUSTED"
        assert "failed after 2 attempts" in letter["error"]["message"]
        assert letter["first_attempt_at"] < letter["last_attempt_at"]
        receiver.answer = Answer(204)
        assert product.client().post(f"/api/v1/dead-letters/{letter['id']}/retry").status_code == 202
        until(lambda: product.states() == {"delivered": 1})
    assert letters(product) == []
    assert len({hit.headers["webhook-id"] for hit in receiver.hits}) == 1


def test_all_dead_letters_of_a_webhook_are_retried_at_once(product: Product, receiver: Receiver) -> None:
    receiver.answer = Answer(400)
    product.webhook("hook", receiver.url)
    product.publish({"n": 1}, {"n": 2}, {"n": 3})
    with product.worker():
        until(lambda: product.states() == {"dead": 3})
        receiver.answer = Answer(200)
        answer = product.client().post("/api/v1/dead-letters/retry", json={"owner": "webhook/hook"})
        assert (answer.status_code, answer.json) == (202, {"count": 3})
        until(lambda: product.states() == {"delivered": 3})
    assert product.client().post("/api/v1/dead-letters/retry", json={"owner": "webhook/hook"}).json == {"count": 0}


@pytest.mark.parametrize("status", [301, 302, 307, 400, 401, 404, 422])
def test_an_answer_that_would_be_the_same_again_is_dead_at_once(
    product: Product, receiver: Receiver, status: int
) -> None:
    receiver.answer = Answer(status, {"Location": "/elsewhere"})
    product.webhook("hook", receiver.url)
    product.publish({})
    with product.worker():
        until(lambda: product.states() == {"dead": 1})
    assert letters(product)[0]["reason"] == "refused"
    assert len(receiver.hits) == 1


def test_gone_disables_the_webhook_and_says_so(product: Product, receiver: Receiver) -> None:
    receiver.answer = Answer(410)
    product.webhook("hook", receiver.url)
    product.publish({})
    with product.worker():
        until(lambda: product.rows("SELECT 1 FROM webhooks WHERE state = 'disabled'"))
    assert product.rows("SELECT 1 FROM events WHERE type = 'crossdock.webhook.disabled'")
    product.publish({"n": 2})
    assert product.states() == {"dead": 1, "held": 1}


def test_a_webhook_fails_and_recovers(product: Product, receiver: Receiver) -> None:
    receiver.answers = [Answer(400)]
    product.webhook("hook", receiver.url)
    product.publish({})
    with product.worker():
        until(lambda: product.rows("SELECT 1 FROM webhooks WHERE state = 'failing'"))
        product.publish({"n": 2})
        until(lambda: product.rows("SELECT 1 FROM webhooks WHERE state = 'active'"))
    assert product.states() == {"dead": 1, "delivered": 1}


def test_an_address_that_must_not_be_reached_is_refused(product: Product, receiver: Receiver) -> None:
    product.webhook("hook", "http://10.0.0.1/")
    product.publish({})
    with product.worker():
        until(lambda: product.states() == {"dead": 1})
    [letter] = letters(product)
    assert letter["error"]["code"] == "ADDRESS_REFUSED"


def test_a_receiver_that_is_away_is_tried_again(product: Product) -> None:
    product.webhook("hook", "http://127.0.0.1:1/")
    product.publish({})
    with product.worker():
        until(lambda: product.rows("SELECT 1 FROM deliveries WHERE attempts = 1"))
    [attempt] = attempts(product, deliveries(product)[0]["id"])
    assert (attempt["outcome"], attempt["status"], attempt["error"]["retryable"]) == ("failure", None, True)


def test_a_receiver_that_hangs_is_a_timeout(product: Product, receiver: Receiver) -> None:
    receiver.answer = Answer(200, delay=3)
    product.webhook("hook", receiver.url, timeout="500ms")
    product.publish({})
    with product.worker():
        until(lambda: product.rows("SELECT 1 FROM deliveries WHERE attempts = 1"))
        [attempt] = attempts(product, deliveries(product)[0]["id"])
    assert attempt["outcome"] == "timeout"


def test_a_false_condition_skips_and_a_broken_map_is_a_dead_letter(product: Product, receiver: Receiver) -> None:
    product.webhook("hook", receiver.url, when="data.n > `1`", map={"doubled": "mul(data.n, 2)"})
    product.publish({"n": 1}, {"n": 2}, {"n": "x"})
    with product.worker():
        until(lambda: product.states() == {"skipped": 1, "delivered": 1, "dead": 1})
    assert json.loads(receiver.hits[0].body) == {"doubled": 4}
    [letter] = letters(product)
    assert letter["reason"] == "mapping"
    assert letter["error"]["code"].startswith("EXPR_")


def test_a_missing_secret_is_tried_again_and_shown(product: Product, receiver: Receiver) -> None:
    product.webhook("hook", receiver.url)
    with product.tx() as tx:
        product.core.secrets.delete(tx, "HOOK")
    product.publish({})
    with product.worker():
        until(lambda: product.rows("SELECT 1 FROM deliveries WHERE attempts = 1"))
    [attempt] = attempts(product, deliveries(product)[0]["id"])
    assert attempt["error"]["code"] == "SECRET_MISSING"
    assert receiver.hits == []


def test_paused_holds_and_resume_sends_oldest_first(product: Product, receiver: Receiver) -> None:
    product.webhook("hook", receiver.url, max_in_flight=1)
    product.settle()  # its activation releases what is held
    product.publish({"n": 0})
    product.act("hook", "pause")
    product.publish({"n": 1})
    product.publish({"n": 2})
    with product.worker():
        until(lambda: product.states() == {"held": 3})
        assert receiver.hits == []
        product.act("hook", "resume")
        until(lambda: product.states() == {"delivered": 3})
    assert [json.loads(hit.body)["data"]["n"] for hit in receiver.hits] == [0, 1, 2]


def test_what_is_resumed_after_long_is_sent_oldest_first_too(product: Product, receiver: Receiver) -> None:
    product.webhook("hook", receiver.url, max_in_flight=1)
    product.act("hook", "pause")
    for number in range(3):
        product.publish({"n": number})
    with (
        product.core.engine.connect() as conn
    ):  # the first is of an hour ago: claims look no further back than they must
        conn.exec_driver_sql(
            "UPDATE deliveries SET created_at = now() - interval '1 hour' WHERE id = (SELECT min(id::text)::uuid FROM deliveries)"
        )
    with product.worker() as worker:
        until(lambda: worker.deliveries._claimer._since != "-infinity")
        product.act("hook", "resume")
        until(lambda: product.states() == {"delivered": 3})
    assert [json.loads(hit.body)["data"]["n"] for hit in receiver.hits] == [0, 1, 2]


def test_deliveries_of_a_removed_webhook_become_dead_letters(product: Product, receiver: Receiver) -> None:
    product.webhook("hook", receiver.url)
    product.publish({})
    product.act("hook", "archive")
    with product.worker():
        until(lambda: product.states() == {"dead": 1})
    assert letters(product)[0]["reason"] == "removed"


def test_a_delivery_that_is_over_its_time_is_a_dead_letter(product: Product, receiver: Receiver) -> None:
    product.webhook("hook", receiver.url, expires="1s")
    product.publish({})
    with product.core.engine.engine.begin() as conn:
        conn.exec_driver_sql("UPDATE deliveries SET expires_at = now() - interval '1 second'")
    with product.worker():
        until(lambda: product.states() == {"dead": 1})
    assert letters(product)[0]["reason"] == "expired"
    assert receiver.hits == []


@pytest.mark.parametrize("expires", [None, "1h", "2h"])
def test_however_old_a_delivery_is_a_retry_gives_it_the_expiry_of_its_webhook(
    product: Product, expires: str | None
) -> None:
    product.webhook("hook", "http://127.0.0.1:9/", **({"expires": expires} if expires else {}))
    product.publish({})
    [delivery] = deliveries(product)
    for state in ("dead", "delivered", "dead"):
        with product.core.engine.engine.begin() as conn:
            conn.exec_driver_sql(
                """UPDATE deliveries SET state = %s, created_at = created_at - interval '1 day',
                   expires_at = expires_at - interval '1 day'""",
                (state,),
            )
        assert product.client().post(f"/api/v1/deliveries/{delivery['id']}/retry").status_code == 202
        [row] = product.rows("SELECT extract(epoch FROM expires_at - now()) AS seconds FROM deliveries")
        whole = {None: 5 * 86_400, "1h": 3600, "2h": 7200}[expires]
        assert whole - 60 < row.seconds <= whole


def test_poison_that_kills_workers_again_and_again_is_given_up(product: Product, receiver: Receiver) -> None:
    product.webhook("hook", receiver.url)
    product.publish({})
    with product.core.engine.engine.begin() as conn:
        conn.exec_driver_sql("UPDATE due SET claims = 10 WHERE kind = 'delivery'")
    with product.worker():
        until(lambda: product.states() == {"dead": 1})
    assert letters(product)[0]["reason"] == "poison"
    assert receiver.hits == []


def test_trigger_makes_one_real_delivery_to_this_webhook_only(product: Product, receiver: Receiver) -> None:
    product.webhook("hook", receiver.url + "/mine")
    product.webhook("other", receiver.url + "/other")
    answer = product.client().post("/api/v1/webhooks/hook/trigger", json={"payload": {"test": True}})
    assert answer.status_code == 202
    with product.worker():
        until(lambda: product.states() == {"delivered": 1})
    [hit] = receiver.hits
    assert hit.path == "/mine"
    assert hit.headers["webhook-id"] == answer.json["message_id"]
    assert standardwebhooks.Webhook(product.secret_of("hook")).verify(hit.body, hit.headers)
    assert product.rows("SELECT 1 FROM events WHERE type = 'crossdock.webhook.triggered'")


def test_retrying_a_delivered_one_sends_it_again_under_its_id(product: Product, receiver: Receiver) -> None:
    product.webhook("hook", receiver.url)
    product.publish({})
    with product.worker():
        until(lambda: product.states() == {"delivered": 1})
        [delivery] = deliveries(product)
        assert product.client().post(f"/api/v1/deliveries/{delivery['id']}/retry").status_code == 202
        receiver.wait(2)
        until(lambda: product.states() == {"delivered": 1})
    assert len({hit.headers["webhook-id"] for hit in receiver.hits}) == 1
    assert [each["no"] for each in attempts(product, delivery["id"])] == [1, 2]


def test_both_keys_sign_during_a_rotation(product: Product, receiver: Receiver) -> None:
    product.webhook("hook", receiver.url)
    old = product.secret_of("hook")
    from server.sdk.signing import generate_secret

    with product.tx() as tx:
        product.core.secrets.rotate(tx, "HOOK", generate_secret())
    product.publish({})
    with product.worker():
        [hit] = receiver.wait(1)
    for secret in (old, product.secret_of("hook")):
        assert standardwebhooks.Webhook(secret).verify(hit.body, hit.headers)


def test_two_workspaces_do_not_see_each_others_deliveries(product: Product, receiver: Receiver) -> None:
    other = product.workspace("acme", "shop")
    product.webhook("hook", receiver.url)
    product.webhook("hook", receiver.url, scope=other)
    product.publish({"mine": 1})
    with product.worker():
        until(lambda: product.states() == {"delivered": 1})
    [delivery] = deliveries(product)
    foreign = product.client(other)
    assert foreign.get("/api/v1/deliveries").json["items"] == []
    assert foreign.get("/api/v1/events").json["items"][0]["type"].startswith("crossdock.")
    for path in (f"/api/v1/deliveries/{delivery['id']}", f"/api/v1/deliveries/{delivery['id']}/attempts"):
        assert foreign.get(path).status_code == 404
    assert foreign.post(f"/api/v1/deliveries/{delivery['id']}/retry").status_code == 404
    assert foreign.get(f"/api/v1/events/{delivery['event_id']}").status_code == 404
