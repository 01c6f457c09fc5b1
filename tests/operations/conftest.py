from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.product import Product

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def product(database_url: str) -> Iterator[Product]:
    product = Product(database_url)
    yield product
    product.close()
