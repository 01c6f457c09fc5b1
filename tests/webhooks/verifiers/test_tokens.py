"""JSON Web Tokens: the definition says which algorithms count, the set which keys, and a token has to be for us and of now."""

from __future__ import annotations

import base64
import contextlib
import json

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from server.kernel.errors import Invalid, Permanent, Retryable, Unauthenticated, Unavailable
from server.webhooks.inbound.arrived import Arrived
from server.webhooks.verifiers.registry import schemes

NOW = 1_700_000_000
URL = "https://sender.example/jwks"
SECRET = "a-secret-of-32-bytes-for-hs256!!"
PRIVATE = rsa.generate_private_key(65537, 2048)
OTHER = rsa.generate_private_key(65537, 2048)
SHORT = rsa.generate_private_key(65537, 1024)  # noqa: S505 - what has to be refused
CURVE = ec.generate_private_key(ec.SECP256R1())
PUBLIC_PEM = PRIVATE.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)
HS256 = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
SAID = {"iss": "https://sender.example", "aud": "crossdock", "sub": "hook", "iat": NOW, "exp": NOW + 300}
BY_SET = {"algorithms": ["RS256", "ES256"], "jwks_url": URL, "issuer": SAID["iss"], "audience": "crossdock"}


def jwk(key, **more):
    algorithm = jwt.algorithms.RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else jwt.algorithms.ECAlgorithm
    return {**json.loads(algorithm.to_jwk(key.public_key())), **more}


class Sets:
    """The port by which keys come: what stands there now, and how often it was asked for anew."""

    def __init__(self, *keys):
        self.keys = list(keys)
        self.body = None
        self.anew = 0
        self.failure = None

    def __call__(self, url, *, anew=False):
        assert url == URL
        self.anew += anew
        if self.failure:
            raise self.failure
        return self.body if self.body is not None else json.dumps({"keys": self.keys}).encode()


def verifier(declared, keys=(), fetch=None):
    return schemes()["jwt"].make({"scheme": "jwt", **declared}, keys, fetch or Sets())


def sent(token, **more):
    return Arrived(method="POST", path="in", headers={"authorization": f"Bearer {token}"}, body=b"{}", **more)


def signed(claims=None, key=SECRET, algorithm="HS256", **head):
    payload = json.dumps(SAID if claims is None else claims).encode()
    return jwt.PyJWS().encode(payload, key, algorithm=algorithm, headers=head)


def refused(verify, request, now=NOW):
    with pytest.raises(Unauthenticated) as error:
        verify.verify(request, now)
    return error.value.code == "SIGNATURE_REFUSED"


BY_SECRET = {"algorithms": ["HS256"], "issuer": SAID["iss"], "audience": "crossdock"}


def test_a_token_by_any_of_the_secrets_is_taken_and_its_plain_claims_are_told():
    verified = verifier(BY_SECRET, ["another-secret-of-32-bytes-long!", SECRET]).verify(sent(signed()), NOW)
    assert verified.claims == {"iss": "https://sender.example", "sub": "hook", "aud": "crossdock"}
    assert verified.replay_key is None


@pytest.mark.parametrize(
    "changed",
    [
        {"exp": None}, {"iat": None}, {"exp": NOW - 31}, {"iat": NOW + 31}, {"nbf": NOW + 31}, {"nbf": "x"},
        {"exp": str(NOW + 300)}, {"exp": True}, {"exp": float("inf")}, {"exp": float("nan")}, {"exp": 10**400},
        {"iat": []}, {"iss": None}, {"iss": "https://sender.example/"}, {"iss": ["https://sender.example"]},
        {"aud": None}, {"aud": "other"}, {"aud": ["other"]}, {"aud": {"crossdock": 1}}, {"aud": "CROSSDOCK"},
    ],
)  # fmt: skip
def test_a_token_that_is_not_of_now_or_not_for_us_is_refused(changed):
    claims = {name: value for name, value in {**SAID, **changed}.items() if value is not None}
    assert refused(verifier(BY_SECRET, [SECRET]), sent(signed(claims)))


@pytest.mark.parametrize("changed", [{"aud": ["other", "crossdock"]}, {"exp": NOW - 29}, {"nbf": NOW + 29}, {"jti": 7}])
def test_a_token_that_is_just_good_is_taken(changed):
    verifier(BY_SECRET, [SECRET]).verify(sent(signed({**SAID, **changed})), NOW)


def test_claims_that_the_definition_names_have_to_be_said_exactly():
    verify = verifier({**BY_SECRET, "claims": {"email": "a@example.com", "email_verified": True}}, [SECRET])
    verify.verify(sent(signed({**SAID, "email": "a@example.com", "email_verified": True})), NOW)
    for said in ({}, {"email": "a@example.com"}, {"email": "a@example.com", "email_verified": 1}):
        assert refused(verify, sent(signed({**SAID, **said})))


def test_a_token_made_too_long_ago_is_refused_whatever_it_says():
    verify = verifier({**BY_SECRET, "max_age": "1h"}, [SECRET])
    verify.verify(sent(signed({**SAID, "exp": NOW + 10**6})), NOW + 3600)
    assert refused(verify, sent(signed({**SAID, "exp": NOW + 10**6})), NOW + 3631)


def encoded(head, payload=None, signature=b""):
    parts = [json.dumps(head).encode(), json.dumps(SAID if payload is None else payload).encode(), signature]
    return ".".join(base64.urlsafe_b64encode(each).decode().rstrip("=") for each in parts)


@pytest.mark.parametrize("algorithm", ["none", "nOnE", "NONE", "", "HS512", "RS256", None, 7, ["HS256"]])
def test_the_token_never_says_which_algorithm_counts(algorithm):
    assert refused(verifier(BY_SECRET, [SECRET]), sent(encoded({"alg": algorithm}) + "AA"))
    assert refused(verifier(BY_SECRET, [SECRET]), sent(encoded({"alg": algorithm})))


def test_a_public_key_is_no_shared_secret():
    verify = verifier({**BY_SECRET, "algorithms": ["RS256"]}, [PUBLIC_PEM.decode()])
    verify.verify(sent(signed(key=PRIVATE, algorithm="RS256")), NOW)
    head, payload = encoded({"alg": "HS256"}).split(".")[:2]
    mac = HS256.sign(f"{head}.{payload}".encode(), PUBLIC_PEM)
    assert refused(verify, sent(f"{head}.{payload}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"))
    both = {**BY_SECRET, "algorithms": ["HS256", "RS256"]}
    assert refused(verifier(both, [PUBLIC_PEM.decode()]), sent(f"{head}.{payload}.{'A' * 43}"))


@pytest.mark.parametrize(
    ("algorithms", "key"),
    [
        (["HS256"], "s3cret"),
        (["HS512"], SECRET),
        (["RS256"], "text"),
        (["RS256"], ""),
        (["HS256"], PUBLIC_PEM.decode()),
    ],
)
def test_a_key_that_is_none_for_its_algorithm_is_an_error_that_does_not_show_it(algorithms, key):
    with pytest.raises(Invalid) as error:
        verifier({"algorithms": algorithms}, [key])
    assert error.value.code == "KEY_INVALID"
    assert not key or key not in error.value.message


@pytest.mark.parametrize("head", [{"crit": ["x"], "x": 1}, {"b64": False}, {"kid": 7}, {"kid": None, "crit": []}])
def test_heads_that_ask_for_what_we_do_not_know_are_refused(head):
    head, payload = encoded({"alg": "HS256", **head}).split(".")[:2]
    mac = HS256.sign(f"{head}.{payload}".encode(), SECRET.encode())
    token = f"{head}.{payload}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"
    assert refused(verifier(BY_SECRET, [SECRET]), sent(token))


@pytest.mark.parametrize("name", ["jku", "x5u", "jwk", "x5c"])
def test_keys_that_a_token_brings_along_are_not_looked_at(name):
    brought = {"jku": "https://evil.example/jwks", "x5u": "https://evil.example/c", "jwk": jwk(OTHER), "x5c": ["MA=="]}
    token = signed(key=OTHER, algorithm="RS256", kid="a", **{name: brought[name]})
    assert refused(verifier(BY_SET, fetch=Sets(jwk(PRIVATE, kid="a"))), sent(token))


@pytest.mark.parametrize(
    "value", ["", "Bearer", "Bearer ", "Basic a.b.c", "a.b.c", "Bearer a.b", "Bearer a.b.c.d", "Bearer é.b.c", "Bearer a b.c.d"]
)  # fmt: skip
def test_what_is_no_bearer_token_is_refused(value):
    assert refused(
        verifier(BY_SECRET, [SECRET]), Arrived(method="POST", path="in", headers={"authorization": value}, body=b"")
    )


def test_another_header_holds_the_token_bare_or_behind_bearer():
    verify = verifier({**BY_SECRET, "header": "X-Token"}, [SECRET])
    for value in (signed(), f"Bearer {signed()}"):
        verify.verify(Arrived(method="POST", path="in", headers={"x-token": value}, body=b""), NOW)
    assert refused(verify, sent(signed()))


def test_a_key_set_is_searched_by_kid_and_asked_for_anew_when_one_is_unknown():
    fetch = Sets(jwk(OTHER, kid="old"))
    verify = verifier(BY_SET, fetch=fetch)
    token = signed(key=PRIVATE, algorithm="RS256", kid="new")
    assert refused(verify, sent(token))
    assert fetch.anew == 1
    fetch.keys.append(jwk(PRIVATE, kid="new", use="sig", alg="RS256"))
    verify.verify(sent(token), NOW)
    assert fetch.anew == 1
    assert refused(verify, sent(signed(key=OTHER, algorithm="RS256", kid="new")))


def test_a_token_without_a_kid_goes_by_the_only_key():
    token = signed(key=CURVE, algorithm="ES256")
    verifier(BY_SET, fetch=Sets(jwk(CURVE))).verify(sent(token), NOW)
    assert refused(verifier(BY_SET, fetch=Sets(jwk(CURVE), jwk(PRIVATE))), sent(token))


@pytest.mark.parametrize("algorithm", ["RS512", "PS256"])
def test_a_key_of_the_set_serves_the_declared_algorithms_only(algorithm):
    token = signed(key=PRIVATE, algorithm=algorithm, kid="a")
    assert refused(verifier(BY_SET, fetch=Sets(jwk(PRIVATE, kid="a"))), sent(token))
    wider = {**BY_SET, "algorithms": [algorithm]}
    verifier(wider, fetch=Sets(jwk(PRIVATE, kid="a"))).verify(sent(token), NOW)


@pytest.mark.parametrize(
    "key",
    [
        {"kty": "oct", "kid": "a", "k": base64.urlsafe_b64encode(SECRET.encode()).decode()}, jwk(PRIVATE, kid="a", use="enc"),
        jwk(PRIVATE, kid="a", alg="RS512"), jwk(PRIVATE, kid="A"), jwk(PRIVATE, kid=["a"]), {"kty": "RSA", "kid": "a"},
        {"kty": "RSA", "kid": "a", "n": 7, "e": "AQAB"}, {"kid": "a"}, "a", None, jwk(SHORT, kid="a"),
        {"kty": "EC", "kid": "a", "crv": "P-256", "x": "AA", "y": "AA"},
    ],
)  # fmt: skip
def test_a_key_of_the_set_that_does_not_fit_serves_nobody(key):
    signer = SHORT if isinstance(key, dict) and key.get("n") == jwk(SHORT)["n"] else PRIVATE
    with pytest.warns(jwt.InsecureKeyLengthWarning) if signer is SHORT else contextlib.nullcontext():
        token = signed(key=signer, algorithm="RS256", kid="a")
    assert refused(verifier(BY_SET, fetch=Sets(key)), sent(token))
    shared = {"algorithms": ["HS256"], "jwks_url": URL}
    assert refused(verifier(shared, fetch=Sets(key)), sent(signed(kid="a")))


def test_while_the_set_cannot_be_got_the_sender_may_come_again():
    fetch = Sets(jwk(PRIVATE, kid="a"))
    verify, request = verifier(BY_SET, fetch=fetch), sent(signed(key=PRIVATE, algorithm="RS256", kid="a"))
    fetch.failure = Retryable("away")
    with pytest.raises(Unavailable) as error:
        verify.verify(request, NOW)
    assert (error.value.code, error.value.after) == ("KEYS_UNAVAILABLE", 10)
    fetch.failure = Permanent("never")
    assert refused(verify, request)
    fetch.failure, fetch.body = None, b"[" * 5000
    with pytest.raises(Unavailable):
        verify.verify(request, NOW)
    fetch.body = None
    verify.verify(request, NOW)
