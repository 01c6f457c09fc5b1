from __future__ import annotations

import base64
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.telemetry import redaction
from server.telemetry.redaction import HIDDEN, hides, redact, redact_text

CANARY = "Zq7pX9canaryW3"


@pytest.mark.parametrize(
    "key",
    [
        "authorization",
        "Authorization",
        "X-Api-Key",
        "api_key",
        "apiKey",
        "accessToken",
        "password",
        "db_password",
        "client_secret",
        "Set-Cookie",
        "cookie",
        "webhook-signature",
        "private_key",
        "CROSSDOCK_KEYS",
        "secrets",
        "credentials",
    ],
)
def test_a_key_that_names_a_credential_hides_its_value(key: str) -> None:
    assert hides(key)
    assert redact({key: CANARY}) == {key: HIDDEN}
    assert CANARY not in str(redact({"headers": [{key: {"deep": CANARY}}]}))


@pytest.mark.parametrize(
    "key", ["secret_name", "token_prefix", "idempotency_key", "key", "tokens_used", "message", "order_key"]
)
def test_a_key_that_only_sounds_like_one_shows_its_value(key: str) -> None:
    assert redact({key: "shown"}) == {key: "shown"}


@pytest.mark.parametrize(
    "text",
    [
        f"sent Authorization: Bearer {CANARY}",
        f"bearer {CANARY}!",
        f"Basic {base64.b64encode(CANARY.encode()).decode()}",
        f"token cdk_{CANARY} expired",
        f"signed with whsec_{CANARY}",
        f"signed with whsk_{CANARY}",
        f"https://user:{CANARY}@example.com/x",
        f"postgresql+psycopg://crossdock:{CANARY}@127.0.0.1:5432/crossdock",
        f"GET /x?page=2&api_key={CANARY}&y=1",
        f"GET /x?access_token={CANARY}",
        f'{{"client_secret": "{CANARY}"}}',
        f"{{'password': '{CANARY}'}}",
        f"eyJhbGciOiJub25lIn0.{base64.urlsafe_b64encode(CANARY.encode()).decode().rstrip('=')}.",
        f"-----BEGIN RSA PRIVATE KEY-----\n{CANARY}\n-----END RSA PRIVATE KEY-----",
        f"-----BEGIN PRIVATE KEY-----\n{CANARY}",
        f"ghp_{CANARY}{CANARY}",
    ],
)
def test_a_text_that_holds_a_credential_loses_just_that(text: str) -> None:
    shown = redact_text(text)
    assert CANARY not in shown
    assert base64.b64encode(CANARY.encode()).decode().rstrip("=") not in shown
    assert HIDDEN in shown


@pytest.mark.parametrize(
    "text",
    [
        "A valid token is needed: `Authorization: Bearer TOKEN`.",
        "basic settings and token required",
        "https://example.com/path?page=2",
        "user@example.com wrote: hello",
        "order SO-1001 was booked at 2026-11-01T10:00:00Z",
    ],
)
def test_a_harmless_text_stays_as_it_is(text: str) -> None:
    assert redact_text(text) == text


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text() | st.binary(),
        lambda each: st.lists(each) | st.dictionaries(st.text(), each),
    )
)
def test_anything_can_be_redacted_and_twice_is_once(value: object) -> None:
    once = redact(value)
    assert redact(once) == once


@pytest.mark.parametrize(
    "hostile",
    ["?" * 8192, "'token" * 1400, "&a" * 4000, "://a:" * 1600, "-----BEGIN PRIVATE KEY-----" * 300, "Bearer " * 1100],
)
def test_hostile_text_takes_no_time(hostile: str) -> None:
    began = time.perf_counter()
    redact_text(hostile * 4)
    assert time.perf_counter() - began < 1.0


def test_long_and_deep_data_is_cut() -> None:
    deep: list[object] = []
    for _ in range(1000):
        deep = [deep]
    assert "…" in str(redact(deep))
    assert len(redact("x" * 100_000)) < 9000
    assert len(redact(list(range(10_000)))) == 200


_PIECES = st.lists(
    st.sampled_from(
        ["Bearer", "Basic", " ", "\t", "cdk_", "whsec_", "sk_live_", "rk_live_", "ghp_", "gho_", "glpat-", "xoxb-", "shpat_", "AKIA",
         "ASIA", "A1B2C3D4E5F6G7H8", "eyJ", "abcdefgh12", ".", "-----BEGIN RSA PRIVATE KEY-----", "://user:", "pass@", "?token=", "=",
         "&api_key=", "'secret': '", '"password": "', "x", "_", ":", "/"]
    ),
    max_size=8,
).map("".join)  # fmt: skip


@given(_PIECES)
def test_one_look_is_enough_only_for_what_has_no_credential(text: str) -> None:
    """The quick look may not pass what the long one would have changed."""
    changed = text
    for look, instead in redaction._LOOKS:
        changed = look.sub(instead, changed)
    assert redact_text(text) == changed
