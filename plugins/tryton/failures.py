"""`quality.handle_failure`: the alerts of an inspection that failed are resolved, and what was bad does not lie in stock.

What a production has made and not finished goes to the waste location of the warehouse when that is finished; what lies in stock
already, to the lost and found. To make it again with new materials is another production, for the same order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plugins.tryton import finding, making
from plugins.tryton.coverage import not_supported
from plugins.tryton.inspections import inspection_of, production_of, quantity_of, status_of
from plugins.tryton.stock import moved
from plugins.tryton.values import exact, goods
from server.sdk.ports.inventory import PRODUCTION_STATUS, PRODUCTION_UNKNOWN
from server.sdk.ports.quality import INSPECTION_OF_NO_ORDER, INSPECTION_STATUS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal

    from plugins.tryton.customers import Work
    from plugins.tryton.rest import Record, Tryton

ALERT = "quality.alert"
_NAME = "quality.handle_failure"
_FIELDS = ("state", "reference", "product", "quantity", "outputs.product", "outputs.to_location", "outputs.state")


def _handle(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    inspection = inspection_of(erp, given)
    status, mark = status_of(inspection), f"[{erp.key}]"
    again = status == "handled" and any(mark in (each["description"] or "") for each in inspection["alerts"])
    if status != "failed" and not again:
        raise finding.refused(INSPECTION_STATUS, f"the inspection is {status}", status=status)
    number, action = quantity_of(erp, inspection), given["action"]
    production = _production(erp, inspection, number, action)
    _under_way(erp, inspection, [f"{action}: {given['note']}" if "note" in given else action, mark])
    if production is None:
        moved(erp, str(inspection["control"]["product"]), -number)
    elif action != "rework":
        _thrown_away(erp, production, number)
    ordered = _ordered(erp, production, number) if production and action == "remake" else production_of(inspection)
    for each in inspection["alerts"]:
        _pressed(erp, each, {"open": "process", "deferred": "process", "processing": "resolve"})
    return {
        "inspection_id": given["inspection_id"],
        "status": "handled",
        "action": action,
        "production_order_id": ordered,
    }


def _production(erp: Tryton, inspection: Record, number: Decimal, action: str) -> Record | None:
    """Return the production that an inspection is about, when this may be done with what it has made."""
    production_id = production_of(inspection)
    if production_id is None:
        if action != "scrap":
            raise finding.refused(INSPECTION_OF_NO_ORDER, "only what a production has made can be made again")
        return None
    production = finding.one(erp, making.PRODUCTION, production_id, _FIELDS, PRODUCTION_UNKNOWN)
    if production["state"] not in ("running", "done"):
        status = "cancelled" if production["state"] == "cancelled" else "planned"
        raise finding.refused(PRODUCTION_STATUS, "the production has made nothing", status=status)
    if production["state"] == "running" and number != exact(production["quantity"]):
        raise not_supported(_NAME, "a production is done as a whole", field="action")
    if production["state"] == "done" and action == "rework":
        raise not_supported(_NAME, "a production that is done is not begun again", field="action")
    return production


def _under_way(erp: Tryton, inspection: Record, said: list[str]) -> None:
    """Say on the alerts what is done, and defer them: while one is open, Tryton lets nobody finish the production."""
    for each in inspection["alerts"]:
        before = each["description"] or ""
        if each["state"] != "resolved" and said[-1] not in before:
            erp.write(ALERT, each["id"], {"description": "\n".join(filter(None, [before, *said]))})
        _pressed(erp, each, {"open": "process", "processing": "defer"})


def _pressed(erp: Tryton, alert: Record, buttons: Mapping[str, str]) -> None:
    """Press the buttons of an alert, each in its state, until none fits."""
    after = {"process": "processing", "defer": "deferred", "resolve": "resolved"}
    while (button := buttons.get(alert["state"])) is not None:
        erp.press(ALERT, alert["id"], button)
        alert["state"] = after[button]


def _thrown_away(erp: Tryton, production: Record, number: Decimal) -> None:
    waste = _waste(erp)
    outputs = [each for each in production["outputs"] if each["product"] == production["product"]]
    stocked = [each for each in outputs if each["to_location"] != waste and each["state"] != "cancelled"]
    if production["state"] == "done" and stocked:
        moved(erp, str(production["product"]), -number)
    elif production["state"] == "running":
        if stocked:
            gone = {"to_location": waste, "unit_price": None, "currency": None}  # what is thrown away has no price
            there = ["write", [each["id"] for each in stocked], gone]
            erp.write(making.PRODUCTION, production["id"], {"outputs": [there]})
        erp.press(making.PRODUCTION, production["id"], "do")


def _waste(erp: Tryton) -> int:
    found = erp.get("stock.location", finding.warehouse(erp)["id"], ("waste_locations",))
    if found is None or not found["waste_locations"]:
        raise not_supported(_NAME, "the warehouse has no waste location", field="action")
    return int(found["waste_locations"][0])


def _ordered(erp: Tryton, production: Record, number: Decimal) -> str:
    """Order so much again, for whom it was made; once, as the key of the call stands in the reference."""
    given = {"product_id": str(production["product"]), "quantity": goods(number)}
    order_id = str(production["reference"] or "").partition(";")[0].removeprefix("order ")
    if order_id.isdigit():
        given["order_id"] = order_id
    return str(making.OPERATIONS["production.create_order"](erp, given)["production_order_id"])


OPERATIONS: dict[str, Work] = {_NAME: _handle}
