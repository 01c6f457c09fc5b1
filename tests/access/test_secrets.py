"""Secrets: set, rotated with an overlap, bound to their place, and never shown."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.access.keyring import KeyRing, new_key, place_of
from server.access.references import env_value, resolve_config, secret_names
from server.access.secrets import Secrets, check_name, purge, rewrap
from server.kernel.errors import Invalid, NotFound, Permanent, Retryable
from tests.access.conftest import CAUSE

if TYPE_CHECKING:
    from server.store import Scope, Store


def put(store: Store, scope: Scope, secrets: Secrets, name: str, value: str) -> None:
    with store.begin(scope, CAUSE) as tx:
        secrets.set(tx, name, value)


def values(store: Store, scope: Scope, secrets: Secrets, name: str) -> list[str]:
    with store.begin(scope, CAUSE) as tx:
        return secrets.resolve(tx, name)


def test_what_is_set_is_resolved(store: Store, ours: Scope, secrets: Secrets):
    put(store, ours, secrets, "TOKEN", "first ü")
    assert values(store, ours, secrets, "TOKEN") == ["first ü"]


def test_setting_again_replaces_at_once(store: Store, ours: Scope, secrets: Secrets):
    put(store, ours, secrets, "TOKEN", "first")
    put(store, ours, secrets, "TOKEN", "second")
    assert values(store, ours, secrets, "TOKEN") == ["second"]


def test_a_rotation_keeps_the_older_value_for_the_overlap(store: Store, engine: Store, ours: Scope, secrets: Secrets):
    put(store, ours, secrets, "TOKEN", "first")
    with store.begin(ours, CAUSE) as tx:
        info = secrets.rotate(tx, "TOKEN", "second")
        assert [each.version for each in info.versions] == [2, 1]
        assert info.versions[0].valid_until is None
        assert info.versions[1].valid_until is not None
    assert values(store, ours, secrets, "TOKEN") == ["second", "first"]
    with engine.connect() as connection:
        connection.exec_driver_sql("UPDATE secrets SET valid_until = now() - interval '1 second' WHERE version = 1")
    assert values(store, ours, secrets, "TOKEN") == ["second"]
    assert purge(engine) == 1


def test_a_second_rotation_does_not_lengthen_the_first_overlap(store: Store, ours: Scope, secrets: Secrets):
    put(store, ours, secrets, "TOKEN", "first")
    with store.begin(ours, CAUSE) as tx:
        secrets.rotate(tx, "TOKEN", "second", overlap=60)
        before = secrets.get(tx, "TOKEN").versions[1].valid_until
        after = secrets.rotate(tx, "TOKEN", "third").versions[2].valid_until
    assert after == before


def test_an_overlap_of_zero_ends_the_older_value(store: Store, ours: Scope, secrets: Secrets):
    put(store, ours, secrets, "TOKEN", "first")
    with store.begin(ours, CAUSE) as tx:
        secrets.rotate(tx, "TOKEN", "second", overlap=0)
    assert values(store, ours, secrets, "TOKEN") == ["second"]


def test_a_missing_secret_has_its_own_code(store: Store, ours: Scope, theirs: Scope, secrets: Secrets):
    put(store, theirs, secrets, "TOKEN", "theirs")
    with pytest.raises(Retryable) as caught:
        values(store, ours, secrets, "TOKEN")
    assert (caught.value.code, caught.value.details) == ("SECRET_MISSING", {"secret": "TOKEN"})
    with store.begin(ours, CAUSE) as tx, pytest.raises(NotFound):
        secrets.rotate(tx, "TOKEN", "x")
    with store.begin(ours, CAUSE) as tx, pytest.raises(NotFound):
        secrets.delete(tx, "TOKEN")
    with store.begin(ours, CAUSE) as tx:
        assert secrets.missing(tx, {"TOKEN", "A"}) == ["A", "TOKEN"]


@pytest.mark.parametrize("name", ["", "1A", "a b", "a/b", "A" * 129, "ü", "A\n", "../x"])
def test_a_name_of_another_form_is_refused(name: str):
    with pytest.raises(Invalid) as caught:
        check_name(name)
    assert caught.value.code == "SECRET_NAME_INVALID"


def test_a_value_of_another_form_is_refused(store: Store, ours: Scope, secrets: Secrets):
    for value in ("", "a\x00b", "ä" * 32_769, "\ud800"):
        with store.begin(ours, CAUSE) as tx, pytest.raises(Invalid) as caught:
            secrets.set(tx, "A", value)
        assert caught.value.code == "SECRET_VALUE_INVALID"


@pytest.mark.parametrize(
    "moved",
    [
        "workspace_id = (SELECT id FROM workspaces WHERE name = 'other')",
        "name = 'OTHER'",
        "version = 7",
        "organization_id = 99",
    ],
)
def test_a_ciphertext_that_was_moved_does_not_decrypt(
    store: Store, engine: Store, ours: Scope, theirs: Scope, secrets: Secrets, moved: str
):
    put(store, ours, secrets, "TOKEN", "mine")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"UPDATE secrets SET {moved}")
    scope = theirs if "workspace_id" in moved else ours
    name = "OTHER" if "name = 'OTHER'" in moved else "TOKEN"
    if "organization_id" in moved:  # it is the transaction's organization that binds, so the row still reads
        assert values(store, scope, secrets, name) == ["mine"]
        return
    with pytest.raises(Retryable) as caught:
        values(store, scope, secrets, name)
    assert caught.value.code == "SECRET_UNREADABLE"


def test_a_changed_byte_is_noticed(store: Store, engine: Store, ours: Scope, secrets: Secrets):
    put(store, ours, secrets, "TOKEN", "mine")
    with engine.connect() as connection:
        connection.exec_driver_sql(
            "UPDATE secrets SET ciphertext = set_byte(ciphertext, 14, get_byte(ciphertext, 14) # 1)"
        )
    with pytest.raises(Retryable):
        values(store, ours, secrets, "TOKEN")


def test_the_key_ring_is_changed_without_a_gap(store: Store, engine: Store, ours: Scope, theirs: Scope):
    old, new = new_key("old"), new_key("new")
    before, both, after = (Secrets(KeyRing.read(text)) for text in (old, f"{new},{old}", new))
    put(store, ours, before, "A", "one")
    put(store, theirs, before, "A", "two")
    assert values(store, ours, both, "A") == ["one"]
    with pytest.raises(Retryable) as caught:
        values(store, ours, after, "A")
    assert caught.value.details == {"key": "old"}
    assert rewrap(engine, both.ring) == 2
    assert rewrap(engine, both.ring) == 0
    assert values(store, ours, after, "A") == ["one"]
    assert values(store, theirs, after, "A") == ["two"]


@pytest.mark.parametrize(
    "text",
    ["", "a", "a:", "a:!!!", "a:" + b64encode(b"short").decode(), new_key("a") + "," + new_key("a"), new_key("b b")],
    ids=["nothing", "no-key", "empty-key", "not-base64", "short", "same-id", "bad-id"],
)
def test_a_broken_key_ring_is_refused_without_showing_it(text: str):
    with pytest.raises(Invalid) as caught:
        KeyRing.read(text)
    assert caught.value.code == "KEY_RING_INVALID"
    assert not any(part.partition(":")[2] in caught.value.message for part in text.split(",") if part.partition(":")[2])


def test_a_key_ring_shows_its_ids_only():
    assert repr(KeyRing.read(f"{new_key('b')}, {new_key('a')}")) == "KeyRing(b, a)"


@given(st.binary(max_size=200), st.text(max_size=20), st.integers(1, 9))
def test_whatever_is_encrypted_is_decrypted_in_its_place_only(value: bytes, name: str, version: int):
    name = name.encode(errors="replace").decode()
    ring = KeyRing.read(new_key("k"))
    key_id, stored = ring.encrypt(value, place_of(1, 2, name, version))
    assert ring.decrypt(key_id, stored, place_of(1, 2, name, version)) == value
    with pytest.raises(Retryable):
        ring.decrypt(key_id, stored, place_of(1, 2, name, version + 1))


def test_references_are_resolved_wherever_they_stand(store: Store, ours: Scope, secrets: Secrets):
    put(store, ours, secrets, "A", "one")
    put(store, ours, secrets, "B", "two")
    config = {
        "auth": {"token": {"secret": "A"}, "list": [{"secret": "B"}, 1, None]},
        "base_url": {"env": "GATEWAY_URL", "default": "https://example.com"},
        "other": {"env": "REGION"},
        "not_one": {"secret": "A", "more": True},
    }
    assert secret_names(config) == {"A", "B"}
    with store.begin(ours, CAUSE) as tx:
        resolved = resolve_config(tx, secrets, config, {"REGION": "eu"})
    assert resolved == {
        "auth": {"token": "one", "list": ["two", 1, None]},
        "base_url": "https://example.com",
        "other": "eu",
        "not_one": {"secret": "A", "more": True},
    }
    assert config["auth"]["token"] == {"secret": "A"}


@pytest.mark.parametrize(
    ("name", "error", "code"),
    [
        ("UNSET", Retryable, "ENV_MISSING"),
        ("CROSSDOCK_KEYS", Permanent, "ENV_REFUSED"),
        ("DATABASE_URL", Permanent, "ENV_REFUSED"),
        ("PGPASSWORD", Permanent, "ENV_REFUSED"),
        ("AWS_SECRET_ACCESS_KEY", Permanent, "ENV_REFUSED"),
        ("GITHUB_TOKEN", Permanent, "ENV_REFUSED"),
        ("SENTRY_DSN", Permanent, "ENV_REFUSED"),
        ("QUEUE_URL", Permanent, "ENV_REFUSED"),
        ("A B", Permanent, "ENV_REFUSED"),
    ],
)
def test_the_environment_gives_no_credentials(name: str, error: type, code: str):
    env = {"CROSSDOCK_KEYS": "k:xxxx", "DATABASE_URL": "x", "QUEUE_URL": "amqp://user:hunter2@host"}
    with pytest.raises(error) as caught:
        env_value({"env": name}, env)
    assert caught.value.code == code
    assert "hunter2" not in caught.value.message
