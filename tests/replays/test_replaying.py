"""What a replay makes: new deliveries of the same messages, each once, and nothing that nobody asked for."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from server.sdk.signing import Signer
from server.webhooks.owing import message_id
from tests.replays.replaying import HOOK, ask, change, end, finish, made, run, see, work
from tests.support.product import Product, until
from tests.support.receiver import Answer

if TYPE_CHECKING:
    from tests.support.receiver import Receiver


def test_replaying_makes_exactly_as_many_new_deliveries_with_the_same_webhook_id(product: Product) -> None:
    product.webhook("hook", HOOK)
    product.publish(*[{"n": n} for n in range(50)])
    end(product)
    replay = ask(product, filter={"webhook": "hook"})
    assert (replay["state"], replay["total"], replay["done"]) == ("counting", None, 0)
    finish(product)
    replay = see(product, replay)
    assert (replay["state"], replay["total"], replay["done"], replay["skipped"]) == ("done", 50, 50, 0)
    assert replay["deliveries"] == {"pending": 50}
    old = {row.id: row for row in product.rows("SELECT * FROM deliveries WHERE replay_id IS NULL")}
    assert len(old) == 50
    for new in made(product):
        origin = old.pop(new.replayed_from)
        assert (new.message_id, new.event_uid, new.webhook_id) == (
            origin.message_id,
            origin.event_uid,
            origin.webhook_id,
        )
        assert (new.state, new.attempts, new.order_key, new.reason) == ("pending", 0, None, "replayed")
        assert new.expires_at - new.created_at == timedelta(days=5)
    assert old == {}
    listed = product.client().get(f"/api/v1/deliveries?limit=200&replay={replay['id']}").json["items"]
    assert len(listed) == 50
    assert {each["replay_id"] for each in listed} == {replay["id"]}
    assert all(each["replayed_from"].startswith("dlv_") for each in listed)
    assert product.client().get("/api/v1/deliveries?replay=rpl_1").status_code == 422
    [due] = product.rows("SELECT count(*) AS n, min(priority) AS priority FROM due WHERE kind = 'delivery'")
    assert (due.n, due.priority) == (50, 2), "history waits for what happens now"


def test_a_second_request_with_the_same_key_makes_no_second_replay(product: Product) -> None:
    product.webhook("hook", HOOK)
    product.publish({}, {})
    end(product)
    first = ask(product, filter={"webhook": "hook"}, key="once")
    finish(product)
    assert ask(product, filter={"webhook": "hook"}, key="once") == first
    finish(product)
    assert len(product.rows("SELECT FROM replays")) == 1
    assert len(made(product)) == 2


def test_replaying_twice_does_not_double_and_what_is_on_its_way_is_left_alone(product: Product) -> None:
    product.webhook("hook", HOOK)
    product.publish(*[{}] * 3)
    ask(product, filter={"webhook": "hook"})
    finish(product)
    assert made(product) == [], "all three are pending: they go out by themselves"
    end(product)
    for total in (3, 6, 9):
        ask(product, filter={"webhook": "hook"})
        finish(product)
        assert len(made(product)) == total
        end(product)


def test_how_the_newest_delivery_ended_is_what_counts(product: Product) -> None:
    product.webhook("hook", HOOK)
    product.publish({})
    end(product)
    ask(product, filter={"webhook": "hook"})
    finish(product)
    end(product, "skipped")
    for status, count in (("delivered", 0), ("skipped", 1)):
        answer = ask(product, 200, filter={"webhook": "hook", "status": [status]}, dry_run=True)
        assert answer["count"] == count, status


def test_what_ends_after_the_replay_was_asked_for_is_not_of_it(product: Product) -> None:
    product.webhook("hook", HOOK)
    product.publish({})
    replay = ask(product, filter={"webhook": "hook"})
    end(product)
    product.publish({})
    end(product)
    finish(product)
    assert (see(product, replay)["state"], see(product, replay)["total"]) == ("done", 0)


def test_as_new_mints_other_ids_and_a_later_replay_has_the_first_ones_again(product: Product) -> None:
    webhook = product.webhook("hook", HOOK)
    product.publish({}, {})
    end(product)
    ids = {message_id(row.uid, webhook.id) for row in product.rows("SELECT uid FROM events WHERE source = 'api'")}
    ask(product, filter={"webhook": "hook"}, as_new=True)
    finish(product)
    fresh = {row.message_id for row in made(product)}
    assert len(fresh) == 2
    assert fresh & ids == set()
    end(product)
    ask(product, filter={"webhook": "hook"})
    finish(product)
    assert {row.message_id for row in made(product)} - fresh == ids


def test_one_delivery_is_replayed_by_its_id(product: Product) -> None:
    product.webhook("hook", HOOK)
    product.publish({"n": 1}, {"n": 2})
    end(product, "skipped")
    [one, _] = product.client().get("/api/v1/deliveries").json["items"]
    answer = ask(product, 200, filter={"deliveries": [one["id"], one["id"]]}, dry_run=True)
    assert (answer["count"], [each["delivery_id"] for each in answer["samples"]]) == (1, [one["id"]])
    ask(product, filter={"deliveries": [one["id"]]})
    finish(product)
    [new] = made(product)
    assert new.message_id == one["message_id"]


def test_a_delivery_is_never_replayed_to_a_webhook_that_was_removed_meanwhile(product: Product) -> None:
    product.webhook("hook", HOOK)
    product.webhook("stays", HOOK)
    product.publish({}, {})
    end(product)
    replay = ask(product, filter={"type": "order.created"})
    work(product)
    assert see(product, replay)["total"] == 4
    product.act("hook", "archive")
    finish(product)
    replay = see(product, replay)
    assert (replay["state"], replay["total"], replay["done"], replay["skipped"]) == ("done", 4, 2, 2)


def test_deliveries_of_a_paused_webhook_are_held_as_others_are(product: Product) -> None:
    product.webhook("hook", HOOK)
    product.publish({}, {})
    end(product)
    product.act("hook", "pause")
    ask(product, filter={"webhook": "hook"})
    finish(product)
    assert [row.state for row in made(product)] == ["held"] * 2
    assert product.rows("SELECT FROM due WHERE kind = 'delivery' AND due_at < 'infinity'") == []
    product.act("hook", "resume")
    product.settle()
    assert [row.state for row in made(product)] == ["pending"] * 2


def test_a_dead_one_that_is_replayed_is_dead_no_more_and_what_waited_behind_it_goes(
    product: Product, receiver: Receiver
) -> None:
    receiver.answers = [Answer(400)]
    product.webhook("hook", receiver.url, order_by="data.key")
    product.publish({"key": "a", "n": 0}, {"key": "a", "n": 1})
    with product.worker():
        until(lambda: product.states() == {"dead": 1, "pending": 1})
        ask(product, filter={"webhook": "hook", "status": ["dead"]})
        until(lambda: product.states() == {"discarded": 1, "delivered": 2})
    assert product.client().get("/api/v1/dead-letters").json["items"] == []
    [letter] = product.client().get("/api/v1/dead-letters?resolved=true").json["items"]
    assert (letter["resolution"], letter["resolved_by"]) == ("replayed", "local-admin")
    assert ask(product, 200, filter={"webhook": "hook", "status": ["dead"]}, dry_run=True)["count"] == 0


def test_a_webhook_gets_the_history_that_it_never_had_and_only_that(product: Product) -> None:
    product.webhook("old", HOOK, events=["order.*"])
    product.publish({"n": 1}, {"n": 2})
    product.publish({"n": 3}, type_="invoice.paid")
    new = product.webhook("new", HOOK, events=["order.created"], order_by="data.n")
    product.publish({"n": 4})
    product.client().post("/api/v1/webhooks/old/trigger", json={"payload": {"n": 5}})
    asked: dict[str, Any] = {"filter": {"webhook": "new"}, "backfill": True}
    answer = ask(product, 200, **asked, dry_run=True)
    assert (answer["count"], {each["delivery_id"] for each in answer["samples"]}) == (2, {None})
    replay = ask(product, **asked)
    finish(product)
    assert see(product, replay)["done"] == 2
    for row in made(product):
        assert (row.webhook_id, row.replayed_from, row.pinned_version) == (new.id, None, None)
        assert row.message_id == message_id(row.event_uid, new.id)
    assert ask(product, 200, **asked, dry_run=True)["count"] == 0
    ask(product, **asked)
    finish(product)
    assert len(made(product)) == 2


def test_a_fan_out_that_is_still_written_out_owes_its_deliveries_already(product: Product) -> None:
    webhook = product.webhook("new", HOOK)
    product.publish({})
    [event] = product.rows("SELECT uid FROM events WHERE source = 'api'")
    run(product, "DELETE FROM deliveries")
    run(
        product,
        "INSERT INTO fanouts VALUES (gen_random_uuid(), 1, :event, ARRAY[:webhook])",
        event=event.uid,
        webhook=webhook.id,
    )
    assert ask(product, 200, filter={"webhook": "new"}, backfill=True, dry_run=True)["count"] == 0
    run(product, "DELETE FROM fanouts")
    assert ask(product, 200, filter={"webhook": "new"}, backfill=True, dry_run=True)["count"] == 1


def test_its_life_is_published_for_whoever_subscribes_to_it(product: Product) -> None:
    product.webhook("hook", HOOK)
    product.webhook("watch", HOOK, events=["crossdock.replay.finished"])
    product.publish({})
    end(product)
    replay = ask(product, filter={"webhook": "hook"})
    finish(product)
    [event] = product.rows("SELECT * FROM events WHERE type = 'crossdock.replay.finished'")
    data = json.loads(event.data)
    assert (data["done"], data["skipped"], event.principal) == (1, 0, "local-admin")
    assert event.correlation_id == replay["correlation_id"]
    assert {row.type for row in product.rows("SELECT type FROM events WHERE type LIKE 'crossdock.replay.%'")} == {
        "crossdock.replay.started",
        "crossdock.replay.counted",
        "crossdock.replay.finished",
    }
    [owed] = product.rows("SELECT d.id FROM deliveries d JOIN webhooks w ON w.id = d.webhook_id WHERE w.name = 'watch'")
    assert owed


def test_the_original_payload_is_that_of_the_first_sending_and_the_current_one_is_mapped_again(
    product: Product, receiver: Receiver
) -> None:
    product.webhook("hook", receiver.url + "/then", map={"n": "data.n", "by": {"value": "v1"}}, when="data.n > `0`")
    product.publish({"n": 1}, {"n": 2})
    with product.worker():
        until(lambda: product.states() == {"delivered": 2})
        change(product, "hook", 2, url=receiver.url + "/now", map={"number": "data.n"}, when="data.n > `1`")
        first = {hit.headers["webhook-id"]: hit.body for hit in receiver.hits}
        receiver.hits.clear()
        for _ in range(2):  # a replay of what was replayed is of the first sending all the same
            ask(product, filter={"webhook": "hook"})
            receiver.wait(2)
            until(lambda: "pending" not in product.states())
            assert {hit.headers["webhook-id"]: hit.body for hit in receiver.hits} == first
            assert {hit.path for hit in receiver.hits} == {"/now"}, "it goes where the webhook is now"
            assert all(_signed(product, hit) for hit in receiver.hits)
            receiver.hits.clear()
        replay = ask(product, filter={"webhook": "hook"}, payload="current")
        until(lambda: see(product, replay)["deliveries"] == {"delivered": 1, "skipped": 1})
        [hit] = receiver.hits
        assert json.loads(hit.body) == {"number": 2}
        assert first[hit.headers["webhook-id"]] == b'{"n":2,"by":"v1"}'


def _signed(product: Product, hit: Any) -> bool:
    key = product.secret_of("hook")
    timestamp = int(hit.headers["webhook-timestamp"])
    return hit.headers["webhook-signature"] == Signer([key]).sign(hit.headers["webhook-id"], timestamp, hit.body)


def test_what_was_never_sent_has_no_original_and_is_mapped_by_the_present_definition(
    product: Product, receiver: Receiver
) -> None:
    product.webhook("hook", receiver.url, map={"n": "mul(data.n, 2)"})
    product.publish({"n": "two"})
    with product.worker():
        until(lambda: product.states() == {"dead": 1})
        change(product, "hook", 2, map={"n": "data.n"})
        ask(product, filter={"webhook": "hook", "status": ["dead"]})
        [hit] = receiver.wait(1)
    assert json.loads(hit.body) == {"n": "two"}


def test_an_original_whose_definition_is_not_kept_dies_and_says_so(product: Product, receiver: Receiver) -> None:
    product.webhook("hook", receiver.url)
    product.publish({})
    end(product, version=7)
    with product.worker():
        ask(product, filter={"webhook": "hook"})
        until(lambda: product.states() == {"delivered": 1, "dead": 1})
    [row] = made(product)
    assert row.error["code"] == "VERSION_MISSING"
    assert receiver.hits == []
