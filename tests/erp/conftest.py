"""One database for all tests of the ERP alone, which makes its schema anew in each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest
from sqlalchemy.engine import make_url

from tests.support.reused import reused_database  # noqa: F401 (a fixture)

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def sandbox_url(request: pytest.FixtureRequest) -> Iterator[str]:
    url: str = request.getfixturevalue("reused_database")
    yield url
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS plugin_erp_sandbox CASCADE")
