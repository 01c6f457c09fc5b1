"""What people see of the requests that came."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.inbound import declare, drained

if TYPE_CHECKING:
    from tests.support.product import Product

RAW = {"content-type": "application/octet-stream"}


def listed(product: Product, **query: Any) -> list[dict[str, Any]]:
    return product.client().get("/api/v1/inbound-requests", query_string=query).json["items"]


def test_a_request_is_shown_with_what_became_of_it(product: Product) -> None:
    declare(product, emit={"type": "thing.came", "data": "body"})
    sent = product.receive("orders-in", b'{"id": 1}', {"content-type": "application/json", "x-a": "b"}).json["id"]
    drained(product)
    [one] = listed(product)
    assert (one["id"], one["webhook"], one["state"], one["body_size"]) == (sent, "orders-in", "emitted", 9)
    assert len(one["event_ids"]) == 1
    whole = product.client().get(f"/api/v1/inbound-requests/{sent}").json
    assert (whole["body"], whole["body_base64"], whole["headers"]["x-a"]) == ('{"id": 1}', None, "b")


@pytest.mark.parametrize(
    ("body", "text", "base64"),
    [
        (b"\xff\x00", None, "/wA="),
        (b"", "", None),
        ("é".encode() * 200_000, "é" * 131_072, None),
        (b"a" + "é".encode() * 200_000, "a" + "é" * 131_071, None),
    ],
)
def test_a_body_is_shown_as_text_where_it_is_one(
    product: Product, body: bytes, text: str | None, base64: str | None
) -> None:
    declare(product, content_types=["*/*"])
    sent = product.receive("orders-in", body, RAW).json["id"]
    whole = product.client().get(f"/api/v1/inbound-requests/{sent}").json
    assert (whole["body"], whole["body_base64"], whole["body_size"]) == (text, base64, len(body))


def test_requests_are_found_by_webhook_state_and_time(product: Product) -> None:
    declare(product, "a")
    declare(product, "b")
    ids = [product.receive(name, b"{}", {"content-type": "application/json"}).json["id"] for name in ("a", "b")]
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    assert [each["id"] for each in listed(product)] == ids[::-1]
    assert [each["id"] for each in listed(product, webhook="a")] == ids[:1]
    assert (listed(product, state="dead"), listed(product, since=later)) == ([], [])
    assert len(listed(product, state="received", until=later)) == 2
    assert [each["id"] for each in listed(product, limit=1)] == ids[1:]
