"""The pages of requests: what came, what it became, and mapping it once more."""

from __future__ import annotations

import re
from html import unescape
from typing import TYPE_CHECKING

from server.kernel.ids import show
from tests.support.inbound import EMIT, ORDER, change, declare, drained, emitted, store
from tests.support.oncall import press

if TYPE_CHECKING:
    from flask.testing import FlaskClient

    from tests.support.product import Product

BROKEN = {**EMIT, "data": {"order": {"from": "body.nr", "required": True}}}


def test_nobody_has_sent_anything(operator: FlaskClient) -> None:
    assert "/in/default/default/" in operator.get("/inbound-requests").text


def test_requests_are_listed_and_filtered(product: Product, operator: FlaskClient) -> None:
    store(product, declare(product), ORDER)
    store(product, declare(product, "broken", emit=BROKEN), ORDER)
    drained(product)
    assert operator.get("/inbound-requests").text.count("/inbound-requests/req_") == 2
    only = operator.get("/inbound-requests?state=dead&webhook=broken").text
    assert only.count("/inbound-requests/req_") == 1
    assert "a value is required here" in only
    assert "No request is like that" in operator.get("/inbound-requests?state=stale").text


def test_a_request_shows_what_came_and_what_it_became(product: Product, operator: FlaskClient) -> None:
    hostile = {**ORDER, "note": "<script>alert(1)</script>\u202e"}
    [one] = store(product, declare(product), hostile, headers={"x-topic": "paid"})
    drained(product)
    page = operator.get(f"/inbound-requests/{show('req', one)}").text
    assert "<script>" not in page
    assert "\u202e" not in page
    for words in ("x-topic", "paid", '"currency": "USD"', emitted(product)[0].id, "emitted", "127.0.0.1"):
        assert words in unescape(page)


def test_what_died_says_where_and_is_mapped_again(product: Product, operator: FlaskClient) -> None:
    [one] = store(product, declare(product, emit=BROKEN), ORDER)
    drained(product)
    path = f"/inbound-requests/{show('req', one)}"
    page = unescape(operator.get(path).text)
    assert "EXPR_MISSING" in page
    assert re.search(r'"pointer": \[\s*"emit",\s*"data",\s*"order"\s*\]', page)
    assert path in operator.get("/dead-letters").text
    change(product, "orders-in", emit=EMIT)
    press(operator, operator.get(path), f"{path}/retry")
    drained(product)
    assert "emitted" in operator.get(path).text
    assert "None" in operator.get("/dead-letters").text


def test_another_workspace_has_no_such_request(product: Product, operator: FlaskClient) -> None:
    other = product.workspace("default", "other")
    [one] = store(product, declare(product, scope=other), ORDER, scope=other)
    assert operator.get(f"/inbound-requests/{show('req', one)}").status_code == 404
    assert "req_" not in operator.get("/inbound-requests").text


def test_the_other_pages_know_inbound_webhooks(product: Product, operator: FlaskClient) -> None:
    store(product, declare(product, emit=BROKEN), ORDER)
    drained(product)
    for path in ("/", "/webhooks", "/deliveries", "/dead-letters", "/events", "/replays"):
        assert operator.get(path).status_code == 200, path
    assert "orders-in" in operator.get("/webhooks").text
    press(operator, operator.get("/webhooks"), "/webhooks/orders-in/pause")
    assert "paused" in operator.get("/webhooks").text
