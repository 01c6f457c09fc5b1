"""The schemes beside Standard Webhooks: documented vectors, the official libraries, and every malformed request."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time

import pytest
import standardwebhooks
import stripe
import svix
from hypothesis import given
from hypothesis import strategies as st
from slack_sdk.signature import Clock, SignatureVerifier

from server.kernel.errors import Invalid, Permanent, Unauthenticated
from server.sdk.signing import Verifier, generate_private_key, generate_secret, public_keys, read_key
from server.sdk.signing_schemes import ALGORITHMS, ENCODINGS, read_template, signer_of, verifier_of

DESCRIBED = {"scheme": "hmac", "header": "X-Signature", "signed": "{body}"}
SHOWN = {
    "github": {"scheme": "github"},
    "slack": {"scheme": "slack"},
    "shopify": {"scheme": "shopify"},
    "stripe": {"scheme": "stripe"},
    "hmac": DESCRIBED
    | {
        "signed": "{header:X-Shop}|{id}.{timestamp}.{body}",
        "timestamp": {"header": "X-Time"},
        "id": {"header": "X-Id"},
        "prefix": "sig=",
        "encoding": "base64url",
    },
}
bodies = st.binary(max_size=400)
keys = st.text(st.characters(codec="ascii", min_codepoint=33, max_codepoint=126), min_size=1, max_size=60).filter(
    lambda key: not key.startswith(("whsk_", "whpk_"))
)


def sent(declared, keys, body, *, message_id="msg_1", timestamp=1_700_000_000, **more):
    """Sign a request and return its headers as a receiver gets them: names in lower case."""
    headers = {"webhook-id": message_id, "webhook-timestamp": str(timestamp), "X-Shop": "a.example", **more}
    headers |= signer_of(declared, keys).headers(message_id, timestamp, body, headers)
    return {name.lower(): value for name, value in headers.items()}


def refused(declared, keys, headers, body, now=1_700_000_000):
    with pytest.raises(Unauthenticated) as error:
        verifier_of(declared, keys).verify(headers, body, now)
    return (error.value.code, error.value.message) == ("SIGNATURE_REFUSED", "the signature is refused")


def test_githubs_documented_vector_is_signed_and_verified_exactly():
    headers = sent({"scheme": "github"}, ["It's a Secret to Everybody"], b"Hello, World!")
    expected = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    assert headers["x-hub-signature-256"] == expected
    verifier_of({"scheme": "github"}, ["It's a Secret to Everybody"]).verify(headers, b"Hello, World!", 0)


def test_slacks_documented_vector_is_signed_exactly():
    body = (
        b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name="
        b"foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2F"
        b"hooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id="
        b"398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
    )
    headers = sent({"scheme": "slack"}, ["8f742231b10e8888abcd99yyyzzz85a5"], body, timestamp=1531420618)
    expected = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"
    assert (headers["x-slack-signature"], headers["x-slack-request-timestamp"]) == (expected, "1531420618")


def test_stripes_library_accepts_both_keys_while_one_is_rotated():
    body, now = b'{"id": "evt_1"}', int(time.time())
    header = sent({"scheme": "stripe"}, ["whsec_new", "whsec_old"], body, timestamp=now)["stripe-signature"]
    assert header.startswith(f"t={now},v1=")
    for key in ("whsec_new", "whsec_old"):
        assert stripe.WebhookSignature.verify_header(body.decode(), header, key, 300)
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.WebhookSignature.verify_header(body.decode() + " ", header, "whsec_new", 300)
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.WebhookSignature.verify_header(body.decode(), header, "whsec_other", 300)


def test_slacks_library_accepts_what_we_sign():
    now = int(time.time())
    headers = sent({"scheme": "slack"}, ["secret-1"], b"a=b", timestamp=now)
    assert SignatureVerifier("secret-1", Clock()).is_valid_request(b"a=b", headers)
    assert not SignatureVerifier("secret-2", Clock()).is_valid_request(b"a=b", headers)
    ours = SignatureVerifier("secret-1").generate_signature(timestamp=str(now), body="a=b")
    verifier_of({"scheme": "slack"}, ["secret-1"]).verify(headers | {"x-slack-signature": ours}, b"a=b", now)


@pytest.mark.parametrize("library", [standardwebhooks.Webhook, svix.Webhook])
def test_both_schemes_at_once_are_accepted_by_libraries_that_know_only_one(library):
    shared, private, now = generate_secret(), generate_private_key(), int(time.time())
    headers = sent({"scheme": "standard-webhooks"}, [shared, private], b'{"a": 1}', timestamp=now)
    assert [each.partition(",")[0] for each in headers["webhook-signature"].split(" ")] == ["v1", "v1a"]
    library(shared).verify(b'{"a": 1}', headers)
    assert Verifier([read_key(private).public]).verify(headers, b'{"a": 1}', now) == "msg_1"


def test_the_v1a_scheme_signs_with_private_keys_alone_and_publishes_their_other_half():
    old, new = generate_private_key(), generate_private_key()
    headers = sent({"scheme": "standard-webhooks-v1a"}, [new, old], b"x")
    assert headers["webhook-signature"].count("v1a,") == 2
    assert public_keys([new, generate_secret(), old]) == [read_key(new).public, read_key(old).public]
    for public in public_keys([new, old]):
        assert Verifier([public]).verify(headers, b"x", 1_700_000_000) == "msg_1"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_described_scheme_signs_as_its_description_says(algorithm, encoding):
    declared = DESCRIBED | {
        "algorithm": algorithm,
        "encoding": encoding,
        "prefix": "v=",
        "signed": "{timestamp}/{body}",
    }
    digest = hmac.new(b"k", b"1700000000/\xff\x00", getattr(hashlib, algorithm)).digest()
    written = {
        "hex": digest.hex(),
        "base64": base64.b64encode(digest).decode(),
        "base64url": base64.urlsafe_b64encode(digest).decode().rstrip("="),
    }
    headers = sent(declared, ["k"], b"\xff\x00")
    assert headers["x-signature"] == "v=" + written[encoding]
    verifier_of(declared, ["k"]).verify(headers, b"\xff\x00", 0)


def test_the_described_example_for_what_comes_in_verifies_what_the_same_description_sends():
    declared = {
        "scheme": "hmac",
        "algorithm": "sha256",
        "header": "X-Signature",
        "encoding": "hex",
        "signed": "{header:X-Timestamp}.{body}",
        "timestamp": {"header": "X-Timestamp", "tolerance": "5m"},
    }
    headers = sent(declared, ["s"], b"{}", timestamp=1000)
    assert headers["x-signature"] == hmac.new(b"s", b"1000.{}", "sha256").hexdigest()
    verifier_of(declared, ["s"]).verify(headers, b"{}", 1300)
    assert refused(declared, ["s"], headers, b"{}", 1301)


@pytest.mark.parametrize(("encoding", "key"), [("hex", "00ff"), ("base64", "AP8="), ("text", "\u0000ÿ")])
def test_a_key_can_be_written_in_hexadecimal_or_base64(encoding, key):
    raw = key.encode() if encoding == "text" else b"\x00\xff"
    headers = sent(DESCRIBED | {"key_encoding": encoding}, [key], b"x")
    assert headers["x-signature"] == hmac.new(raw, b"x", "sha256").hexdigest()


@given(body=bodies, key=keys, other=keys, timestamp=st.integers(0, 10**11), scheme=st.sampled_from(sorted(SHOWN)))
def test_what_is_signed_verifies_with_any_valid_key_and_not_with_another_nor_another_body(
    body, key, other, timestamp, scheme
):
    declared = SHOWN[scheme]
    headers = sent(declared, [key], body, timestamp=timestamp)
    assert verifier_of(declared, ["another key", key]).verify(headers, body, timestamp) in ("", "msg_1")
    assert refused(declared, [key], headers, body + b"x", timestamp)
    if other != key:
        assert refused(declared, [other], headers, body, timestamp)


@given(
    scheme=st.sampled_from(sorted(SHOWN)),
    values=st.lists(st.text(max_size=80), min_size=6, max_size=6),
    body=bodies,
)
def test_no_header_whatever_raises_anything_but_the_named_refusal(scheme, values, body):
    names = (
        "x-hub-signature-256",
        "x-slack-signature",
        "x-slack-request-timestamp",
        "stripe-signature",
        "x-time",
        "x-id",
    )
    headers = dict(zip(names, values, strict=True)) | {"x-signature": values[0], "x-shopify-hmac-sha256": values[1]}
    assert refused(SHOWN[scheme], ["key"], headers, body)


@pytest.mark.parametrize("scheme", sorted(SHOWN))
def test_a_request_without_the_headers_is_refused(scheme):
    assert refused(SHOWN[scheme], ["key"], {}, b"x")


@pytest.mark.parametrize("scheme", ["slack", "stripe", "hmac"])
@pytest.mark.parametrize("difference", [-301, 301])
def test_a_timestamp_outside_the_tolerance_is_refused(scheme, difference):
    headers = sent(SHOWN[scheme], ["key"], b"x")
    verifier_of(SHOWN[scheme], ["key"]).verify(headers, b"x", 1_700_000_000 + difference // 2)
    assert refused(SHOWN[scheme], ["key"], headers, b"x", 1_700_000_000 + difference)


@pytest.mark.parametrize(
    "header",
    [
        "", "t", "t=", "v1=aa", "t=1700000000", "t=1700000000,v1=", "t=1700000000,v1=zz", "t=x,v1={}", "t=1700000000,v0={}",
        "t=1700000000,t=1700000000,v1={}", "t=1700000000," + ",".join(["v1=aa"] * 11) + ",v1={}", "t=1_7,v1={}", "x" * 100_000,
    ],
)  # fmt: skip
def test_a_malformed_stripe_header_is_refused(header):
    right = sent({"scheme": "stripe"}, ["key"], b"x")["stripe-signature"].partition("v1=")[2]
    assert refused({"scheme": "stripe"}, ["key"], {"stripe-signature": header.replace("{}", right)}, b"x")


def test_with_several_keys_a_header_with_room_for_one_signature_has_that_of_the_newest():
    for scheme in ("github", "slack", "hmac"):
        headers = sent(SHOWN[scheme], ["new", "old"], b"x")
        verifier_of(SHOWN[scheme], ["new"]).verify(headers, b"x", 1_700_000_000)
        assert refused(SHOWN[scheme], ["old"], headers, b"x")


def test_a_signed_header_that_the_request_lacks_is_named():
    with pytest.raises(Permanent) as error:
        signer_of(DESCRIBED | {"signed": "{header:X-None}{body}"}, ["k"]).headers("m", 1, b"x", {})
    assert (error.value.code, "x-none" in error.value.message) == ("HEADER_UNSIGNED", True)


@pytest.mark.parametrize(
    "template",
    ["", "{timestamp}", "{body", "{Body}{body}", "{header:}{body}", "{header:a b}{body}", "}{body}", "{{body}}"],
)
def test_a_template_that_cannot_be_meant_is_refused(template):
    with pytest.raises(Invalid) as error:
        read_template(template)
    assert error.value.code == "TEMPLATE_INVALID"


def test_a_template_is_taken_apart():
    assert read_template("v0:{timestamp}:{header:X-A}{body}") == (
        ("text", "v0:"), ("place", "timestamp"), ("text", ":"), ("header", "X-A"), ("place", "body"),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("scheme", "key"),
    [
        ("standard-webhooks", "not-a-standard-key"), ("standard-webhooks-v1a", generate_secret()),
        ("standard-webhooks", read_key(generate_private_key()).public), ("github", generate_private_key()),
        ("slack", generate_private_key()), ("stripe", generate_private_key()), ("github", ""),
    ],
    ids=["no key", "a secret", "a public key", "a private key", "private for slack", "private for stripe", "nothing"],
)  # fmt: skip
def test_a_key_of_the_wrong_kind_is_named_without_being_shown(scheme, key):
    with pytest.raises(Invalid) as error:
        signer_of({"scheme": scheme}, [key])
    assert error.value.code == "KEY_INVALID"
    assert len(key) < 8 or key not in str(error.value.failure)


@pytest.mark.parametrize(("encoding", "key"), [("hex", "xyz"), ("hex", "abc"), ("base64", "!!"), ("base64", "é")])
def test_a_key_that_is_not_in_its_encoding_is_refused(encoding, key):
    with pytest.raises(Invalid):
        signer_of(DESCRIBED | {"key_encoding": encoding}, [key])
