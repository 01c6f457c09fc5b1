"""What the pages show and do, over the same use cases as the API."""

from __future__ import annotations

import re
from html import unescape
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from server.web.permissions import undeclared_routes
from tests.support.oncall import forms, new_token, press, sign_in
from tests.support.product import until
from tests.support.receiver import Answer

if TYPE_CHECKING:
    from flask import Flask
    from flask.testing import FlaskClient

    from tests.support.product import Product
    from tests.support.receiver import Receiver

_DELIVERY = re.compile(r"/deliveries/dlv_\w{26}")
_EVENT = re.compile(r"/events/evt_\w{26}")
_HOUR_AGO = """UPDATE attempts SET id =
  (substr(crossdock_first_uuid(now() - interval '61 minutes')::text, 1, 14) || substr(id::text, 15))::uuid"""


def fail(product: Product, receiver: Receiver, *data: object, name: str = "orders", status: int = 422) -> None:
    """Make deliveries that end as dead letters."""
    receiver.answer = Answer(status, {"Content-Type": "application/json"}, b'{"error": "unknown sku"}')
    product.webhook(name, f"{receiver.url}/{name}")
    product.publish(*data)
    with product.worker():
        until(lambda: product.states().get("dead", 0) == len(data))


def delivery_path(client: FlaskClient, query: str = "") -> str:
    found = _DELIVERY.search(client.get(f"/deliveries{query}").text)
    assert found
    return found[0]


def test_every_page_says_who_may(app: Flask) -> None:
    assert undeclared_routes(app) == []


def test_an_empty_workspace_is_told_what_to_do_next(operator: FlaskClient) -> None:
    for path, words in {
        "/": "All webhooks are well",
        "/deliveries": "Publish an event",
        "/dead-letters": "Everything that was accepted got through",
        "/webhooks": "crossdock apply",
    }.items():
        page = operator.get(path)
        assert page.status_code == 200
        assert words in page.text


def test_the_overview_names_what_needs_a_look(product: Product, operator: FlaskClient, receiver: Receiver) -> None:
    fail(product, receiver, {"n": 1}, {"n": 2})
    product.webhook("stock", receiver.url)
    product.act("stock", "pause")
    text = operator.get("/").text
    assert "<strong>2</strong> <span>dead letters open" in text
    assert re.search(r"orders</a>.*?failing.*?stock</a>.*?paused", text, re.DOTALL)
    assert "refused" in text
    assert 'http-equiv="refresh"' not in text
    assert 'http-equiv="refresh" content="15"' in operator.get("/?refresh=15").text
    assert 'http-equiv="refresh"' not in operator.get("/?refresh=0").text


def test_the_tiles_lead_to_what_they_count(product: Product, operator: FlaskClient, receiver: Receiver) -> None:
    fail(product, receiver, {"n": 1}, {"n": 2})
    receiver.answer = Answer(204)
    product.publish({"n": 3})
    with product.worker():
        until(lambda: product.states() == {"dead": 2, "delivered": 1})
    tiles = dict(re.findall(r'href="([^"]+)"><strong>(\d+)</strong>', operator.get("/").text))
    assert int(tiles["/events"]) == len(set(_EVENT.findall(operator.get("/events").text)))
    assert tiles["/deliveries?failed=hour"] == "2"
    page = operator.get("/deliveries?failed=hour")
    assert len(set(_DELIVERY.findall(page.text))) == 2
    assert "selected>failed last hour" in page.text
    assert len(set(_DELIVERY.findall(operator.get("/deliveries?failed=hour&state=delivered").text))) == 0
    with product.core.engine.engine.begin() as conn:
        conn.execute(text(_HOUR_AGO))
    assert "No delivery is like that" in operator.get("/deliveries?failed=hour").text


def test_a_delivery_shows_its_event_and_its_tries(product: Product, operator: FlaskClient, receiver: Receiver) -> None:
    fail(product, receiver, {"order_id": "SO-1", "total": 10.50})
    page = unescape(operator.get(delivery_path(operator)).text)
    for words in ('"order_id": "SO-1"', '"total": 10.5', "422", "#1", "unknown sku", "webhook-id", "dead"):
        assert words in page
    assert "[redacted]" in page, "the signature"
    assert "whsec_" not in page
    assert "v1," not in page


def test_retry_delivers_and_closes_the_dead_letter(product: Product, operator: FlaskClient, receiver: Receiver) -> None:
    fail(product, receiver, {"n": 1})
    path = delivery_path(operator)
    receiver.answer = Answer(204)
    page = press(operator, operator.get(path), f"{path}/retry")
    assert "due again" in page.text
    with product.worker():
        until(lambda: product.states() == {"delivered": 1})
    assert "#2" in operator.get(path).text
    assert "None" in operator.get("/dead-letters").text
    resolved = operator.get("/dead-letters?show=resolved").text
    assert "replayed" in resolved
    assert "by token:tok_" in resolved


def test_one_dead_letter_is_retried_another_discarded(
    product: Product, operator: FlaskClient, receiver: Receiver
) -> None:
    fail(product, receiver, {"n": 1}, {"n": 2})
    page = operator.get("/dead-letters")
    retry, discard = (next(each for each in forms(page) if each.endswith(word)) for word in ("/retry", "/discard"))
    other = next(each for each in forms(page) if each.endswith("/discard") and each[:40] != retry[:40])
    assert "due again" in press(operator, page, retry).text
    assert "discarded" in press(operator, page, other).text
    assert product.states() == {"pending": 1, "discarded": 1}
    assert "Somebody was faster" in press(operator, page, discard).text, "a second press does nothing"
    assert product.states() == {"pending": 1, "discarded": 1}


def test_a_filter_that_finds_no_dead_letter_says_nothing_of_the_others(
    product: Product, operator: FlaskClient, receiver: Receiver
) -> None:
    fail(product, receiver, {"n": 1})
    product.webhook("calm", "http://127.0.0.1:9/", events=["stock.changed"])
    for query, said in {
        "?webhook=calm": "None of calm is open.",
        "?webhook=calm&show=resolved": "None of calm was resolved.",
        "?show=resolved": "None was resolved.",
    }.items():
        assert f'<p class="fine">{said}</p>' in operator.get(f"/dead-letters{query}").text


def test_all_dead_letters_of_one_webhook_are_retried(
    product: Product, operator: FlaskClient, receiver: Receiver
) -> None:
    fail(product, receiver, {"n": 1}, {"n": 2}, {"n": 3})
    assert "/dead-letters/retry-all" not in forms(operator.get("/dead-letters")), "only of one webhook at a time"
    page = operator.get("/dead-letters?webhook=orders")
    said = press(operator, page, "/dead-letters/retry-all")
    assert "3 dead letters are due again" in said.text
    assert product.states() == {"pending": 3}
    assert operator.post("/dead-letters/retry-all", data=forms(page)["/sign-out"]).status_code == 422


def test_a_delivery_whose_turn_has_not_come_cannot_be_retried(product: Product, operator: FlaskClient) -> None:
    product.webhook("orders", "http://127.0.0.1:9/", order_by="data.key")
    product.publish({"key": "a"}, {"key": "a"})
    path = delivery_path(operator)
    page = operator.get(path)
    assert "waits for its turn" in page.text
    assert 'disabled aria-describedby="why-waiting"' in page.text
    answer = operator.post(f"{path}/retry", data=forms(page)[f"{path}/retry"])
    assert (answer.status_code, "DELIVERY_WAITS" in answer.text) == (409, True)


@pytest.mark.parametrize(
    ("owner", "said"),
    [
        ("nope", "no webhook nope in"),
        ("flow/nope", "no flow nope in"),
        ("webhok/orders", "did you mean webhook/orders?"),
    ],
)
def test_of_a_definition_that_never_was_nothing_is_claimed(operator: FlaskClient, owner: str, said: str) -> None:
    page = operator.get(f"/dead-letters?webhook={owner}")
    assert (page.status_code, said in page.text) == (200, True)
    assert "got through" not in page.text


def test_a_webhook_is_paused_and_resumed(product: Product, operator: FlaskClient, receiver: Receiver) -> None:
    product.webhook("orders", receiver.url)
    page = press(operator, operator.get("/webhooks"), "/webhooks/orders/pause")
    assert "paused" in page.text
    product.publish({"n": 1})
    assert product.states() == {"held": 1}
    path = delivery_path(operator)
    held = operator.get(path)
    assert "stands still" in held.text
    answer = operator.post(f"{path}/retry", data=forms(held)[f"{path}/retry"])
    assert answer.status_code == 409
    assert "DELIVERY_HELD" in answer.text
    page = press(operator, operator.get("/webhooks"), "/webhooks/orders/resume")
    assert "goes on" in page.text
    product.settle()
    assert product.states() == {"pending": 1}
    assert operator.post("/webhooks/orders/archive", data=forms(page)["/sign-out"]).status_code == 404
    assert operator.post("/webhooks/nothing/pause", data=forms(page)["/sign-out"]).status_code == 404
    assert operator.post("/webhooks/orders/resume", data=forms(page)["/sign-out"]).status_code == 409


def test_what_is_held_says_why(product: Product, operator: FlaskClient, receiver: Receiver) -> None:
    receiver.answer = Answer(422)
    product.webhook("parks", receiver.url, order_by="data.key", on_stuck="park")
    product.publish({"key": "a"}, {"key": "a"})
    with product.worker():
        until(lambda: product.states() == {"dead": 1, "held": 1})
    path = delivery_path(operator, "?state=held")
    assert "<small>parked behind a dead letter of its order" in operator.get("/deliveries").text
    text = operator.get(path).text
    assert "(parked behind a dead letter of its order)" in text
    assert '<a href="/dead-letters?webhook=parks">the dead letter</a>' in text
    product.webhook("rests", receiver.url)
    product.act("rests", "pause")
    product.publish({"n": 1})
    assert "<small>its webhook is paused" in operator.get("/deliveries?state=held&webhook=rests").text
    assert "(its webhook is paused)" in operator.get(delivery_path(operator, "?webhook=rests")).text


def test_deliveries_are_filtered_and_paged(product: Product, operator: FlaskClient) -> None:
    product.webhook("orders", "http://127.0.0.1:9/")
    product.webhook("others", "http://127.0.0.1:9/", events=["stock.changed"])
    events = product.publish(*({"n": number} for number in range(60)))
    product.publish({"n": 60}, type_="stock.changed")
    first = operator.get("/deliveries?state=pending&webhook=orders")
    assert len(set(_DELIVERY.findall(first.text))) == 50
    older = unescape(re.search(r'rel="next" href="([^"]+)"', first.text)[1])
    assert "state=pending" in older
    second = operator.get(older)
    assert len(set(_DELIVERY.findall(second.text))) == 10
    assert not set(_DELIVERY.findall(first.text)) & set(_DELIVERY.findall(second.text))
    assert 'rel="next"' not in second.text
    assert "Newest" in second.text
    assert len(set(_DELIVERY.findall(operator.get("/deliveries?webhook=others").text))) == 1
    assert len(set(_DELIVERY.findall(operator.get(f"/deliveries?event={events[0]}").text))) == 1
    assert "No delivery is like that" in operator.get("/deliveries?state=dead").text
    for path, status in {
        "/deliveries?cursor=wrong": 422,
        f"/deliveries?webhook={'x' * 400}": 422,
        "/deliveries?state='; DROP TABLE x": 200,
        "/deliveries/dlv_00000000000000000000000000": 404,
        "/deliveries/nonsense": 404,
        "/webhooks?cursor=wrong": 422,
        "/assets/000000000000/dashboard.css": 404,
    }.items():
        answer = operator.get(path)
        assert answer.status_code == status, path
        assert answer.content_type.startswith("text/html")


def test_a_viewer_looks_and_cannot_touch(product: Product, app: Flask, receiver: Receiver) -> None:
    fail(product, receiver, {"n": 1})
    viewer = app.test_client()
    sign_in(viewer, new_token(product, "viewer"))
    path = delivery_path(viewer)
    for each in (path, "/dead-letters?webhook=orders", "/webhooks"):
        page = viewer.get(each)
        assert page.status_code == 200
        assert set(forms(page)) <= {"/sign-out"}
    form = forms(viewer.get("/"))["/sign-out"]
    for each in (f"{path}/retry", "/webhooks/orders/pause", "/dead-letters/retry-all"):
        answer = viewer.post(each, data=form)
        assert answer.status_code == 403
        assert "Not allowed" in answer.text
    assert product.states() == {"dead": 1}


def test_a_token_that_may_not_look_is_told_so(product: Product, app: Flask) -> None:
    client = app.test_client()
    sign_in(client, new_token(product, "operator", scopes=("events:publish",)))
    answer = client.get("/")
    assert answer.status_code == 403
    assert "deliveries:read" in answer.text
    assert "/sign-out" in forms(answer)


def test_another_workspace_sees_and_moves_nothing_of_this_one(product: Product, app: Flask, receiver: Receiver) -> None:
    fail(product, receiver, {"secret": "SO-1"})
    insider, outsider = app.test_client(), app.test_client()
    sign_in(insider, new_token(product, "admin"))
    sign_in(outsider, new_token(product, "admin", product.workspace("other", "main")))
    path = delivery_path(insider)
    letter = next(each for each in forms(insider.get("/dead-letters")) if each.endswith("/retry"))
    for each in ("/", "/deliveries", "/dead-letters", "/webhooks", "/deliveries?webhook=orders"):
        text = outsider.get(each).text
        assert "dlv_" not in text
        assert "orders</a>" not in text
    form = forms(outsider.get("/"))["/sign-out"]
    for each in (f"{path}/retry", letter, letter.replace("/retry", "/discard"), "/webhooks/orders/pause"):
        assert outsider.post(each, data=form).status_code == 404, each
    assert outsider.get(path).status_code == 404
    assert outsider.post("/dead-letters/retry-all", data={**form, "webhook": "orders"}).status_code == 404
    assert product.states() == {"dead": 1}


def test_pages_forbid_scripts_frames_and_everything_from_elsewhere(operator: FlaskClient) -> None:
    for path in ("/", "/deliveries", "/webhooks", "/dead-letters", "/sign-in", "/deliveries/nonsense"):
        answer = operator.get(path)
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; style-src 'self'")
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["Cache-Control"] == "no-store"
        assert not re.search(r"<script|<style|\sstyle=|\son\w+=|javascript:", answer.text)
        assert not re.search(r'(?:src|href|action)="(?:https?:)?//', answer.text)
        for asset in re.findall(r'"(/assets/[^"]+)"', answer.text):
            assert "immutable" in operator.get(asset).headers["Cache-Control"]


def test_errors_are_pages_with_a_way_back(app: Flask, operator: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = operator.put("/deliveries")
    assert (answer.status_code, answer.headers["Allow"].count("GET")) == (405, 1)
    app.config["PROPAGATE_EXCEPTIONS"] = False

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("whsec_abcdef")

    monkeypatch.setattr("server.dashboard.queries.names", broken)
    answer = operator.get("/deliveries")
    assert answer.status_code == 500
    assert "req_" in answer.text
    assert "whsec_" not in answer.text
    assert 'href="/"' in answer.text


def test_an_error_leads_back_to_pages_of_ours_alone(operator: FlaskClient) -> None:
    for came_from, back in {
        "http://localhost/webhooks?state=paused&done=pause&n=3": "/webhooks?state=paused",
        "http://localhost/": "/",
        "http://localhost/deliveries/nonsense": None,  # itself
        "http://localhost//evil.example/": None,
        "http://localhost.evil.example/webhooks": None,
        "http://evil.example/http://localhost/": None,
        "http://localhost:x@evil.example/": None,
        "http://localhost/sign-in": None,
        "http://[": None,
        "": None,
    }.items():
        text = unescape(operator.get("/deliveries/nonsense", headers={"Referer": came_from}).text)
        assert re.findall(r'href="([^"]*)">Back to', text) == ([back] if back else []), came_from
        assert "To the overview" in text
    assert operator.get("/sign-in?next=//[").status_code == 200


def test_a_large_form_is_refused(operator: FlaskClient) -> None:
    answer = operator.post("/sign-out", data={"form": "x" * 2_000_000})
    assert answer.status_code == 413
