"""The ports `warehouse` and `logistics`: reservation, picking, packing and shipment of an order are states of one Tryton shipment.

waiting → assigned (reserved) → picked → packed → shipped → done (delivered). Packing goes back a step; what was picked or shipped
cannot: that shipment is cancelled and Tryton makes another for the same lines, reserved again. Which call did a step stands in the
shipment's reference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plugins.tryton import finding
from plugins.tryton.cancelling import SHIPMENT, ship_by_hand
from plugins.tryton.coverage import not_supported
from plugins.tryton.orders import FIELDS, SALE, again, is_cancelled, leave, order_of, status_of
from plugins.tryton.values import changed_at, goods, moment
from server.sdk.ports.logistics import PACKING_OF_ANOTHER, SHIPMENT_STATUS, SHIPMENT_UNKNOWN
from server.sdk.ports.orders import ORDER_STATUS
from server.sdk.ports.warehouse import (
    NOTHING_RESERVED,
    PACKING_STATUS,
    PACKING_UNKNOWN,
    PICKING_EXISTS,
    PICKING_STATUS,
    PICKING_UNKNOWN,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from plugins.tryton.customers import Work
    from plugins.tryton.rest import Record, Tryton

_FIELDS = (
    *("state", "number", "reference", "warehouse_output", "create_date", "write_date"),
    *("moves.product", "moves.quantity", "moves.from_location", "moves.origin"),
)
_STEPS = ("draft", "waiting", "assigned", "picked", "packed", "shipped", "done")
_BETWEEN = " | "
_SHOWN = {"shipped": "shipped", "done": "delivered", "cancelled": "cancelled"}


class Shipment(dict[str, Any]):
    """A shipment with what its reference says: which call did which step."""

    def did(self, call: str | None) -> bool:
        """Say whether this call did its step of it."""
        return call is not None and call in (self["reference"] or "").split(_BETWEEN)

    def noted(self, operation: str) -> str | None:
        """Return the call of an operation that is noted."""
        calls = (self["reference"] or "").split(_BETWEEN)
        return next((each for each in calls if each.startswith(f"{operation} ")), None)

    def after(self, call: str | None) -> str | None:
        """Return the reference with this call noted, in the place of another one of its operation."""
        if call is None:
            return self["reference"] or None
        operation = call.partition(" ")[0]
        kept = [each for each in (self["reference"] or "").split(_BETWEEN) if each and not each.startswith(operation)]
        return _BETWEEN.join([*kept, call])

    @property
    def level(self) -> int:
        """How far it is; -1 when it is cancelled."""
        return _STEPS.index(self["state"]) if self["state"] in _STEPS else -1


def under_way(erp: Tryton, sale: Record) -> list[Shipment]:
    """Return the shipments of a sale that are not cancelled."""
    numbers = [each["id"] for each in sale["shipments"] if each["state"] != "cancelled"]
    return _read(erp, numbers)


def _read(erp: Tryton, numbers: list[int]) -> list[Shipment]:
    return [Shipment(each) for each in erp.search(SHIPMENT, [["id", "in", numbers]], _FIELDS)] if numbers else []


def _named(erp: Tryton, text: str) -> list[Shipment]:
    """Return the shipments that an id names: an order with goods in several has several, joined by a dash."""
    numbers = [finding.number(each) for each in text.split("-")]
    found = _read(erp, numbers)
    return found if len(found) == len(numbers) else []


def _id(shipments: list[Shipment]) -> str:
    return "-".join(str(each["id"]) for each in shipments)


def assigned(erp: Tryton, sale: Record, call: str | None) -> bool:
    """Assign goods to all shipments of a sale, made where there are none, in the name of a call that reserves.

    False, and nothing assigned, when the goods do not suffice.
    """
    shipments = under_way(erp, sale)
    if not shipments:
        if any(each["state"] == "cancelled" for each in sale["shipments"]):
            leave(erp, sale, "recreated")
            erp.press(SALE, sale["id"], "process")  # which finds that there is something to ship again
        ship_by_hand(erp, sale)
        shipments = under_way(erp, again(erp, sale))
    for each in shipments:
        if each["state"] == "waiting":
            erp.write(SHIPMENT, each["id"], {"reference": each.after(call)})
            erp.press(SHIPMENT, each["id"], "assign_try")
    after = _read(erp, [each["id"] for each in shipments])
    if all(each["state"] != "waiting" for each in after):
        return True
    for each in after:
        erp.press(SHIPMENT, each["id"], "wait")
    return False


def _sale_of(erp: Tryton, shipments: list[Shipment]) -> Record:
    found = erp.first(SALE, [["shipments", "=", shipments[0]["id"]]], FIELDS)
    if found is None:
        raise finding.refused(SHIPMENT_UNKNOWN, "the shipment is of no sale", id=_id(shipments))
    return found


def _items(shipments: list[Shipment]) -> list[dict[str, Any]]:
    return [
        {"product_id": str(move["product"]), "quantity": goods(move["quantity"])}
        for each in shipments
        for move in each["moves"]
        if move["from_location"] == each["warehouse_output"]
    ]


def _stepped(erp: Tryton, shipments: list[Shipment], step: str, state: str) -> list[Shipment]:
    """Press a button on the shipments that are not so far, and note whose call it was."""
    for each in shipments:
        if each.level < _STEPS.index(state):
            erp.write(SHIPMENT, each["id"], {"reference": each.after(erp.key)})
            erp.press(SHIPMENT, each["id"], step)
    return _read(erp, [each["id"] for each in shipments])


def _pick(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    shipments = under_way(erp, order_of(erp, given["order_id"]))
    far = max((each.level for each in shipments), default=0)
    if far >= _STEPS.index("picked") and not all(each.did(erp.key) for each in shipments):
        raise finding.refused(PICKING_EXISTS, "the order is being picked", picking_id=_id(shipments))
    if far < _STEPS.index("assigned") or min(each.level for each in shipments) < _STEPS.index("assigned"):
        raise finding.refused(NOTHING_RESERVED, "the order has nothing reserved")
    shipments = _stepped(erp, shipments, "pick", "picked")
    return {
        "picking_id": _id(shipments),
        "order_id": given["order_id"],
        "status": "picked",
        "items": _items(shipments),
        "created_at": moment(shipments[0]["create_date"]),
    }


def _pack(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    shipments = _named(erp, given["picking_id"])
    if not shipments or min(each.level for each in shipments) in (0, 1, 2):
        raise finding.refused(PICKING_UNKNOWN, "there is no such picking", picking_id=given["picking_id"])
    if any(each["state"] != "picked" and not each.did(erp.key) for each in shipments):
        status = "cancelled" if shipments[0].level < 0 else "packed"
        raise finding.refused(PICKING_STATUS, f"the picking is {status}", status=status)
    shipments = _stepped(erp, shipments, "pack", "packed")
    return {
        "packing_id": _id(shipments),
        "picking_id": given["picking_id"],
        "order_id": str(_sale_of(erp, shipments)["id"]),
        "status": "packed",
        "items": _items(shipments),
        "created_at": moment(shipments[0]["create_date"]),
    }


def _ship(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    if "carrier" in given:
        raise not_supported("logistics.create_shipment", "carriers are another module", field="carrier")
    sale = order_of(erp, given["order_id"])
    shipments = _named(erp, given["packing_id"])
    if not shipments or 0 <= min(each.level for each in shipments) < _STEPS.index("packed"):
        raise finding.refused(PACKING_UNKNOWN, "there is no such packing", packing_id=given["packing_id"])
    if _sale_of(erp, shipments)["id"] != sale["id"]:
        raise finding.refused(PACKING_OF_ANOTHER, "the packing is of another order", packing_id=given["packing_id"])
    if any(each["state"] != "packed" and not each.did(erp.key) for each in shipments):
        status = "cancelled" if shipments[0].level < 0 else "shipped"
        raise finding.refused(PACKING_STATUS, f"the packing is {status}", status=status)
    if (status := status_of(erp, sale)) == "cancelled":
        raise finding.refused(ORDER_STATUS, "the order is cancelled", status=status)
    shipments = _stepped(erp, shipments, "ship", "shipped")
    return {**_shown(erp, shipments), "change": "created"}


def _shown(erp: Tryton, shipments: list[Shipment]) -> dict[str, Any]:
    state = min(shipments, key=lambda each: each.level)["state"]
    at = moment(max(changed_at(each) for each in shipments))
    return {
        "shipment_id": _id(shipments),
        "order_id": str(_sale_of(erp, shipments)["id"]),
        "status": _SHOWN[state],
        "tracking_number": None,
        "packing_id": _id(shipments),
        "delivered_at": at if state == "done" else None,
    }


def _track(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    if "tracking_number" in given:
        raise not_supported("logistics.track", "carriers and their numbers are another module", field="tracking_number")
    return _shown(erp, _shipped(erp, given["shipment_id"]))


def _shipped(erp: Tryton, shipment_id: str) -> list[Shipment]:
    shipments = _named(erp, shipment_id)
    if not shipments or any(each["state"] not in _SHOWN for each in shipments):
        raise finding.refused(SHIPMENT_UNKNOWN, "there is no such shipment", shipment_id=shipment_id)
    return shipments


def _delivery(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    shipments = _shipped(erp, given["shipment_id"])
    if given["status"] != "delivered":
        raise not_supported("logistics.delivery_update", "a shipment is shipped or done over there", field="status")
    if shipments[0].level < 0:
        raise finding.refused(SHIPMENT_STATUS, "the shipment is cancelled", status="cancelled")
    change = "updated" if any(each["state"] != "done" for each in shipments) else "none"
    return {**_shown(erp, _stepped(erp, shipments, "do", "done")), "change": change}


def _undone(erp: Tryton, text: str, name: str, undoes: str, refuses: str) -> dict[str, Any]:
    """Take back the step that led to the state `undoes`; nothing is done where it was taken back or never was."""
    shipments = _named(erp, text)
    if not shipments:
        return {name: text, "status": None, "change": "none"}
    level, target = max(each.level for each in shipments), _STEPS.index(undoes)
    if level > target:
        raise finding.refused(refuses, f"it is {_STEPS[level]}", status=_STEPS[level])
    sale = _sale_of(erp, shipments)
    answer = {name: text, "status": "cancelled", "order_id": str(sale["id"])}
    if level == target and undoes == "packed":
        for each in shipments:
            if each["state"] == "packed":
                erp.press(SHIPMENT, each["id"], "pick")
        return {**answer, "change": "updated"}
    for each in shipments:
        if each["state"] == undoes:
            erp.press(SHIPMENT, each["id"], "cancel")
    sale = again(erp, sale)
    # Also where a call broke off between the two: the lines of an order that goes on have a shipment.
    if level in (target, -1) and sale["state"] == "processing" and not is_cancelled(sale) and not under_way(erp, sale):
        assigned(erp, sale, shipments[0].noted("inventory.reserve_stock"))
        return {**answer, "change": "updated"}
    return {**answer, "change": "none"}


OPERATIONS: dict[str, Work] = {
    "warehouse.create_picking": _pick,
    "warehouse.cancel_picking": lambda erp, given: _undone(
        erp, given["picking_id"], "picking_id", "picked", PICKING_STATUS
    ),
    "warehouse.create_packing": _pack,
    "warehouse.cancel_packing": lambda erp, given: _undone(
        erp, given["packing_id"], "packing_id", "packed", PACKING_STATUS
    ),
    "logistics.create_shipment": _ship,
    "logistics.cancel_shipment": lambda erp, given: _undone(
        erp, given["shipment_id"], "shipment_id", "shipped", SHIPMENT_STATUS
    ),
    "logistics.track": _track,
    "logistics.delivery_update": _delivery,
}
