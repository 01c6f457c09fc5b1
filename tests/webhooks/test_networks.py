"""A workspace's networks hold for all that it sends: deliveries, calls by hand, and what a check lets in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.product import Product, until
from tests.support.proxy import OutboundProxy

if TYPE_CHECKING:
    from server.store import Scope
    from tests.support.receiver import Receiver


@pytest.fixture
def closed(product: Product) -> Scope:
    """A workspace that may reach public addresses only."""
    scope = product.workspace("default", "closed")
    with product.core.engine.begin(scope, product.cause) as tx:
        product.core.networks.set(tx, [])
    return scope


def test_a_delivery_goes_where_its_own_workspace_may_reach(product: Product, receiver: Receiver, closed: Scope) -> None:
    for scope in (product.scope, closed):
        product.webhook("hook", receiver.url + f"/{scope.workspace}", scope)
        product.publish({}, scope=scope)
    with product.worker():
        until(lambda: product.states() == {"delivered": 1, "dead": 1})
    assert {hit.path for hit in receiver.hits} == {"/default"}
    [letter] = product.client(closed).get("/api/v1/dead-letters").json["items"]
    assert letter["error"]["code"] == "ADDRESS_REFUSED"
    assert product.client().get("/api/v1/dead-letters").json["items"] == []


def test_a_call_by_hand_and_a_health_check_reach_no_further(product: Product, receiver: Receiver) -> None:
    body = {"name": "shop", "plugin": "http", "config": {"base_url": receiver.url}}
    call = {"operation": "request.send", "input": {"method": "POST", "path": "/orders"}}
    later = product.workspace("default", "closed-later")
    for scope in (product.scope, later):
        made = product.client(scope).post("/api/v1/integrations", json=body)
        assert made.status_code == 201, made.text
    assert product.client(later).put("/api/v1/networks", json={"networks": []}).status_code == 200
    assert product.client().post("/api/v1/integrations/shop/call", json=call).status_code == 200
    refused = product.client(later).post("/api/v1/integrations/shop/call", json=call)
    assert "ADDRESS_REFUSED" in refused.text
    asked = product.client(later).post("/api/v1/integrations/shop/test").json
    assert asked["status"] == "unhealthy"
    assert "ADDRESS_REFUSED" in str(asked)
    assert len(receiver.hits) == 1


def test_an_address_that_must_not_be_reached_is_refused_when_it_is_declared(
    product: Product, receiver: Receiver, closed: Scope
) -> None:
    body = {"name": "hook", "direction": "outbound", "url": receiver.url, "events": ["a.b"]}
    assert product.client().post("/api/v1/webhooks", json=body).status_code == 201
    refused = product.client(closed).post("/api/v1/webhooks", json=body)
    assert refused.status_code == 422
    assert [each["pointer"] for each in refused.json["errors"]] == ["/url"]


def test_what_is_taken_away_holds_for_the_deliveries_that_wait(product: Product, receiver: Receiver) -> None:
    product.webhook("hook", receiver.url)
    product.publish({})
    assert product.client().put("/api/v1/networks", json={"networks": []}).status_code == 200
    with product.worker():
        until(lambda: product.states() == {"dead": 1})
    assert receiver.hits == []


def test_with_a_proxy_all_that_is_sent_goes_through_it(database_url: str, receiver: Receiver) -> None:
    integration = {"name": "shop", "plugin": "http", "config": {"base_url": receiver.url}}
    call = {"operation": "request.send", "input": {"method": "POST", "path": "/called"}}
    with OutboundProxy() as proxy:
        product = Product(database_url, proxy=f"http://127.0.0.1:{proxy.port}")
        try:
            product.webhook("hook", receiver.url + "/delivered")
            product.publish({})
            with product.worker():
                until(lambda: product.states() == {"delivered": 1})
            client = product.client()
            client.post("/api/v1/integrations", json=integration)
            assert client.post("/api/v1/integrations/shop/call", json=call).status_code == 200
        finally:
            product.close()
    assert [head.split(b" ")[1].decode() for head in proxy.heads] == [
        f"{receiver.url}/delivered",
        f"{receiver.url}/called",
    ]
