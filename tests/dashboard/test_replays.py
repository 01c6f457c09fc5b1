"""The page of replays: how far each has got, and the switch."""

from __future__ import annotations

import re
from html import unescape
from typing import TYPE_CHECKING

from server.kernel.ids import show
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


def test_a_replay_leads_to_its_deliveries_and_to_no_others(product: Product, operator: FlaskClient) -> None:
    product.webhook("orders", HOOK)
    product.publish(*({"n": number} for number in range(52)))
    end(product)
    replay = ask(product, filter={"webhook": "orders"})
    ask(product, filter={"webhook": "orders"})
    finish(product)
    path = f"/deliveries?replay={replay['id']}"
    assert f'href="{path}"' in operator.get("/replays").text
    of_it = {show("dlv", each.id) for each in made(product) if show("rpl", each.replay_id) == replay["id"]}
    first = operator.get(path)
    second = operator.get(unescape(re.search(r'rel="next" href="([^"]+)"', first.text)[1]))
    shown = [set(re.findall(r"/deliveries/(dlv_\w{26})", each.text)) for each in (first, second)]
    assert [len(each) for each in shown] == [50, 2]
    assert shown[0] | shown[1] == of_it
    assert f'href="{path}"' in operator.get(f"/deliveries/{of_it.pop()}").text
    wrong = operator.get("/deliveries?replay=nonsense")
    assert wrong.status_code == 422
    assert "rpl_" in wrong.text


def test_who_may_only_look_has_no_buttons(product: Product, app: Flask) -> None:
    product.webhook("orders", HOOK)
    ask(product, filter={"webhook": "orders"})
    viewer = app.test_client()
    sign_in(viewer, new_token(product, "viewer"))
    page = viewer.get("/replays")
    assert page.status_code == 200
    assert not [each for each in forms(page) if each.startswith("/replays/")]
