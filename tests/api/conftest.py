from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.api.world import Place, World
from tests.support.databases import empty

if TYPE_CHECKING:
    from collections.abc import Iterator

_HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)  # before xdist puts the group into the id
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of a module on one worker: its world takes longer to make than most of them."""
    for item in items:
        if item.path.parent == _HERE:
            item.add_marker(pytest.mark.xdist_group(f"api-{item.path.stem}"))


@pytest.fixture(scope="module")
def world(reused_database: str) -> Iterator[World]:
    """The application on a database of this module's own."""
    world = World(reused_database)
    world.open()
    yield world
    world.close()
    empty(reused_database)


@pytest.fixture(scope="module")
def alpha(world: World) -> Place:
    """A workspace that holds something of everything."""
    return world.place("first", "alpha")
