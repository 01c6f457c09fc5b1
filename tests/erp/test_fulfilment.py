"""Picking, packing and shipping use up what is reserved, in order; each is taken back exactly as it was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from plugins.erp_sandbox.inventory.reservations import MOVES
from plugins.erp_sandbox.logistics import SHIPMENT
from plugins.erp_sandbox.transitions import Transitions
from plugins.erp_sandbox.warehouse import PACKING, PICKING
from server.sdk import Permanent
from server.sdk.ports.inventory import STOCK_BOUND
from server.sdk.ports.logistics import SHIPMENT_STATUSES
from server.sdk.ports.warehouse import PACKING_STATUSES, PICKING_STATUSES
from tests.erp.calling import call, refusal, told
from tests.erp.stocking import order, product, shipped, stock

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

    from server.sdk import Context


@pytest.fixture
def engine(small_engine: Engine) -> Engine:
    """SQLite is enough here: `test_stock_together.py` has all of it on PostgreSQL."""
    return small_engine


ALLOWED = [
    (PICKING, PICKING_STATUSES, {"pack": "picked", "unpack": "packed", "cancel": "picked cancelled"}),
    (PACKING, PACKING_STATUSES, {"ship": "packed", "take back": "shipped", "cancel": "packed cancelled"}),
    (
        SHIPMENT,
        SHIPMENT_STATUSES,
        {
            "in_transit": "shipped in_transit failed",
            "delivered": "shipped in_transit failed delivered",
            "failed": "shipped in_transit failed",
            "returned": "failed returned",
            "cancel": "shipped cancelled",
        },
    ),
    (
        Transitions("reservation", STOCK_BOUND, MOVES),
        ("none", "held", "picking", "shipped", "released"),
        {
            "reserve": "none released",
            "release": "none held released",
            "pick": "held",
            "put back": "picking",
            "ship": "picking",
            "take back": "shipped",
        },
    ),
]


@pytest.mark.parametrize(("table", "statuses", "allowed"), ALLOWED, ids=lambda each: getattr(each, "noun", ""))
def test_every_transition_is_in_the_table_or_refused(
    table: Transitions, statuses: tuple[str, ...], allowed: dict[str, str]
) -> None:
    assert set(table.moves) == set(allowed)
    for verb, froms in allowed.items():
        for status in statuses:
            if status in froms.split():
                assert table.after(status, verb) in statuses
                continue
            with pytest.raises(Permanent) as refused:
                table.after(status, verb)
            assert (refused.value.code, refused.value.details["status"]) == (table.code, status)


def test_an_order_is_shipped_and_leaves_the_stock(context: Context) -> None:
    bolt = product(context, "bolt", 5)
    made = order(context, **{bolt: 3})
    done = shipped(context, made)
    assert stock(context, bolt) == (2, 0)
    assert call(context, "orders.get", order_id=made)["status"] == "shipped"
    [event] = told(context, "shipment.created")
    assert (event.subject, event.data["order_id"]) == (f"shipment/{done['shipment_id']}", made)
    for operation, key in (("warehouse.cancel_picking", "picking_id"), ("warehouse.cancel_packing", "packing_id")):
        assert refusal(context, operation, {key: done[key]}).code.endswith("_STATUS")
    assert refusal(context, "inventory.release_stock", order_id=made).code == "STOCK_BOUND"
    again = refusal(context, "logistics.create_shipment", order_id=made, packing_id=done["packing_id"])
    assert again.code == "ORDER_STATUS"


def test_all_of_it_is_taken_back_newest_first_and_twice_changes_nothing(context: Context) -> None:
    bolt = product(context, "bolt", 5)
    made = order(context, **{bolt: 3})
    done = shipped(context, made)
    steps: list[tuple[str, dict[str, Any], tuple[int, int]]] = [
        ("logistics.cancel_shipment", {"shipment_id": done["shipment_id"]}, (5, 3)),
        ("warehouse.cancel_packing", {"packing_id": done["packing_id"]}, (5, 3)),
        ("warehouse.cancel_picking", {"picking_id": done["picking_id"]}, (5, 3)),
        ("inventory.release_stock", {"order_id": made}, (5, 0)),
    ]
    for operation, given, after in steps:
        assert call(context, operation, given)["change"] == "updated"
        assert call(context, operation, given)["change"] == "none"
        assert stock(context, bolt) == after
    assert call(context, "orders.get", order_id=made)["status"] == "ready"
    assert shipped(context, made) != done, "and once more from the start"
    assert stock(context, bolt) == (2, 0)


@pytest.mark.parametrize(
    ("operation", "key"),
    [
        ("logistics.cancel_shipment", "shipment_id"),
        ("warehouse.cancel_packing", "packing_id"),
        ("warehouse.cancel_picking", "picking_id"),
    ],
)
def test_to_undo_what_never_was_is_no_error(context: Context, operation: str, key: str) -> None:
    assert call(context, operation, {key: "never"})["change"] == "none"


def test_nothing_happens_out_of_order(context: Context) -> None:
    bolt = product(context, "bolt", 9)
    made, other = order(context, **{bolt: 3}), order(context, **{bolt: 2})
    assert refusal(context, "warehouse.create_picking", order_id=made).code == "NOTHING_RESERVED"
    call(context, "inventory.reserve_stock", order_id=made)
    picking = call(context, "warehouse.create_picking", order_id=made)["picking_id"]
    exists = refusal(context, "warehouse.create_picking", order_id=made)
    assert (exists.code, exists.details["picking_id"]) == ("PICKING_EXISTS", picking)
    assert refusal(context, "inventory.release_stock", order_id=made).code == "STOCK_BOUND"
    packing = call(context, "warehouse.create_packing", picking_id=picking)["packing_id"]
    assert refusal(context, "warehouse.create_packing", picking_id=picking).code == "PICKING_STATUS"
    assert refusal(context, "warehouse.create_packing", picking_id="x").code == "PICKING_UNKNOWN"
    wrong = {"order_id": other, "packing_id": packing}
    assert refusal(context, "logistics.create_shipment", **wrong).code == "PACKING_OF_ANOTHER"
    wrong = {"order_id": other, "packing_id": "x"}
    assert refusal(context, "logistics.create_shipment", **wrong).code == "PACKING_UNKNOWN"


def test_what_is_picked_is_what_is_ordered(context: Context) -> None:
    bolt = product(context, "bolt", 9)
    made = order(context, **{bolt: 3})
    call(context, "inventory.reserve_stock", order_id=made)
    call(context, "orders.update", order_id=made, items=[{"product_id": bolt, "quantity": 4}])
    assert refusal(context, "warehouse.create_picking", order_id=made).code == "RESERVATION_STALE"
    call(context, "inventory.release_stock", order_id=made)
    shipped(context, made)
    assert stock(context, bolt) == (5, 0)


def test_a_shipment_is_followed_to_its_end(context: Context) -> None:
    bolt = product(context, "bolt", 5)
    made = order(context, **{bolt: 3})
    shipment = shipped(context, made)["shipment_id"]

    def update(status: str, **more: str) -> dict[str, Any]:
        return call(context, "logistics.delivery_update", shipment_id=shipment, status=status, **more)

    update("in_transit", location="Almaty")
    assert refusal(context, "logistics.cancel_shipment", shipment_id=shipment).code == "SHIPMENT_STATUS"
    assert update("in_transit", location="Astana")["change"] == "updated"
    update("failed", note="nobody there")
    assert update("delivered")["delivered_at"] is not None
    assert update("delivered")["change"] == "none"
    tracked = call(context, "logistics.track", shipment_id=shipment)
    seen = [each["status"] for each in tracked["history"]]
    assert seen == ["shipped", "in_transit", "in_transit", "failed", "delivered"]
    assert call(context, "logistics.track", tracking_number=tracked["tracking_number"])["shipment_id"] == shipment
    assert call(context, "orders.get", order_id=made)["status"] == "delivered"
    assert refusal(context, "logistics.track", shipment_id="x").code == "SHIPMENT_UNKNOWN"


def test_what_comes_back_lies_in_stock_for_anybody(context: Context) -> None:
    bolt = product(context, "bolt", 5)
    shipment = shipped(context, order(context, **{bolt: 3}))["shipment_id"]
    for status in ("failed", "returned", "returned"):
        call(context, "logistics.delivery_update", shipment_id=shipment, status=status)
    assert stock(context, bolt) == (5, 0)
