"""Whatever comes, a scheme answers with the one refusal: never another exception, never a comparison of texts."""

from __future__ import annotations

import ast
import hmac
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import server.webhooks.verifiers
from server.kernel.errors import Permanent, Unauthenticated
from server.webhooks.inbound.arrived import Arrived
from server.webhooks.verifiers.handshakes import cloudevents
from server.webhooks.verifiers.registry import schemes

MODULES = sorted(Path(server.webhooks.verifiers.__path__[0]).glob("*.py"))
CASES = [(scheme, vector) for scheme in schemes().values() for vector in scheme.vectors if scheme.name != "none"]
NAMES = [f"{scheme.name}: {vector.about}" for scheme, vector in CASES]
READ = sorted(
    {name for _, vector in CASES for name in vector.request.get("headers", {})}
    | {"authorization", "webhook-request-origin", "webhook-request-rate", "content-type"}
)
ANYTHING = st.text(st.characters(), max_size=60) | st.text(st.characters(max_codepoint=255), max_size=400)
LIKELY = st.sampled_from(
    [
        *("", "v1,", "t=1,v1=00", "sha256=", "sha256=00", "v0=", "Basic Og==", "Basic é", "%00", "9" * 400),
        *("Bearer a.b.c", "Bearer eyJhbGciOiJub25lIn0.e30.", ":MA==:", 'Cert="MA=="'),
        "-----BEGIN CERTIFICATE-----MA==-----END CERTIFICATE-----",
    ]
)


def made_of(scheme, vector):
    def fetch(url, *, anew=False):
        if url not in vector.fetched:
            raise Permanent("no 200")
        return vector.fetched[url]

    return scheme.make({"scheme": scheme.name, **vector.declared}, vector.keys, fetch)


def ask(verify, request, now):
    """Say whether the request is taken; anything but the one refusal is an exception of this test."""
    try:
        verify.handshake(request)
        cloudevents(request)
        verify.verify(request, now)
    except Unauthenticated as error:
        said = (error.code, error.message)
    else:
        return True
    assert said == ("SIGNATURE_REFUSED", "the signature is refused")
    return False


@pytest.mark.parametrize(("scheme", "vector"), CASES, ids=NAMES)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_garbage_is_refused(scheme, vector, data):
    mine = sorted(vector.request.get("headers", {})) or READ
    headers = data.draw(st.dictionaries(st.sampled_from(mine + READ), ANYTHING | LIKELY, max_size=6))
    request = Arrived(
        method=data.draw(st.sampled_from(["POST", "GET", "PUT", "OPTIONS"])),
        path="in",
        headers=headers,
        repeated=data.draw(st.frozensets(st.sampled_from(mine), max_size=2)),
        query=data.draw(
            ANYTHING | st.sampled_from(["hub.mode=subscribe&hub.verify_token=%", "bodySHA256=", "code=%ff"])
        ),
        body=data.draw(st.binary(max_size=300) | st.just(b'{"type":"url_verification","challenge":[]}')),
        client=data.draw(ANYTHING | st.just("203.0.113.9%eth0")),
        peer_trusted=True,
        host=data.draw(ANYTHING),
        scheme="https",
        target=data.draw(ANYTHING),
    )
    assert not ask(made_of(scheme, vector), request, vector.now)


@pytest.mark.parametrize(("scheme", "vector"), CASES, ids=NAMES)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_a_true_request_with_a_piece_changed_raises_nothing_else(scheme, vector, data):
    request = Arrived(**vector.request)
    headers = dict(request.headers)
    for name in data.draw(st.lists(st.sampled_from(sorted(headers)), max_size=2)) if headers else []:
        value = headers[name]
        start = data.draw(st.integers(0, len(value)))
        end = data.draw(st.integers(start, min(len(value), start + 20)))
        headers[name] = value[:start] + data.draw(ANYTHING) + value[end:]
    ask(made_of(scheme, vector), replace(request, headers=headers), vector.now)


@pytest.mark.parametrize(("scheme", "vector"), CASES, ids=NAMES)
def test_a_proof_is_compared_as_bytes_in_constant_time(scheme, vector, monkeypatch):
    compared = []
    real = hmac.compare_digest

    def recording(one, other):
        compared.append((type(one), type(other)))
        return real(one, other)

    verify, request = made_of(scheme, vector), Arrived(**vector.request)
    monkeypatch.setattr(hmac, "compare_digest", recording)
    ask(verify, request, vector.now)
    assert set(compared) <= {(bytes, bytes)}
    shared = vector.accepted and vector.keys and not any(key.startswith("whpk_") for key in vector.keys)
    assert len(compared) >= (len(vector.keys) if shared and vector.about != "v1a" else 0)


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_no_proof_is_compared_by_an_operator(module):
    telling = {"signature", "digest", "given", "secret", "seen", "shown", "password", "expected"}
    for node in ast.walk(ast.parse(module.read_text("utf-8"))):
        if isinstance(node, ast.Compare) and any(isinstance(each, ast.Eq | ast.NotEq) for each in node.ops):
            names = {
                each.id
                for side in (node.left, *node.comparators)
                for each in ast.walk(side)
                if isinstance(each, ast.Name)
            }
            assert not names & telling, f"{module.name}:{node.lineno}"


@pytest.mark.parametrize("scheme", ["standard-webhooks", "stripe"])
def test_ten_signatures_are_looked_at_and_no_more(scheme):
    vector = schemes()[scheme].vectors[0]
    verify, request = made_of(schemes()[scheme], vector), Arrived(**vector.request)
    name = "webhook-signature" if scheme == "standard-webhooks" else "stripe-signature"
    right = request.headers[name].removeprefix("t=1492774577,")
    between, wrong = (" ", "v1,AAAA") if scheme == "standard-webhooks" else (",", f"v1={'0' * 64}")
    start = "" if scheme == "standard-webhooks" else "t=1492774577,"
    for count, taken in ((9, True), (10, False), (10_000, False)):
        headers = {**request.headers, name: start + between.join([*[wrong] * count, right])}
        assert ask(verify, replace(request, headers=headers), vector.now) is taken
