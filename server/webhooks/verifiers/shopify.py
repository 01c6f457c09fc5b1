"""`shopify`: `X-Shopify-Hmac-Sha256`, base64 HMAC-SHA256 of the body. No timestamp, and the webhook's id is not signed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from server.sdk.signing_schemes import SHOPIFY
from server.webhooks.verifiers.described import HmacRequests
from server.webhooks.verifiers.fields import KEY
from server.webhooks.verifiers.scheme import Scheme, Vector

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from server.webhooks.verifiers.scheme import Fetch


def _make(_declared: Mapping[str, Any], keys: Sequence[str], _fetch: Fetch) -> HmacRequests:
    return HmacRequests(SHOPIFY, keys, "x-shopify-webhook-id")


SCHEME = Scheme(
    name="shopify",
    about="`X-Shopify-Hmac-Sha256`",
    fields=(KEY,),
    make=_make,
    vectors=(
        Vector(
            about="an order",
            source="SQLPage, the test of its hmac function for Shopify",
            keys=["test-webhook-secret"],
            request={
                "method": "POST",
                "path": "in",
                "headers": {"x-shopify-hmac-sha256": "QNyObTlKbMx2qDlPF/ZOZcBqg5OgPg+2oky3zldc0Gw="},
                "body": b'{"id":1234567890,"email":"customer@example.com","total_price":"123.45"}',
            },
            now=0,
        ),
    ),
)
