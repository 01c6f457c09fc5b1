"""The senders' own libraries sign, and ours accepts; what ours accepts, theirs do, and what one refuses, both do."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from datetime import UTC, datetime

import pytest
import slack_sdk.signature
import standardwebhooks
import stripe
import svix

from server.kernel.errors import Unauthenticated
from server.sdk.signing import generate_secret
from server.webhooks.inbound.arrived import Arrived
from server.webhooks.verifiers.registry import verifier_of

BODY = json.dumps({"type": "order.created", "data": {"ü": "é", "n": 1}}, ensure_ascii=False)


def no_fetch(url, *, anew=False):
    raise AssertionError(url, anew)


def ours(scheme, key, **declared):
    return verifier_of({"scheme": scheme, "key": {"secret": "A"}, **declared}, {"A": [key]}, no_fetch)


def request(headers, body=BODY):
    return Arrived(method="POST", path="in", headers=headers, body=body.encode())


def by_standard(key, now):
    signature = standardwebhooks.Webhook(key).sign("msg_1", datetime.fromtimestamp(now, UTC), BODY)
    return {"webhook-id": "msg_1", "webhook-timestamp": str(now), "webhook-signature": signature}


def by_svix(key, now):
    signature = svix.Webhook(key).sign("msg_1", datetime.fromtimestamp(now, UTC), BODY)
    return {"svix-id": "msg_1", "svix-timestamp": str(now), "svix-signature": signature}


def by_stripe(key, now):
    signature = stripe.WebhookSignature._compute_signature(f"{now}.{BODY}", key)
    return {"stripe-signature": f"t={now},v1={signature},v0={'0' * 64}"}


def by_slack(key, now):
    signature = slack_sdk.signature.SignatureVerifier(key).generate_signature(timestamp=str(now), body=BODY)
    return {"x-slack-request-timestamp": str(now), "x-slack-signature": signature}


SENDERS = {"standard-webhooks": by_standard, "svix": by_svix, "stripe": by_stripe, "slack": by_slack}


@pytest.mark.parametrize(("scheme", "sender"), SENDERS.items(), ids=SENDERS)
def test_what_the_senders_library_signs_is_taken(scheme, sender):
    key, now = generate_secret(), int(time.time())
    headers = sender(key, now)
    assert ours(scheme, key).verify(request(headers), time.time()).replay_key
    for changed, body in (
        (headers, BODY + " "),
        ({**headers, list(headers)[-1]: "x"}, BODY),
        (sender(generate_secret(), now), BODY),
    ):
        with pytest.raises(Unauthenticated):
            ours(scheme, key).verify(request(changed, body), time.time())


@pytest.mark.parametrize("signature", ["garbage", "v1", "v1,a,b", "v1,é", "", "v1,", "v2,AAAA", " ", "v1,AAAA v1"])
def test_what_makes_the_reference_library_stumble_is_one_refusal_of_ours(signature):
    key = generate_secret()
    headers = {**by_standard(key, int(time.time())), "webhook-signature": signature}
    with pytest.raises((standardwebhooks.WebhookVerificationError, ValueError)):
        standardwebhooks.Webhook(key).verify(BODY, headers)
    with pytest.raises(Unauthenticated):
        ours("standard-webhooks", key).verify(request(headers), time.time())


def test_stripes_rolled_secret_signs_twice_and_a_signature_less_is_the_same_message():
    new, old, now = "whsec_new", "whsec_old", int(time.time())
    both = [by_stripe(key, now)["stripe-signature"].split(",")[1] for key in (new, old)]
    keys = [
        ours("stripe", key).verify(request({"stripe-signature": f"t={now},{','.join(given)}"}), now).replay_key
        for key, given in ((new, both), (old, both), (old, both[1:]), (new, both[::-1]))
    ]
    assert len(set(keys)) == 1


def test_a_twilio_body_that_is_no_form_is_signed_by_its_digest_in_the_url():
    url = f"https://hooks.example.com/in/a/b/c?bodySHA256={hashlib.sha256(BODY.encode()).hexdigest()}"
    signature = base64.b64encode(hmac.digest(b"token", url.encode(), "sha1")).decode()
    arrived = {
        "method": "POST",
        "path": "c",
        "scheme": "https",
        "host": "hooks.example.com",
        "target": "/in/a/b/c",
        "query": url.partition("?")[2],
        "headers": {"x-twilio-signature": signature, "content-type": "application/json"},
        "body": BODY.encode(),
    }
    verify = ours("twilio", "token")
    verify.verify(Arrived(**arrived), 0)
    for changed in (
        {"body": b"{}"},
        {"host": "evil.example"},
        {"scheme": "http"},
        {"query": arrived["query"] + "&a=1"},
        {"headers": {**arrived["headers"], "content-type": "application/x-www-form-urlencoded"}},
    ):
        with pytest.raises(Unauthenticated):
            verify.verify(Arrived(**{**arrived, **changed}), 0)


def test_a_signature_of_a_bare_twilio_url_carries_no_body():
    signature = base64.b64encode(hmac.digest(b"token", b"https://h.example/in/a/b/c", "sha1")).decode()
    arrived = {
        "path": "c",
        "scheme": "https",
        "host": "h.example",
        "target": "/in/a/b/c",
        "headers": {"x-twilio-signature": signature, "content-type": "text/plain"},
    }
    ours("twilio", "token").verify(Arrived(method="GET", **arrived), 0)
    with pytest.raises(Unauthenticated):
        ours("twilio", "token").verify(Arrived(method="POST", body=b"smuggled", **arrived), 0)
