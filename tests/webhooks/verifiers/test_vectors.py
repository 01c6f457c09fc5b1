"""Every scheme has requests that others made: they are taken as they came, and refused with any byte changed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from server.kernel.errors import Permanent, Unauthenticated
from server.sdk.signing import generate_private_key, generate_secret, read_key
from server.webhooks.inbound.arrived import Arrived
from server.webhooks.verifiers.registry import schemes

VECTORS = [
    pytest.param(scheme, vector, id=f"{scheme.name}: {vector.about}")
    for scheme in schemes().values()
    for vector in scheme.vectors
]
PROVING = [each for each in VECTORS if each.values[0].name != "none" and each.values[1].accepted]


def made_of(scheme, vector):
    def fetch(url, *, anew=False):
        if url not in vector.fetched:
            raise Permanent("no 200")
        return vector.fetched[url]

    return scheme.make({"scheme": scheme.name, **vector.declared}, vector.keys, fetch)


def refused(verify, request, now):
    with pytest.raises(Unauthenticated) as error:
        verify.verify(request, now)
    return (error.value.code, error.value.message) == ("SIGNATURE_REFUSED", "the signature is refused")


@pytest.mark.parametrize("scheme", schemes().values(), ids=schemes())
def test_every_scheme_has_a_vector_that_it_accepts(scheme):
    assert any(each.accepted for each in scheme.vectors)


@pytest.mark.parametrize(("scheme", "vector"), VECTORS)
def test_a_vector_is_taken_or_refused_as_it_says(scheme, vector):
    verify, request = made_of(scheme, vector), Arrived(**vector.request)
    if vector.accepted:
        verify.verify(request, vector.now)
    else:
        assert refused(verify, request, vector.now)


@pytest.mark.parametrize(("scheme", "vector"), PROVING)
def test_a_vector_without_any_of_its_headers_is_refused(scheme, vector):
    bare = replace(Arrived(**vector.request), headers={}, query="", client="", peer_trusted=False)
    assert refused(made_of(scheme, vector), bare, vector.now)


def proof_of(vector):
    return vector.proof if vector.proof is not None else tuple(vector.request.get("headers", {}))


COVERING = [each for each in PROVING if each.values[0].covers_body]
TIMED = [
    each
    for each in PROVING
    if made_of(*each.values).verify(Arrived(**each.values[1].request), each.values[1].now).replay_key is not None
]


@pytest.mark.parametrize(("scheme", "vector"), COVERING)
def test_one_other_byte_of_the_body_is_refused(scheme, vector):
    verify, request = made_of(scheme, vector), Arrived(**vector.request)
    for place in range(len(request.body)):
        body = bytearray(request.body)
        body[place] ^= 1
        assert refused(verify, replace(request, body=bytes(body)), vector.now)
    for body in (b"", request.body[:-1], request.body + b" ", b"\xef\xbb\xbf" + request.body):
        assert refused(verify, replace(request, body=body), vector.now)


@pytest.mark.parametrize(("scheme", "vector"), PROVING)
def test_one_other_byte_of_the_proof_is_refused(scheme, vector):
    verify, request = made_of(scheme, vector), Arrived(**vector.request)
    for name in proof_of(vector):
        value = request.headers[name]
        for place in range(len(value)):
            changed = value[:place] + chr(ord(value[place]) ^ 1) + value[place + 1 :]
            assert refused(verify, replace(request, headers={**request.headers, name: changed}), vector.now)


@pytest.mark.parametrize(("scheme", "vector"), PROVING)
def test_a_proof_that_is_not_there_cut_short_or_there_twice_is_refused(scheme, vector):
    verify, request = made_of(scheme, vector), Arrived(**vector.request)
    for name in proof_of(vector):
        value = request.headers[name]
        for changed in ("", value[:-3], value + "é", "é", "\x00", "a" * 100_000):
            assert refused(verify, replace(request, headers={**request.headers, name: changed}), vector.now)
        without = {each: text for each, text in request.headers.items() if each != name}
        assert refused(verify, replace(request, headers=without), vector.now)
        assert refused(verify, replace(request, repeated=frozenset({name})), vector.now)


@pytest.mark.parametrize(("scheme", "vector"), [each for each in PROVING if each.values[1].keys])
def test_another_key_is_refused(scheme, vector):
    others = {"whsec_": generate_secret(), "whpk_": read_key(generate_private_key()).public}
    keys = [others.get(each.partition("_")[0] + "_", f"{each}x") for each in vector.keys]
    verify = made_of(scheme, replace(vector, keys=keys))
    assert refused(verify, Arrived(**vector.request), vector.now)


@pytest.mark.parametrize(("scheme", "vector"), TIMED)
def test_a_timestamp_counts_for_five_minutes_either_way(scheme, vector):
    verify, request = made_of(scheme, vector), Arrived(**vector.request)
    for difference in (-300, 300):
        verify.verify(request, vector.now + difference)
    for difference in (-301, 301, 10**9, -(10**9)):
        assert refused(verify, request, vector.now + difference)


@pytest.mark.parametrize(("scheme", "vector"), TIMED)
def test_a_replay_has_the_same_key_whatever_is_added_that_is_not_signed(scheme, vector):
    verify, request = made_of(scheme, vector), Arrived(**vector.request)
    again = replace(request, headers={**request.headers, "x-other": "1"}, client="192.0.2.1")
    assert verify.verify(request, vector.now).replay_key == verify.verify(again, vector.now + 10).replay_key


def test_the_schemes_with_a_signed_time_or_id_are_those_that_know_a_replay():
    assert {each.values[0].name for each in TIMED} == {
        "hmac",
        "paypal",
        "slack",
        "standard-webhooks",
        "stripe",
        "svix",
    }
