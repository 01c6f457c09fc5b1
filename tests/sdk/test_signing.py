"""Signatures: the published vectors, the official libraries both ways, and every malformed header."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime

import pytest
import standardwebhooks
import svix
from hypothesis import given
from hypothesis import strategies as st

from server.kernel.errors import Invalid, Unauthenticated
from server.sdk.signing import Signer, Verifier, generate_private_key, generate_secret, read_key, sign_v1

KEY_A = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
KEY_B = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
KEY_C = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
PUBLIC_C = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="
ID_A, TS_A, BODY_A = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
SIGNED_A = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
SIGNED_C = "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="
VECTORS = {
    "A": (KEY_A, ID_A, TS_A, BODY_A, SIGNED_A),
    "B": (
        KEY_B,
        "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
        1649367553,
        b'{"email":"test@example.com","username":"test_user"}',
        "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
    ),
    "C": (KEY_C, ID_A, TS_A, BODY_A, SIGNED_C),
}
bodies = st.binary(max_size=400)
ids = st.from_regex(r"[A-Za-z0-9_-]{1,60}", fullmatch=True)


def headers_of(message_id=ID_A, timestamp=TS_A, signature=SIGNED_A):
    return {"webhook-id": message_id, "webhook-timestamp": str(timestamp), "webhook-signature": signature}


@pytest.mark.parametrize(("key", "message_id", "timestamp", "body", "expected"), VECTORS.values(), ids=VECTORS)
def test_the_published_vectors_are_signed_and_verified_exactly(key, message_id, timestamp, body, expected):
    assert sign_v1([key], message_id, timestamp, body) == expected
    assert Verifier([key]).verify(headers_of(message_id, timestamp, expected), body, timestamp) == message_id


def test_the_public_key_of_vector_c_verifies_it_and_cannot_sign():
    assert read_key(KEY_C).public == PUBLIC_C
    assert Verifier([PUBLIC_C]).verify(headers_of(signature=SIGNED_C), BODY_A, TS_A) == ID_A
    with pytest.raises(Invalid):
        Signer([PUBLIC_C])


def test_while_a_key_is_rotated_both_signatures_are_sent_and_either_key_verifies():
    both = Signer([KEY_A, KEY_B, KEY_C]).sign(ID_A, TS_A, BODY_A)
    assert both.split(" ")[0] == SIGNED_A
    assert both.split(" ")[2] == SIGNED_C
    for key in (KEY_A, KEY_B, PUBLIC_C):
        assert Verifier([key]).verify(headers_of(signature=both), BODY_A, TS_A) == ID_A


@pytest.mark.parametrize("library", [standardwebhooks.Webhook, svix.Webhook])
def test_the_official_libraries_accept_what_we_sign(library):
    key, now = generate_secret(), datetime.now(UTC)
    body = json.dumps({"type": "order.created", "data": {"ü": "é"}}).encode()
    signature = sign_v1([generate_secret(), key], "msg_1", int(now.timestamp()), body)
    headers = headers_of("msg_1", int(now.timestamp()), signature)
    library(key).verify(body, headers)
    with pytest.raises((standardwebhooks.WebhookVerificationError, svix.WebhookVerificationError)):
        library(key).verify(body + b" ", headers)


@pytest.mark.parametrize("library", [standardwebhooks.Webhook, svix.Webhook])
def test_we_accept_what_the_official_libraries_sign(library):
    key, now = generate_secret(), datetime.now(UTC)
    signature = library(key).sign("msg_1", now, '{"a": 1}')
    headers = headers_of("msg_1", int(now.timestamp()), signature)
    assert Verifier([key]).verify(headers, b'{"a": 1}', now.timestamp()) == "msg_1"


@given(message_id=ids, timestamp=st.integers(0, 10**11), body=bodies, size=st.integers(24, 64))
def test_what_is_signed_verifies_and_one_other_byte_does_not(message_id, timestamp, body, size):
    key = generate_secret(size)
    headers = headers_of(message_id, timestamp, sign_v1([key], message_id, timestamp, body))
    assert Verifier([key]).verify(headers, body, timestamp) == message_id
    for other_headers, other_body in (
        (headers, body + b"x"),
        (headers | {"webhook-id": message_id + "x"}, body),
        (headers | {"webhook-timestamp": str(timestamp + 1)}, body),
    ):
        with pytest.raises(Unauthenticated):
            Verifier([key]).verify(other_headers, other_body, timestamp)


@given(header=st.text(max_size=300), message_id=st.text(max_size=20), timestamp=st.text(max_size=20), body=bodies)
def test_no_header_whatever_raises_anything_but_the_named_refusal(header, message_id, timestamp, body):
    with pytest.raises(Unauthenticated) as refused:
        Verifier([KEY_A, PUBLIC_C]).verify(headers_of(message_id, timestamp, header), body, TS_A)
    assert refused.value.code == "SIGNATURE_REFUSED"


@pytest.mark.parametrize(
    "signature",
    [
        "", " ", "garbage", "v1", "v1,", "v1,a,b", "v1,é", "v1,\x00", "v1,=", "v1,====", "v1,AA", SIGNED_C,
        SIGNED_A.replace("v1", "v2"), SIGNED_A.replace("v1,", "v1a,"), SIGNED_A.replace("v1,", "V1,"), SIGNED_A[3:],
        SIGNED_A.replace("=", "%3D"), SIGNED_A.replace(",", ", "), SIGNED_A.replace(",", ":"), SIGNED_A + "x",
        " ".join(["v1,AAAA"] * 10 + [SIGNED_A]), " ".join([SIGNED_A] * 10_000), "x" * 100_000,
        SIGNED_A.replace("g0", "h0"), "v1," + base64.b64encode(b"\0" * 32).decode(), "v1," + "ａ" * 44,
    ],
)  # fmt: skip
def test_a_malformed_or_wrong_signature_is_refused_by_one_answer(signature):
    with pytest.raises(Unauthenticated) as refused:
        Verifier([KEY_A]).verify(headers_of(signature=signature), BODY_A, TS_A)
    assert (refused.value.code, refused.value.message) == ("SIGNATURE_REFUSED", "the signature is refused")


@pytest.mark.parametrize("difference", [-301, 301, 10**9, -(10**9)])
def test_a_timestamp_outside_five_minutes_is_refused(difference):
    with pytest.raises(Unauthenticated):
        Verifier([KEY_A]).verify(headers_of(), BODY_A, TS_A + difference)


@pytest.mark.parametrize("difference", [-300, 0, 300])
def test_a_timestamp_within_five_minutes_is_taken(difference):
    assert Verifier([KEY_A]).verify(headers_of(), BODY_A, TS_A + difference) == ID_A


@pytest.mark.parametrize(
    "timestamp", ["", "now", "-1", "1614265330.0", " 1614265330", "+1614265330", "1e9", "١٦", "9" * 500]
)
def test_a_timestamp_that_is_no_number_of_seconds_is_refused(timestamp):
    with pytest.raises(Unauthenticated):
        Verifier([KEY_A]).verify(headers_of(timestamp=timestamp), BODY_A, TS_A)


@pytest.mark.parametrize("message_id", ["", "a.b", "a b", "é", "x" * 257, "msg\n"])
def test_an_id_that_could_shift_what_was_signed_is_refused(message_id):
    signature = sign_v1([KEY_A], message_id, TS_A, BODY_A)
    with pytest.raises(Unauthenticated):
        Verifier([KEY_A]).verify(headers_of(message_id, TS_A, signature), BODY_A, TS_A)


def test_a_request_without_the_headers_is_refused():
    with pytest.raises(Unauthenticated):
        Verifier([KEY_A]).verify({}, BODY_A, TS_A)


@pytest.mark.parametrize(
    "key",
    [
        "", "secret", "whsec_", "whsec_!", "whsec_é", "whsec_" + "A" * 31, "whsec_" + base64.b64encode(b"x" * 23).decode(),
        "whsec_" + base64.b64encode(b"x" * 65).decode(), "whsk_AAAA", "whpk_AAAA", "whsk_" + "A" * 86 + "==",
    ],
)  # fmt: skip
def test_a_bad_key_is_named_without_being_shown(key):
    with pytest.raises(Invalid) as bad:
        Signer([key])
    assert bad.value.code == "KEY_INVALID"
    assert len(key) < 8 or key not in str(bad.value.failure)


def test_no_key_at_all_is_an_error():
    for made in (Signer, Verifier):
        with pytest.raises(Invalid):
            made([])


def test_new_keys_are_different_and_readable():
    assert generate_secret() != generate_secret()
    key = generate_private_key()
    signed = Signer([key]).sign("m", 1, b"x")
    assert Verifier([read_key(key).public]).verify(headers_of("m", 1, signed), b"x", 1) == "m"
    with pytest.raises(ValueError, match="24 to 64"):
        generate_secret(23)
