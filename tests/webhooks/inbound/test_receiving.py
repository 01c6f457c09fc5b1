"""What a sender is answered, and what is stored by then."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import NullPool, create_engine, make_url, text

from server import bootstrap
from server.store import Cause
from server.telemetry.metrics import render
from server.webhooks.inbound import storing
from server.webhooks.inbound.seeing import kept_headers
from tests.support.inbound import change, declare
from tests.support.product import Product

JSON = {"content-type": "application/json"}
KEY = "sender-secret-0123456789"


def stored(product: Product) -> list[Any]:
    return product.rows("SELECT * FROM inbound_requests ORDER BY id")


def secret(product: Product, value: str = KEY, name: str = "SENDER", **how: Any) -> None:
    with product.tx(how.pop("scope", None)) as tx:
        getattr(product.core.secrets, "rotate" if how else "set")(tx, name, value, **how)


def signed(body: bytes, key: str = KEY) -> dict[str, str]:
    return {**JSON, "x-hub-signature-256": "sha256=" + hmac.digest(key.encode(), body, "sha256").hex()}


GITHUB = {"scheme": "github", "key": {"secret": "SENDER"}}


def test_what_is_answered_2xx_is_stored_whole_and_due(product: Product) -> None:
    webhook = declare(product, path="shop/{shop}/orders")
    headers = {**JSON, "X-Topic": "a", "Authorization": "Bearer x", "Cookie": "a=b", "Connection": "close"}
    answer = product.receive("shop/berlin/orders", b'{"id": 1}', headers, query="a=1&token=2")
    [row] = stored(product)
    [due] = product.rows("SELECT * FROM due WHERE kind = 'inbound'")
    assert (answer.status, answer.headers["content-type"]) == (202, "application/json")
    assert (row.state, row.webhook_id, row.definition_version, row.method) == ("received", webhook.id, 1, "POST")
    assert (row.path, row.params, row.query) == ("shop/berlin/orders", {"shop": "berlin"}, "a=1")
    assert (bytes(row.body), row.headers) == (b'{"id": 1}', {"content-type": "application/json", "x-topic": "a"})
    assert (row.client, row.correlation_id) == ("127.0.0.1", answer.json["id"])
    assert (due.ref, due.lane, due.workspace_id) == (row.id, webhook.id, row.workspace_id)


def test_a_refusal_tells_a_stranger_one_thing_for_every_cause(product: Product) -> None:
    secret(product)
    declare(product, verify=GITHUB)
    body = b"{}"
    wrong = [
        product.receive("orders-in", body, each)
        for each in (JSON, {**JSON, "x-hub-signature-256": "sha256=é"}, signed(body, "other"), signed(body + b" "))
    ]
    assert {(each.status, told(each)) for each in wrong} == {(401, told(wrong[0]))}
    assert {each.headers["www-authenticate"] for each in wrong} == {'Signature realm="crossdock"'}
    assert product.receive("orders-in", body, signed(body)).status == 202
    gone = [product.receive("nowhere", body), product.receive("nowhere", body, scope=product.workspace("default", "b"))]
    strange = product.receive("x", b"", scope=type(product.scope)(1, 1, "no", "such"))
    assert [(each.status, told(each)) for each in gone] == [(404, told(strange))] * 2


def told(answer: Any) -> bytes:
    """Return what a refusal says, but for its id."""
    return answer.body.replace(answer.json["request_id"].encode(), b"")


def test_a_key_that_is_known_gets_the_first_answer_byte_for_byte_and_stores_nothing(product: Product) -> None:
    declare(product, dedupe={"key": "body.id"})
    first = product.receive("orders-in", b'{"id": 1}', JSON)
    again = product.receive("orders-in", b'{"id": 1, "other": 2}', JSON)
    other = product.receive("orders-in", b'{"id": 2}', JSON)
    nothing = [product.receive("orders-in", b'{"id": null}', JSON) for _ in range(2)]
    assert again == first
    assert len({first.body, other.body, *(each.body for each in nothing)}) == 4
    assert len(stored(product)) == len(product.rows("SELECT 1 FROM due WHERE kind = 'inbound'")) == 4


def test_the_first_answer_is_kept_when_the_definition_answers_otherwise_by_now(product: Product) -> None:
    declare(product, dedupe={"key": "body.id"}, answer={"status": 200, "body": {"ok": True}, "headers": {"X-A": "1"}})
    first = product.receive("orders-in", b'{"id": 1}', JSON)
    change(product, "orders-in", answer={"body": "thanks"})
    assert (first.status, first.json, first.headers["x-a"]) == (200, {"ok": True}, "1")
    assert product.receive("orders-in", b'{"id": 1}', JSON) == first
    second = product.receive("orders-in", b'{"id": 2}', JSON)
    assert (second.status, second.body) == (202, b"thanks")
    assert (second.headers["content-type"], "x-a" in second.headers) == ("text/plain; charset=utf-8", False)


def test_the_schemes_own_id_dedupes_where_the_definition_names_no_key(product: Product) -> None:
    secret(product)
    declare(product, verify=GITHUB)
    body = b'{"id": 1}'
    answers = [product.receive("orders-in", body, {**signed(body), "x-github-delivery": "d-1"}) for _ in range(3)]
    assert len({each.body for each in answers}) == 1
    assert len(stored(product)) == 1


def test_a_key_is_forgotten_when_its_time_is_over(product: Product) -> None:
    declare(product, dedupe={"key": "body.id", "ttl": "1h"})
    first = product.receive("orders-in", b'{"id": 1}', JSON)
    with product.core.engine.connect() as conn:
        conn.execute(text("UPDATE inbound_keys SET expires_at = now()"))
    second = product.receive("orders-in", b'{"id": 1}', JSON)
    assert first.body != second.body
    assert product.receive("orders-in", b'{"id": 1}', JSON) == second
    assert len(stored(product)) == 2


def test_fifty_at_once_over_two_processes_are_one(product: Product) -> None:
    declare(product, dedupe={"key": "body.id"})
    receipts = [product.receipt(), product.receipt()]
    path = f"/in/{product.scope}/orders-in"
    for receipt in receipts:  # each knows the endpoint
        receipt.send(path, b'{"id": 0}', JSON)
    with ThreadPoolExecutor(2) as threads:
        many = [(path, b'{"id": %d}' % (number % 5), JSON) for number in range(50)]
        found = [each for answers in threads.map(lambda receipt: receipt.send_all(many), receipts) for each in answers]
    assert {each.status for each in found} == {202}
    by_key = {number: {each.body for each in found[number::5]} for number in range(5)}
    assert all(len(bodies) == 1 for bodies in by_key.values())
    assert len(stored(product)) == len(product.rows("SELECT 1 FROM inbound_keys")) == 5


def test_a_secret_that_was_revoked_takes_no_more_requests_at_once(product: Product) -> None:
    secret(product)
    declare(product, verify=GITHUB)
    body = b"{}"
    assert product.receive("orders-in", body, signed(body)).status == 202
    secret(product, "another-secret-0123456789")
    assert product.receive("orders-in", body, signed(body)).status == 401
    assert product.receive("orders-in", b"{ }", signed(b"{ }", "another-secret-0123456789")).status == 202


def test_old_and_new_are_taken_while_a_secret_is_changed_and_the_old_no_longer_than_that(product: Product) -> None:
    secret(product)
    declare(product, verify=GITHUB)
    new = "another-secret-0123456789"
    secret(product, new, overlap=1.0)
    bodies = [b'{"n": %d}' % number for number in range(4)]
    assert product.receive("orders-in", bodies[0], signed(bodies[0])).status == 202
    assert product.receive("orders-in", bodies[1], signed(bodies[1], new)).status == 202
    time.sleep(1.1)
    assert product.receive("orders-in", bodies[2], signed(bodies[2])).status == 401
    assert product.receive("orders-in", bodies[3], signed(bodies[3], new)).status == 202


def test_nobody_is_refused_by_what_is_older_than_the_request(product: Product) -> None:
    assert product.receive("orders-in", b"{}", JSON).status == 404
    declare(product)
    assert product.receive("orders-in", b"{}", JSON).status == 202
    assert product.receive("other", b"{}", JSON).status == 404
    declare(product, "other", verify=GITHUB)
    assert product.receive("other", b"{}", JSON).status == 503
    secret(product)
    assert product.receive("other", b"{}", signed(b"{}")).status == 202
    strange = product.scope.__class__(1, 1, "default", "later")
    assert product.receive("x", b"{}", JSON, scope=strange).status == 404
    later = product.workspace("default", "later")
    declare(product, "x", scope=later)
    assert product.receive("x", b"{}", JSON, scope=later).status == 202


@pytest.mark.parametrize(
    ("before", "after", "body", "status"),
    [
        ({"max_body": 10}, {"max_body": 100}, b'{"a": 123456}', 413),
        ({"format": "json"}, {"format": "raw"}, b"no JSON", 400),
        ({"dedupe": {"key": "to_number(body.id) < 'x'"}}, {"dedupe": {"key": "body.id"}}, b'{"id": 1}', 422),
    ],
)
def test_a_mended_definition_takes_the_very_next_request(
    product: Product, before: dict[str, Any], after: dict[str, Any], body: bytes, status: int
) -> None:
    headers = {**JSON, "content-length": str(len(body))}
    declare(product, **before)
    assert product.receive("orders-in", body, headers).status == status
    change(product, "orders-in", **after)
    assert product.receive("orders-in", body, headers).status == 202
    assert len(stored(product)) == 1


def test_a_body_of_unknown_length_that_was_cut_off_is_not_taken_as_a_whole_one(product: Product) -> None:
    declare(product, max_body=10)
    assert product.receive("orders-in", b'{"a": 123456}', JSON).status == 413
    change(product, "orders-in", max_body=100)
    assert product.receive("orders-in", b'{"a": 123456}', JSON).status == 413
    assert product.receive("orders-in", b'{"a": 123456}', JSON).status == 202


def test_a_scheme_of_another_release_takes_no_other_endpoint_with_it(product: Product) -> None:
    declare(product)
    declare(product, "newer", verify={"scheme": "of-tomorrow"})
    declare(product, "fields", verify={"scheme": "ip", "networks": 7})
    assert product.receive("orders-in", b"{}", JSON).status == 202
    assert product.receive("newer", b"{}", JSON).status == 404
    assert product.receive("fields", b"{}", JSON).status == 503


def test_a_missing_secret_admits_nobody_and_lets_senders_come_again(product: Product) -> None:
    declare(product, verify=GITHUB)
    answer = product.receive("orders-in", b"{}", signed(b"{}"))
    assert (answer.status, answer.json["code"], answer.headers["retry-after"]) == (503, "NO_VERIFIER", "60")


def test_an_endpoint_that_was_removed_takes_nothing_more(product: Product) -> None:
    declare(product)
    assert product.receive("orders-in", b"{}", JSON).status == 202
    product.act("orders-in", "archive")
    assert product.receive("orders-in", b"{}", JSON).status == 404
    assert len(stored(product)) == 1


def test_a_new_version_is_what_the_next_request_is_taken_under(product: Product) -> None:
    declare(product)
    product.receive("orders-in", b"{}", JSON)
    change(product, "orders-in", path="moved")
    assert product.receive("orders-in", b"{}", JSON).status == 404
    assert product.receive("moved", b"{}", JSON).status == 202
    assert [row.definition_version for row in stored(product)] == [1, 2]


def test_what_comes_while_a_webhook_is_paused_is_kept_until_it_is_resumed(product: Product) -> None:
    declare(product)
    product.act("orders-in", "pause")
    assert product.receive("orders-in", b"{}", JSON).status == 202
    assert [row.held for row in product.rows("SELECT due_at = 'infinity' AS held FROM due WHERE kind = 'inbound'")] == [
        True
    ]
    product.act("orders-in", "resume")
    product.settle()
    assert [row.held for row in product.rows("SELECT due_at = 'infinity' AS held FROM due WHERE kind = 'inbound'")] == [
        False
    ]


def test_more_than_the_rate_is_told_when_to_come_again(database_url: str, redis_url: str) -> None:
    product = Product(database_url, redis_url)
    declare(product, rate_limit={"capacity": 2, "per_second": 0.5})
    answers = [product.receive("orders-in", b"{}", JSON) for _ in range(3)]
    assert [each.status for each in answers] == [202, 202, 429]
    assert 1 <= int(answers[2].headers["retry-after"]) <= 2
    assert len(stored(product)) == 2
    product.close()


def test_one_workspace_takes_no_request_of_another(product: Product) -> None:
    other = product.workspace("default", "other")
    declare(product)
    declare(product, scope=other, path="theirs")
    assert product.receive("theirs", b"{}", JSON).status == 404
    assert product.receive("orders-in", b"{}", JSON, scope=other).status == 404
    assert product.receive("theirs", b"{}", JSON, scope=other).status == 202
    [row] = stored(product)
    assert row.workspace_id == other.workspace_id


def test_a_segment_that_is_written_out_goes_before_a_parameter(product: Product) -> None:
    plain, param = declare(product, "plain", path="a/b"), declare(product, "param", path="a/{x}")
    product.receive("a/b", b"{}", JSON)
    product.receive("a/c", b"{}", JSON)
    assert [row.webhook_id for row in stored(product)] == [plain.id, param.id]


def test_methods_of_one_path_may_be_two_endpoints(product: Product) -> None:
    post, put = declare(product, "post", path="a"), declare(product, "put", path="a", methods=["PUT"])
    product.receive("a", b"{}", JSON)
    product.receive("a", b"{}", JSON, method="PUT")
    assert [row.webhook_id for row in stored(product)] == [post.id, put.id]
    assert product.receive("a", b"", method="GET").headers["allow"] == "POST, PUT"


def test_while_the_database_is_away_a_sender_is_told_to_come_again(product: Product) -> None:
    declare(product)
    assert product.receive("orders-in", b"{}", JSON).status == 202
    url = make_url(product.settings.database_url)
    outside = create_engine(url.set(database="postgres"), isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with outside.connect() as conn:
        conn.execute(text(f'ALTER DATABASE "{url.database}" ALLOW_CONNECTIONS false'))
        ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"
        conn.execute(text(ended), {"name": url.database})
        answer = product.receive("orders-in", b"{}", JSON)
        conn.execute(text(f'ALTER DATABASE "{url.database}" ALLOW_CONNECTIONS true'))
    assert answer.status == 503
    assert answer.headers["retry-after"] == "1"
    assert product.receive("orders-in", b"{}", JSON).status == 202


def test_a_request_that_the_database_refuses_does_not_take_others_with_it(product: Product) -> None:
    declare(product)
    receipt = product.receipt()
    path = f"/in/{product.scope}/orders-in"
    receipt.send(path, b"{}", JSON)
    strange = {**JSON, "x-strange": "\ud800"}
    answers = receipt.send_all([(path, b"{}", strange if number == 3 else JSON) for number in range(8)])
    assert [each.status for each in answers].count(202) == 7
    assert answers[3].status in (400, 503)
    assert len(stored(product)) == 8


def test_many_that_wait_for_a_lock_are_told_to_come_again_together_and_not_one_after_the_other(
    product: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap.api_role, "INBOUND_SECONDS", 1)
    declare(product, dedupe={"key": "body.id"})
    receipt = product.receipt()
    path = f"/in/{product.scope}/orders-in"
    assert receipt.send(path, b'{"id": 0}', JSON).status == 202
    with product.core.engine.begin(product.scope, Cause("test", "cor_test")) as tx:
        tx.run("LOCK TABLE inbound_keys IN ACCESS EXCLUSIVE MODE")
        began = time.monotonic()
        answers = receipt.send_all([(path, b'{"id": %d}' % number, JSON) for number in range(1, 17)])
    assert {each.status for each in answers} == {503}
    assert time.monotonic() - began < 4
    assert receipt.send(path, b'{"id": 1}', JSON).status == 202


def test_what_waits_to_be_stored_takes_so_much_memory_and_no_more(
    product: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(product)
    receipt = product.receipt()
    path, body = f"/in/{product.scope}/orders-in", json.dumps("x" * 1000).encode()
    receipt.send(path, b"{}", JSON)
    monkeypatch.setattr(storing, "MOST_WAITING_BYTES", 2500)
    answers = receipt.send_all([(path, body, JSON)] * 40)
    taken = [each.status for each in answers].count(202)
    assert {each.status for each in answers} == {202, 503}
    assert len(stored(product)) == taken + 1
    assert receipt.send(path, body, JSON).status == 202


def test_what_expressions_see_when_it_comes_is_what_they_see_when_it_is_mapped(product: Product) -> None:
    key = "join('|', [headers.x_topic, params.shop, request.query.a, request.method, request.path])"
    declare(product, path="shop/{shop}", dedupe={"key": key})
    product.receive("shop/b", b"", {"X-Topic": "t"}, query="a=1")
    [row] = product.rows("SELECT encode(key, 'hex') AS key FROM inbound_keys")
    assert row.key == hashlib.sha256(b"k:t|b|1|POST|shop/b").hexdigest()


def test_a_secret_in_a_header_or_in_the_url_is_not_kept(product: Product) -> None:
    secret(product)
    declare(product, "header", path="h", verify={"scheme": "api_key", "header": "X-Mine", "key": {"secret": "SENDER"}})
    declare(product, "query", path="q", verify={"scheme": "api_key", "query": "code", "key": {"secret": "SENDER"}})
    assert product.receive("h", b"{}", {**JSON, "x-mine": KEY}).status == 202
    assert product.receive("q", b"{}", JSON, query=f"code={KEY}&a=1").status == 202
    rows = product.rows("SELECT r::text AS whole FROM inbound_requests r")
    assert len(rows) == 2
    assert not any(KEY in row.whole for row in rows)
    assert json.dumps([row.query for row in stored(product)]) == '["", "a=1"]'


@pytest.mark.parametrize(
    "name",
    [
        "authorization",
        "client-cert",
        "paypal-transmission-sig",
        "stripe-signature",
        "svix-signature",
        "webhook-signature",
        "x-gitlab-token",
        "x-goog-iap-jwt-assertion",
        "x-hub-signature-256",
        "x-shopify-hmac-sha256",
        "x-slack-signature",
        "x-telegram-bot-api-secret-token",
        "x-twilio-signature",
    ],
)
def test_what_proves_a_request_is_not_kept_beside_it(name: str) -> None:
    assert kept_headers({name: "v", "x-shopify-topic": "orders/create"}) == {"x-shopify-topic": "orders/create"}


def test_no_log_line_tells_what_a_request_holds(product: Product, capsys: pytest.CaptureFixture[str]) -> None:
    secret(product)
    declare(product, verify=GITHUB, dedupe={"key": "to_decimal(body.id)"})
    body = b'{"id": "canary-body"}'
    hidden = {"x-a": "canary-header", "authorization": "Bearer canary-token"}
    statuses = [
        product.receive("orders-in", body, {**signed(body, "canary-key"), **hidden}, query="token=canary-query").status,
        product.receive("orders-in", body, {**signed(body), **hidden}).status,
        product.receive("orders-in", b"canary", {**signed(b"canary"), **hidden}).status,
    ]
    assert statuses == [401, 422, 400]
    said = capsys.readouterr()
    assert "a request was refused" in said.out
    assert "canary" not in said.out + said.err


def test_requests_are_counted_by_webhook_and_outcome(product: Product) -> None:
    name = f"counted-{time.time_ns()}"
    declare(product, name, dedupe={"key": "body.id"})
    for body in (b'{"id": 1}', b'{"id": 1}', b"{"):
        product.receive(name, body, JSON)
    product.receive(f"{name}-not", b"", JSON)
    shown = render().decode()
    lines = [each.rpartition(" ") for each in shown.splitlines() if name in each and "_created" not in each]
    assert {head.partition('outcome="')[2].partition('"')[0]: float(count) for head, _, count in lines} == {
        "stored": 1.0,
        "duplicate": 1.0,
        "MALFORMED": 1.0,
    }


def test_a_secret_that_cannot_be_read_stops_its_own_webhook_and_no_other(product: Product) -> None:
    secret(product)
    secret(product, name="BROKEN")
    declare(product, "sound", verify=GITHUB)
    declare(product, "open")
    declare(product, "broken", verify={**GITHUB, "key": {"secret": "BROKEN"}})
    with product.core.engine.connect() as conn:
        conn.exec_driver_sql("UPDATE secrets SET key_id = 'gone' WHERE name = 'BROKEN'")
    body = b'{"id": 1}'
    assert product.receive("sound", body, signed(body)).status == 202
    assert product.receive("open", body, JSON).status == 202
    answer = product.receive("broken", body, signed(body))
    assert (answer.status, answer.json["code"]) == (503, "NO_VERIFIER")
    assert len(stored(product)) == 2
