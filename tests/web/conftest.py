from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from server.store import Store
from tests.support.reused import emptied_database, reused_database  # noqa: F401 (fixtures)
from tests.web.toy import prepare, toy_app

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask import Flask
    from flask.testing import FlaskClient


@pytest.fixture
def database_url(request: pytest.FixtureRequest) -> str:
    """One database for all tests of this folder, empty for each."""
    url: str = request.getfixturevalue("emptied_database")
    return url


@pytest.fixture
def engine(database_url: str) -> Iterator[Store]:
    store = Store(database_url, "crossdock_engine")
    prepare(store)
    yield store
    store.close()


@pytest.fixture
def store(database_url: str, engine: Store) -> Iterator[Store]:
    store = Store(database_url, "crossdock_api", pool=30)
    yield store
    store.close()


@pytest.fixture(scope="session")
def nowhere() -> Store:
    """A store whose database is away: for what must be answered without one."""
    return Store("postgresql+psycopg://nobody@127.0.0.1:1/nothing", "crossdock_api")


@pytest.fixture
def bare(nowhere: Store) -> FlaskClient:
    """A client of the toy application without a database."""
    return toy_app(nowhere).test_client()


@pytest.fixture
def app(store: Store) -> Flask:
    return toy_app(store)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()
