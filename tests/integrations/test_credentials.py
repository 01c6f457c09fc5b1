"""Credentials: each scheme shows what it should, and a token is asked for once by however many need it."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import threading
import time
from contextlib import contextmanager

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from sqlalchemy import text

from server.access.keyring import KeyRing, new_key
from server.integrations.assertions import Assertions
from server.integrations.auth_fields import OURS
from server.integrations.credentials import Keychain
from server.kernel.clock import SystemClock
from server.kernel.errors import Invalid, Permanent, Postponed, Retryable
from server.store import Store
from server.transport.addresses import AddressPolicy
from tests.support.receiver import Answer
from tests.support.token_server import basic_of, form_of

RING = new_key("k1")


def pem(private):
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


KEYS = {
    "RS256": pem(rsa.generate_private_key(65537, 2048)),
    "ES256": pem(ec.generate_private_key(ec.SECP256R1())),
    "EdDSA": pem(ed25519.Ed25519PrivateKey.generate()),
    "HS256": "shared-secret-of-thirty-two-bytes!",
}


def public(alg):
    if alg == "HS256":
        return KEYS[alg]
    return jwt.get_algorithm_by_name(alg).prepare_key(KEYS[alg]).public_key()


@contextmanager
def process(database_url, *, ring=RING, allow=("127.0.0.0/8",)):
    """What one process has: connections and a memory of its own."""
    store = Store(database_url, "crossdock_engine")
    keychain = Keychain(store, KeyRing.read(ring), SystemClock(), lambda _: AddressPolicy(allow))
    try:
        yield keychain
    finally:
        keychain.close()
        store.close()


@pytest.fixture
def keychain(product):
    with process(product.settings.database_url) as made:
        yield made


def sql(product, statement):
    with product.core.engine.engine.begin() as conn:
        return conn.execute(text(statement))


def together(count, work):
    """Run `work(number)` in that many threads, which start at one moment; return what came of each."""
    results, barrier = [None] * count, threading.Barrier(count)

    def run(number):
        barrier.wait(10)
        try:
            results[number] = work(number)
        except Exception as error:  # noqa: BLE001 - what a thread raised is a result
            results[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return results


@pytest.mark.parametrize(
    ("auth", "headers", "query"),
    [
        ({"scheme": "bearer", "token": "t"}, {"Authorization": "Bearer t"}, {}),
        ({"scheme": "basic", "username": "u", "password": "p:ü"}, {"Authorization": "Basic dTpwOsO8"}, {}),
        ({"scheme": "api_key", "header": "X-Key", "key": "k"}, {"X-Key": "k"}, {}),
        ({"scheme": "api_key", "query": "key", "key": "k"}, {}, {"key": "k"}),
    ],
)
def test_a_fixed_credential_is_there_at_once(product, keychain, auth, headers, query):
    found = keychain.credentials(product.scope, auth)
    assert (found.ready(), found.obtain(), found.query) == (headers, headers, query)
    assert found.renewed(headers) is None
    assert {auth.get("token", auth.get("password", auth.get("key")))} <= set(found.secrets)


def test_every_token_that_we_sign_says_what_a_declaration_may_not(product):
    auth = {"alg": "ES256", "key": KEYS["ES256"], "claims": {"nbf": 1_767_225_600}}
    made = Assertions(auth, product.core.clock)
    tokens = [made.make({}), made.make({}), made.for_client("us", "https://a"), made.for_grant("us", "https://a")]
    said = [jwt.decode(each, options={"verify_signature": False}) for each in tokens]
    assert all(set(OURS) <= set(each) for each in said)
    assert len({each["jti"] for each in said}) == len(said)
    assert {each["nbf"] for each in said} == {1_767_225_600}


@pytest.mark.parametrize("alg", list(KEYS))
def test_a_token_that_we_sign_says_what_was_declared_and_lives_as_long(product, keychain, alg):
    auth = {"scheme": "jwt", "alg": alg, "key": KEYS[alg], "kid": "K1", "lifetime": "20m"}
    found = keychain.credentials(product.scope, auth | {"claims": {"iss": "us", "aud": "them", "n": 1}})
    token = found.ready()["Authorization"].removeprefix("Bearer ")
    claims = jwt.decode(token, public(alg), algorithms=[alg], audience="them")
    assert {name: claims[name] for name in ("iss", "aud", "n")} == {"iss": "us", "aud": "them", "n": 1}
    assert (claims["exp"] - claims["iat"], jwt.get_unverified_header(token)["kid"]) == (1200, "K1")
    assert found.ready() == {"Authorization": f"Bearer {token}"}
    assert {token, KEYS[alg]} <= set(found.secrets)


@pytest.mark.parametrize(
    ("alg", "key"),
    [
        ("RS256", KEYS["ES256"]),
        ("ES256", KEYS["RS256"]),
        ("RS256", "no pem"),
        ("HS256", "short"),
        ("HS256", KEYS["RS256"]),
    ],
)
def test_a_key_that_is_none_for_the_algorithm_is_named_without_being_shown(product, keychain, alg, key):
    with pytest.raises(Invalid) as error:
        keychain.credentials(product.scope, {"scheme": "jwt", "alg": alg, "key": key})
    assert error.value.code == "AUTH_KEY_INVALID"
    assert key not in str(error.value.failure)


@pytest.mark.parametrize(
    ("more", "expected", "pair"),
    [
        ({"client_id": "u:s", "client_secret": "a b"}, {"grant_type": "client_credentials"}, "u%3As:a+b"),
        (
            {"client_auth": "body", "scope": "a b", "audience": "x", "params": {"resource": "r"}},
            {
                "grant_type": "client_credentials",
                "client_id": "us",
                "client_secret": "client-s3cr3t",
                "scope": "a b",
                "audience": "x",
                "resource": "r",
            },
            None,
        ),
    ],
)
def test_a_client_shows_its_secret_where_the_server_wants_it(product, keychain, token_server, more, expected, pair):
    assert (
        keychain.credentials(product.scope, token_server.auth(**more)).obtain()["Authorization"].startswith("Bearer t")
    )
    assert form_of(token_server.hits[0]) == expected
    assert (basic_of(token_server.hits[0]) if pair else token_server.hits[0].headers.get("authorization")) == pair


def test_a_client_can_sign_an_assertion_in_place_of_a_secret(product, keychain, token_server):
    auth = token_server.auth(jwt={"alg": "ES256", "key": KEYS["ES256"]})
    del auth["client_secret"]
    keychain.credentials(product.scope, auth).obtain()
    form = form_of(token_server.hits[0])
    assert form["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    claims = jwt.decode(form["client_assertion"], public("ES256"), algorithms=["ES256"], audience=auth["token_url"])
    assert (claims["iss"], claims["sub"], form["client_id"]) == ("us", "us", "us")
    assert claims["jti"]


def test_an_assertion_can_itself_be_exchanged_for_a_token_as_google_wants_it(product, keychain, token_server):
    claims = {"iss": "robot@example.iam", "scope": "https://a https://b"}
    auth = token_server.auth(grant="jwt-bearer", jwt={"alg": "RS256", "key": KEYS["RS256"], "claims": claims})
    del auth["client_secret"], auth["client_id"]
    keychain.credentials(product.scope, auth).obtain()
    form = form_of(token_server.hits[0])
    assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    said = jwt.decode(form["assertion"], public("RS256"), algorithms=["RS256"], audience=auth["token_url"])
    assert said["iss"] == "robot@example.iam"
    assert "sub" not in said


def test_twenty_threads_of_four_processes_cause_one_token_request(product, token_server):
    token_server.delay = 0.3
    url = product.settings.database_url
    with process(url) as a, process(url) as b, process(url) as c, process(url) as d:
        processes = [a, b, c, d]
        shown = together(
            20, lambda n: processes[n % 4].credentials(product.scope, token_server.auth()).obtain()["Authorization"]
        )
        assert set(shown) == {"Bearer token-1-s3cr3t"}
        assert token_server.asked == 1
        assert all(each.credentials(product.scope, token_server.auth()).ready() for each in processes)


def test_a_token_is_renewed_before_it_ends_and_once_for_all_processes(product, token_server):
    token_server.lifetime = 2
    url = product.settings.database_url
    with process(url) as a, process(url) as b:
        found = [each.credentials(product.scope, token_server.auth()) for each in (a, b)]
        end = time.monotonic() + 4.2

        def work(number):
            bad = 0
            while time.monotonic() < end:
                credentials = found[number % 2]
                bad += not token_server.good((credentials.ready() or credentials.obtain())["Authorization"])
                time.sleep(0.005)
            return bad

        assert together(8, work) == [0] * 8
    assert token_server.asked in (2, 3)


def test_a_401_makes_one_new_token_and_a_second_401_none(product, keychain, token_server):
    url = product.settings.database_url
    found = keychain.credentials(product.scope, token_server.auth())
    first = found.obtain()
    second = found.renewed(first)
    assert second == {"Authorization": "Bearer token-2-s3cr3t"}
    assert found.renewed(second) is None
    with process(url) as other:
        elsewhere = other.credentials(product.scope, token_server.auth())
        assert elsewhere.renewed(first) == second
        assert elsewhere.renewed(second) is None
    assert token_server.asked == 2
    sql(product, "UPDATE credential_tokens SET forced_at = now() - interval '31 seconds'")
    assert found.renewed(second) == {"Authorization": "Bearer token-3-s3cr3t"}


def test_a_401_in_many_threads_at_once_makes_one_new_token(product, token_server):
    url = product.settings.database_url
    with process(url) as a, process(url) as b:
        found = [each.credentials(product.scope, token_server.auth()) for each in (a, b)]
        first = found[0].obtain()
        token_server.delay = 0.2
        assert together(10, lambda n: found[n % 2].renewed(first)) == [{"Authorization": "Bearer token-2-s3cr3t"}] * 10
    assert token_server.asked == 2


@pytest.mark.parametrize("answer", [Answer(503), Answer(429, {"Retry-After": "7"}), Answer(500, body=b"{}"), None])
def test_a_token_server_that_is_away_postpones_and_is_not_asked_by_others_meanwhile(product, token_server, answer):
    auth = token_server.auth()
    token_server.says = answer
    if answer is None:
        auth["token_url"] = "http://127.0.0.1:9/token"
    with process(product.settings.database_url) as a, process(product.settings.database_url) as b:
        failures = together(6, lambda n: [a, b][n % 2].credentials(product.scope, auth).obtain())
    assert {type(each) for each in failures} == {Postponed}
    assert {each.code for each in failures} == {"TOKEN_UNAVAILABLE"}
    assert all(0 < each.after <= (7.1 if answer and answer.headers else 1.1) for each in failures)
    assert token_server.asked == (1 if answer else 0)


def test_the_pause_after_failures_grows_and_ends_with_the_first_token(product, token_server, database_url):
    token_server.says = Answer(503)
    for seconds in (1, 2, 4):
        with process(database_url) as each, pytest.raises(Postponed) as error:
            each.credentials(product.scope, token_server.auth()).obtain()
        assert seconds - 0.5 < error.value.after <= seconds
        sql(product, "UPDATE credential_tokens SET retry_at = now()")
    token_server.says = None
    with process(database_url) as each:
        assert each.credentials(product.scope, token_server.auth()).obtain()
    assert sql(product, "SELECT failures, retry_at FROM credential_tokens").all() == [(0, None)]


@pytest.mark.parametrize(
    "answer",
    [
        Answer(400, body=b'{"error": "invalid_client", "error_description": "client-s3cr3t"}'), Answer(401), Answer(302),
        Answer(200, body=b"<html>"), Answer(200, body=b'{"token": "x"}'), Answer(200, body=b'{"access_token": "a b"}'),
        Answer(200, body=b'{"access_token": 1}'), Answer(200, body=b'["access_token"]'),
        Answer(200, body=b'{"access_token": "a", "token_type": "mac"}'),
        Answer(200, body=b'{"access_token": "' + b"a" * 20_000 + b'"}'),
    ],
)  # fmt: skip
def test_a_token_server_that_refuses_us_is_a_failure_that_people_see(product, keychain, token_server, answer):
    token_server.says = answer
    for _ in range(2):
        with pytest.raises(Retryable) as error:
            keychain.credentials(product.scope, token_server.auth()).obtain()
        assert (error.value.code, error.value.source) == ("TOKEN_REFUSED", "auth")
        assert "client-s3cr3t" not in json.dumps(error.value.failure.as_dict())
    assert token_server.asked == 1


def test_a_token_that_holds_is_used_while_its_successor_cannot_be_had(product, token_server, database_url):
    with process(database_url) as each:
        each.credentials(product.scope, token_server.auth()).obtain()
    sql(
        product,
        "UPDATE credential_tokens SET expires_at = now() + interval '40 seconds', asked_at = now() - interval '1 hour'",
    )
    token_server.says = Answer(503)
    with process(database_url) as a, process(database_url) as b:
        for each in (a, b):
            shown = together(3, lambda _, each=each: each.credentials(product.scope, token_server.auth()).obtain())
            assert shown == [{"Authorization": "Bearer token-1-s3cr3t"}] * 3
        assert token_server.asked == 2
    sql(product, "UPDATE credential_tokens SET expires_at = now()")
    with process(database_url) as each, pytest.raises(Postponed):
        each.credentials(product.scope, token_server.auth()).obtain()


def test_who_dies_while_asking_is_replaced_when_its_lease_ends(product, keychain, token_server):
    sql(
        product,
        f"INSERT INTO credential_tokens (workspace_id, fingerprint) VALUES ({product.scope.workspace_id}, 'other')",
    )
    found = keychain.credentials(product.scope, token_server.auth())
    found.obtain()
    sql(
        product,
        """UPDATE credential_tokens SET lease = gen_random_uuid(), leased_until = now() + interval '700 ms',
           expires_at = now()""",
    )
    with process(product.settings.database_url) as other:
        began = time.monotonic()
        assert other.credentials(product.scope, token_server.auth()).obtain() == {
            "Authorization": "Bearer token-2-s3cr3t"
        }
        assert 0.3 < time.monotonic() - began < 3


def test_another_secret_or_another_workspace_has_a_token_of_its_own(product, keychain, token_server):
    other = product.workspace("default", "other")
    shown = [
        keychain.credentials(product.scope, token_server.auth()).obtain(),
        keychain.credentials(product.scope, token_server.auth(client_secret="rotated")).obtain(),
        keychain.credentials(other, token_server.auth()).obtain(),
    ]
    assert token_server.asked == len({each["Authorization"] for each in shown}) == 3
    rows = sql(product, "SELECT workspace_id FROM credential_tokens ORDER BY workspace_id").all()
    assert [row.workspace_id for row in rows].count(other.workspace_id) == 1


def test_a_token_moved_to_another_workspace_is_not_readable_there(product, keychain, token_server):
    other = product.workspace("default", "other")
    keychain.credentials(product.scope, token_server.auth()).obtain()
    sql(product, f"UPDATE credential_tokens SET workspace_id = {other.workspace_id}")
    with process(product.settings.database_url) as each:
        assert each.credentials(other, token_server.auth()).obtain() == {"Authorization": "Bearer token-2-s3cr3t"}


def test_the_row_holds_neither_token_nor_secret_and_a_new_ring_makes_a_new_token(product, keychain, token_server):
    keychain.credentials(product.scope, token_server.auth()).obtain()
    row = sql(product, "SELECT * FROM credential_tokens").one()
    for canary in ("token-1-s3cr3t", "client-s3cr3t"):
        assert canary not in str(row)
        assert canary.encode() not in bytes(row.ciphertext)
    with process(product.settings.database_url, ring=new_key("k2")) as each:
        assert each.credentials(product.scope, token_server.auth()).obtain() == {
            "Authorization": "Bearer token-2-s3cr3t"
        }


@pytest.mark.parametrize("url", ["http://169.254.169.254/token", "http://127.0.0.1:1/token", "http://[::1]/token"])
def test_a_token_url_that_must_not_be_reached_is_not(product, token_server, url):
    with process(product.settings.database_url, allow=()) as each, pytest.raises(Permanent) as refused:
        each.credentials(product.scope, token_server.auth(token_url=url)).obtain()
    assert refused.value.code == "ADDRESS_REFUSED"
    assert sql(product, "SELECT lease FROM credential_tokens").all() == [(None,)]


def test_an_event_loop_goes_on_while_a_token_is_asked_for_and_many_wait_for_one_thread(product, keychain, token_server):
    token_server.delay = 0.3
    before = set(threading.enumerate())

    async def work():
        found = keychain.credentials(product.scope, token_server.auth())
        assert found.ready() is None
        asking = [asyncio.create_task(found.soon()) for _ in range(200)]
        ticks = 0
        while not all(each.done() for each in asking):
            await asyncio.sleep(0.01)
            ticks += 1
        shown = [each.result() for each in asking]
        again = await asyncio.gather(*(found.renewed_soon(shown[0]) for _ in range(50)))
        return ticks, shown, again

    ticks, shown, again = asyncio.run(work())
    assert ticks > 5
    assert shown == [{"Authorization": "Bearer token-1-s3cr3t"}] * 200
    assert again == [{"Authorization": "Bearer token-2-s3cr3t"}] * 50
    assert token_server.asked == 2
    assert len([each for each in set(threading.enumerate()) - before if each.name.startswith("tokens")]) <= 2


def test_what_was_made_with_a_random_secret_is_not_told_by_the_fingerprint():
    ring, new = KeyRing.read(RING), f"k2:{base64.b64encode(os.urandom(32)).decode()}"
    assert ring.fingerprints(b"a") == ring.fingerprints(b"a") != ring.fingerprints(b"b")
    assert KeyRing.read(new).fingerprints(b"a") != ring.fingerprints(b"a")
    both = KeyRing.read(f"{new},{RING}").fingerprints(b"a")
    assert both == ring.fingerprints(b"a") + KeyRing.read(new).fingerprints(b"a")
