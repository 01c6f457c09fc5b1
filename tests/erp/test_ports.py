"""The ports keep their own rules, so that every ERP that answers them can be called alike."""

from __future__ import annotations

import pytest

from server.kernel.errors import declared_codes
from server.sdk import Schema
from server.sdk.ports import PORTS, Promise

PROMISES = {promise.operation.name: promise for port in PORTS for promise in port.promises}


@pytest.mark.parametrize("promise", PROMISES.values(), ids=PROMISES)
def test_a_promise_is_closed_on_its_input_and_names_what_there_is(promise: Promise) -> None:
    operation = promise.operation
    assert operation.input_schema["additionalProperties"] is False
    assert not Schema(dict(operation.input_schema)).accepts({"no_such_field": 1})
    assert set(operation.output_schema["required"]) <= set(operation.output_schema["properties"])
    assert set(promise.refuses) <= declared_codes().keys()
    assert promise.undo is None or PROMISES[promise.undo].operation.writes
    assert operation.writes or not (promise.undo or promise.events)
    assert operation.idempotent


def test_no_two_ports_promise_the_same() -> None:
    assert len(PROMISES) == sum(len(port.promises) for port in PORTS)
