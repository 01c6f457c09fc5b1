"""What looks like a credential, and what only seems to."""

from __future__ import annotations

import pytest

from server.documents.credentials import credential_in, is_telling, known_credential

# Put together here, so that no scanner takes the tests themselves for a leak.
FORMS = [
    "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "whsk_" + "6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCub",
    "sk_" + "live_4eC39HqLyjWDarjtT1zdp7dc",
    "rk_" + "test_4eC39HqLyjWDarjtT1zdp7dc",
    "ghp_" + "16C7e42F292c6912E7710c838347Ae178B4a",
    "github_" + "pat_11ABCDEFG0123456789_abcdefghij",
    "glpat-" + "abcdefghijABCDEFGHIJ",
    "xoxb-" + "123456789012-abcdefghijkl",
    "AKIA" + "IOSFODNN7EXAMPLE",
    "AIza" + "SyA1234567890abcdefghijklmnopqrstuvw",
    "SG." + "abcdefghijklmnopqr.abcdefghijklmnopqrstuv",
    "eyJhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0",
    "-----BEGIN RSA " + "PRIVATE KEY-----",
    "Bearer " + "abcdef0123456789",
    "bearer " + "abcdef0123456789",
    "Basic " + "dXNlcjpwYXNzd29yZA==",
    "https://user:" + "pw@example.com/x",
    "https://example.com/x?api_key=" + "abcd1234",
    "postgresql://app:" + "hunter2@db.example.com/app",
    "https://hooks.slack.com/services/" + "T00000000/B00000000/abcdefghijklmnop",
]
HARMLESS = [
    "",
    "REST API of the warehouse",
    "https://warehouse.example.com/api",
    "https://example.com/a/b?page=2&size=50",
    "order.created",
    "orders-to-warehouse",
    "X-Api-Key",
    "api_key",
    "bearer",
    "Bearer {{ data.token }}",
    "A new and changed customer of the legacy database",
    "550e8400-e29b-41d4-a716-446655440000",
    "2026-11-22T10:00:00.000000Z",
    "SELECT id, name FROM customers WHERE updated_at > :since",
    "Customer-Order-Confirmation-2026-Final",
    "/hooks/orders/{{ data.order_id }}/lines",
    "application/vnd.example.v2+json",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "concat('SHOP-', text(body.id))",
    "0000000000000000000000000000000000000000",
    "mailto:someone@example.com",
    "arn:aws:iam::123456789012:role/ReadOnly",
]


@pytest.mark.parametrize("text", FORMS)
def test_a_known_form_is_a_credential_wherever_it_stands(text: str) -> None:
    assert known_credential(text)
    assert known_credential(f"prefix {text} suffix")
    assert credential_in(text, None)


@pytest.mark.parametrize("text", HARMLESS)
def test_ordinary_texts_are_no_credentials(text: str) -> None:
    assert credential_in(text, None) is None


@pytest.mark.parametrize(
    "text",
    ["d41d8cd98f00b204e9800998ecf8427e", "g0hM9SsE7OTPJTGt4tmIKtSyZlE3uFJELVlNIOLJ1OE", "3fKq9ZpX7vTn2LwYb8RcJd5Mh1"],
)
def test_a_generated_key_is_a_credential(text: str) -> None:
    assert credential_in(text, None) == "this looks like a random key"


@pytest.mark.parametrize(
    "key",
    [
        "password",
        "Password",
        "db_password",
        "apiKey",
        "api-key",
        "X-Auth-Token",
        "client_secret",
        "clientSecret",
        "token",
        "key",
        "Authorization",
        "privateKey",
        "Cookie",
    ],
)
def test_a_telling_name_makes_any_literal_a_credential(key: str) -> None:
    assert is_telling(key)
    assert credential_in("hunter2", key)
    assert credential_in(123456, key)
    assert credential_in("", key) is None
    assert credential_in("{{ data.token }}", key) is None


@pytest.mark.parametrize(
    "key",
    [
        "name",
        "keyboard",
        "primary_key",
        "sort_key",
        "idempotency_key",
        "page_token",
        "next_token",
        "tokens_used",
        "secretary",
        "public_key",
        "header",
        "token_url",
    ],
)
def test_other_names_tell_nothing(key: str) -> None:
    assert credential_in("hunter2", key) is None


def test_a_credential_is_never_shown() -> None:
    assert "hunter2" not in str(credential_in("hunter2", "password"))


@pytest.mark.parametrize(
    "text", ["a" * 256_000, "A1b" * 80_000, "://" * 80_000, "?token=" * 30_000, "eyJ" * 80_000, "://:" * 60_000]
)
def test_long_texts_are_looked_through_at_once(text: str) -> None:
    credential_in(text, "x")
