from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.oncall import new_token, pages_app, sign_in
from tests.support.product import Product
from tests.support.receiver import Receiver

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask import Flask
    from flask.testing import FlaskClient


@pytest.fixture
def product(database_url: str) -> Iterator[Product]:
    product = Product(database_url)
    yield product
    product.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def app(product: Product) -> Flask:
    return pages_app(product)


@pytest.fixture
def operator(app: Flask, product: Product) -> FlaskClient:
    """A browser in which an operator is signed in."""
    client = app.test_client()
    assert sign_in(client, new_token(product)).status_code == 303
    return client
