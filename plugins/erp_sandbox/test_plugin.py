"""What is special about this plugin and needs no database; the rest is in `tests/erp`, on SQLite and on PostgreSQL."""

from __future__ import annotations

from pathlib import Path
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
    promises = {promise.operation.name: promise for port in PORTS for promise in port.promises}
    assert {each.name for each in ERP.operations} == {*promises, SEED.name}
    for name, promise in promises.items():
        assert promise.undo is None or promise.undo in promises
        assert ERP.operation(name) is promise.operation


def listing() -> str:
    """Return the table of operations that the README shows."""
    lines = ["| port | operation | does | undone by | tells |", "|---|---|---|---|---|"]
    for port in PORTS:
        for promise in port.promises:
            undo = f"`{promise.undo}`" if promise.undo else ""
            told = ", ".join(f"`{each}`" for each in promise.events)
            lines.append(f"| {port.name} | `{promise.operation.name}` | {promise.operation.about} | {undo} | {told} |")
    lines.append(f"| | `{SEED.name}` | {SEED.about} | | |")
    return "\n".join(lines)


def test_the_readme_lists_every_operation() -> None:
    readme = (Path(__file__).parent / "README.md").read_text("utf-8")
    assert listing() in readme, f"the README's table of operations is to be:\n{listing()}"
