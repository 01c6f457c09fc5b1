"""`auth` of a webhook and `auth` of an http integration: the same words, and the same verdict on every declaration."""

from __future__ import annotations

import pytest

from server.authoring.testing import test as run_tests
from tests.authoring.worlds import ORDERS, catalog, checked, codes, lines

TO_URL = ORDERS.replace("integration: warehouse", "url: https://x.example.com/hook")
THROUGH = "kind: Integration\nname: own\nplugin: http\nconfig: {base_url: 'https://x.example.com', auth: %s}\n"
S = "{secret: A}"
JWT = f"alg: ES256, key: {S}"
OAUTH = "scheme: oauth2, token_url: 'https://login.example.com/token'"
LOGIN = f"scheme: session, login_url: 'https://x.example.com/login', body: {{user: u, password: {S}}}"
GOOD = [
    f"{{scheme: bearer, token: {S}}}",
    f"{{scheme: basic, username: u, password: {S}}}",
    f"{{scheme: basic, username: {S}, password: {S}}}",
    f"{{scheme: api_key, header: X-Api-Key, key: {S}}}",
    f"{{scheme: api_key, query: key, key: {S}}}",
    f"{{{OAUTH}, client_id: us, client_secret: {S}}}",
    f"{{{OAUTH}, client_id: us, client_secret: {S}, client_auth: body, scope: a b, audience: x, params: {{resource: r}}}}",
    f"{{{OAUTH}, client_id: us, jwt: {{{JWT}, kid: k1, lifetime: 1m}}}}",
    f"{{{OAUTH}, grant: jwt-bearer, jwt: {{{JWT}, claims: {{iss: us, scope: [a], deep: {S}}}}}}}",
    f"{{scheme: jwt, {JWT}, claims: {{iss: us, aud: them}}, lifetime: 20m}}",
    f"{{scheme: jwt, {JWT}, claims: {{nbf: 1767225600}}}}",
    f"{{scheme: mtls, client_certificate: {S}, client_key: {S}}}",
    f"{{scheme: api_key, cookie_name: sid, key: {S}}}",
    f"{{{OAUTH}, client_id: us, client_secret: {S}, grant: refresh_token, refresh_token: {S}}}",
    f"{{{LOGIN}, token_path: data.token, header: X-Session, lifetime: 30m}}",
    f"{{{LOGIN}, cookie_name: sid, body_as: form}}",
    f"{{scheme: bearer, token: {S}, client_certificate: {S}, client_key: {S}}}",
]
BAD = [
    "{}",
    "[]",
    "{scheme: nine}",
    "{scheme: bearer}",
    f"{{scheme: bearer, token: {S}, password: {S}}}",
    "{scheme: bearer, token: abc}",
    f"{{scheme: basic, username: 'a:b', password: {S}}}",
    f"{{scheme: api_key, key: {S}}}",
    f"{{scheme: api_key, header: A, query: b, key: {S}}}",
    f"{{scheme: api_key, header: 'a b', key: {S}}}",
    f"{{{OAUTH}}}",
    f"{{{OAUTH}, client_secret: {S}}}",
    f"{{{OAUTH}, client_id: us, client_secret: {S}, jwt: {{{JWT}}}}}",
    f"{{{OAUTH}, client_id: us, client_auth: body, jwt: {{{JWT}}}}}",
    f"{{{OAUTH}, grant: jwt-bearer, client_id: us, client_secret: {S}}}",
    f"{{{OAUTH}, grant: password, client_id: us, client_secret: {S}}}",
    f"{{scheme: oauth2, token_url: 'ftp://x', client_id: us, client_secret: {S}}}",
    f"{{scheme: oauth2, token_url: 'https://u:p@x.example.com', client_id: us, client_secret: {S}}}",
    f"{{scheme: jwt, alg: none, key: {S}}}",
    f"{{scheme: jwt, {JWT}, claims: {{exp: 1}}}}",
    f"{{scheme: jwt, {JWT}, claims: {{jti: a}}}}",
    f"{{scheme: jwt, {JWT}, lifetime: 1s}}",
    f"{{scheme: mtls, client_certificate: {S}}}",
    f"{{scheme: bearer, token: {S}, client_key: {S}}}",
    f"{{scheme: api_key, header: A, cookie_name: b, key: {S}}}",
    f"{{{OAUTH}, client_id: us, client_secret: {S}, grant: refresh_token}}",
    f"{{{OAUTH}, client_id: us, client_secret: {S}, refresh_token: {S}}}",
    f"{{{LOGIN}}}",
    f"{{{LOGIN}, token_path: a, cookie_name: b}}",
]


@pytest.mark.parametrize("auth", GOOD)
def test_every_way_to_show_who_we_are_is_declared_alike_for_webhooks_and_integrations(auth):
    assert lines(checked(f"{TO_URL}auth: {auth}\n", THROUGH % auth)) == []


@pytest.mark.parametrize("auth", BAD)
def test_what_could_not_work_is_a_finding_in_both(auth):
    assert codes(checked(f"{TO_URL}auth: {auth}\n")) != []
    if auth != "{scheme: bearer, token: abc}":  # a plugin's config may hold literals
        assert codes(checked(THROUGH % auth)) != []


@pytest.mark.parametrize(
    ("more", "place"),
    [
        ("request: {headers: {authorization: '{{ data.order_id }}'}}\n", f"auth: {{scheme: bearer, token: {S}}}\n"),
        ("request: {headers: {x-shop: a}}\n", f"auth: {{scheme: api_key, header: X-Shop, key: {S}}}\n"),
    ],
)
def test_a_header_is_not_written_twice(more, place):
    assert codes(checked(TO_URL + place + more)) == ["CONTRADICTION"]


def test_an_integration_has_an_auth_of_its_own():
    assert codes(checked(f"{ORDERS}auth: {GOOD[0]}\n")) == ["CONTRADICTION"]


def test_a_token_url_that_must_not_be_reached_is_refused_at_check():
    auth = f"{{scheme: oauth2, token_url: 'http://169.254.169.254/t', client_id: us, client_secret: {S}}}"
    assert codes(checked(f"{TO_URL}auth: {auth}\n")) == ["ADDRESS_REFUSED"]


@pytest.mark.parametrize(
    ("auth", "headers"),
    [
        (GOOD[0], "{Authorization: Bearer <token>}"),
        (GOOD[1], "{Authorization: Basic <credentials>}"),
        (GOOD[3], "{X-Api-Key: <key>}"),
        (GOOD[5], "{Authorization: Bearer <token>}"),
        (GOOD[9], "{Authorization: Bearer <token>}"),
        (GOOD[10], "{Content-Type: application/json}"),
    ],
)
def test_a_test_sees_what_is_shown_without_any_secret(auth, headers):
    tests = (
        "tests:\n  - name: shown\n    given: {event: order.created, data: {order_id: a, total: '1'}}\n"
        f"    expect: {{requests: [{{headers: {headers}}}]}}\n"
    )
    result = checked(f"{TO_URL}auth: {auth}\n{tests}")
    assert lines(result) == []
    assert [each.differences for each in run_tests(result.documents, catalog()).outcomes] == [()]
