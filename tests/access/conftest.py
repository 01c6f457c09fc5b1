from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from server.access import tokens
from server.access.api import Access, blueprint
from server.access.authentication import TokenAuthentication, local_admin
from server.access.keyring import KeyRing, new_key
from server.access.networks import Networks
from server.access.secrets import Secrets
from server.access.tenants import create_workspace, ensure_default, scope_of
from server.access.throttle import AuthenticationFailures
from server.app import create_app
from server.config import Settings
from server.store import Cause, Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from flask import Flask
    from flask.testing import FlaskClient

    from server.store import Scope
    from server.web.principals import Authenticate

CAUSE = Cause("user:tester", "cor_test")


@dataclass
class Services:
    settings: Settings
    store: Store
    authenticate: Authenticate
    failures: AuthenticationFailures
    blueprints: Sequence
    observers: list[Callable] = field(default_factory=list)
    directs: tuple = ()
    doors: tuple = ()


@pytest.fixture
def engine(database_url: str) -> Iterator[Store]:
    store = Store(database_url, "crossdock_engine")
    yield store
    store.close()


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    store = Store(database_url, "crossdock_api")
    yield store
    store.close()


@pytest.fixture
def ours(engine: Store) -> Scope:
    return ensure_default(engine)


@pytest.fixture
def theirs(engine: Store, ours: Scope) -> Scope:
    """Another workspace of the same organization."""
    with engine.begin(ours, CAUSE) as tx:
        create_workspace(tx, "other")
    return scope_of(engine, "default/other")


@pytest.fixture
def ring() -> KeyRing:
    return KeyRing.read(new_key("k1"))


@pytest.fixture
def secrets(ring: KeyRing) -> Secrets:
    return Secrets(ring)


@pytest.fixture
def authenticate(engine: Store) -> TokenAuthentication:
    return TokenAuthentication(engine)


@pytest.fixture
def app(store: Store, engine: Store, secrets: Secrets, authenticate: TokenAuthentication, ours: Scope) -> Flask:
    room = blueprint(Access(store, engine, secrets, Networks(engine, ["10.0.0.0/8", "fd00::/8"])))
    return create_app(Services(Settings(), store, authenticate, AuthenticationFailures(), [room]))


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def token_for(store: Store, engine: Store, ours: Scope) -> Callable[..., dict[str, str]]:
    """Make a token and return the header that presents it."""

    def make(role: str = "admin", scope: Scope = ours, **options) -> dict[str, str]:
        maker = local_admin(engine, str(scope))
        with store.begin(scope, CAUSE) as tx:
            _, token = tokens.create(tx, maker, name=role, role=role, **options)
        return {"Authorization": f"Bearer {token}"}

    return make
