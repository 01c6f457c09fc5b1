"""The page of replays: how far each has got, and the switch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.replays.replaying import HOOK, ask, end, finish, made, see
from tests.support.oncall import forms, new_token, press, sign_in

if TYPE_CHECKING:
    from flask import Flask
    from flask.testing import FlaskClient

    from tests.support.product import Product


def test_a_replay_is_seen_paused_resumed_and_cancelled(product: Product, operator: FlaskClient) -> None:
    assert "None was asked for yet." in operator.get("/replays").text
    product.webhook("orders", HOOK)
    product.publish({"n": 1}, {"n": 2})
    end(product)
    replay = ask(product, filter={"webhook": "orders", "subject": "<b>\u202ebad"}, per_second=7)
    page = operator.get("/replays")
    assert "<b>" not in page.text
    assert "\u202e" not in page.text
    assert "at most 7 a second" in page.text
    assert set(forms(page)) >= {f"/replays/{replay['id']}/{action}" for action in ("pause", "cancel")}
    for action, said in (("pause", "is paused"), ("resume", "goes on"), ("cancel", "was cancelled")):
        page = press(operator, page, f"/replays/{replay['id']}/{action}")
        assert said in page.text
    assert see(product, replay)["state"] == "cancelled"
    assert f"/replays/{replay['id']}/cancel" not in forms(page)


def test_its_progress_and_what_its_deliveries_repeat_are_shown(product: Product, operator: FlaskClient) -> None:
    product.webhook("orders", HOOK)
    product.publish({"n": 1}, {"n": 2})
    end(product)
    ask(product, filter={"webhook": "orders"})
    finish(product)
    page = operator.get("/replays?state=done")
    assert '<progress max="2" value="2">' in page.text
    assert "2 of 2" in page.text
    new = product.client().get("/api/v1/deliveries").json["items"][0]
    assert f"/deliveries/{new['replayed_from']}" in operator.get(f"/deliveries/{new['id']}").text
    assert len(made(product)) == 2


def test_who_may_only_look_has_no_buttons(product: Product, app: Flask) -> None:
    product.webhook("orders", HOOK)
    ask(product, filter={"webhook": "orders"})
    viewer = app.test_client()
    sign_in(viewer, new_token(product, "viewer"))
    page = viewer.get("/replays")
    assert page.status_code == 200
    assert not [each for each in forms(page) if each.startswith("/replays/")]
