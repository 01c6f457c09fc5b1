"""What is special about this plugin and needs no database; the rest is in `tests/erp`, on SQLite and on PostgreSQL."""

from __future__ import annotations

from typing import Any

import pytest

from plugins.erp_sandbox.adapter import ErpSandboxAdapter
from plugins.erp_sandbox.seeding import SEED
from server.sdk import CallRequest
from server.sdk.ports import PORTS

ERP = ErpSandboxAdapter()


@pytest.mark.parametrize("limit", ["-1", "1.234", "1e3", "", "NaN", 7, "01"])
def test_what_is_no_money_is_refused(limit: Any) -> None:
    request = CallRequest("customers.upsert", {"external_id": "C-1", "name": "A", "credit_limit": limit})
    assert not ERP.validate(request).is_valid


def test_the_plugin_answers_every_promise_of_its_ports() -> None:
    promised = {operation.name: operation for port in PORTS for operation in port}
    assert {each.name for each in ERP.operations} - {SEED.name} <= promised.keys()
    for port in PORTS:
        for promise in port.promises:
            assert promise.undo is None or promise.undo in promised
            assert ERP.operation(promise.operation.name) in (promise.operation, None)
