from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.reused import emptied_database, reused_database  # noqa: F401 (fixtures)
from tests.support.token_server import TokenServer

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def database_url(emptied_database: str) -> str:  # noqa: F811
    """One database for all tests of this folder, emptied after each."""
    return emptied_database


@pytest.fixture
def token_server() -> Iterator[TokenServer]:
    """A server that issues tokens, at 127.0.0.1."""
    with TokenServer() as running:
        yield running
