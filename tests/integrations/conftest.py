from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.token_server import TokenServer

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def token_server() -> Iterator[TokenServer]:
    """A server that issues tokens, at 127.0.0.1."""
    with TokenServer() as running:
        yield running
