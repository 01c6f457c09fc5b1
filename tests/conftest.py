"""The servers that tests run on: real ones, a PostgreSQL and a Redis per test process, started when first asked for.

Use `database_url` (an empty migrated database) and `redis_url` (an empty Redis); a test that kills its server asks for
`postgres_server` or `redis_server`, which are its own. A server that does not start fails the test: nothing is skipped.
With CROSSDOCK_TEST_DATABASE_URL (a role that may create databases) and CROSSDOCK_TEST_REDIS_URL (its databases 1 to 15
are flushed) the suite runs on servers of the machine's own.

Things shared by tests live in `tests/support/` and are imported as `from tests.support.receiver import Receiver`: the
editable install puts the root of the repository on the path, and `--import-mode=importlib` needs no `__init__.py`.
"""

from __future__ import annotations

import gc
import os
import tempfile
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import redis

from server.runtime.embedded import FAST, EmbeddedPostgres, EmbeddedRedis
from tests.support.databases import Lent, copied, text
from tests.support.scheduling import ByFile, long_ones_first

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.product import Product
    from tests.support.receiver import Receiver

_OWN_DATABASE = os.environ.get("CROSSDOCK_TEST_DATABASE_URL", "")
_OWN_REDIS = os.environ.get("CROSSDOCK_TEST_REDIS_URL", "")


@pytest.fixture(scope="session", autouse=True)
def _no_settings_from_outside() -> None:
    """Tests say what they need: the settings of whoever runs them do not count."""
    for name in ("DATABASE_URL", "REDIS_URL", "OTEL_EXPORTER_OTLP_ENDPOINT"):
        os.environ.pop(name, None)
    for name in [
        each for each in os.environ if each.startswith("CROSSDOCK_") and not each.startswith("CROSSDOCK_TEST_")
    ]:
        del os.environ[name]


@pytest.fixture(scope="session")
def server_folder() -> Iterator[Path]:
    """A short folder for the servers of this process."""
    with tempfile.TemporaryDirectory(prefix="crossdock-test-") as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def _database_server(server_folder: Path) -> Iterator[str]:
    """The URL of a maintenance database on the server of this process."""
    if _OWN_DATABASE:
        yield _OWN_DATABASE
        return
    server = EmbeddedPostgres(server_folder / "postgres", FAST | {"autovacuum": "off"})
    server.start()
    with server.connect() as connection:  # a test opens a dozen connections, and half the cost of each is its password
        connection.execute("SET scram_iterations = 1")
        connection.execute(f"ALTER ROLE crossdock PASSWORD '{server.password}'".encode())
    yield server.url_of("postgres")
    server.stop()


@pytest.fixture(scope="session")
def _template(_database_server: str) -> Iterator[str]:
    """The name of a database with every migration, from which others are copied."""
    from server.store.migrate import upgrade  # here, so that tests without a database do not need what it needs

    with copied(_database_server) as url:
        upgrade(text(url))
        yield str(url.database)


@pytest.fixture(scope="session")
def _lent(_database_server: str, _template: str) -> Iterator[Lent]:
    lent = Lent(_database_server, _template)
    yield lent
    lent.close()


@pytest.fixture
def database_url(_lent: Lent) -> Iterator[str]:
    """The URL of a migrated, empty database that no other test uses at the same time, nor finds anything of this one in."""
    yield _lent.take()
    _lent.give_back()


@pytest.fixture(scope="session")
def reused_database(_database_server: str, _template: str) -> Iterator[str]:
    """The same for modules whose server outlives a test, one after the other: whoever is done `empty`s it."""
    with copied(_database_server, _template) as url:
        yield text(url)


@pytest.fixture
def empty_database_url(_database_server: str) -> Iterator[str]:
    """The URL of a fresh database without any table: for tests of the migrations."""
    with copied(_database_server) as url:
        yield text(url)


@pytest.fixture(scope="session")
def _redis_urls(server_folder: Path, worker_id: str) -> Iterator[Iterator[str]]:
    """The databases of the Redis of this process, each in its turn."""
    if _OWN_REDIS:
        number = 1 + int(worker_id.removeprefix("gw")) % 15 if worker_id.startswith("gw") else 15
        yield cycle([f"{_OWN_REDIS}{'&' if '?' in _OWN_REDIS else '?'}db={number}"])
        return
    server = EmbeddedRedis(server_folder / "redis")
    first = server.start()
    yield cycle([first.replace("db=0", f"db={number}") for number in range(16)])
    server.stop()


@pytest.fixture
def redis_url(_redis_urls: Iterator[str]) -> str:
    """The URL of an empty Redis that no other test uses at the same time, nor whoever the last one left behind at work."""
    url = next(_redis_urls)
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    return url


@pytest.fixture
def redis_server() -> Iterator[EmbeddedRedis]:
    """A running Redis of this test's own, which it may kill, stop, hang and start again."""
    with tempfile.TemporaryDirectory(prefix="crossdock-test-") as folder:
        server = EmbeddedRedis(Path(folder) / "redis")
        server.start()
        yield server
        server.stop()


@pytest.fixture
def postgres_server() -> Iterator[EmbeddedPostgres]:
    """A running, durable, empty PostgreSQL of this test's own, which it may kill, stop, hang and start again."""
    with tempfile.TemporaryDirectory(prefix="crossdock-test-") as folder:
        server = EmbeddedPostgres(Path(folder) / "postgres")
        server.start()
        yield server
        server.stop()


@pytest.fixture
def product(database_url: str) -> Iterator[Product]:
    """The product in one process, on a database of this test's own."""
    from tests.support.product import Product  # here, so that tests without it do not import it all

    product = Product(database_url)
    yield product
    product.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A real HTTP receiver on loopback."""
    from tests.support.receiver import Receiver

    with Receiver() as receiver:
        yield receiver


def pytest_collection_finish() -> None:
    """Leave what was imported and collected out of every later look for garbage."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    long_ones_first(items)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    return ByFile(config, log)
