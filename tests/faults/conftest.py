from __future__ import annotations

import itertools
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from server.runtime.embedded import EmbeddedPostgres, EmbeddedRedis
from tests.faults.burst import Burst, Site, type_of
from tests.support.fleet import Fleet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from server.store import Scope
    from tests.faults.forms import Form

_NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with Site() as site:
        yield site


@pytest.fixture(scope="module")
def running_fleet(request: pytest.FixtureRequest) -> Iterator[Fleet]:
    """One fleet on servers of its own for all tests of a module: it has to outlive every fault of theirs anyway.

    A module whose fleet is another one says so in `FLEET`, the keywords of `Fleet`.
    """
    with tempfile.TemporaryDirectory(prefix="crossdock-test-") as name:
        folder = Path(name)
        postgres, redis = EmbeddedPostgres(folder / "postgres"), EmbeddedRedis(folder / "redis")
        try:
            postgres.start()
            redis.start()
            with Fleet(postgres, redis, folder, **getattr(request.module, "FLEET", {})) as fleet:
                yield fleet
        finally:
            redis.stop()
            postgres.stop()


@pytest.fixture
def fleet(running_fleet: Fleet) -> Fleet:
    """The fleet with every process at work."""
    running_fleet.mend()
    return running_fleet


@pytest.fixture
def shoot(fleet: Fleet, site: Site) -> Callable[..., Burst]:
    """Begin a burst at a webhook of its own."""

    def begin(
        form: Form, name: str = "", scope: Scope | None = None, path: str = "", webhook: Any = None, **more: Any
    ) -> Burst:
        name = name or f"burst-{next(_NUMBERS)}"
        path = path or f"/{name}"
        body = {
            "events": [type_of(name)],
            "max_in_flight": 50,
            "retry": {"schedule": ["1s"] * 20, "jitter": 0.2},
            **(webhook or {}),
        }
        fleet.product.webhook(name, site.url + path, scope, **body)
        token = fleet.token(scope)
        return Burst(site, fleet.urls, token, name, count=form.count, rate=form.rate, path=path, **more)

    return begin
