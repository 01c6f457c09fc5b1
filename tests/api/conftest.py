from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.api.world import Place, World
from tests.support.databases import empty

if TYPE_CHECKING:
    from collections.abc import Iterator


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
