"""Who may in, for how long, and whose forms are taken."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import TYPE_CHECKING

from server.access.keyring import KeyRing, new_key
from server.dashboard.sessions import COOKIE
from tests.support.oncall import forms, new_token, pages_app, sign_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask import Flask
    from flask.testing import FlaskClient

    from tests.support.product import Product

PAGES = ("/", "/deliveries", "/dead-letters", "/webhooks", "/deliveries/dlv_00000000000000000000000000")


def cookie_of(client: FlaskClient) -> str:
    cookie = client.get_cookie(COOKIE)
    assert cookie is not None
    return cookie.value


def test_nobody_sees_a_page_without_signing_in_not_even_with_a_bearer_token(app: Flask, product: Product) -> None:
    client = app.test_client()
    bearer = {"Authorization": f"Bearer {new_token(product, 'admin')}"}
    for path in PAGES:
        for headers in ({}, bearer):
            answer = client.get(path, headers=headers)
            assert answer.status_code == 303
            assert answer.headers["Location"].startswith("/sign-in?next=/")


def test_a_session_opens_no_api(operator: FlaskClient) -> None:
    assert operator.get("/").status_code == 200
    assert operator.get("/api/v1/deliveries").status_code == 401
    assert operator.post("/api/v1/events", json={"type": "a.b", "data": 1}).status_code == 401
    assert operator.get("/metrics").status_code == 401


def test_the_cookie_is_out_of_reach_and_shows_nothing(app: Flask, product: Product) -> None:
    client = app.test_client()
    token = new_token(product)
    answer = sign_in(client, token)
    assert answer.headers["Location"] == "/"
    cookie = next(each for each in answer.headers.getlist("Set-Cookie") if each.startswith(COOKIE))
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert "Secure" not in cookie, "this is plain HTTP"
    sealed = base64.urlsafe_b64decode(cookie_of(client).rpartition(".")[2])
    assert token.encode() not in sealed
    assert token not in client.get("/").text


def test_over_tls_the_cookie_travels_over_tls_only(app: Flask, product: Product) -> None:
    headers = {"X-Forwarded-Proto": "https"}
    client = app.test_client()
    door = client.get("/sign-in")
    fields = {**forms(door)["/sign-in"], "token": new_token(product)}
    answer = client.post("/sign-in", data=fields, headers=headers)
    assert "Secure" in answer.headers["Set-Cookie"]


def test_who_signs_in_comes_to_the_page_that_was_asked_for(app: Flask, product: Product) -> None:
    client = app.test_client()
    door = client.get("/deliveries?state=dead&webhook=orders", follow_redirects=True)
    fields = {**forms(door)["/sign-in"], "token": f"  {new_token(product)}\n"}
    answer = client.post("/sign-in", data=fields)
    assert answer.headers["Location"] == "/deliveries?state=dead&webhook=orders"
    assert client.get(answer.headers["Location"]).status_code == 200


ELSEWHERE = (
    "https://evil.example/",
    "//evil.example/",
    "/\\evil.example",
    "/\\/evil.example",
    "javascript:alert(1)",
    "/\t/evil.example",
    "/x\r\nSet-Cookie: a=b",
    "evil",
    "/" + "x" * 3000,
    "/sign-out",
    "///evil.example",
)


def test_signing_in_leads_to_no_other_site(app: Flask, product: Product) -> None:
    token = new_token(product)
    for path in ELSEWHERE:
        client = app.test_client()
        fields = {**forms(client.get("/sign-in"))["/sign-in"], "token": token, "next": path}
        answer = client.post("/sign-in", data=fields)
        assert (answer.status_code, answer.headers["Location"]) == (303, "/"), path


def test_a_wrong_token_is_told_so_and_shown_to_nobody(app: Flask) -> None:
    client = app.test_client()
    for token in ("", "cdk_wrong", "x" * 10_000, "cdk_\x00", "<script>alert(1)</script>"):
        answer = sign_in(client, token)
        assert answer.status_code == 401
        assert "not valid" in answer.text
        assert client.get_cookie(COOKIE) is None
        assert not token or token not in answer.text


def test_guessing_is_slowed_down(app: Flask) -> None:
    client = app.test_client()
    statuses = [sign_in(client, f"cdk_guess{number}").status_code for number in range(22)]
    assert statuses[:20] == [401] * 20
    assert statuses[-1] == 429


SPOILED: tuple[Callable[[str], str], ...] = (
    lambda value: value[:-4] + "AAAA",
    lambda value: "k9" + value[value.index(".") :],
    lambda _value: "nonsense",
    lambda _value: ".",
    lambda _value: "k1.%%%",
    lambda _value: "k1." + "A" * 3000,
    lambda _value: "",
)


def test_a_cookie_that_was_tampered_with_is_nobody(operator: FlaskClient) -> None:
    value = cookie_of(operator)
    for spoil in SPOILED:
        operator.set_cookie(COOKIE, spoil(value))
        assert operator.get("/").status_code == 303
        operator.set_cookie(COOKIE, value)
        assert operator.get("/").status_code == 200


def test_another_secret_of_the_ring_is_no_session(operator: FlaskClient, product: Product) -> None:
    key, sealed = KeyRing.read(product.settings.keys).encrypt(b'{"token": "x"}', "1|1|NAME|1")
    operator.set_cookie(COOKIE, f"{key}.{base64.urlsafe_b64encode(sealed).decode()}")
    assert operator.get("/").status_code == 303


def test_a_session_ends_with_its_token(app: Flask, product: Product) -> None:
    client = app.test_client()
    made = product.client().post("/api/v1/tokens", json={"name": "t", "role": "operator"}).json
    sign_in(client, made["token"])
    assert client.get("/").status_code == 200
    assert product.client().delete(f"/api/v1/tokens/{made['id']}").status_code == 204
    app.extensions["crossdock"].authenticate._known.clear()  # what would be over in two seconds
    answer = client.get("/deliveries")
    assert answer.status_code == 303
    assert client.get_cookie(COOKIE) is None


def test_a_session_ends_with_its_time(operator: FlaskClient, product: Product) -> None:
    from dataclasses import replace

    from server.kernel.clock import ManualClock

    later = ManualClock(product.core.clock.now() + timedelta(hours=12, seconds=1))
    value = cookie_of(operator)
    product.core = replace(product.core, clock=later)
    client = pages_app(product).test_client()
    client.set_cookie(COOKIE, value)
    assert client.get("/").status_code == 303


def test_an_older_key_of_the_ring_still_opens_and_a_dropped_one_does_not(
    operator: FlaskClient, product: Product
) -> None:
    from dataclasses import replace

    value = cookie_of(operator)
    for keys, status in ((f"{new_key('k2')},{product.settings.keys}", 200), (new_key("k2"), 303)):
        product.settings = replace(product.settings, keys=keys)
        client = pages_app(product).test_client()
        client.set_cookie(COOKIE, value)
        assert client.get("/").status_code == status


def test_signing_out_takes_the_cookie_away(operator: FlaskClient) -> None:
    page = operator.get("/")
    answer = operator.post("/sign-out", data=forms(page)["/sign-out"])
    assert answer.headers["Location"] == "/sign-in"
    assert operator.get("/").status_code == 303
    assert operator.post("/sign-out").headers["Location"] == "/sign-in", "a second time is no error"


POSTS = (
    "/sign-out",
    "/deliveries/dlv_00000000000000000000000000/retry",
    "/inbound-requests/req_00000000000000000000000000/retry",
    "/dead-letters/dead_00000000000000000000000000/retry",
    "/dead-letters/dead_00000000000000000000000000/discard",
    "/dead-letters/retry-all",
    "/webhooks/orders/pause",
    "/replays/rpl_00000000000000000000000000/pause",
    "/sync-jobs/customers/run",
    "/sync-jobs/customers/pause",
    "/sync-runs/run_00000000000000000000000000/cancel",
    "/sync-runs/run_00000000000000000000000000/replay/dead_00000000000000000000000000",
    "/sync-conflicts/cfl_00000000000000000000000000/resolve",
    "/flow-runs/run_00000000000000000000000000/cancel",
    "/flow-runs/run_00000000000000000000000000/retry",
    "/flow-runs/run_00000000000000000000000000/compensate",
    "/flow-runs/run_00000000000000000000000000/decide/allowed",
    "/flows/deal-won/pause",
)


def test_the_list_of_posts_is_whole(app: Flask) -> None:
    rules = {
        rule.rule
        for rule in app.url_map.iter_rules()
        if rule.endpoint.startswith("dashboard.") and "POST" in (rule.methods or ())
    }
    assert len(rules) == len(POSTS) + 1, "and the sign-in"


FORGED: tuple[tuple[dict[str, str] | None, dict[str, str]], ...] = (
    ({}, {}),
    ({"form": "wrong"}, {}),
    ({"form": ""}, {}),
    ({"form": "é" * 20}, {}),
    (None, {"Origin": "https://evil.example"}),
    (None, {"Origin": "null"}),
    (None, {"Sec-Fetch-Site": "cross-site"}),
    (None, {"Sec-Fetch-Site": "same-site"}),
)
"""Fields (None: the right ones) and headers of forms that are not ours."""


def test_no_form_of_another_site_is_taken(operator: FlaskClient) -> None:
    mine = forms(operator.get("/"))["/sign-out"]
    for path in POSTS:
        for fields, headers in FORGED:
            answer = operator.post(path, data=mine if fields is None else fields, headers=headers)
            assert answer.status_code == 403, (path, fields, headers)
            assert "FORM_REFUSED" in answer.text
    assert operator.get("/").status_code == 200


def test_the_form_of_one_session_is_worth_nothing_in_another(
    app: Flask, product: Product, operator: FlaskClient
) -> None:
    other = app.test_client()
    sign_in(other, new_token(product))
    theirs = forms(other.get("/"))["/sign-out"]
    assert operator.post("/sign-out", data=theirs).status_code == 403


def test_nobody_is_signed_in_by_another_site(app: Flask, product: Product) -> None:
    token = new_token(product)
    client = app.test_client()
    assert client.post("/sign-in", data={"token": token}).status_code == 403
    fields = forms(client.get("/sign-in"))["/sign-in"]
    assert app.test_client().post("/sign-in", data={**fields, "token": token}).status_code == 403, (
        "another browser's form"
    )


def test_whoever_follows_a_link_from_another_site_asks_again_by_themselves(app: Flask, operator: FlaskClient) -> None:
    elsewhere = app.test_client()
    answer = elsewhere.get("/deliveries?state=dead", headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 200
    assert 'http-equiv="refresh" content="0; url=/deliveries?state=dead"' in answer.text
    again = elsewhere.get("/deliveries?state=dead", headers={"Sec-Fetch-Site": "same-origin"})
    assert again.status_code == 303, "who is not signed in comes to the door after all"
    assert operator.get("/", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 200
