"""The port `warehouse`: what is reserved for an order is picked and packed. One picking and one packing of an order at a time."""

from __future__ import annotations

from typing import Any

from server.kernel.errors import code
from server.sdk.ports.inventory import PUT
from server.sdk.ports.orders import ORDER_STATUS, ORDER_UNKNOWN
from server.sdk.ports.port import Port, write
from server.sdk.ports.shapes import CHANGE, ID, MOMENT, answer, given, listed, or_null

NOTHING_RESERVED = code("NOTHING_RESERVED", "The order has nothing reserved that could be picked.")
RESERVATION_STALE = code(
    "RESERVATION_STALE", "The order's items have changed since they were reserved: release and reserve anew."
)
PICKING_EXISTS = code("PICKING_EXISTS", "The order is being picked already; `details.picking_id` names it.")
PICKING_UNKNOWN = code("PICKING_UNKNOWN", "The ERP has no such picking.")
PICKING_STATUS = code("PICKING_STATUS", "The picking's status, in `details.status`, does not allow this.")
PACKING_UNKNOWN = code("PACKING_UNKNOWN", "The ERP has no such packing.")
PACKING_STATUS = code("PACKING_STATUS", "The packing's status, in `details.status`, does not allow this.")

PICKING_STATUSES = ("picked", "packed", "cancelled")
PACKING_STATUSES = ("packed", "shipped", "cancelled")
_PICKING = {"picking_id": ID, "order_id": ID, "status": {"enum": list(PICKING_STATUSES)}}
_PACKING = {"packing_id": ID, "picking_id": ID, "order_id": ID, "status": {"enum": list(PACKING_STATUSES)}}
_MORE: dict[str, Any] = {"items": listed(PUT), "created_at": MOMENT}


def _undone(name: str) -> dict[str, Any]:
    return answer({name: ID, "status": or_null({"type": "string"}), "change": CHANGE}, {"order_id": or_null(ID)})


WAREHOUSE = Port(
    "warehouse",
    (
        write(
            "warehouse.create_picking",
            "Pick what is reserved for an order.",
            given({"order_id": ID}, ["order_id"]),
            answer(_PICKING, _MORE),
            (ORDER_UNKNOWN, ORDER_STATUS, NOTHING_RESERVED, RESERVATION_STALE, PICKING_EXISTS),
            undo="warehouse.cancel_picking",
        ),
        write(
            "warehouse.cancel_picking",
            "Put back what was picked; it stays reserved. For a picking that never was, nothing is done.",
            given({"picking_id": ID}, ["picking_id"]),
            _undone("picking_id"),
            (PICKING_STATUS,),
        ),
        write(
            "warehouse.create_packing",
            "Pack what was picked.",
            given({"picking_id": ID}, ["picking_id"]),
            answer(_PACKING, _MORE),
            (PICKING_UNKNOWN, PICKING_STATUS),
            undo="warehouse.cancel_packing",
        ),
        write(
            "warehouse.cancel_packing",
            "Unpack what was packed; it stays picked. For a packing that never was, nothing is done.",
            given({"packing_id": ID}, ["packing_id"]),
            _undone("packing_id"),
            (PACKING_STATUS,),
        ),
    ),
)
