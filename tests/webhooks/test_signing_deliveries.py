"""What receivers get: every scheme as their own libraries verify it, and both keys while one is rotated."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
import standardwebhooks
import stripe
from slack_sdk.signature import SignatureVerifier

from server.kernel.errors import Unauthenticated
from server.sdk.signing import Verifier, generate_private_key, generate_secret, read_key
from server.sdk.signing_schemes import verifier_of
from tests.support.product import Product, until
from tests.support.receiver import Answer, Receiver

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.receiver import Hit

DESCRIBED = {
    "scheme": "hmac",
    "header": "X-Pay-Signature",
    "signed": "{header:X-Shop}.{id}.{timestamp}.{body}",
    "algorithm": "sha512",
    "encoding": "base64",
    "timestamp": {"header": "X-Pay-Time"},
}


def put(product: Product, name: str, value: str) -> None:
    with product.tx() as tx:
        product.core.secrets.set(tx, name, value)


def rotate(product: Product, name: str, value: str, overlap: float) -> None:
    with product.tx() as tx:
        product.core.secrets.rotate(tx, name, value, overlap)


def fits(verify: Callable[[], Any]) -> bool:
    try:
        verify()
    except (Unauthenticated, standardwebhooks.WebhookVerificationError, stripe.SignatureVerificationError):
        return False
    return True


def test_every_scheme_reaches_its_receiver_as_its_own_library_verifies_it(product: Product, receiver: Receiver) -> None:
    private, shared = generate_private_key(), generate_secret()
    put(product, "PRIVATE", private)
    put(product, "SHARED", shared)
    put(product, "TEXT", "text-s3cr3t")
    key = {"secret": "TEXT"}
    schemes = {
        "both": {"scheme": "standard-webhooks", "key": [{"secret": "SHARED"}, {"secret": "PRIVATE"}]},
        "public": {"scheme": "standard-webhooks-v1a", "key": {"secret": "PRIVATE"}},
        "github": {"scheme": "github", "key": key},
        "stripe": {"scheme": "stripe", "key": key},
        "slack": {"scheme": "slack", "key": key},
        "described": DESCRIBED | {"key": key},
    }
    for name, sign in schemes.items():
        product.webhook(name, f"{receiver.url}/{name}", sign=sign, request={"headers": {"X-Shop": "s1"}})
    product.publish({"order_id": "SO-1"})
    with product.worker():
        hits = {hit.path[1:]: hit for hit in receiver.wait(len(schemes))}
        until(lambda: product.states() == {"delivered": len(schemes)})
    now = time.time()
    both, body = hits["both"], hits["both"].body
    assert standardwebhooks.Webhook(shared).verify(body, both.headers) == json.loads(body)
    for name in ("both", "public"):
        Verifier([read_key(private).public]).verify(hits[name].headers, hits[name].body, now)
    for name in ("github", "described"):
        verifier_of(schemes[name], ["text-s3cr3t"]).verify(hits[name].headers, hits[name].body, now)
    header = hits["stripe"].headers["stripe-signature"]
    assert stripe.WebhookSignature.verify_header(hits["stripe"].body.decode(), header, "text-s3cr3t", 300)
    assert SignatureVerifier("text-s3cr3t").is_valid_request(hits["slack"].body, hits["slack"].headers)


@pytest.mark.parametrize("scheme", ["standard-webhooks", "stripe", "github"])
def test_during_the_overlap_of_a_rotation_both_keys_fit_where_the_header_has_room_and_then_only_the_new(
    product: Product, receiver: Receiver, scheme: str
) -> None:
    old, new = generate_secret(), generate_secret()
    put(product, "KEY", old)
    sign = {"scheme": scheme, "key": {"secret": "KEY"}}
    product.webhook("hook", receiver.url, sign=sign)

    def verified(hit: Hit) -> tuple[bool, bool]:
        both = [verifier_of(sign, [key]) for key in (old, new)]
        first, second = [fits(lambda each=each: each.verify(hit.headers, hit.body, time.time())) for each in both]
        return first, second

    def sent() -> tuple[bool, bool]:
        count = len(receiver.hits)
        product.publish({"order_id": str(count)})
        return verified(receiver.wait(count + 1)[count])

    with product.worker():
        assert sent() == (True, False)
        rotate(product, "KEY", new, 2.0)
        assert sent() == (scheme != "github", True)
        time.sleep(2.1)
        until(lambda: sent() == (False, True), 5)


@pytest.mark.parametrize(
    ("scheme", "value"),
    [
        ("standard-webhooks", "no-standard-key"),
        ("standard-webhooks-v1a", generate_secret()),
        ("slack", generate_private_key()),
    ],
    ids=["no key", "a secret", "a private key"],
)
def test_a_key_of_the_wrong_kind_is_a_dead_letter_that_says_so(
    product: Product, receiver: Receiver, scheme: str, value: str
) -> None:
    put(product, "KEY", value)
    product.webhook("hook", receiver.url, sign={"scheme": scheme, "key": {"secret": "KEY"}})
    product.publish({"order_id": "SO-1"})
    with product.worker():
        until(lambda: product.states() == {"dead": 1})
    [letter] = product.client().get("/api/v1/dead-letters").json["items"]
    assert (letter["error"]["code"], letter["error"]["retryable"]) == ("KEY_INVALID", False)
    assert letter["error"]["message"].startswith("the secret KEY: ")
    assert value not in json.dumps(letter)
    assert receiver.hits == []


def test_a_header_that_is_signed_but_not_sent_is_a_dead_letter(product: Product, receiver: Receiver) -> None:
    put(product, "KEY", "text")
    product.webhook("hook", receiver.url, sign=DESCRIBED | {"key": {"secret": "KEY"}})
    product.publish({"order_id": "SO-1"})
    with product.worker():
        until(lambda: product.states() == {"dead": 1})
    [letter] = product.client().get("/api/v1/dead-letters").json["items"]
    assert letter["error"]["code"] == "HEADER_UNSIGNED"


def test_a_key_that_the_receiver_echoes_is_in_no_attempt(product: Product, receiver: Receiver) -> None:
    put(product, "KEY", "echoed-s3cr3t-key")
    receiver.answer = Answer(200, {"X-Echo": "echoed-s3cr3t-key"}, b"your key is echoed-s3cr3t-key")
    product.webhook("hook", receiver.url, sign={"scheme": "github", "key": {"secret": "KEY"}})
    product.publish({"order_id": "SO-1"})
    with product.worker():
        until(lambda: product.states() == {"delivered": 1})
    assert "echoed-s3cr3t-key" not in str(product.rows("SELECT * FROM attempts"))


def test_the_public_keys_of_a_webhook_are_published_and_verify_what_it_sends(
    product: Product, receiver: Receiver
) -> None:
    old, new = generate_private_key(), generate_private_key()
    put(product, "KEY", old)
    put(product, "SHARED", generate_secret())
    sign = {"scheme": "standard-webhooks", "key": [{"secret": "KEY"}, {"secret": "SHARED"}]}
    product.webhook("hook", receiver.url, sign=sign)
    product.webhook("shared", "http://127.0.0.1:9/")
    rotate(product, "KEY", new, 60)
    answer = product.client().get("/api/v1/webhooks/hook/public-keys")
    keys = [each["key"] for each in answer.json["items"]]
    assert keys == [read_key(new).public, read_key(old).public]
    assert [each["secret"] for each in answer.json["items"]] == ["KEY", "KEY"]
    assert product.client().get("/api/v1/webhooks/shared/public-keys").json["items"] == []
    assert product.client().get("/api/v1/webhooks/none/public-keys").status_code == 404
    other = product.workspace("default", "other")
    assert product.client(other).get("/api/v1/webhooks/hook/public-keys").status_code == 404
    product.publish({"order_id": "SO-1"})
    with product.worker():
        hit = receiver.wait(1)[0]
    for key in keys:
        Verifier([key]).verify(hit.headers, hit.body, time.time())
    assert all(text not in answer.get_data(as_text=True) for text in (old, new, "whsk_", "whsec_"))
    with product.tx() as tx:
        product.core.secrets.delete(tx, "KEY")
    missing = product.client().get("/api/v1/webhooks/hook/public-keys")
    assert (missing.status_code, missing.json["code"]) == (409, "SECRET_MISSING")


def test_public_keys_come_page_by_page(product: Product) -> None:
    key = generate_private_key()
    put(product, "KEY", key)
    put(product, "MORE", key)
    sign = {"scheme": "standard-webhooks-v1a", "key": [{"secret": "KEY"}, {"secret": "MORE"}]}
    product.webhook("hook", "http://127.0.0.1:9/", sign=sign)
    path = "/api/v1/webhooks/hook/public-keys"
    first = product.client().get(path, query_string={"limit": 1}).json
    second = product.client().get(path, query_string={"limit": 1, "cursor": first["next"]}).json
    assert [page["items"][0]["secret"] for page in (first, second)] == ["KEY", "MORE"]
    assert second["next"] is None
