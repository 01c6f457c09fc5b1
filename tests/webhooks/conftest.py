"""One database for all tests of webhooks, empty for each."""

from __future__ import annotations

import pytest

from tests.support.reused import emptied_database, reused_database  # noqa: F401 (fixtures)


@pytest.fixture
def database_url(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue("emptied_database")
    return url
