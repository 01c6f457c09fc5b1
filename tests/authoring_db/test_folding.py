"""What something was at any time is its journal folded so far."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from server.store import Scope
    from tests.support.product import Product

URL = "https://shop.example.com/hooks"


def as_of(product: Product, name: str = "orders", scope: Scope | None = None, **query: Any) -> Any:
    return product.client(scope).get(f"/api/v1/webhooks/{name}/history/state", query_string=query)


def test_each_version_and_each_time_can_be_read_again(product: Product) -> None:
    product.webhook("orders", URL)
    product.act("orders", "pause")
    states = [as_of(product, version=number).json["state"] for number in (1, 2, 3)]
    assert states == ["draft", "active", "paused"]
    now = as_of(product).json
    assert (now["version"], now["state"], now["definition"]["url"]) == (3, "paused", URL)
    moments = [row.at for row in product.rows("SELECT at FROM journal ORDER BY version")]
    assert as_of(product, at=moments[1].isoformat()).json["version"] == 2
    assert as_of(product, at="2020-01-01T00:00:00Z").status_code == 404
    assert as_of(product, version=4).status_code == 404
    assert as_of(product, version=1, at="2020-01-01T00:00:00Z").status_code == 422
    assert as_of(product, scope=product.workspace("acme", "other")).status_code == 404
