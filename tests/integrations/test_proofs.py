"""Who we are where each request must prove it: sessions, rotating refresh tokens, signatures, digests, cookies."""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import json
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from server.access.keyring import KeyRing, new_key
from server.integrations.credentials import AtOrigin, Keychain
from server.integrations.proofs import DigestProof
from server.integrations.token_rows import left_behind
from server.kernel.clock import SystemClock
from server.kernel.errors import Retryable
from server.store import Store
from server.transport.addresses import AddressPolicy
from server.transport.sync import Connections
from server.transport.urls import vet_url
from tests.support.receiver import Answer, Receiver
from tests.support.token_server import form_of

LOOPBACK = AddressPolicy(("127.0.0.0/8",))
RING = new_key("k1")
JSON = {"Content-Type": "application/json"}


@contextmanager
def process(product, ring=RING):
    """What one process has."""
    store = Store(product.settings.database_url, "crossdock_engine")
    keychain = Keychain(store, KeyRing.read(ring), SystemClock(), lambda _: LOOPBACK)
    try:
        yield keychain
    finally:
        keychain.close()
        store.close()


@contextmanager
def session(product, keychain, auth, url):
    connections = Connections(LOOPBACK)
    try:
        shown = AtOrigin(vet_url(url).origin, keychain.credentials(product.scope, auth))
        yield connections.session(10.0, shown)
    finally:
        connections.close()


@pytest.fixture
def keychain(product):
    with process(product) as made:
        yield made


@pytest.fixture
def api():
    with Receiver() as running:
        yield running


def test_an_api_key_stands_in_a_cookie(product, keychain):
    found = keychain.credentials(product.scope, {"scheme": "api_key", "cookie_name": "sid", "key": "k"})
    assert (found.ready(), "k" in found.secrets) == ({"Cookie": "sid=k"}, True)


@dataclass
class Login:
    """Gives `s-1`, `s-2`, … and takes only the last one."""

    cookie: bool
    given: int = 0

    def __call__(self, hit):
        if hit.path == "/login":
            assert hit.body in (b'{"user":"u","password":"p"}', b"user=u&password=p")
            self.given += 1
            if self.cookie:
                return Answer(200, {"Set-Cookie": f"sid=s-{self.given}; Path=/; HttpOnly"}, b"")
            return Answer(200, JSON, json.dumps({"data": {"token": f"s-{self.given}"}}).encode())
        shown = hit.headers.get("cookie", "") if self.cookie else hit.headers.get("x-session", "")
        return Answer(200 if shown in (f"sid=s-{self.given}", f"s-{self.given}") else 401)


@pytest.mark.parametrize(
    "more",
    [{"token_path": "data.token", "header": "X-Session"}, {"cookie_name": "sid", "body_as": "form"}],
)
def test_a_session_is_opened_once_shared_and_opened_anew_when_it_is_refused(product, keychain, api, more):
    api.answer = login = Login("cookie_name" in more)
    auth = {"scheme": "session", "login_url": f"{api.url}/login", "body": {"user": "u", "password": "p"}, **more}
    with session(product, keychain, auth, api.url) as http:
        assert [http.get(f"{api.url}/x").status_code for _ in range(3)] == [200, 200, 200]
        assert login.given == 1
        with process(product) as other, session(product, other, auth, api.url) as theirs:
            assert theirs.get(f"{api.url}/x").status_code == 200
        assert login.given == 1
        login.given = 7  # the session of before is over
        assert http.post(f"{api.url}/x", data=b"y").status_code == 200
        assert login.given == 8


@pytest.mark.parametrize(
    "answer", [Answer(401), Answer(200, JSON, b"{}"), Answer(200, JSON, b'{"data": {"token": "a b"}}')]
)
def test_a_login_that_gives_no_session_is_named_without_the_password(product, keychain, api, answer):
    api.answer = lambda _hit: answer
    auth = {
        "scheme": "session",
        "login_url": f"{api.url}/login",
        "body": {"password": "pa55word"},
        "token_path": "data.token",
    }
    with pytest.raises(Retryable) as error:
        keychain.credentials(product.scope, auth).obtain()
    assert error.value.code == "TOKEN_REFUSED"
    assert "pa55word" not in str(error.value.failure)


def rotating(first="r-0"):
    """Give a token for the last refresh token only, and with each a new one."""
    numbers, state = itertools.count(1), {"good": first, "shown": []}

    def answer(hit):
        form = form_of(hit)
        state["shown"].append(form["refresh_token"])
        if form["grant_type"] != "refresh_token" or form["refresh_token"] != state["good"]:
            return Answer(400, JSON, b'{"error": "invalid_grant"}')
        number = next(numbers)
        state["good"] = f"r-{number}"
        said = {"access_token": f"a-{number}", "refresh_token": state["good"], "expires_in": 3600}
        return Answer(200, JSON, json.dumps(said).encode())

    return answer, state


def test_each_refresh_token_is_used_once_by_all_processes_together(product, api):
    api.answer, state = rotating()
    auth = {"scheme": "oauth2", "token_url": api.url, "client_id": "us", "client_secret": "s"}
    auth |= {"grant": "refresh_token", "refresh_token": "r-0"}
    with process(product) as first, process(product) as second:
        shown = first.credentials(product.scope, auth)
        assert shown.obtain() == {"Authorization": "Bearer a-1"}
        assert shown.renewed({"Authorization": "Bearer a-1"}) == {"Authorization": "Bearer a-2"}
        assert second.credentials(product.scope, auth).obtain() == {"Authorization": "Bearer a-2"}
    with product.core.engine.engine.begin() as conn:
        conn.exec_driver_sql("UPDATE credential_tokens SET expires_at = now() WHERE fingerprint NOT LIKE '%%.refresh'")
        stored = conn.exec_driver_sql("SELECT ciphertext FROM credential_tokens").scalars().all()
    assert not any(b"r-" in bytes(each) for each in stored)
    with process(product) as third:
        assert third.credentials(product.scope, auth).obtain() == {"Authorization": "Bearer a-3"}
    assert state["shown"] == ["r-0", "r-1", "r-2"]


def test_a_refresh_token_is_kept_over_a_change_of_the_key_ring(product, api):
    api.answer, state = rotating()
    auth = {"scheme": "oauth2", "token_url": api.url, "client_id": "us", "client_secret": "s"}
    auth |= {"grant": "refresh_token", "refresh_token": "r-0"}
    new = new_key("new")

    def ask(ring):
        with process(product, ring) as asking:
            return asking.credentials(product.scope, auth).obtain()["Authorization"]

    def end():
        with product.core.engine.engine.begin() as conn:
            conn.exec_driver_sql(
                "UPDATE credential_tokens SET expires_at = now() WHERE fingerprint NOT LIKE '%%.refresh'"
            )

    def left():
        return left_behind(product.core.engine, KeyRing.read(f"{new},{RING}"))

    assert ask(RING) == "Bearer a-1"
    assert (ask(f"{new},{RING}"), left()) == ("Bearer a-1", 1)  # both know the token by the same mark
    end()
    assert (ask(f"{new},{RING}"), left()) == ("Bearer a-2", 0)
    assert ask(new) == "Bearer a-3"  # the old key is gone, and what it was known by
    end()
    assert ask(new) == "Bearer a-4"
    assert state["shown"] == ["r-0", "r-1", "r-2", "r-3"]


HMAC = {
    "scheme": "hmac",
    "key": "sign-s3cr3t",
    "key_id": "us",
    "header": "Authorization",
    "value": "HMAC {key_id}:{signature}",
    "signed": "{method}\n{path}\n{timestamp}\n{nonce}\n{body_hash}\n{body}",
    "timestamp_header": "X-Time",
    "nonce_header": "X-Nonce",
}


@pytest.mark.parametrize("encoding", ["hex", "base64"])
@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "sha512"])
def test_each_request_is_signed_over_what_is_sent(product, keychain, api, algorithm, encoding):
    def answer(hit):
        parts = ["POST" if hit.body else "GET", hit.path, hit.headers["x-time"], hit.headers["x-nonce"]]
        text = "\n".join([*parts, hashlib.new(algorithm, hit.body).hexdigest()]).encode() + b"\n" + hit.body
        digest = hmac.digest(b"sign-s3cr3t", text, algorithm)
        shown = digest.hex() if encoding == "hex" else base64.b64encode(digest).decode()
        return Answer(200 if hit.headers["authorization"] == f"HMAC us:{shown}" else 401)

    api.answer = answer
    auth = {**HMAC, "algorithm": algorithm, "encoding": encoding}
    with session(product, keychain, auth, api.url) as http:
        assert http.post(f"{api.url}/a?b=c", data=b"body").status_code == 200
        assert http.get(f"{api.url}/a").status_code == 200
    assert len({hit.headers["x-nonce"] for hit in api.hits}) == 2


def test_a_signature_that_is_refused_is_not_tried_again(product, keychain, api):
    api.answer = lambda _hit: Answer(401, {"WWW-Authenticate": "Bearer"})
    with session(product, keychain, HMAC, api.url) as http:
        assert http.get(f"{api.url}/a").status_code == 401
    assert len(api.hits) == 1


def digest_server(algorithm, quality):
    """Challenge with nonces good for two requests each, and verify the answers by the formula of RFC 7616."""
    name = {"MD5": "md5", "SHA-256": "sha256"}[algorithm.removesuffix("-sess")]
    state = {"nonce": 0, "used": set()}

    def digest(text):
        return hashlib.new(name, text.encode()).hexdigest()

    def good(hit):
        shown = hit.headers.get("authorization", "")
        said = DigestProof({"username": "", "password": ""})
        assert said.challenged(shown) or not shown
        given = said._challenge
        if given.get("nonce") != f"n{state['nonce']}" or (given["nonce"], given.get("nc")) in state["used"]:
            return False
        state["used"].add((given["nonce"], given.get("nc")))
        first = digest("us:the realm:pa55")
        if algorithm.endswith("-sess"):
            first = digest(f"{first}:{given['nonce']}:{given['cnonce']}")
        second = digest(f"GET:{hit.path}")
        middle = f"{given['nonce']}:{given['nc']}:{given['cnonce']}:auth" if quality else given["nonce"]
        return given["response"] == digest(f"{first}:{middle}:{second}") and given["uri"] == hit.path

    def answer(hit):
        if good(hit) and len([each for each in state["used"] if each[0] == f"n{state['nonce']}"]) <= 2:
            return Answer(200)
        state["nonce"] += 1
        qop = f', qop="{quality}"' if quality else ""
        challenge = f'Digest realm="the realm", nonce="n{state["nonce"]}", algorithm={algorithm}, opaque="o"{qop}'
        return Answer(401, {"WWW-Authenticate": f'Basic realm="x", {challenge}'})

    return answer


@pytest.mark.parametrize(
    ("algorithm", "quality"),
    [("MD5", ""), ("MD5", "auth"), ("SHA-256", "auth"), ("SHA-256", "auth,auth-int"), ("MD5-sess", "auth")],
)
def test_a_challenge_is_answered_and_its_nonce_used_again(product, keychain, api, algorithm, quality):
    api.answer = digest_server(algorithm, quality)
    auth = {"scheme": "digest", "username": "us", "password": "pa55"}
    with session(product, keychain, auth, api.url) as http:
        statuses = [http.get(f"{api.url}/a?b={number}").status_code for number in range(4 if quality else 1)]
    assert set(statuses) == {200}
    assert len(api.hits) == (6 if quality else 2)


def test_a_wrong_password_is_tried_once(product, keychain, api):
    api.answer = digest_server("SHA-256", "auth")
    auth = {"scheme": "digest", "username": "us", "password": "wrong"}
    with session(product, keychain, auth, api.url) as http:
        assert http.get(f"{api.url}/a").status_code == 401
    assert len(api.hits) == 2


def test_a_digest_is_that_of_rfc_7616(monkeypatch):
    monkeypatch.setattr("secrets.token_hex", lambda _size: "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ")
    proof = DigestProof({"username": "Mufasa", "password": "Circle of Life"})
    common = 'realm="http-auth@example.org", qop="auth, auth-int", nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"'
    assert proof.challenged(f"Digest {common}, algorithm=MD5, Digest {common}, algorithm=SHA-256")
    shown = proof.signed("GET", "http://www.example.org/dir/index.html", b"")["Authorization"]
    assert 'response="753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"' in shown


def test_a_webhook_cannot_go_through_what_only_calls_can_prove():
    from plugins.http.adapter import HttpAdapter

    for auth, takes in (({"scheme": "bearer", "token": "t"}, True), (HMAC, False)):
        assert HttpAdapter().endpoint({"base_url": "https://x.example.com", "auth": auth}).webhooks is takes
