"""The module `logistics`: what is packed leaves the stock, and what carriers say of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from plugins.erp_sandbox import records
from plugins.erp_sandbox.inventory import reservations, sold
from plugins.erp_sandbox.logistics.tables import SHIPMENT_STEPS, SHIPMENTS
from plugins.erp_sandbox.records import Record, refused
from plugins.erp_sandbox.sales import orders
from plugins.erp_sandbox.transitions import Transitions
from plugins.erp_sandbox.warehouse import PACKING, locked, packing_of
from plugins.erp_sandbox.warehouse.tables import PACKINGS
from server.sdk.ports.logistics import PACKING_OF_ANOTHER, SHIPMENT_STATUS, SHIPMENT_UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Mapping

    from plugins.erp_sandbox.desk import Desk, Work

SHIPMENT = Transitions(
    "shipment",
    SHIPMENT_STATUS,
    {
        "in_transit": dict.fromkeys(("shipped", "in_transit", "failed"), "in_transit"),
        "delivered": dict.fromkeys(("shipped", "in_transit", "failed", "delivered"), "delivered"),
        "failed": dict.fromkeys(("shipped", "in_transit", "failed"), "failed"),
        "returned": dict.fromkeys(("failed", "returned"), "returned"),
        "cancel": dict.fromkeys(("shipped", "cancelled"), "cancelled"),
    },
)
_CARRIER = "own"
_DIGITS = 16


def _ship(desk: Desk, given: Mapping[str, Any]) -> Record:
    order = sold.order_to_come(desk, given["order_id"])
    packing = packing_of(desk, given["packing_id"])
    if packing["order_id"] != order["order_id"]:
        raise refused(PACKING_OF_ANOTHER, "the packing is of another order", **given)
    records.change(desk, PACKINGS, packing, status=PACKING.after(packing["status"], "ship"))
    shipment_id = desk.new_id("shp")
    reservations.ship(desk, order["order_id"], f"shipment/{shipment_id}")
    shipment = {
        "company": desk.company,
        "shipment_id": shipment_id,
        "order_id": order["order_id"],
        "packing_id": packing["packing_id"],
        "carrier": given.get("carrier", _CARRIER),
        "tracking_number": f"CD{shipment_id.upper()[-_DIGITS:]}",
        "status": "shipped",
        "shipped_at": desk.now,
        "delivered_at": None,
    }
    records.add(desk, SHIPMENTS, shipment)
    _seen(desk, shipment_id, "shipped", {})
    orders.move(desk, order["order_id"], "shipped")
    shown = records.shown(SHIPMENTS, shipment)
    desk.emit("shipment.created", f"shipment/{shipment_id}", shown)
    return {**shown, "change": "created"}


def _cancel(desk: Desk, given: Mapping[str, Any]) -> Record:
    shipment = locked(desk, SHIPMENTS, "shipment_id", given["shipment_id"])
    if shipment is None:
        return {**given, "status": None, "change": "none", "order_id": None}
    after = SHIPMENT.after(shipment["status"], "cancel")
    change = "none" if after == shipment["status"] else "updated"
    if change == "updated":
        reservations.take_back(desk, shipment["order_id"], f"shipment/{shipment['shipment_id']}")
        packing = packing_of(desk, shipment["packing_id"])
        records.change(desk, PACKINGS, packing, status=PACKING.after(packing["status"], "take back"))
        orders.move(desk, shipment["order_id"], "take back")
        _moved(desk, shipment, after, {})
    order_id = shipment["order_id"]
    return {"shipment_id": shipment["shipment_id"], "status": after, "change": change, "order_id": order_id}


def _update(desk: Desk, given: Mapping[str, Any]) -> Record:
    shipment = locked(desk, SHIPMENTS, "shipment_id", given["shipment_id"])
    if shipment is None:
        raise _unknown(given)
    after = SHIPMENT.after(shipment["status"], given["status"])
    if after == shipment["status"] != "in_transit":
        return {**records.shown(SHIPMENTS, shipment), "change": "none"}
    if after == "returned":
        reservations.come_back(desk, shipment["order_id"], f"shipment/{shipment['shipment_id']}")
    if after == "delivered":
        orders.move(desk, shipment["order_id"], "delivered")
    now = _moved(desk, shipment, after, given)
    return {**records.shown(SHIPMENTS, now), "change": "updated"}


def _track(desk: Desk, given: Mapping[str, Any]) -> Record:
    shipment = records.one(desk, SHIPMENTS, **given)
    if shipment is None:
        raise _unknown(given)
    steps = records.many(desk, SHIPMENT_STEPS, SHIPMENT_STEPS.c.shipment_id == shipment["shipment_id"], most=500)
    history = [records.shown(SHIPMENT_STEPS, each, "shipment_id", "step") for each in steps]
    return {**records.shown(SHIPMENTS, shipment), "history": history}


def _unknown(given: Mapping[str, Any]) -> Exception:
    return refused(SHIPMENT_UNKNOWN, "there is no such shipment", **given)


def _moved(desk: Desk, shipment: Record, status: str, given: Mapping[str, Any]) -> Record:
    _seen(desk, shipment["shipment_id"], status, given)
    delivered_at = desk.now if status == "delivered" else None
    now = records.change(desk, SHIPMENTS, shipment, status=status, delivered_at=delivered_at)
    desk.emit("shipment.updated", f"shipment/{shipment['shipment_id']}", records.shown(SHIPMENTS, now))
    return now


def _seen(desk: Desk, shipment_id: str, status: str, given: Mapping[str, Any]) -> None:
    column = SHIPMENT_STEPS.c
    this = (column.company == desk.company, column.shipment_id == shipment_id)
    step = desk.connection.execute(select(func.count()).where(*this)).scalar_one()
    said = {"status": status, "location": given.get("location"), "note": given.get("note")}
    whose = {"company": desk.company, "shipment_id": shipment_id}
    records.add(desk, SHIPMENT_STEPS, {**whose, "step": step + 1, "at": desk.now, **said})


READS: dict[str, Work] = {"logistics.track": _track}
WRITES: dict[str, Work] = {
    "logistics.create_shipment": _ship,
    "logistics.cancel_shipment": _cancel,
    "logistics.delivery_update": _update,
}
