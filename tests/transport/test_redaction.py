from __future__ import annotations

import time

import pytest

from server.transport.redaction import hide, hide_bytes, is_secret_name, redact_headers, redact_secrets, redact_url

SECRET = "s3cr3t-Value42"


@pytest.mark.parametrize(
    "name",
    [
        "Authorization", "Proxy-Authorization", "Cookie", "Set-Cookie", "X-Api-Key", "Api-Key", "apikey", "X-API-KEY",
        "X-Auth-Token", "X-Auth-Key", "X-Auth", "X-Shopify-Access-Token", "X-Hub-Signature-256", "webhook-signature",
        "Stripe-Signature", "X-Amz-Security-Token", "token", "access_token", "client_secret", "clientSecret",
        "password",
        "key", "sig", "jwt", "Ocp-Apim-Subscription-Key", "session", "api_key",
    ],
)  # fmt: skip
def test_a_header_or_parameter_of_this_name_is_hidden(name):
    assert is_secret_name(name)
    assert SECRET not in str(redact_headers({name: SECRET}))
    assert SECRET not in redact_url(f"https://x.test/p?a=1&{name}={SECRET}#f")


@pytest.mark.parametrize(
    "name",
    [
        "webhook-id",
        "webhook-timestamp",
        "Idempotency-Key",
        "Content-Type",
        "X-Correlation-ID",
        "Retry-After",
        "keyword",
        "monkey",
        "page",
        "design",
    ],
)
def test_a_header_or_parameter_of_this_name_is_shown(name):
    assert redact_headers({name: "plain"}) == {name: "plain"}


@pytest.mark.parametrize(
    "url",
    [f"https://user:{SECRET}@x.test/", f"https://{SECRET}@x.test/", f"https://x.test/#access_token={SECRET}",
     f"https://x.test/?%74oken={SECRET}", f"https://x.test/?a;token={SECRET}"],
)  # fmt: skip
def test_a_url_is_shown_without_its_credentials(url):
    assert SECRET not in redact_url(url)
    assert redact_url(url).startswith("https://")


def test_known_secrets_are_taken_out_of_any_text():
    text = f"login with {SECRET} failed, Authorization: Bearer abcdefgh12345"
    shown = redact_secrets(text, [SECRET])
    assert SECRET not in shown
    assert "abcdefgh12345" not in shown


def test_a_header_that_comes_twice_is_joined():
    assert redact_headers([("X-A", "1"), ("X-A", "2")]) == {"X-A": "1, 2"}


@pytest.mark.parametrize("text", ["x" * 100_000, "=" * 100_000, "a=" * 50_000, "://" * 30_000, "a://" * 30_000, "@" * 100_000,
                                  "?token" * 20_000, "a" * 50_000 + "://" + "b" * 50_000, '"token": "' * 9_000])  # fmt: skip
def test_a_long_text_costs_no_more_than_its_length(text):
    started = time.perf_counter()
    redact_secrets(text, ["secret"])
    redact_url(text)
    assert time.perf_counter() - started < 0.5


def test_what_echoes_a_secret_is_shown_without_it_and_else_as_it_is():
    secrets = ['pa"ss/word', "abc"]
    echoed = {'a pa"ss/word': ["pa%22ss%2Fword", 'pa\\"ss/word', 1, None], "token=x": "abc"}
    assert hide(echoed, secrets) == {"a [redacted]": ["[redacted]", "[redacted]", 1, None], "token=x": "abc"}
    assert hide_bytes(b'\xff{"a": "pa\\"ss/word"}', secrets) == b'\xff{"a": "[redacted]"}'
    assert hide(echoed, []) is echoed
