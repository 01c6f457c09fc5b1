"""Schemes at an endpoint: keys that are fetched, URLs that are signed, proxies that forward, senders that ask first."""

from __future__ import annotations

import base64
import hmac
import json
import time

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from server.sdk.signing_schemes import signer_of
from server.webhooks.verifiers.registry import schemes
from tests.support.inbound import declare
from tests.support.product import Product
from tests.support.receiver import Answer

JSON = {"content-type": "application/json"}
KEY = ec.generate_private_key(ec.SECP256R1())
CERTIFICATE = schemes()["mtls"].vectors[0]


def stored(product):
    return product.rows("SELECT * FROM inbound_requests")


def secrets(product, **values):
    with product.tx() as tx:
        for name, value in values.items():
            product.core.secrets.set(tx, name, value)


def token(**more):
    now = int(time.time())
    claims = {"iss": "sender", "aud": "crossdock", "iat": now, "exp": now + 60, **more}
    return {**JSON, "authorization": f"Bearer {jwt.encode(claims, KEY, algorithm='ES256', headers={'kid': 'a'})}"}


def test_a_token_is_verified_by_the_key_set_that_the_sender_publishes(product, receiver):
    declared = {"scheme": "jwt", "algorithms": ["ES256"], "issuer": "sender", "audience": "crossdock"}
    declare(product, verify={**declared, "jwks_url": f"{receiver.url}/jwks"})
    declare(product, "other", verify={**declared, "jwks_url": f"{receiver.url}/other"})
    receiver.answer = Answer(503)
    away = product.receive("orders-in", b"{}", token())
    assert (away.status, away.json["code"], away.headers["retry-after"]) == (503, "KEYS_UNAVAILABLE", "10")
    assert stored(product) == []

    keys = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(KEY.public_key())) | {"kid": "a"}
    receiver.answer = Answer(200, body=json.dumps({"keys": [keys]}).encode())
    answers = [product.receive("other", b"{}", token()).status for _ in range(3)]
    assert answers == [202, 202, 202]
    assert product.receive("other", b"{}", token(aud="another")).status == 401
    assert product.receive("other", b"{}", {**JSON, "authorization": "Bearer a.b.c"}).status == 401
    assert len([hit for hit in receiver.hits if hit.path == "/other"]) == 1


def test_twilio_signs_the_url_that_it_called(product):
    secrets(product, TWILIO="twilio-token")
    declare(
        product,
        content_types=["application/x-www-form-urlencoded"],
        verify={"scheme": "twilio", "key": {"secret": "TWILIO"}},
    )
    signed = b"http://crossdock.example/in/default/default/orders-in?a=1Bodyhi thereFrom+1415"
    signature = base64.b64encode(hmac.digest(b"twilio-token", signed, "sha1")).decode()
    headers = {"content-type": "application/x-www-form-urlencoded", "x-twilio-signature": signature}
    for body, query, status in (
        (b"From=%2B1415&Body=hi+there", "a=1", 202),
        (b"From=%2B1415&Body=hi+there", "a=2", 401),
        (b"From=%2B1416&Body=hi+there", "a=1", 401),
    ):
        assert product.receive("orders-in", body, headers, query=query).status == status


def test_slack_and_meta_and_cloudevents_ask_and_nothing_is_stored(product):
    secrets(product, SLACK="slack-secret", APP="app-secret", TOKEN="meatyhamhock")
    declare(product, "slack", verify={"scheme": "slack", "key": {"secret": "SLACK"}})
    meta = {"scheme": "whatsapp", "key": {"secret": "APP"}, "verify_token": {"secret": "TOKEN"}}
    declare(product, "meta", verify=meta)
    body = b'{"type":"url_verification","challenge":"3eZbrw1aBm2r"}'
    headers = signer_of({"scheme": "slack"}, ["slack-secret"]).headers("", int(time.time()), body, {})
    asked = product.receive("slack", body, {**JSON, **headers})
    assert (asked.status, asked.body) == (200, b"3eZbrw1aBm2r")
    assert product.receive("slack", body, JSON).status == 401

    query = "hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token="
    asked = product.receive("meta", b"", method="GET", query=f"{query}meatyhamhock")
    assert (asked.status, asked.body) == (200, b"1158201444")
    assert product.receive("meta", b"", method="GET", query=f"{query}other").status == 401
    assert product.receive("meta", b"", method="GET").status == 405

    asked = product.receive("meta", b"", {"webhook-request-origin": "eventgrid.azure.net"}, method="OPTIONS")
    headers = {name.lower(): value for name, value in asked.headers.items()}
    assert (asked.status, headers["webhook-allowed-origin"]) == (200, "eventgrid.azure.net")
    assert headers["webhook-allowed-rate"] == "*"
    assert stored(product) == []


@pytest.fixture
def behind_a_proxy(database_url):
    product = Product(database_url, trusted_proxies=("127.0.0.1/32",))
    yield product
    product.close()


def test_certificates_and_addresses_count_from_trusted_proxies_only(behind_a_proxy):
    product = behind_a_proxy
    declare(product, "mtls", verify={"scheme": "mtls", **CERTIFICATE.declared})
    declare(product, "ip", verify={"scheme": "ip", "networks": ["203.0.113.0/24"]})
    certificate = {**JSON, **CERTIFICATE.request["headers"]}
    forwarded = {**JSON, "x-forwarded-for": "203.0.113.7"}
    for path, headers, client, status in (
        ("mtls", certificate, "127.0.0.1:5", 202),
        ("mtls", certificate, "192.0.2.1:5", 401),
        ("mtls", JSON, "127.0.0.1:5", 401),
        ("ip", forwarded, "127.0.0.1:5", 202),
        ("ip", forwarded, "192.0.2.1:5", 401),
        ("ip", {**JSON, "x-forwarded-for": "203.0.113.7, 192.0.2.9"}, "127.0.0.1:5", 401),
        ("ip", JSON, "203.0.113.7:5", 202),
    ):
        assert product.receive(path, b"{}", headers, client=client).status == status, (path, client)


def test_a_replay_with_another_name_that_nobody_signed_is_a_replay(product):
    secrets(product, SENDER="sender-secret")
    described = {"scheme": "hmac", "header": "X-Sig", "signed": "{timestamp}.{body}", "timestamp": {"header": "X-Time"}}
    declare(product, verify={**described, "id": {"header": "X-Id"}, "key": {"secret": "SENDER"}})
    signature = signer_of(described, ["sender-secret"]).headers("", int(time.time()), b"{}", {})
    answers = [product.receive("orders-in", b"{}", {**JSON, **signature, "X-Id": id_}) for id_ in ("a", "b")]
    assert [each.status for each in answers] == [202, 202]
    assert answers[0].body == answers[1].body
    assert [row.message_id for row in stored(product)] == ["a"]
