from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from server.runtime.embedded import EmbeddedPostgres, EmbeddedRedis
from tests.faults.burst import Site
from tests.support.fleet import Fleet

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with Site() as site:
        yield site


@pytest.fixture(scope="module")
def running_fleet() -> Iterator[Fleet]:
    """One fleet on servers of its own for all tests of a module: it has to outlive every fault of theirs anyway."""
    with tempfile.TemporaryDirectory(prefix="crossdock-test-") as name:
        folder = Path(name)
        postgres, redis = EmbeddedPostgres(folder / "postgres"), EmbeddedRedis(folder / "redis")
        try:
            postgres.start()
            redis.start()
            with Fleet(postgres, redis, folder) as fleet:
                yield fleet
        finally:
            redis.stop()
            postgres.stop()


@pytest.fixture
def fleet(running_fleet: Fleet) -> Fleet:
    """The fleet with every process at work."""
    running_fleet.mend()
    return running_fleet
