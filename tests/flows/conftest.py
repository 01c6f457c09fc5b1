"""A product whose flows run in the test's own process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.flows.running import Flowing
from tests.support.reused import emptied_database, reused_database  # noqa: F401 (fixtures)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.product import Product


@pytest.fixture
def database_url(request: pytest.FixtureRequest) -> str:
    """One database for all tests of this folder, empty for each."""
    url: str = request.getfixturevalue("emptied_database")
    return url


@pytest.fixture
def flows(product: Product) -> Iterator[Flowing]:
    """Flows, and an integration `erp` that does as it is told."""
    flowing = Flowing(product)
    yield flowing
    flowing.close()
