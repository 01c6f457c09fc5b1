from __future__ import annotations

import pytest

from tests.support.reused import emptied_database, reused_database  # noqa: F401 (fixtures)


@pytest.fixture
def database_url(emptied_database: str) -> str:  # noqa: F811
    """One migrated database for all tests of this room, emptied after each."""
    return emptied_database
