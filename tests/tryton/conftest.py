"""One Tryton server for all tests of it: they run on one worker, so that no second one starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import requests

from server.sdk.port_inputs.stage import Stage
from tests.tryton.calling import world_of
from tests.tryton.company import Company
from tests.tryton.server import TrytonServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server.sdk.port_inputs.stage import World
    from tests.support.product import Product


@pytest.fixture(scope="session")
def tryton_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrytonServer]:
    with TrytonServer(tmp_path_factory.mktemp("tryton")) as server:
        yield server


@pytest.fixture(scope="session")
def erp(tryton_server: TrytonServer) -> Iterator[World]:
    with requests.Session() as session:
        yield world_of(tryton_server.config, session)


@pytest.fixture(scope="session")
def stage(erp: World) -> Stage:
    return Stage(erp)


@pytest.fixture
def company(request: pytest.FixtureRequest, product: Product, tryton_server: TrytonServer) -> Iterator[Company]:
    """The company of a module, which names the flows that it declares in `FLOWS`, and a worker for it."""
    made = Company(product, tryton_server, *request.module.FLOWS)
    with product.worker():
        yield made
