"""Production orders: made, waited for, worked on, cancelled. `making.py` has what goes in and out of the stock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, exists, select

from plugins.erp_sandbox import records
from plugins.erp_sandbox.inventory import levels, sold
from plugins.erp_sandbox.inventory.reservations import shown_goods
from plugins.erp_sandbox.production import boms
from plugins.erp_sandbox.production.tables import PRODUCTION_DAYS, PRODUCTION_MATERIALS, PRODUCTION_ORDERS
from plugins.erp_sandbox.records import NOTHING, Record, number, parts, refused
from plugins.erp_sandbox.sales import orders as sales_orders
from plugins.erp_sandbox.transitions import Transitions
from server.sdk.ports.inventory import PRODUCTION_STATUS, PRODUCTION_UNKNOWN
from server.sdk.ports.production import PRODUCTION_TOO_MUCH

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal

    from plugins.erp_sandbox.desk import Desk

_PAGE = 50
_MOST_MATERIALS = 500  # as many as an answer of the port may name
_BEFORE = ("planned", "scheduled", "waiting_materials", "on_hold")
_BEGUN = (*_BEFORE, "in_progress")
_MAKING = ("planned", "scheduled", "waiting_materials", "in_progress")
STATUS = Transitions(
    "production order",
    PRODUCTION_STATUS,
    {
        "planned": dict.fromkeys(_BEFORE, "planned"),
        "scheduled": dict.fromkeys(_BEFORE, "scheduled"),
        "waiting_materials": dict.fromkeys(_BEGUN, "waiting_materials"),
        "on_hold": dict.fromkeys(_BEGUN, "on_hold"),
        "in_progress": dict.fromkeys(_BEGUN, "in_progress"),
        "make": dict.fromkeys((*_MAKING, "inspection"), "in_progress"),
        "inspect": {"in_progress": "inspection", "inspection": "inspection"},
        "finish": {"in_progress": "completed", "inspection": "completed"},
        "reject": {
            **dict.fromkeys(("in_progress", "inspection", "completed"), "in_progress"),
            "waiting_materials": "waiting_materials",
            "on_hold": "on_hold",
        },
        "cancel": {**dict.fromkeys(_BEGUN, "cancelled"), "cancelled": "cancelled"},
    },
)


def create(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Order that something be made, with the materials that it takes today."""
    order_id = given.get("order_id")
    if order_id is not None:
        sales_orders.find(desk, order_id)
    sold.stocked(desk, [given["product_id"]])
    quantity = parts(given["quantity"])
    values = {
        "production_order_id": desk.new_id("mo"),
        "order_id": order_id,
        "product_id": given["product_id"],
        "quantity": quantity,
        **dict.fromkeys(("produced", "stocked", "rejected"), NOTHING),
        "status": "planned",
        "priority": given.get("priority", "normal"),
        "due_date": given.get("due_date"),
        **dict.fromkeys(("scheduled_start", "scheduled_end", "note", "completed_at")),
    }
    order = records.stamped(desk, values)
    records.add(desk, PRODUCTION_ORDERS, order)
    materials = boms.materials_for(desk, order["product_id"], quantity)
    if len(materials) > _MOST_MATERIALS:
        message = f"it takes more than {_MOST_MATERIALS} materials"
        raise refused(PRODUCTION_TOO_MUCH, message, product_id=order["product_id"], materials=len(materials))
    whose = {"company": desk.company, "production_order_id": order["production_order_id"], "used": NOTHING}
    records.add(
        desk, PRODUCTION_MATERIALS, *({**whose, "product_id": each, "quantity": q} for each, q in materials.items())
    )
    shown = {**records.shown(PRODUCTION_ORDERS, order), "materials": shown_goods(materials)}
    desk.emit("production.order.created", subject(order), shown)
    return {**shown, "change": "created"}


def subject(order: Record) -> str:
    """Return what events about it are about."""
    return f"production_order/{order['production_order_id']}"


def told(order: Record, **more: Any) -> Record:
    """Return what every event about it says."""
    return {**{name: order[name] for name in ("production_order_id", "order_id", "product_id")}, **more}


def locked(desk: Desk, production_order_id: str) -> Record:
    """Return a production order, locked with all others of its order, in the order of their ids.

    Raises:
        Permanent: PRODUCTION_UNKNOWN.

    """
    found = find(desk, production_order_id, lock=False)
    if found is not None and found["order_id"] is not None:
        records.many(desk, PRODUCTION_ORDERS, PRODUCTION_ORDERS.c.order_id == found["order_id"], lock=True)
    found = found and find(desk, production_order_id, lock=True)
    if found is None:
        raise unknown(production_order_id)
    return found


def find(desk: Desk, production_order_id: str, *, lock: bool = False) -> Record | None:
    """Return a production order, if there is one."""
    return records.one(desk, PRODUCTION_ORDERS, lock=lock, production_order_id=production_order_id)


def unknown(production_order_id: str) -> Exception:
    """Return the refusal."""
    return refused(PRODUCTION_UNKNOWN, "there is no such production order", production_order_id=production_order_id)


def materials_of(desk: Desk, production_order_id: str) -> list[Record]:
    """Return the materials of a production order: `quantity` for all of it, `used` so far."""
    this = PRODUCTION_MATERIALS.c.production_order_id == production_order_id
    return records.many(desk, PRODUCTION_MATERIALS, this)


def still_needed(desk: Desk, production_order_id: str) -> dict[str, Decimal]:
    """Return what a production order will still take from stock."""
    rest = {each["product_id"]: each["quantity"] - each["used"] for each in materials_of(desk, production_order_id)}
    return {product_id: quantity for product_id, quantity in rest.items() if quantity}


def shown(desk: Desk, order: Record) -> Record:
    """Return a production order as the port has it."""
    materials = {each["product_id"]: each["quantity"] for each in materials_of(desk, order["production_order_id"])}
    return {**records.shown(PRODUCTION_ORDERS, order), "materials": shown_goods(materials)}


def get(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Read one."""
    order = find(desk, given["production_order_id"])
    if order is None:
        raise unknown(given["production_order_id"])
    return shown(desk, order)


def requirements(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Say what a quantity of a product takes, or what a production order does."""
    if "product_id" in given:
        return boms.requirements(desk, given["product_id"], parts(given.get("quantity", 1)))
    order = get(desk, given)
    components = [{**each, "level": 1, "made": False} for each in order["materials"]]
    return {**{name: order[name] for name in ("product_id", "quantity", "materials")}, "components": components}


def check_materials(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Say whether materials are there: those of an input, or what a production order still takes."""
    if "materials" in given:
        return levels.checked(desk, levels.summed(given["materials"]))
    get(desk, given)
    return levels.checked(desk, still_needed(desk, given["production_order_id"]))


def find_waiting(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Return a page of those that wait for materials, or for just one that they still take."""
    limit, order_id = int(given.get("limit", _PAGE)), PRODUCTION_ORDERS.c.production_order_id
    where = [PRODUCTION_ORDERS.c.status == "waiting_materials"]
    if "cursor" in given:
        where.append(order_id > given["cursor"])
    if "product_id" in given:
        column = PRODUCTION_MATERIALS.c
        needs = (column.company == desk.company, column.production_order_id == order_id, column.used < column.quantity)
        where.append(exists(select(PRODUCTION_MATERIALS).where(*needs, column.product_id == given["product_id"])))
    found = records.many(desk, PRODUCTION_ORDERS, *where, most=limit + 1)
    following = found[limit - 1]["production_order_id"] if len(found) > limit else None
    return {"production_orders": [shown(desk, each) for each in found[:limit]], "next": following}


def update_status(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Say how a production order stands; what is said again is fine, and told once."""
    order = locked(desk, given["production_order_id"])
    after = STATUS.after(order["status"], given["status"])
    if after == order["status"]:
        return {**shown(desk, order), "change": "none"}
    note = given.get("note", order["note"])
    if after == "planned":
        free_days(desk, order)
        order = records.change(desk, PRODUCTION_ORDERS, order, scheduled_start=None, scheduled_end=None)
    order = records.change(desk, PRODUCTION_ORDERS, order, status=after, note=note)
    if after == "waiting_materials":
        missing = given.get("missing") or _missing(desk, order)
        desk.emit("production.waiting.materials", subject(order), told(order, missing=list(missing)))
    return {**shown(desk, order), "change": "updated"}


def _missing(desk: Desk, order: Record) -> list[Record]:
    found = levels.checked(desk, still_needed(desk, order["production_order_id"]))["unavailable"]
    return list(found)


def cancel(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Cancel what is not made yet; what never was, or is cancelled already, is fine."""
    production_order_id = given["production_order_id"]
    if find(desk, production_order_id) is None:
        return {"production_order_id": production_order_id, "status": None, "change": "none"}
    order = locked(desk, production_order_id)
    after = STATUS.after(order["status"], "cancel")
    if order["produced"]:
        message = "something of it is made already"
        raise refused(PRODUCTION_STATUS, message, status=order["status"], produced=number(order["produced"]))
    change = "none" if after == order["status"] else "updated"
    if change == "updated":
        free_days(desk, order)
        records.change(desk, PRODUCTION_ORDERS, order, status=after, note=given.get("reason"))
        desk.emit("production.order.cancelled", subject(order), told(order))
    return {"production_order_id": production_order_id, "status": after, "change": change}


def free_days(desk: Desk, order: Record) -> None:
    """Give up the days of a locked production order."""
    this = (PRODUCTION_DAYS.c.company == desk.company,)
    mine = PRODUCTION_DAYS.c.production_order_id == order["production_order_id"]
    desk.connection.execute(delete(PRODUCTION_DAYS).where(*this, mine))


def all_complete(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Say whether all production orders of an order are completed."""
    found = records.many(desk, PRODUCTION_ORDERS, PRODUCTION_ORDERS.c.order_id == given["order_id"])
    counted = [each for each in found if each["status"] != "cancelled"]
    still = [each["production_order_id"] for each in counted if each["status"] != "completed"]
    return {
        "order_id": given["order_id"],
        "all_complete": not still,
        "total": len(counted),
        "completed": len(counted) - len(still),
        "open": still,
    }
