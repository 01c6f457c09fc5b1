"""What a source is given is good for as long as it is read."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from plugins.http.mock import HttpApiMock
from server.integrations.calls import Caller
from server.integrations.guards import Call
from server.integrations.plugins import discover
from server.kernel.clock import SystemClock
from server.sdk import ReadRequest
from server.syncs import ends
from server.transport.addresses import AddressPolicy

if TYPE_CHECKING:
    import pytest

PAGES = {
    "path": "/records/offset",
    "records": "data.items",
    "pagination": {"kind": "offset", "param": "offset", "size_param": "limit", "size": 3},
}


def test_the_last_page_of_a_slice_has_the_whole_time_of_a_call_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ends, "_KEPT_SECONDS", 0.1)
    caller = Caller(clock=SystemClock())
    with HttpApiMock() as mock:
        mock.records.fill(range(6))
        call = Call(
            organization="default",
            workspace="default",
            integration="it",
            plugin=discover()["http"],
            operation="resource.list",
            input={},
            config=mock.config,
            addresses=AddressPolicy(["127.0.0.0/8"]),
            correlation_id="cor_1",
            timeout=5.0,
        )
        pages = ends.SourceEnd(caller, call).pages(ReadRequest(options=PAGES, primary_key=("id",)))
        assert len(next(pages).rows) == 3
        time.sleep(0.3)
        assert len(next(pages).rows) == 3
    caller.close()
