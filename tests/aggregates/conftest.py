"""A store that journals and publishes, two workspaces on it, and repositories of both makes."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import pytest

from server.events.catalogue import Catalogue
from server.events.publishing import Publisher
from server.kernel.clock import ManualClock, SystemClock
from server.store import Cause, Scope, Store, Tx
from server.store.repository import MemoryRepository, SqlRepository
from server.webhooks.aggregate import Webhook
from tests.support.tenants import make_workspace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from server.store.repository import Repository

ANNA = Cause("user:anna", "cor_1", "evt_0")


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    """The API's store: fenced into one workspace, journal and events written before each commit."""
    publisher = Publisher(SystemClock(), Catalogue(), [])
    store = Store(database_url, "crossdock_api", before_commit=[publisher.publish_journal])
    yield store
    store.close()


@pytest.fixture
def scope(database_url: str) -> Scope:
    return make_workspace(database_url)


@pytest.fixture
def neighbour(database_url: str, scope: Scope) -> Scope:
    return make_workspace(database_url, "rival")


class Kept:
    """A repository and the transactions that go with it."""

    def __init__(self, repository: Repository[Webhook], begin: Callable[[Scope], AbstractContextManager[Tx]]) -> None:
        self.repository = repository
        self.begin = begin


@contextmanager
def _in_memory(scope: Scope) -> Iterator[Tx]:
    tx = Tx(cast("Any", None), scope, ANNA)
    yield tx
    for aggregate in tx.seen:
        aggregate.committed()


@pytest.fixture(params=["sql", "memory"])
def kept(request: pytest.FixtureRequest) -> Kept:
    """Webhooks in SQL and in memory: one contract."""
    if request.param == "memory":
        clock = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
        return Kept(MemoryRepository(Webhook, clock), _in_memory)
    store = request.getfixturevalue("store")
    return Kept(SqlRepository("webhooks", Webhook), lambda scope: store.begin(scope, ANNA))


@pytest.fixture
def two_scopes(request: pytest.FixtureRequest, kept: Kept) -> tuple[Scope, Scope]:
    """Two workspaces; in memory their ids are enough."""
    if isinstance(kept.repository, MemoryRepository):
        return Scope(1, 1), Scope(2, 2)
    return request.getfixturevalue("scope"), request.getfixturevalue("neighbour")
