"""What a sender is answered, and what is stored by then."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.support.inbound import declare

if TYPE_CHECKING:
    from tests.support.product import Product

JSON = {"content-type": "application/json"}


def stored(product: Product) -> list[Any]:
    return product.rows("SELECT * FROM inbound_requests ORDER BY id")


def test_what_is_answered_2xx_is_stored_whole_and_due(product: Product) -> None:
    webhook = declare(product, path="shop/{shop}/orders")
    answer = product.receive(
        "shop/berlin/orders", b'{"id": 1}', {**JSON, "X-Topic": "a", "Authorization": "Bearer x"}, query="a=1&token=2"
    )
    [row] = stored(product)
    [due] = product.rows("SELECT * FROM due WHERE kind = 'inbound'")
    assert (answer.status, answer.headers) == (202, {"content-type": "application/json"})
    assert (row.state, row.webhook_id, row.definition_version, row.method) == ("received", webhook.id, 1, "POST")
    assert (row.path, row.params, row.query, bytes(row.body)) == (
        "shop/berlin/orders",
        {"shop": "berlin"},
        "a=1",
        b'{"id": 1}',
    )
    assert row.headers == {"content-type": "application/json", "x-topic": "a"}
    assert (row.client, row.correlation_id) == ("127.0.0.1", answer.json["id"])
    assert (due.ref, due.lane, due.workspace_id) == (row.id, webhook.id, row.workspace_id)
