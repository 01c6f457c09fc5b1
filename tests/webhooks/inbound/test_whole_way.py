"""From a sender's signature to a receiver's: a push of GitHub and an order of Shopify go the whole way, each once."""

from __future__ import annotations

import base64
import hmac
import json
from typing import TYPE_CHECKING, Any

import standardwebhooks

from tests.support.inbound import declare, emitted, states
from tests.support.product import until

if TYPE_CHECKING:
    from tests.support.product import Product
    from tests.support.receiver import Receiver

KEY = "shared-with-the-sender"
PUSH = {
    "ref": "refs/heads/main",
    "before": "6113728f27ae82c7b1a177c8d03f9e96e0adf246",
    "after": "a10867b14bb761a232cd80139fbd4c0d33264240",
    "repository": {"id": 186853002, "full_name": "Codertocat/Hello-World", "private": False},
    "pusher": {"name": "Codertocat", "email": "21031067+Codertocat@users.noreply.github.com"},
    "commits": [
        {
            "id": "a10867b14bb761a232cd80139fbd4c0d33264240",
            "message": "Update README.md",
            "added": [],
            "modified": ["README.md"],
        }
    ],
}
ORDER = {
    "id": 820982911946154508,
    "currency": "USD",
    "total_price": "20.00",
    "customer": {"id": 115310627314723954, "email": "john@example.com"},
    "line_items": [
        {"id": 866550311766439020, "sku": "IPOD2008PINK", "quantity": 1, "price": "10.00"},
        {"id": 141249953214522974, "sku": "IPOD2008GREEN", "quantity": 1, "price": "10.00"},
    ],
}
GITHUB = {
    "path": "github/push",
    "verify": {"scheme": "github", "key": {"secret": "SENDER"}},
    "dedupe": {"key": "headers.x_github_delivery"},
    "when": "headers.x_github_event == 'push'",
    "emit": {
        "type": "order.created",
        "each": "body.commits",
        "subject": "item.id",
        "data": {
            "repository": "body.repository.full_name",
            "message": "item.message",
            "files": "length(item.modified)",
        },
    },
}
SHOPIFY = {
    "path": "shopify/orders",
    "verify": {"scheme": "shopify", "key": {"secret": "SENDER"}},
    "dedupe": {"key": "headers.x_shopify_webhook_id"},
    "version": "body.updated_at || '2008-01-10T11:00:00-05:00'",
    "emit": {
        "type": "order.created",
        "subject": "text(body.id)",
        "data": {
            "order_id": "concat('SHOP-', text(body.id))",
            "total": {"from": "body.total_price", "type": "decimal", "round": 2},
            "lines": {"each": "body.line_items", "map": {"sku": "item.sku", "quantity": "item.quantity"}},
        },
    },
}


def push(product: Product, delivery: str) -> Any:
    body = json.dumps(PUSH).encode()
    headers = {
        "content-type": "application/json",
        "x-github-event": "push",
        "x-github-delivery": delivery,
        "x-hub-signature-256": "sha256=" + hmac.digest(KEY.encode(), body, "sha256").hex(),
    }
    return product.receive("github/push", body, headers)


def order(product: Product, webhook_id: str, key: str = KEY) -> Any:
    body = json.dumps(ORDER).encode()
    headers = {
        "content-type": "application/json",
        "x-shopify-topic": "orders/create",
        "x-shopify-webhook-id": webhook_id,
        "x-shopify-hmac-sha256": base64.b64encode(hmac.digest(key.encode(), body, "sha256")).decode(),
    }
    return product.receive("shopify/orders", body, headers)


def test_what_senders_sign_reaches_a_receiver_that_verifies_us(product: Product, receiver: Receiver) -> None:
    with product.tx() as tx:
        product.core.secrets.set(tx, "SENDER", KEY)
    declare(product, "github", **GITHUB)
    declare(product, "shopify", **SHOPIFY)
    product.webhook("out", receiver.url)
    with product.worker():
        assert [push(product, "72d3162e").status, push(product, "72d3162e").status] == [202, 202]
        assert [order(product, "b54557e4").status, order(product, "b54557e4").status] == [202, 202]
        assert order(product, "another", key="not the key").status == 401
        hits = receiver.wait(2)
        until(lambda: product.states() == {"delivered": 2})
    verifier = standardwebhooks.Webhook(product.secret_of("out"))
    came = [verifier.verify(hit.body, hit.headers)["data"] for hit in hits]
    assert {"repository": "Codertocat/Hello-World", "message": "Update README.md", "files": 1} in came
    lines = [{"sku": "IPOD2008PINK", "quantity": 1}, {"sku": "IPOD2008GREEN", "quantity": 1}]
    assert {"order_id": "SHOP-820982911946154508", "total": "20.00", "lines": lines} in came
    assert (states(product), len(emitted(product)), len(receiver.hits)) == ({"emitted": 2}, 2, 2)
