"""The pages of events: found by what is asked, and each with what it came of and what came of it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from server.events.envelope import NewEvent
from server.kernel.ids import new_uuid, show
from tests.support.oncall import new_token, sign_in

if TYPE_CHECKING:
    from flask import Flask
    from flask.testing import FlaskClient

    from tests.support.product import Product

_EVENT = re.compile(r"/events/evt_\w{26}")


def publish(product: Product, id_: str, cause: str | None = None, **more: Any) -> None:
    fields = {"type": "order.created", "data": "{}", "subject": f"SO-{id_}", "correlation_id": "c1"} | more
    with product.tx() as tx:
        product.core.publisher.publish(tx, [NewEvent(id=id_, causation_id=cause, **fields)])


def links(page: str) -> list[str]:
    return list(dict.fromkeys(_EVENT.findall(page)))


def test_events_are_listed_and_filtered(product: Product, operator: FlaskClient) -> None:
    assert "Nothing was published yet" in operator.get("/events").text
    for number in range(53):
        publish(product, str(number))
    publish(product, "other", type="invoice.paid", subject="<b>I-1</b>", correlation_id="c2")
    page = operator.get("/events")
    assert len(links(page.text)) == 50
    assert "&lt;b&gt;I-1&lt;/b&gt;" in page.text
    older = re.search(r'href="([^"]*cursor=[^"]*)"', page.text)
    assert older
    assert len(links(operator.get(older[1].replace("&amp;", "&")).text)) == 4
    for query, count in {"type=invoice.*": 1, "subject=SO-7": 1, "correlation=c2": 1, "type=none.*": 0}.items():
        assert len(links(operator.get(f"/events?{query}").text)) == count, query
    assert operator.get("/events?type=a..b").status_code == 422


def test_an_event_shows_its_chain_with_links(product: Product, operator: FlaskClient) -> None:
    product.webhook("orders", "https://shop.example.com/hooks")
    publish(product, "a")
    publish(product, "b", "a")
    first = links(operator.get("/events?subject=SO-a").text)[0]
    page = operator.get(first).text
    assert len(re.findall(r"/deliveries/dlv_\w{26}", page)) == 2
    assert page.index("SO-a") < page.index("SO-b")
    [other] = [each for each in links(page) if each != first]
    assert first in operator.get(other).text
    assert operator.get(f"/events/{show('evt', new_uuid())}").status_code == 404


def test_nobody_sees_the_events_of_another_workspace(product: Product, app: Flask, operator: FlaskClient) -> None:
    publish(product, "a")
    mine = links(operator.get("/events").text)[0]
    other = app.test_client()
    sign_in(other, new_token(product, scope=product.workspace("acme", "other")))
    assert links(other.get("/events").text) == []
    assert other.get(mine).status_code == 404
