"""What is special about this plugin: values of Tryton's, references that remember calls, and what it refuses."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import requests

from plugins.tryton.adapter import ANSWERED, TrytonAdapter
from plugins.tryton.generated import FOLDER, WRITTEN
from plugins.tryton.mock import TrytonMock
from plugins.tryton.shipments import Shipment
from plugins.tryton.syncing import LISTED
from plugins.tryton.values import amount, decoded, encoded, goods
from server.sdk import CallRequest, Permanent
from server.sdk.plugin import load_plugin
from server.sdk.testing import Rig

PLUGIN = load_plugin(Path(__file__).parent, "plugins.tryton")


def call(mock: TrytonMock, operation: str, **given: Any) -> dict[str, Any]:
    with requests.Session() as session:
        context = Rig(PLUGIN, lambda _seconds: session).context(mock)
        return TrytonAdapter().execute(CallRequest(operation, given), context)


@pytest.mark.parametrize("name", WRITTEN)
def test_what_is_generated_is_up_to_date(name: str) -> None:
    text = (FOLDER / name).read_text("utf-8")
    assert WRITTEN[name](text) == text, "python -m plugins.tryton.generated"


def test_values_come_back_as_they_were_sent() -> None:
    values: dict[str, Any] = {
        "decimal": Decimal("1.50"),
        "day": date(2026, 11, 23),
        "moment": datetime(2026, 11, 23, 1, 2, 3, 4, tzinfo=UTC),
        "span": timedelta(days=2),
        "list": [{"deep": Decimal(1)}, None, True, "text", 1.5],
    }
    assert decoded(encoded(values)) == values


@pytest.mark.parametrize(("value", "text"), [(None, "0.00"), (Decimal("-0.001"), "0.00"), (Decimal("2.345"), "2.35")])
def test_money_has_two_places(value: Decimal | None, text: str) -> None:
    assert amount(value) == text


@pytest.mark.parametrize(("value", "number"), [(5.0, 5), (0.1 + 0.2, 0.3), (None, 0)])
def test_a_quantity_is_whole_where_it_can_be(value: float | None, number: float) -> None:
    assert goods(value) == number


def test_a_shipment_remembers_the_last_call_of_each_operation() -> None:
    shipment = Shipment(reference=None, state="assigned")
    shipment["reference"] = shipment.after("inventory.reserve_stock k1")
    shipment["reference"] = shipment.after("warehouse.create_picking k1")
    shipment["reference"] = shipment.after("inventory.reserve_stock k2")
    assert shipment["reference"] == "warehouse.create_picking k1 | inventory.reserve_stock k2"
    assert [shipment.did(f"inventory.reserve_stock {key}") for key in ("k1", "k2")] == [False, True]
    assert shipment.noted("inventory.reserve_stock") == "inventory.reserve_stock k2"
    assert not shipment.did(None)


def test_what_tryton_has_no_notion_of_names_port_and_operation() -> None:
    with TrytonMock() as mock, pytest.raises(Permanent) as refused:
        call(mock, "orders.set_priority", order_id="1", priority="high")
    assert refused.value.code == "NOT_SUPPORTED_HERE"
    assert not refused.value.retryable
    assert refused.value.details == {"port": "orders", "operation": "orders.set_priority"}


def test_no_operation_is_both_answered_and_refused() -> None:
    names = {each.name for each in TrytonAdapter.operations} - {each.name for each in LISTED}
    assert names == ANSWERED.keys() | TrytonAdapter.not_supported
    assert not ANSWERED.keys() & TrytonAdapter.not_supported
