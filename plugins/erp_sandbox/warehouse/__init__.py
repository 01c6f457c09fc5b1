"""The module `warehouse`: what is reserved for an order is picked and packed. All of an order happens with the order locked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plugins.erp_sandbox import records
from plugins.erp_sandbox.inventory import reservations, sold
from plugins.erp_sandbox.inventory.reservations import shown_goods
from plugins.erp_sandbox.records import Record, moment, refused
from plugins.erp_sandbox.transitions import Transitions
from plugins.erp_sandbox.warehouse.tables import PACKINGS, PICKINGS
from server.sdk.ports.warehouse import (
    PACKING_STATUS,
    PACKING_UNKNOWN,
    PICKING_EXISTS,
    PICKING_STATUS,
    PICKING_UNKNOWN,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Table

    from plugins.erp_sandbox.desk import Desk, Work

PICKING = Transitions(
    "picking",
    PICKING_STATUS,
    {
        "pack": {"picked": "packed"},
        "unpack": {"packed": "picked"},
        "cancel": {"picked": "cancelled", "cancelled": "cancelled"},
    },
)
PACKING = Transitions(
    "packing",
    PACKING_STATUS,
    {
        "ship": {"packed": "shipped"},
        "take back": {"shipped": "packed"},
        "cancel": {"packed": "cancelled", "cancelled": "cancelled"},
    },
)


def locked(desk: Desk, table: Table, key: str, value: str) -> Record | None:
    """Return what hangs on an order, if there is such a thing: the order is locked first, then it is read again."""
    found = records.one(desk, table, lock=False, **{key: value})
    if found is None:
        return None
    sold.lock_order(desk, found["order_id"])
    return records.one(desk, table, lock=True, **{key: value})


def packing_of(desk: Desk, packing_id: str) -> Record:
    """Return a packing of an order that is locked.

    Raises:
        Permanent: PACKING_UNKNOWN.

    """
    found = records.one(desk, PACKINGS, lock=True, packing_id=packing_id)
    if found is None:
        raise refused(PACKING_UNKNOWN, "there is no such packing", packing_id=packing_id)
    return found


def _pick(desk: Desk, given: Mapping[str, Any]) -> Record:
    order_id = given["order_id"]
    sold.order_to_come(desk, order_id)
    there = records.many(desk, PICKINGS, PICKINGS.c.order_id == order_id, PICKINGS.c.status != "cancelled")
    if there:
        raise refused(PICKING_EXISTS, "the order is being picked already", picking_id=there[0]["picking_id"])
    goods = reservations.pick(desk, order_id)
    picking = {"picking_id": desk.new_id("pck"), "order_id": order_id, "status": "picked", "created_at": desk.now}
    records.add(desk, PICKINGS, {"company": desk.company, **picking})
    return {**picking, "created_at": moment(desk.now), "items": shown_goods(goods)}


def _pack(desk: Desk, given: Mapping[str, Any]) -> Record:
    picking = locked(desk, PICKINGS, "picking_id", given["picking_id"])
    if picking is None:
        raise refused(PICKING_UNKNOWN, "there is no such picking", **given)
    records.change(desk, PICKINGS, picking, status=PICKING.after(picking["status"], "pack"))
    packing = {
        "packing_id": desk.new_id("box"),
        "picking_id": picking["picking_id"],
        "order_id": picking["order_id"],
        "status": "packed",
        "created_at": desk.now,
    }
    records.add(desk, PACKINGS, {"company": desk.company, **packing})
    goods = reservations.goods_of(desk, picking["order_id"])
    return {**packing, "created_at": moment(desk.now), "items": shown_goods(goods)}


def _cancel_picking(desk: Desk, given: Mapping[str, Any]) -> Record:
    picking = locked(desk, PICKINGS, "picking_id", given["picking_id"])
    if picking is None:
        return {**given, "status": None, "change": "none", "order_id": None}
    after = PICKING.after(picking["status"], "cancel")
    if after != picking["status"]:
        reservations.put_back(desk, picking["order_id"])
    return _cancelled(desk, PICKINGS, picking, "picking_id", after)


def _cancel_packing(desk: Desk, given: Mapping[str, Any]) -> Record:
    packing = locked(desk, PACKINGS, "packing_id", given["packing_id"])
    if packing is None:
        return {**given, "status": None, "change": "none", "order_id": None}
    after = PACKING.after(packing["status"], "cancel")
    picking = records.one(desk, PICKINGS, lock=True, picking_id=packing["picking_id"])
    if after != packing["status"] and picking is not None:
        records.change(desk, PICKINGS, picking, status=PICKING.after(picking["status"], "unpack"))
    return _cancelled(desk, PACKINGS, packing, "packing_id", after)


def _cancelled(desk: Desk, table: Table, record: Record, key: str, after: str) -> Record:
    change = "none" if after == record["status"] else "updated"
    records.change(desk, table, record, status=after)
    return {key: record[key], "status": after, "change": change, "order_id": record["order_id"]}


READS: dict[str, Work] = {}
WRITES: dict[str, Work] = {
    "warehouse.create_picking": _pick,
    "warehouse.cancel_picking": _cancel_picking,
    "warehouse.create_packing": _pack,
    "warehouse.cancel_packing": _cancel_packing,
}
