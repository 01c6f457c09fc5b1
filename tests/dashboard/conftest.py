from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.oncall import new_token, pages_app, sign_in

if TYPE_CHECKING:
    from flask import Flask
    from flask.testing import FlaskClient

    from tests.support.product import Product


@pytest.fixture
def app(product: Product) -> Flask:
    return pages_app(product)


@pytest.fixture
def operator(app: Flask, product: Product) -> FlaskClient:
    """A browser in which an operator is signed in."""
    client = app.test_client()
    assert sign_in(client, new_token(product)).status_code == 303
    return client
