"""The embedded ERP is held to the contract of ports that a real one is held to."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from plugins.erp_sandbox.adapter import ErpSandboxAdapter
from plugins.erp_sandbox.mock import ErpSandboxMock
from server.integrations.plugins import discover
from server.integrations.scaffold import loopback_reach, loopback_session
from server.sdk.port_inputs import INPUTS
from server.sdk.port_inputs.stage import Stage, World, furnish
from server.sdk.testing import Rig
from server.sdk.testing_ports import breaches, deal_won, order_fulfilled, tried

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with ErpSandboxMock() as mock:
        base = Rig(discover()["erp_sandbox"], loopback_session, loopback_reach).context(mock, 10.0)
        config = {**mock.config, "company": "contract"}
        world = World(ErpSandboxAdapter(), lambda key: replace(base, idempotency_key=key, config=config))
        furnish(world)
        yield Stage(world)


def test_it_answers_all_that_the_contract_asks() -> None:
    assert tried(ErpSandboxAdapter()) == list(INPUTS)


def test_the_calls_of_a_won_deal_work_twice_and_are_undone(stage: Stage) -> None:
    assert list(deal_won(stage)) == []


def test_the_calls_of_a_fulfilment_work_twice_and_are_undone(stage: Stage) -> None:
    assert list(order_fulfilled(stage)) == []


@pytest.mark.parametrize("name", INPUTS)
def test_each_operation_keeps_its_promise(stage: Stage, name: str) -> None:
    assert list(breaches(stage, name)) == []
