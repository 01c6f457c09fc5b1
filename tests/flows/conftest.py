"""A product whose flows run in the test's own process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.flows.running import Flowing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.product import Product


@pytest.fixture
def flows(product: Product) -> Iterator[Flowing]:
    """Flows, and an integration `erp` that does as it is told."""
    flowing = Flowing(product)
    yield flowing
    flowing.close()
