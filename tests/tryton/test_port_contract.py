"""The contract of ports on a real Tryton. All operations one by one take a minute: `make faults` does that."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from plugins.tryton.adapter import ANSWERED, TrytonAdapter
from server.sdk.port_inputs import INPUTS
from server.sdk.testing_ports import breaches, deal_won, order_fulfilled, tried

if TYPE_CHECKING:
    from server.sdk.port_inputs.stage import Stage

FEW = (
    "customers.upsert",
    "products.upsert",
    "deals.upsert",
    "inventory.adjust_stock",
    "payments.record",
    "orders.update",
)


def test_every_operation_that_is_answered_is_tried() -> None:
    assert ANSWERED.keys() == INPUTS.keys()
    assert set(FEW) < INPUTS.keys()


@pytest.mark.timeout(600)
def test_the_calls_of_a_won_deal_work_twice_and_are_undone(stage: Stage) -> None:
    assert list(deal_won(stage)) == []


def test_the_calls_of_a_fulfilment_work_twice_and_are_undone(stage: Stage) -> None:
    assert list(order_fulfilled(stage)) == []


@pytest.mark.parametrize("name", FEW)
def test_the_operation_keeps_its_promise(stage: Stage, name: str) -> None:
    assert list(breaches(stage, name)) == []


@pytest.mark.faults
@pytest.mark.parametrize("name", [each for each in tried(TrytonAdapter()) if each not in FEW])
def test_each_operation_keeps_its_promise(stage: Stage, name: str) -> None:
    assert list(breaches(stage, name)) == []
