"""Deliveries and calls that show who we are: what the receiver gets, what people see, and what happens without a token."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import ssl
from typing import TYPE_CHECKING, Any

import jwt
import pytest
import trustme

from server.integrations.credentials import AtOrigin
from server.transport.addresses import AddressPolicy
from server.transport.sync import Connections
from server.webhooks.identifying import over
from tests.integrations.test_credentials import KEYS, public
from tests.support.product import until
from tests.support.receiver import Answer
from tests.transport.receiver import Receiver as TlsReceiver

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.product import Product
    from tests.support.receiver import Hit, Receiver
    from tests.support.token_server import TokenServer


def put(product: Product, **secrets: str) -> None:
    with product.tx() as tx:
        for name, value in secrets.items():
            product.core.secrets.set(tx, name, value)


def oauth(token_server: TokenServer, **more: Any) -> dict[str, Any]:
    """Return the declaration as it is written, its secret by name."""
    return token_server.auth(client_secret={"secret": "CLIENT"}, **more)


def only_good_tokens(token_server: TokenServer, receiver: Receiver) -> None:
    """Make the receiver answer 401 to everything but a good token, and echo what it was sent."""

    def answer(hit: Hit) -> Answer:
        shown = hit.headers.get("authorization", "")
        return Answer(200 if token_server.good(shown) else 401, {"X-Echo": shown}, f"you said {shown}".encode())

    receiver.answer = answer


def integration(product: Product, name: str, base_url: str, auth: dict[str, Any]) -> None:
    body = {"name": name, "plugin": "http", "config": {"base_url": base_url, "auth": auth}}
    answer = product.client().post("/api/v1/integrations", json=body)
    assert answer.status_code == 201, answer.json


def everything(product: Product) -> str:
    """Return all that people can see of deliveries, in the database and over REST."""
    tables = ("attempts", "deliveries", "dead_letters", "events", "journal")
    seen = [str(product.rows(f"SELECT * FROM {table}")) for table in tables]
    return "\n".join(
        [*seen, product.client().get("/api/v1/deliveries").text, product.client().get("/api/v1/dead-letters").text]
    )


def test_every_credential_arrives_at_the_receiver_and_is_seen_nowhere_else(
    product: Product, receiver: Receiver
) -> None:
    receiver.answer = lambda hit: Answer(
        200, {"X-Echo": hit.headers.get("authorization", "")}, json.dumps([hit.path, hit.headers]).encode()
    )
    put(
        product,
        TOKEN="canary-token-9b1d",
        PASSWORD="canary-password-9b1d",
        KEY="canary-key-9b1d",
        SIGNING=KEYS["ES256"],
    )
    auths = {
        "bearer": {"scheme": "bearer", "token": {"secret": "TOKEN"}},
        "basic": {"scheme": "basic", "username": "us", "password": {"secret": "PASSWORD"}},
        "header": {"scheme": "api_key", "header": "X-Shop", "key": {"secret": "KEY"}},
        "query": {"scheme": "api_key", "query": "k", "key": {"secret": "KEY"}},
        "jwt": {"scheme": "jwt", "alg": "ES256", "key": {"secret": "SIGNING"}, "claims": {"iss": "us"}},
    }
    for name, auth in auths.items():
        product.webhook(name, f"{receiver.url}/{name}?fixed=1", auth=auth)
    product.publish({"order_id": "SO-1"})
    with product.worker():
        hits = {hit.path[1:].partition("?")[0]: hit for hit in receiver.wait(len(auths))}
        until(lambda: product.states() == {"delivered": len(auths)})
    pair = base64.b64encode(b"us:canary-password-9b1d").decode()
    assert hits["bearer"].headers["authorization"] == "Bearer canary-token-9b1d"
    assert hits["basic"].headers["authorization"] == f"Basic {pair}"
    assert hits["header"].headers["x-shop"] == "canary-key-9b1d"
    assert hits["query"].path == "/query?fixed=1&k=canary-key-9b1d"
    token = hits["jwt"].headers["authorization"].removeprefix("Bearer ")
    assert jwt.decode(token, public("ES256"), algorithms=["ES256"])["iss"] == "us"
    seen = everything(product)
    assert [each for each in ("canary", pair, token, KEYS["ES256"].split("\n")[1]) if each in seen] == []


def test_a_hundred_deliveries_of_two_webhooks_cost_one_token_request(
    product: Product, receiver: Receiver, token_server: TokenServer
) -> None:
    put(product, CLIENT="client-s3cr3t")
    only_good_tokens(token_server, receiver)
    for name in ("one", "two"):
        product.webhook(name, receiver.url, auth=oauth(token_server))
    product.publish(*({"order_id": str(number)} for number in range(50)))
    with product.worker():
        until(lambda: product.states() == {"delivered": 100})
    assert token_server.asked == 1
    assert {hit.headers["authorization"] for hit in receiver.hits} == {"Bearer token-1-s3cr3t"}
    assert "s3cr3t" not in everything(product)


def test_without_a_token_nothing_is_sent_and_no_attempt_is_counted_until_the_server_is_back(
    product: Product, receiver: Receiver, token_server: TokenServer
) -> None:
    put(product, CLIENT="client-s3cr3t")
    token_server.says = Answer(503)
    product.webhook("hook", receiver.url, auth=oauth(token_server))
    product.publish({"order_id": "SO-1"})
    with product.worker():
        [row] = until(lambda: product.rows("SELECT * FROM deliveries WHERE reason = 'auth'"))
        assert (row.state, row.attempts, row.error["code"]) == ("pending", 0, "TOKEN_UNAVAILABLE")
        assert product.rows("SELECT 1 FROM attempts") == []
        assert receiver.hits == []
        token_server.says = None
        until(lambda: product.states() == {"delivered": 1})
    assert [row.attempts for row in product.rows("SELECT attempts FROM deliveries")] == [1]


def test_a_token_server_that_refuses_us_is_an_attempt_that_says_so(
    product: Product, receiver: Receiver, token_server: TokenServer
) -> None:
    put(product, CLIENT="client-s3cr3t")
    token_server.says = Answer(401, body=b'{"error": "invalid_client"}')
    product.webhook("hook", receiver.url, auth=oauth(token_server))
    product.publish({"order_id": "SO-1"})
    with product.worker():
        [row] = until(lambda: product.rows("SELECT * FROM attempts"))
    assert (row.error["code"], row.error["message"]) == (
        "TOKEN_REFUSED",
        "the token server answered 401 invalid_client",
    )
    assert product.states() == {"pending": 1}
    assert receiver.hits == []


def test_a_revoked_token_is_replaced_within_the_same_attempt_and_a_second_401_is_final(
    product: Product, receiver: Receiver, token_server: TokenServer
) -> None:
    put(product, CLIENT="client-s3cr3t")
    only_good_tokens(token_server, receiver)
    product.webhook("hook", receiver.url, auth=oauth(token_server))
    with product.worker():
        product.publish({"order_id": "1"})
        until(lambda: product.states() == {"delivered": 1})
        token_server.revoked |= set(token_server.issued)
        product.publish({"order_id": "2"})
        until(lambda: product.states() == {"delivered": 2})
        assert (token_server.asked, len(receiver.hits)) == (2, 3)
        receiver.answer = Answer(401)
        product.publish(*({"order_id": str(number)} for number in range(3, 8)))
        until(lambda: product.states() == {"delivered": 2, "dead": 5})
    assert token_server.asked == 2
    assert [row.attempts for row in product.rows("SELECT attempts FROM deliveries")] == [1] * 7


def test_webhooks_and_calls_through_an_integration_share_its_token(
    product: Product, receiver: Receiver, token_server: TokenServer
) -> None:
    put(product, CLIENT="client-s3cr3t")
    only_good_tokens(token_server, receiver)
    integration(product, "shop", receiver.url, oauth(token_server))
    call = {"operation": "request.send", "input": {"method": "POST", "path": "/call"}}
    answer = product.client().post("/api/v1/integrations/shop/call", json=call)
    assert answer.status_code == 200, answer.json
    assert "s3cr3t" not in answer.text
    product.webhook("hook", "", integration="shop", request={"path": "/hook", "headers": {"authorization": "mine"}})
    product.publish({"order_id": "SO-1"})
    with product.worker():
        until(lambda: product.states() == {"delivered": 1})
    assert [hit.path for hit in receiver.hits] == ["/call", "/hook"]
    assert token_server.asked == 1
    token_server.revoked |= set(token_server.issued)
    assert product.client().post("/api/v1/integrations/shop/call", json=call).status_code == 200
    assert (token_server.asked, len(receiver.hits)) == (2, 4)


@pytest.mark.parametrize(("status", "tries"), [(401, 3), (401, 1), (503, 1)])
def test_a_token_that_cannot_be_had_opens_the_breaker_of_nobody_who_asks_with_it(
    product: Product, receiver: Receiver, token_server: TokenServer, status: int, tries: int
) -> None:
    put(product, CLIENT="client-s3cr3t")
    only_good_tokens(token_server, receiver)
    integration(product, "shop", receiver.url, oauth(token_server))
    product.webhook("hook", "", integration="shop", retry={"attempts": tries, "initial": "1h", "max": "1h"})
    with product.worker():
        product.publish({"order_id": "1"})
        until(lambda: product.states() == {"delivered": 1})
        token_server.revoked |= set(token_server.issued)
        token_server.says = Answer(status)
        product.publish({"order_id": "2"})
        until(lambda: product.rows("SELECT 1 FROM attempts WHERE error IS NOT NULL"))
    integration(product, "till", receiver.url, oauth(token_server, client_id="another"))
    call = {"operation": "request.send", "input": {"method": "POST", "path": "/call"}}
    answer = product.client().post("/api/v1/integrations/till/call", json=call)
    assert answer.json["code"] == ("TOKEN_REFUSED" if status == 401 else "TOKEN_UNAVAILABLE")
    assert product.rows("SELECT failures FROM breakers") == []


def test_data_does_not_choose_who_we_are(product: Product, receiver: Receiver) -> None:
    put(product, TOKEN="integration-t0ken")
    integration(product, "shop", receiver.url, {"scheme": "bearer", "token": {"secret": "TOKEN"}})
    product.webhook("hook", "", integration="shop", request={"headers": {"AUTHORIZATION": "{{ data.order_id }}"}})
    product.publish({"order_id": "SO-1"})
    with product.worker():
        hit = receiver.wait(1)[0]
        until(lambda: product.states() == {"delivered": 1})
    assert hit.headers["authorization"] == "Bearer integration-t0ken"
    shown = {"Authorization": "Bearer t"}
    assert over({"AUTHORIZATION": "mine", "X-A": "b"}, shown) == {"X-A": "b", **shown}


def test_a_signature_over_the_token_is_made_anew_with_the_new_token(
    product: Product, receiver: Receiver, token_server: TokenServer
) -> None:
    key = "k" * 32
    put(product, CLIENT="client-s3cr3t", SIGNING=key)
    receiver.answers = [Answer(401)]
    sign = {"scheme": "hmac", "key": {"secret": "SIGNING"}, "header": "X-Sig", "signed": "{header:Authorization}{body}"}
    product.webhook("hook", receiver.url, auth=oauth(token_server), sign=sign)
    product.publish({"order_id": "SO-1"})
    with product.worker():
        until(lambda: product.states() == {"delivered": 1})
    tokens = [hit.headers["authorization"] for hit in receiver.hits]
    assert tokens == ["Bearer token-1-s3cr3t", "Bearer token-2-s3cr3t"]
    for hit in receiver.hits:
        signed = hit.headers["authorization"].encode() + hit.body
        assert hit.headers["x-sig"] == hmac.new(key.encode(), signed, hashlib.sha256).hexdigest()


def test_a_session_shows_who_we_are_to_its_own_origin_only(
    product: Product, receiver: Receiver, token_server: TokenServer
) -> None:
    credentials = product.core.keychain.credentials(product.scope, token_server.auth())
    connections = Connections(AddressPolicy(["127.0.0.0/8"]))
    session = connections.session(5, AtOrigin(receiver.url, credentials))
    session.post(f"{receiver.url}/own")
    session.post(f"{token_server.url}/elsewhere")
    connections.close()
    assert receiver.hits[0].headers["authorization"] == "Bearer token-1-s3cr3t"
    assert "authorization" not in token_server.hits[-1].headers


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> trustme.CA:
    """An authority of a company's own, which our processes are told to trust."""
    made = trustme.CA()
    made.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    return made


def asking(authority: trustme.CA) -> ssl.SSLContext:
    """Return the settings of a server that lets in who has a certificate of its authority."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def certificate(authority: trustme.CA) -> dict[str, str]:
    issued = authority.issue_cert("us@crossdock.test")
    chain = "".join(each.bytes().decode() for each in issued.cert_chain_pems)
    return {"CERTIFICATE": chain, "PRIVATE": issued.private_key_pem.bytes().decode()}


MTLS = {"client_certificate": {"secret": "CERTIFICATE"}, "client_key": {"secret": "PRIVATE"}}


def test_a_client_certificate_is_shown_by_deliveries_and_by_calls(product: Product, authority: trustme.CA) -> None:
    put(product, **certificate(authority))
    with TlsReceiver(tls=asking(authority)) as receiver:
        product.webhook("hook", receiver.url("/ok"), auth={"scheme": "mtls", **MTLS})
        product.publish({"order_id": "SO-1"})
        with product.worker():
            until(lambda: product.states() == {"delivered": 1})
        integration(product, "bank", receiver.url("").rstrip("/"), {"scheme": "mtls", **MTLS})
        call = {"operation": "request.send", "input": {"path": "/ok"}}
        answer = product.client().post("/api/v1/integrations/bank/call", json=call)
        assert answer.status_code == 200, answer.json
        assert len(receiver.requests) == 2
    assert "PRIVATE KEY" not in everything(product)


def test_a_certificate_of_somebody_else_is_no_way_in(product: Product, authority: trustme.CA) -> None:
    put(product, **certificate(trustme.CA()))
    with TlsReceiver(tls=asking(authority)) as receiver:
        product.webhook("hook", receiver.url("/ok"), auth={"scheme": "mtls", **MTLS})
        product.publish({"order_id": "SO-1"})
        with product.worker():
            [row] = until(lambda: product.rows("SELECT * FROM attempts"))
        assert row.error["retryable"]
        assert receiver.requests == []


@pytest.mark.parametrize("broken", ["CERTIFICATE", "PRIVATE"])
def test_a_certificate_that_cannot_be_read_is_a_dead_letter_that_says_so(
    product: Product, authority: trustme.CA, receiver: Receiver, broken: str
) -> None:
    put(product, **certificate(authority) | {broken: "no pem"})
    product.webhook("hook", receiver.url, auth={"scheme": "mtls", **MTLS})
    product.publish({"order_id": "SO-1"})
    with product.worker():
        until(lambda: product.states() == {"dead": 1})
    [row] = product.rows("SELECT error FROM dead_letters")
    assert row.error["code"] == "AUTH_KEY_INVALID"
    assert receiver.hits == []


def test_the_token_of_one_workspace_is_not_used_by_another(
    product: Product, receiver: Receiver, token_server: TokenServer
) -> None:
    other = product.workspace("default", "other")
    only_good_tokens(token_server, receiver)
    for scope in (product.scope, other):
        with product.tx(scope) as tx:
            product.core.secrets.set(tx, "CLIENT", "client-s3cr3t")
        product.webhook("hook", receiver.url, scope, auth=oauth(token_server))
        product.publish({"order_id": "SO-1"}, scope=scope)
    with product.worker():
        until(lambda: product.states() == {"delivered": 2})
    assert token_server.asked == 2
    assert len({hit.headers["authorization"] for hit in receiver.hits}) == 2
