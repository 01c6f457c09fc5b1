"""One database for all tests of the ERP alone, which makes its schema anew in each."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import psycopg
import pytest
import requests
from sqlalchemy import create_engine
from sqlalchemy.engine import make_url

from plugins.erp_sandbox.migrating import migrate
from server.integrations.plugin_stores import PluginStores
from server.kernel.clock import ManualClock
from server.sdk import Context, Tenant

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy.engine import Engine


@pytest.fixture
def sandbox_url(request: pytest.FixtureRequest) -> Iterator[str]:
    url: str = request.getfixturevalue("reused_database")
    yield url
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS plugin_erp_sandbox CASCADE")


@pytest.fixture(scope="session")
def empty_erp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a small file with the tables of the ERP, to be copied."""
    path = tmp_path_factory.mktemp("erp") / "empty.db"
    engine = create_engine(f"sqlite:///{path}")
    migrate(engine)
    engine.dispose()
    return path


@pytest.fixture
def small_engine(empty_erp: Path, tmp_path: Path) -> Iterator[Engine]:
    """The ERP on a small file."""
    engine = create_engine(f"sqlite:///{shutil.copy(empty_erp, tmp_path / 'erp.db')}", connect_args={"timeout": 20})
    yield engine
    engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """The same ERP on both kinds of database; a module that says the same of both may take the small one for `engine`."""
    if request.param == "sqlite":
        yield request.getfixturevalue("small_engine")
        return
    stores = PluginStores(request.getfixturevalue("sandbox_url"))
    yield stores.engine("erp_sandbox")
    stores.close()


@pytest.fixture
def context(engine: Engine) -> Context:
    """A call's context; its clock stands at 1 January 2026."""
    return Context(
        correlation_id="cor_1",
        tenant=Tenant("acme", "main"),
        user=None,
        timestamp=datetime(2026, 1, 1, tzinfo=UTC),
        http=requests.Session(),
        clock=ManualClock(datetime(2026, 1, 1, tzinfo=UTC)),
        config={},
        store=lambda: engine,
    )
