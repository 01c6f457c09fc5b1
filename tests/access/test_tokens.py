"""Tokens: shown once, known by their hash, refused as soon as they are revoked, expired or their person is gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from server.access import members, tokens
from server.access.authentication import TokenAuthentication, local_admin
from server.kernel.errors import CrossdockError, Forbidden, Invalid, NotFound
from tests.access.conftest import CAUSE

if TYPE_CHECKING:
    from collections.abc import Callable

    from server.store import Scope, Store


def make(store: Store, engine: Store, scope: Scope, role: str = "editor", **options):
    with store.begin(scope, CAUSE) as tx:
        return tokens.create(tx, local_admin(engine, str(scope)), name="t", role=role, **options)


def change(engine: Store, sql: str) -> None:
    with engine.connect() as connection:
        connection.execute(text(sql))


@pytest.fixture
def fresh(engine: Store) -> Callable:
    """Authenticate with a memory that holds nothing."""
    return TokenAuthentication(engine, ttl=0.0)


def test_a_token_is_known_by_its_hash_alone(store: Store, engine: Store, ours: Scope, fresh: Callable):
    row, token = make(store, engine, ours)
    assert tokens.SHAPE.fullmatch(token)
    assert token.startswith(f"cdk_{row.prefix}_")
    who = fresh(token)
    assert (who.role, who.workspace, who.organization_id, who.kind) == (
        "editor",
        "default",
        ours.organization_id,
        "token",
    )
    with engine.connect() as connection:
        stored = connection.execute(text("SELECT t::text FROM tokens t")).scalar()
    assert token not in stored
    assert token.rpartition("_")[2] not in stored


def test_anything_but_the_token_is_nobody(store: Store, engine: Store, ours: Scope, fresh: Callable):
    _, token = make(store, engine, ours)
    other = "0" if token[-1] != "0" else "1"
    wrong = [
        None,
        "",
        token[:-1],
        token + "x",
        token[:-1] + other,
        token.swapcase(),
        token.replace("cdk_", "cdk-"),
        "cdk_" + "é" * 8 + "_" + "a" * 27,
        token + "\n",
        "' OR 1=1 --",
    ]
    assert [fresh(each) for each in wrong] == [None] * len(wrong)


@pytest.mark.parametrize("end", ["revoked_at = now()", "expires_at = now() - interval '1 s'"])
def test_an_ended_token_is_nobody_within_two_seconds(store: Store, engine: Store, ours: Scope, end: str):
    _, token = make(store, engine, ours)
    seconds = [100.0]
    authenticate = TokenAuthentication(engine, monotonic=lambda: seconds[0])
    assert authenticate(token) is not None
    change(engine, f"UPDATE tokens SET {end}")
    seconds[0] += 1.9
    assert authenticate(token) is not None
    seconds[0] += 0.1
    assert authenticate(token) is None


def test_a_token_is_not_remembered_beyond_its_end(store: Store, engine: Store, ours: Scope):
    _, token = make(store, engine, ours, lifetime=0.5)
    seconds = [100.0]
    authenticate = TokenAuthentication(engine, monotonic=lambda: seconds[0])
    assert authenticate(token) is not None
    seconds[0] += 0.5
    change(engine, "UPDATE tokens SET expires_at = now()")
    assert authenticate(token) is None


def test_a_known_token_costs_no_query(store: Store, engine: Store, ours: Scope):
    _, token = make(store, engine, ours)
    authenticate = TokenAuthentication(engine)
    who = authenticate(token)
    change(engine, "UPDATE tokens SET role = 'viewer'")
    assert authenticate(token) is who


def test_the_memory_of_tokens_is_bounded(store: Store, engine: Store, ours: Scope, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("server.access.authentication._MOST", 3)
    authenticate = TokenAuthentication(engine)
    for _ in range(6):
        authenticate(make(store, engine, ours)[1])
    assert len(authenticate._known) == 3


def test_the_last_use_is_kept_to_the_minute(store: Store, engine: Store, ours: Scope, fresh: Callable):
    row, token = make(store, engine, ours)
    assert row.last_used_at is None
    fresh(token)
    with store.begin(ours, CAUSE) as tx:
        first = tokens.find(tx, row.id).last_used_at
    assert first is not None
    fresh(token)
    with store.begin(ours, CAUSE) as tx:
        assert tokens.find(tx, row.id).last_used_at == first


@pytest.mark.parametrize(
    ("end", "known"),
    [
        ("UPDATE users SET name = 'still here'", True),
        ("UPDATE users SET disabled_at = now()", False),
        ("DELETE FROM memberships", False),
    ],
)
def test_a_persons_token_ends_with_the_person(
    store: Store, engine: Store, ours: Scope, fresh: Callable, end: str, known: bool
):
    with engine.begin(ours, CAUSE) as tx:
        user = members.put(tx, "a@example.com", "editor")
    _, token = make(store, engine, ours, user=user)
    change(engine, end)
    assert (fresh(token) is not None) == known


def test_a_persons_token_may_no_more_than_the_person(store: Store, engine: Store, ours: Scope, fresh: Callable):
    with engine.begin(ours, CAUSE) as tx:
        user = members.put(tx, "a@example.com", "admin")
        members.put(tx, "b@example.com", "admin")
    _, token = make(store, engine, ours, role="editor", user=user)
    assert (fresh(token).role, fresh(token).kind) == ("editor", "user")
    with engine.begin(ours, CAUSE) as tx:
        members.put(tx, "a@example.com", "viewer")
    assert fresh(token).role == "viewer"


def test_nobody_makes_a_token_stronger_than_themselves(store: Store, engine: Store, ours: Scope, fresh: Callable):
    _, token = make(store, engine, ours, role="admin", scopes=["tokens:manage", "events:publish"])
    maker = fresh(token)
    with store.begin(ours, CAUSE) as tx:
        tokens.create(tx, maker, name="t", role="operator", scopes=["events:publish"])
        for role, scopes in (("admin", []), ("viewer", []), ("operator", ["events:read"])):
            with pytest.raises(Forbidden) as caught:
                tokens.create(tx, maker, name="t", role=role, scopes=scopes)
            assert caught.value.code == "TOKEN_TOO_STRONG"


def test_a_role_or_scope_that_no_token_has_is_refused(store: Store, engine: Store, ours: Scope):
    for role, scopes in (("instance", []), ("root", []), ("viewer", ["events:publish"]), ("admin", ["x"])):
        with pytest.raises(Invalid):
            make(store, engine, ours, role=role, scopes=scopes)


def test_a_revoked_token_stays_revoked_and_is_audited_once(store: Store, engine: Store, ours: Scope):
    row, _ = make(store, engine, ours)
    with store.begin(ours, CAUSE) as tx:
        tokens.revoke(tx, row.id)
    with store.begin(ours, CAUSE) as tx:
        before = tokens.find(tx, row.id).revoked_at
        tokens.revoke(tx, row.id)
        assert tokens.find(tx, row.id).revoked_at == before
        assert tx.one("SELECT count(*) AS n FROM audit WHERE action = 'token.revoked'").n == 1


def test_a_token_of_another_workspace_is_not_found(store: Store, engine: Store, ours: Scope, theirs: Scope):
    row, _ = make(store, engine, theirs)
    with store.begin(ours, CAUSE) as tx:
        for use in (tokens.find, tokens.revoke):
            with pytest.raises(NotFound):
                use(tx, row.id)
        assert tokens.page(tx, before=None, limit=10) == []


def test_the_last_admin_stays(engine: Store, ours: Scope):
    with engine.begin(ours, CAUSE) as tx:
        members.put(tx, "a@example.com", "admin")
    for change_it in (
        lambda tx: members.put(tx, "A@example.com", "viewer"),
        lambda tx: members.remove(tx, "a@example.com"),
    ):
        with pytest.raises(CrossdockError) as caught, engine.begin(ours, CAUSE) as tx:
            change_it(tx)
        assert caught.value.code == "LAST_ADMIN"
