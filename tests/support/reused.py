"""A database for a module whose server or application lives longer than one test.

A conftest imports `reused_database`; whoever is done with it calls `empty` on its URL. `database_url` needs none of this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.databases import copied, empty, text

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["emptied_database", "empty", "reused_database"]


@pytest.fixture(scope="session")
def reused_database(_database_server: str, _template: str) -> Iterator[str]:
    """The URL of a database copied from the migrated template."""
    with copied(_database_server, _template) as url:
        yield text(url)


@pytest.fixture
def emptied_database(_lent_database: str) -> str:
    """The same as `database_url`."""
    return _lent_database
