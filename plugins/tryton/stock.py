"""The port `inventory`: what is available lies in the storage zone and is assigned to nothing. Reserved is assigned over there."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from plugins.tryton import finding
from plugins.tryton.cancelling import SHIPMENT
from plugins.tryton.coverage import not_supported
from plugins.tryton.orders import FIELDS, SALE, confirm, order_of, status_of
from plugins.tryton.shipments import assigned, under_way
from plugins.tryton.values import STAMPS, changed_at, exact, goods, moment, quantity
from server.sdk.ports.inventory import (
    PRODUCT_NOT_STOCKED,
    PRODUCTION_STATUS,
    PRODUCTION_UNKNOWN,
    STOCK_BOUND,
    STOCK_RESERVED,
    STOCK_SHORT,
)
from server.sdk.ports.orders import ORDER_STATUS
from server.sdk.ports.products import PRODUCT_UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from plugins.tryton.customers import Work
    from plugins.tryton.rest import Record, Tryton

PRODUCT = "product.product"
INTERNAL = "stock.shipment.internal"
_FIELDS = ("quantity", "type", "default_uom", "code")
_POINTS = ("reorder_point", "reorder_quantity")


def levels(erp: Tryton, domain: list[Any], *, free: bool, **more: Any) -> list[Record]:
    """Return how much of the products of a domain lies in the storage zone; with `free` without what is assigned."""
    where = [finding.warehouse(erp)["storage_location"]]
    return erp.search(PRODUCT, domain, _FIELDS, locations=where, stock_assign=free, **more)


def _known(erp: Tryton, ids: Iterable[str], *, free: bool = True) -> dict[str, Record]:
    wanted = list(dict.fromkeys(ids))
    rows = levels(erp, [["id", "in", [finding.number(each) for each in wanted]]], free=free) if wanted else []
    found = {str(row["id"]): row for row in rows}
    for each in wanted:
        if each not in found:
            raise finding.refused(PRODUCT_UNKNOWN, "there is no product with this id", product_id=each)
    return found


def stocked(erp: Tryton, items: Iterable[Mapping[str, Any]]) -> tuple[dict[str, Record], dict[str, Decimal]]:
    """Return the products of some items, and how much of each; the same product counts together.

    Raises:
        Permanent: PRODUCT_UNKNOWN, PRODUCT_NOT_STOCKED.

    """
    wanted: dict[str, Decimal] = {}
    for item in items:
        wanted[item["product_id"]] = wanted.get(item["product_id"], Decimal(0)) + exact(item["quantity"])
    fields = ("name", "type", "default_uom", "purchase_uom", "cost_price")
    known = finding.products(erp, wanted, PRODUCT_UNKNOWN, fields)
    for product_id, product in known.items():
        if product["type"] == "service":
            raise finding.refused(PRODUCT_NOT_STOCKED, "a service does not lie in stock", product_id=product_id)
    return known, wanted


def available(erp: Tryton, items: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what of some items is available and what is missing, product by product.

    Raises:
        Permanent: PRODUCT_UNKNOWN.

    """
    wanted: dict[str, Decimal] = {}
    for item in items:
        wanted[item["product_id"]] = wanted.get(item["product_id"], Decimal(0)) + exact(item["quantity"])
    known = _known(erp, wanted)
    there: list[dict[str, Any]] = []
    lacking: list[dict[str, Any]] = []
    for product_id, number in wanted.items():
        product = known[product_id]
        free = number if product["type"] == "service" else max(exact(product["quantity"]), Decimal(0))
        entry = {"product_id": product_id, "quantity": goods(number), "available": goods(free)}
        if free >= number:
            there.append(entry)
        else:
            lacking.append({**entry, "missing": goods(number - free)})
    return {"available": there, "unavailable": lacking, "all_available": not lacking}


def _check_materials(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    if "materials" in given:
        return available(erp, given["materials"])
    fields = ("inputs.product", "inputs.quantity", "inputs.state")
    production = finding.one(erp, "production", given["production_order_id"], fields, PRODUCTION_UNKNOWN)
    needed = [
        {"product_id": str(each["product"]), "quantity": each["quantity"]}
        for each in production["inputs"]
        if each["state"] == "draft"
    ]
    return available(erp, needed)


def _items(sale: Record) -> list[dict[str, Any]]:
    return [
        {"product_id": str(each["product"]["id"]), "quantity": goods(each["quantity"])}
        for each in sale["lines"]
        if each["product"]
    ]


def _reserve(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    sale = order_of(erp, given["order_id"])
    status = status_of(erp, sale)
    answer = {"order_id": given["order_id"], "status": "held", "items": _items(sale), "change": "updated"}
    held = [each for each in under_way(erp, sale) if each["state"] != "waiting"]
    if held and all(each.did(erp.key) for each in held):
        return {**answer, "status": "shipped"} if status in ("shipped", "delivered") else answer
    if status in ("cancelled", "shipped", "delivered"):
        raise finding.refused(ORDER_STATUS, f"the order is {status}", status=status)
    if held:
        raise finding.refused(STOCK_RESERVED, "the order has its goods reserved")
    if not assigned(erp, confirm(erp, sale), erp.key):
        lacks = available(erp, _items(sale))["unavailable"]
        raise finding.refused(STOCK_SHORT, "there is not enough in stock", missing=lacks)
    return answer


def _release(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    order_id = given["order_id"]
    sale = erp.get(SALE, finding.number(order_id), FIELDS)
    there = [] if sale is None else under_way(erp, sale)
    if not there:
        return {"order_id": order_id, "status": "none", "change": "none"}
    bound = {each["state"] for each in there} - {"waiting", "assigned"}
    if bound:
        raise finding.refused(STOCK_BOUND, "what is reserved is being picked", status=min(bound))
    held = [each for each in there if each["state"] == "assigned"]
    for each in held:
        erp.press(SHIPMENT, each["id"], "wait")
    return {"order_id": order_id, "status": "released", "change": "updated" if held else "none"}


def _level(erp: Tryton, product_id: str) -> dict[str, Any]:
    on_hand = exact(_known(erp, [product_id], free=False)[product_id]["quantity"])
    free = exact(_known(erp, [product_id])[product_id]["quantity"])
    return _stock(product_id, on_hand, free)


def _stock(product_id: str, on_hand: Decimal, free: Decimal) -> dict[str, Any]:
    return {
        "product_id": product_id,
        "on_hand": goods(on_hand),
        "reserved": goods(on_hand - free),
        "available": goods(free),
    }


def _adjust(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    moved(erp, given["product_id"], exact(given["change"]))
    return {**_level(erp, given["product_id"]), "change": "updated"}


def _add(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    made = given.get("production_order_id") is not None
    entry = _taken_in(erp, given) if made else moved(erp, given["product_id"], exact(given["quantity"]))
    level = _level(erp, given["product_id"])
    # When to order anew is said in another module of Tryton's.
    level |= {"reorder_point": None, "reorder_quantity": None, "is_low": False, "updated_at": moment(changed_at(entry))}
    return {**level, "added": goods(given["quantity"]), "change": "updated"}


def _taken_in(erp: Tryton, given: Mapping[str, Any]) -> Record:
    """Finish the production whose goods these are; one that is finished has put them into stock, and they are not twice."""
    fields = ("state", "product", "quantity", *STAMPS)
    production = finding.one(erp, "production", given["production_order_id"], fields, PRODUCTION_UNKNOWN)
    if str(production["product"]) != given["product_id"]:
        raise finding.refused(PRODUCTION_UNKNOWN, "it makes another product", id=given["production_order_id"])
    if production["state"] not in ("running", "done"):
        raise finding.refused(PRODUCTION_STATUS, "the production has made nothing", status=production["state"])
    if exact(given["quantity"]) != exact(production["quantity"]):
        raise not_supported("inventory.add_stock", "a production is done as a whole", field="quantity")
    if production["state"] == "running":
        erp.press("production", production["id"], "do")
    return finding.one(erp, "production", given["production_order_id"], fields, PRODUCTION_UNKNOWN)


def moved(erp: Tryton, product_id: str, change: Decimal) -> Record:
    """Move a difference between the storage zone and the place of what is lost and found, once for a key."""
    product = _known(erp, [product_id])[product_id]
    if product["type"] == "service":
        raise finding.refused(PRODUCT_NOT_STOCKED, "a service does not lie in stock", product_id=product_id)
    fields = ("state", *STAMPS)
    this = [["moves.product", "=", product["id"]]]
    shipment = finding.keyed(erp, INTERNAL, fields, more=this)
    if shipment is None:
        lost = erp.first("stock.location", [["type", "=", "lost_found"]], ("id",))
        ends = [finding.warehouse(erp)["storage_location"], lost["id"] if lost else None]
        source, target = ends if change < 0 else reversed(ends)
        move = {"product": product["id"], "unit": product["default_uom"], "quantity": quantity(abs(change))}
        places = {"from_location": source, "to_location": target}
        values = {**places, "reference": erp.key, "moves": [["create", [{**move, **places}]]]}
        made = erp.create(INTERNAL, values, fields)
        shipment = finding.settled(erp, INTERNAL, made, more=this)
    shipment = finding.one(erp, INTERNAL, str(shipment["id"]), fields, PRODUCT_UNKNOWN)
    for state, button in (("draft", "wait"), ("waiting", "assign_try"), ("assigned", "do")):
        if shipment["state"] == state:
            erp.press(INTERNAL, shipment["id"], button)
            shipment = finding.one(erp, INTERNAL, str(shipment["id"]), fields, PRODUCT_UNKNOWN)
    if shipment["state"] == "waiting":
        erp.press(INTERNAL, shipment["id"], "cancel")
        shipment["state"] = "cancelled"
    if shipment["state"] == "cancelled":
        free = goods(product["quantity"])
        missing = [{"product_id": product_id, "available": free, "missing": goods(abs(change) - exact(free))}]
        raise finding.refused(STOCK_SHORT, "there is not enough that is not reserved", missing=missing)
    return shipment


def _update(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    """Bring what is on hand in line with what was counted: Tryton's own inventories have no field that a key could be kept in."""
    if any(each.get(name) is not None for each in given["levels"] for name in _POINTS):
        because = "order points are another module"
        raise not_supported("inventory.update_stock_levels", because, field="reorder_point")
    wanted = {each["product_id"]: each for each in given["levels"]}
    stocked(erp, ({"product_id": each, "quantity": 0} for each in wanted))
    return {"levels": [_counted(erp, product_id, level) for product_id, level in wanted.items()]}


def _counted(erp: Tryton, product_id: str, counted: Mapping[str, Any]) -> dict[str, Any]:
    level = _level(erp, product_id)
    if "on_hand" not in counted:
        return {**level, "change": "none"}
    difference = exact(counted["on_hand"]) - exact(level["on_hand"])
    begun = finding.keyed(erp, INTERNAL, ("id",), more=[["moves.product", "=", finding.number(product_id)]])
    if not difference and begun is None:
        return {**level, "change": "none"}
    moved(erp, product_id, difference)
    return {**_level(erp, product_id), "change": "updated"}


def _report(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    if given.get("low_only"):
        raise not_supported("inventory.stock_report", "order points are another module", field="low_only")
    limit, offset = finding.page(dict(given))
    domain: list[Any] = [["type", "!=", "service"]]
    if "product_ids" in given:
        domain.append(["id", "in", [finding.number(each) for each in given["product_ids"]]])
    rows = levels(erp, domain, free=False, limit=limit + 1, offset=offset)
    free = {each["id"]: exact(each["quantity"]) for each in levels(erp, domain, free=True, limit=limit, offset=offset)}
    found = [
        _stock(str(each["id"]), exact(each["quantity"]), free.get(each["id"], exact(each["quantity"])))
        for each in rows[:limit]
    ]
    return {"products": found, "next": str(offset + limit) if len(rows) > limit else None}


OPERATIONS: dict[str, Work] = {
    "inventory.check_stock": lambda erp, given: available(erp, given["items"]),
    "inventory.check_materials": _check_materials,
    "inventory.reserve_stock": _reserve,
    "inventory.release_stock": _release,
    "inventory.update_stock_levels": _update,
    "inventory.adjust_stock": _adjust,
    "inventory.add_stock": _add,
    "inventory.stock_report": _report,
}
