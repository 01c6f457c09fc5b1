"""The port `production` on productions and bills of materials. A reference says whose order it is and which call made it."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from plugins.tryton import finding
from plugins.tryton.coverage import not_supported
from plugins.tryton.orders import order_of, production_mark
from plugins.tryton.stock import available
from plugins.tryton.values import exact, goods, moment, quantity
from server.sdk.ports.inventory import PRODUCT_NOT_STOCKED, PRODUCTION_STATUS, PRODUCTION_UNKNOWN
from server.sdk.ports.production import (
    BOM_TOO_DEEP,
    BOM_UNKNOWN,
    MATERIALS_SHORT,
    PRODUCTION_TOO_MUCH,
)
from server.sdk.ports.products import PRODUCT_UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Mapping

    from plugins.tryton.customers import Work
    from plugins.tryton.rest import Record, Tryton

PRODUCTION = "production"
FIELDS = (
    *("state", "number", "reference", "product", "quantity", "planned_date", "planned_start_date", "bom"),
    *("inputs.product", "inputs.quantity", "inputs.state", "outputs.product", "outputs.quantity", "outputs.state"),
    *("create_date", "write_date"),
)
_MOVE = ("product", "unit", "quantity", "from_location", "to_location", "unit_price", "currency", "company")
_STATUS = {
    "request": "planned",
    "draft": "planned",
    "waiting": "waiting_materials",
    "assigned": "scheduled",
    "running": "in_progress",
    "done": "completed",
    "cancelled": "cancelled",
}
_DEEPEST = 20


def shown(production: Record) -> dict[str, Any]:
    """Return a production order as the port has it."""
    whose = str(production["reference"] or "").partition(";")[0].removeprefix("order ")
    done = production["state"] == "done"
    return {
        "production_order_id": str(production["id"]),
        "order_id": whose if whose.isdigit() else None,
        "product_id": str(production["product"]),
        "quantity": goods(production["quantity"]),
        "status": _STATUS[production["state"]],
        "due_date": finding.day_of(production["planned_date"]),
        "produced": goods(production["quantity"] if done else 0),
        "stocked": goods(production["quantity"] if done else 0),
        "scheduled_start": finding.day_of(production["planned_start_date"]),
        "materials": [
            {"product_id": str(each["product"]), "quantity": goods(each["quantity"])}
            for each in production["inputs"]
            if each["state"] != "cancelled"
        ],
        "created_at": moment(production["create_date"]),
        "updated_at": moment(production["write_date"] or production["create_date"]),
    }


def production_of(erp: Tryton, given: Mapping[str, Any]) -> Record:
    """Return the production that an input names.

    Raises:
        Permanent: PRODUCTION_UNKNOWN.

    """
    return finding.one(erp, PRODUCTION, given["production_order_id"], FIELDS, PRODUCTION_UNKNOWN)


def _create(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    reference = production_mark(given.get("order_id")) + (erp.key or "")
    found = erp.first(PRODUCTION, [["reference", "=", reference]], FIELDS) if erp.key else None
    if found is None:
        if given.get("order_id") is not None:
            order_of(erp, given["order_id"])
        found = _made(erp, given, reference)
    if found["state"] == "draft" and not found["outputs"]:
        erp.write(PRODUCTION, found["id"], _moves(erp, found))
        found = production_of(erp, {"production_order_id": str(found["id"])})
    return {**shown(found), "change": "created"}


def _made(erp: Tryton, given: Mapping[str, Any], reference: str) -> Record:
    fields = ("type", "default_uom", "boms.bom")
    product = finding.products(erp, [given["product_id"]], PRODUCT_UNKNOWN, fields)[given["product_id"]]
    if product["type"] == "service":
        message = "a service does not lie in stock"
        raise finding.refused(PRODUCT_NOT_STOCKED, message, product_id=given["product_id"])
    due = None if given.get("due_date") is None else finding.date_of(given["due_date"])
    values = {
        "reference": reference,
        "warehouse": finding.warehouse(erp)["id"],
        "location": finding.warehouse(erp)["production_location"],
        "product": product["id"],
        "quantity": quantity(given["quantity"]),
        "unit": product["default_uom"],
        "bom": product["boms"][0]["bom"] if product["boms"] else None,
        "planned_date": due,
        "planned_start_date": due,
    }
    made = erp.create(PRODUCTION, values)
    if erp.key:
        oldest = erp.first(PRODUCTION, [["reference", "=", reference]], ("id",))
        if oldest is not None and oldest["id"] != made["id"]:
            erp.press(PRODUCTION, made["id"], "cancel")
            erp.delete(PRODUCTION, made["id"])
            made = oldest
    return production_of(erp, {"production_order_id": str(made["id"])})


def _moves(erp: Tryton, production: Record) -> dict[str, Any]:
    """Return what goes in and comes out: of the bill of materials Tryton says so itself."""
    if production["bom"] is not None:
        filled = erp.press(PRODUCTION, production["id"], "reset_bom")
        return {
            side: [["create", [{name: each[name] for name in _MOVE} for _, each in filled[side]["add"]]]]
            for side in ("inputs", "outputs")
        }
    product = finding.products(erp, [str(production["product"])], PRODUCT_UNKNOWN)[str(production["product"])]
    house = finding.warehouse(erp)
    output = {
        "product": product["id"],
        "unit": product["default_uom"],
        "quantity": production["quantity"],
        "from_location": house["production_location"],
        "to_location": house["storage_location"],
        "unit_price": Decimal(0),
        "currency": finding.currency(erp),
    }
    return {"outputs": [["create", [output]]]}


def _update_status(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    production, wanted = production_of(erp, given), given["status"]
    before = _STATUS[production["state"]]
    if before in ("completed", "cancelled") or (before == "in_progress" and wanted != before):
        raise finding.refused(PRODUCTION_STATUS, f"the production is {before}", status=before)
    if wanted == "on_hold":
        raise not_supported("production.update_status", "a production is not put on hold", field="status")
    if wanted in ("scheduled", "in_progress"):
        production = _ready_to(erp, production, running=wanted == "in_progress")
    else:
        production = drafted(erp, production) if wanted == "planned" else _back(erp, production, "waiting")
    return {**shown(production), "change": "none" if _STATUS[production["state"]] == before else "updated"}


def drafted(erp: Tryton, production: Record) -> Record:
    """Bring a production that has not begun back to where it is planned."""
    return _back(erp, production, "draft")


def _back(erp: Tryton, production: Record, state: str) -> Record:
    """Bring a production that has not begun to `draft` or `waiting`; what was assigned to it is free again."""
    if production["state"] == "request":
        erp.press(PRODUCTION, production["id"], "draft")
        production["state"] = "draft"
    if production["state"] == "assigned" or (production["state"], state) == ("draft", "waiting"):
        erp.press(PRODUCTION, production["id"], "wait")
        production["state"] = "waiting"
    if (production["state"], state) == ("waiting", "draft"):
        erp.press(PRODUCTION, production["id"], "draft")
    return production_of(erp, {"production_order_id": str(production["id"])})


def assigned(erp: Tryton, production: Record) -> Record | None:
    """Assign all materials of a production and return it, None and nothing assigned where they do not suffice."""
    before = production["state"]
    if before in ("request", "draft"):
        production = _back(erp, production, "waiting")
    if production["state"] == "waiting":
        erp.press(PRODUCTION, production["id"], "assign_try")
        production = production_of(erp, {"production_order_id": str(production["id"])})
    if production["state"] != "waiting":
        return production
    erp.press(PRODUCTION, production["id"], "wait")
    _back(erp, production, "waiting" if before == "waiting" else "draft")
    return None


def _ready_to(erp: Tryton, production: Record, *, running: bool) -> Record:
    """Assign the materials of a production and begin it.

    Raises:
        Permanent: MATERIALS_SHORT.

    """
    ready = assigned(erp, production)
    if ready is None:
        needed = [{"product_id": str(e["product"]), "quantity": e["quantity"]} for e in production["inputs"]]
        missing = available(erp, needed)["unavailable"]
        raise finding.refused(MATERIALS_SHORT, "the materials do not suffice", missing=missing)
    if running and ready["state"] == "assigned":
        erp.press(PRODUCTION, ready["id"], "run")
        ready = production_of(erp, {"production_order_id": str(ready["id"])})
    return ready


def _complete(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    production = production_of(erp, given)
    if production["state"] == "cancelled":
        raise finding.refused(PRODUCTION_STATUS, "the production is cancelled", status="cancelled")
    if given.get("into_stock") is False:
        raise not_supported("production.complete", "what is made is in stock at once", field="into_stock")
    made = exact(given.get("quantity", production["quantity"]))
    if made > exact(production["quantity"]):
        raise finding.refused(PRODUCTION_TOO_MUCH, "more would be made than was ordered")
    if made < exact(production["quantity"]):
        raise not_supported("production.complete", "a production is done as a whole", field="quantity")
    change = "none" if production["state"] == "done" else "updated"
    if change == "updated":
        production = _ready_to(erp, production, running=True)
        erp.press(PRODUCTION, production["id"], "do")
        production = production_of(erp, given)
    return {**shown(production), "change": change}


def _cancel(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    production_id = given["production_order_id"]
    answer = {"production_order_id": production_id, "status": "cancelled"}
    production = erp.get(PRODUCTION, finding.number(production_id), FIELDS)
    if production is None:
        return {**answer, "status": None, "change": "none"}
    if production["state"] == "cancelled":
        return {**answer, "change": "none"}
    if production["state"] == "done":
        raise finding.refused(PRODUCTION_STATUS, "it is made", status="completed")
    erp.press(PRODUCTION, production["id"], "cancel")
    return {**answer, "change": "updated"}


def _all_complete(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    domain = [["reference", "like", f"{production_mark(given['order_id'])}%"], ["state", "!=", "cancelled"]]
    rows = erp.search(PRODUCTION, domain, ("state",)) if finding.number(given["order_id"]) >= 0 else []
    left = [str(each["id"]) for each in rows if each["state"] != "done"]
    return {
        "order_id": given["order_id"],
        "all_complete": not left,
        "total": len(rows),
        "completed": len(rows) - len(left),
        "open": left,
    }


def _requirements(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    if "production_order_id" in given:
        production = production_of(erp, given)
        product_id, number = str(production["product"]), exact(production["quantity"])
    else:
        product_id, number = given["product_id"], exact(given.get("quantity", 1))
    finding.products(erp, [product_id], PRODUCT_UNKNOWN)
    needs: dict[int, dict[str, Any]] = {}
    level = {finding.number(product_id): number}
    for depth in range(1, _DEEPEST + 2):
        below = _below(erp, level)
        if depth == 1 and not below:
            raise finding.refused(BOM_UNKNOWN, "the product has no bill of materials", product_id=product_id)
        if not below:
            break
        if depth > _DEEPEST:
            raise finding.refused(BOM_TOO_DEEP, "bills of materials stand too deep", product_id=product_id)
        for each, more in below.items():
            entry = needs.setdefault(each, {"quantity": Decimal(0), "level": depth, "made": False})
            entry["quantity"] += more
        level = below
    made = {row["product"] for row in boms_of(erp, list(needs))}
    components = [
        {"product_id": str(each), "quantity": goods(n["quantity"]), "level": n["level"], "made": each in made}
        for each, n in sorted(needs.items())
    ]
    materials = [{"product_id": e["product_id"], "quantity": e["quantity"]} for e in components if not e["made"]]
    return {
        "product_id": product_id,
        "quantity": goods(number),
        "materials": materials,
        "components": components,
    }


def boms_of(erp: Tryton, products: list[int]) -> list[Record]:
    """Return the first bill of materials of each of some products, where it has one."""
    fields = ("product", "bom.inputs.product", "bom.inputs.quantity", "bom.outputs.product", "bom.outputs.quantity")
    domain = [["product", "in", products]]
    rows = erp.search("product.product-production.bom", domain, fields)
    first: dict[int, Record] = {}
    for row in rows:
        first.setdefault(row["product"], row)
    return list(first.values())


def _below(erp: Tryton, level: Mapping[int, Decimal]) -> dict[int, Decimal]:
    below: dict[int, Decimal] = {}
    for row in boms_of(erp, list(level)):
        gives = sum((exact(e["quantity"]) for e in row["bom"]["outputs"] if e["product"] == row["product"]), Decimal(0))
        for each in row["bom"]["inputs"]:
            more = level[row["product"]] * exact(each["quantity"]) / (gives or 1)
            below[each["product"]] = below.get(each["product"], Decimal(0)) + more
    return below


OPERATIONS: dict[str, Work] = {
    "boms.calculate_requirements": _requirements,
    "production.create_order": _create,
    "production.get_order": lambda erp, given: shown(production_of(erp, given)),
    "production.update_status": _update_status,
    "production.complete": _complete,
    "production.cancel_order": _cancel,
    "production.check_all_complete": _all_complete,
}
