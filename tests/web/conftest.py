from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from server.store import Store
from tests.support.databases import Lent, copied, text
from tests.web.toy import make_table, make_tenants, toy_app

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask import Flask
    from flask.testing import FlaskClient


@pytest.fixture(scope="session")
def _lent(_database_server: str, _template: str) -> Iterator[Lent]:
    """Databases that have the toys' table too."""
    with copied(_database_server, _template) as url:
        store = Store(text(url), "crossdock_engine")
        make_table(store)
        store.close()
        lent = Lent(_database_server, str(url.database))
        yield lent
        lent.close()


@pytest.fixture
def engine(database_url: str) -> Iterator[Store]:
    store = Store(database_url, "crossdock_engine")
    make_tenants(store)
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
