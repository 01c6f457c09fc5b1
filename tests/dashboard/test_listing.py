"""A list goes on with the filters that it began with."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from server.dashboard.listing import PAGE, turns
from server.kernel.ids import new_uuid

if TYPE_CHECKING:
    from flask.testing import FlaskClient


@pytest.mark.parametrize(
    "query",
    [
        "/sync-conflicts?job=both",
        "/deliveries?webhook=w&state=dead&failed=hour",
        "/deliveries?replay=rpl_1&event=a.b",
        "/dead-letters?webhook=w&show=resolved",
    ],
)
def test_older_ones_are_of_the_same_filter(operator: FlaskClient, query: str) -> None:
    rows = [SimpleNamespace(id=new_uuid()) for _ in range(PAGE + 1)]
    with operator.application.test_request_context(f"{query}&done=retried"):
        turned = turns(rows, "listing")
    assert turned["older"].startswith(f"{query}&cursor=")
