"""What senders ask before they send: Slack's challenge, Meta's, and that of CloudEvents."""

from __future__ import annotations

import json

import pytest

from server.kernel.errors import Unauthenticated
from server.sdk.signing_schemes import signer_of
from server.webhooks.inbound.arrived import Arrived
from server.webhooks.verifiers.registry import methods_of, verifier_of

NOW = 1_700_000_000
SLACK = {"scheme": "slack", "key": {"secret": "SLACK"}}
META = {"scheme": "whatsapp", "key": {"secret": "APP"}, "verify_token": {"secret": "TOKEN"}}
GITHUB = {"scheme": "github", "key": {"secret": "APP"}}
VALUES = {"SLACK": ["slack-secret"], "APP": ["app-secret"], "TOKEN": ["meatyhamhock", "the-one-before"]}


def no_fetch(url, *, anew=False):
    raise AssertionError(url, anew)


def verifier(declared, rate=None):
    return verifier_of(declared, VALUES, no_fetch, rate)


def from_slack(body):
    headers = signer_of({"scheme": "slack"}, VALUES["SLACK"]).headers("", NOW, body, {})
    return Arrived(
        method="POST", path="in", headers={name.lower(): value for name, value in headers.items()}, body=body
    )


def test_slacks_challenge_is_no_answer_to_a_method_that_is_not_verified_first():
    body = json.dumps({"challenge": "x", "type": "url_verification"}).encode()
    assert verifier(SLACK).handshake(Arrived(method="OPTIONS", path="in", body=body)) is None


def test_slacks_challenge_is_answered_once_its_signature_is_right():
    body = json.dumps({"token": "x", "challenge": "3eZbrw1aBm2rZgRNFdxV2595E9CY", "type": "url_verification"}).encode()
    verify, request = verifier(SLACK), from_slack(body)
    verify.verify(request, NOW)
    reply = verify.handshake(request)
    assert (reply.status, reply.body) == (200, b"3eZbrw1aBm2rZgRNFdxV2595E9CY")
    assert reply.content_type.startswith("text/plain")
    assert methods_of(SLACK) == {"OPTIONS"}


@pytest.mark.parametrize(
    "body",
    [
        b'{"type":"event_callback","event":{"text":"url_verification"}}', b"url_verification", b'["url_verification"]',
        b'{"type":"url_verification"}', b'{"type":"url_verification","challenge":7}', b'{"type":["url_verification"]}',
        b'{"type":"url_verification","challenge":"\xff"}', b'["url_verification",' + b"[" * 3000, b"",
        b'{"type":"url_verification","challenge":"' + b"a" * 5000 + b'"}',
    ],
)  # fmt: skip
def test_an_event_is_no_challenge(body):
    assert verifier(SLACK).handshake(from_slack(body)) is None


def asking(query, method="GET"):
    return Arrived(method=method, path="in", query=query)


def test_metas_challenge_is_answered_to_who_knows_the_newest_token():
    verify = verifier(META)
    reply = verify.handshake(asking("hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=meatyhamhock"))
    assert (reply.status, reply.body) == (200, b"1158201444")
    assert methods_of(META) == {"GET", "OPTIONS"}


@pytest.mark.parametrize(
    "query",
    [
        "hub.mode=subscribe&hub.challenge=1&hub.verify_token=other", "hub.mode=subscribe&hub.challenge=1",
        "hub.mode=subscribe&hub.challenge=1&hub.verify_token=", "hub.mode=subscribe&hub.verify_token=meatyhamhock",
        "hub.mode=unsubscribe&hub.challenge=1&hub.verify_token=meatyhamhock",
        "hub.mode=subscribe&hub.challenge=%3Cscript%3E&hub.verify_token=meatyhamhock",
        "hub.mode=subscribe&hub.challenge=1%0D%0Aa&hub.verify_token=meatyhamhock",
        "hub.mode=subscribe&hub.challenge=1&hub.verify_token=meatyhamhock&hub.verify_token=other",
        "hub.mode=subscribe&hub.challenge=1&hub.verify_token=the-one-before", "hub.=" + "a" * 20_000,
        "hub.mode=subscribe&hub.challenge=é你&hub.verify_token=meatyhamhock",
    ],
)  # fmt: skip
def test_metas_challenge_without_the_token_is_refused(query):
    with pytest.raises(Unauthenticated) as refused:
        verifier(META).handshake(asking(query))
    assert refused.value.code == "SIGNATURE_REFUSED"


def test_what_is_no_challenge_is_left_to_the_endpoint():
    verify = verifier(META)
    assert verify.handshake(asking("a=1")) is None
    assert verify.handshake(asking("hub.mode=subscribe", method="POST")) is None


def options(origin=None, rate=None, **more):
    headers = {
        name: value for name, value in (("webhook-request-origin", origin), ("webhook-request-rate", rate)) if value
    }
    return Arrived(method="OPTIONS", path="in", headers=headers, **more)


@pytest.mark.parametrize(
    ("ours", "asked", "allowed"),
    [
        (None, None, "*"),
        (None, "120", "120"),
        (60, "120", "60"),
        (600, "120", "120"),
        (60, None, "60"),
        (60, "x", "60"),
    ],
)
def test_a_cloudevents_sender_gets_leave_whatever_the_scheme(ours, asked, allowed):
    reply = verifier(GITHUB, ours).handshake(options("eventgrid.azure.net", asked))
    assert reply.status == 200
    assert reply.headers == {"WebHook-Allowed-Origin": "eventgrid.azure.net", "WebHook-Allowed-Rate": allowed}


def test_only_declared_origins_get_leave():
    verify = verifier({**GITHUB, "origins": ["eventgrid.azure.net"]})
    assert verify.handshake(options("EventGrid.azure.net")) is not None
    for origin in ("example.com", "eventgrid.azure.net.example.com", "x.eventgrid.azure.net"):
        with pytest.raises(Unauthenticated):
            verify.handshake(options(origin))


@pytest.mark.parametrize("origin", ["a b", "a\r\nb", "é", "<script>", "a" * 300, "*", "a,b"])
def test_a_malformed_origin_is_refused_and_not_sent_back(origin):
    with pytest.raises(Unauthenticated):
        verifier(GITHUB).handshake(options(origin))
    with pytest.raises(Unauthenticated):
        verifier(GITHUB).handshake(options("a.example", repeated=frozenset({"webhook-request-origin"})))


def test_options_without_an_origin_asks_nothing():
    assert verifier(GITHUB).handshake(options()) is None
