"""The port `procurement`, what is asked for: requisitions.

One that was asked for waits over there for somebody's approval; then Tryton makes purchase requests of it, and its own wizard alone
makes purchases of these. Its description keeps which production it is for, the reason, and the call that made it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plugins.tryton import finding
from plugins.tryton.stock import stocked
from plugins.tryton.values import day, goods, moment, quantity
from server.sdk.ports.procurement import REQUISITION_STATUS, REQUISITION_UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from plugins.tryton.customers import Work
    from plugins.tryton.rest import Record, Tryton

REQUISITION = "purchase.requisition"
_FIELDS = (*("state", "description", "supply_date", "create_date", "lines.product", "lines.quantity"),)
_STATUS = {
    **dict.fromkeys(("draft", "waiting", "approved"), "open"),
    **dict.fromkeys(("processing", "done"), "ordered"),
    **dict.fromkeys(("rejected", "cancelled"), "cancelled"),
}
_BETWEEN = "; "


def _shown(requisition: Record) -> dict[str, Any]:
    whose, _, rest = str(requisition["description"] or "").partition(_BETWEEN)
    production, reason = whose.removeprefix("production "), rest.rpartition(_BETWEEN)[0]
    return {
        "requisition_id": str(requisition["id"]),
        "status": _STATUS[requisition["state"]],
        "items": [
            {"product_id": str(each["product"]), "quantity": goods(each["quantity"])} for each in requisition["lines"]
        ],
        "needed_by": day(requisition["supply_date"]),
        "reason": reason or None,
        "production_order_id": production if production.isdigit() else None,
        "created_at": moment(requisition["create_date"]),
    }


def _create(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    found = _keyed(erp) or _drafted(erp, given)
    if found["state"] == "draft":
        erp.press(REQUISITION, found["id"], "wait")
    return {**_shown(_again(erp, found)), "change": "created"}


def _keyed(erp: Tryton) -> Record | None:
    ends = ["description", "like", f"%{finding.literal(_BETWEEN + str(erp.key))}"]
    return erp.first(REQUISITION, [ends], _FIELDS) if erp.key else None


def _drafted(erp: Tryton, given: Mapping[str, Any]) -> Record:
    known, wanted = stocked(erp, given["items"])
    needed, whose = given.get("needed_by"), f"production {given.get('production_order_id') or '-'}"
    lines = [
        {"product": known[each]["id"], "quantity": quantity(number), "unit": known[each]["purchase_uom"]}
        for each, number in wanted.items()
    ]
    values = {
        "description": _BETWEEN.join((whose, given.get("reason", ""), erp.key or "")),
        "employee": erp.settings.get("employee"),
        "warehouse": finding.warehouse(erp)["id"],
        "currency": finding.currency(erp),
        "supply_date": finding.today(erp) if needed is None else finding.date_of(needed),
        "lines": [["create", lines]],
    }
    made = erp.create(REQUISITION, values)
    oldest = _keyed(erp)
    if oldest is not None and oldest["id"] != made["id"]:
        erp.delete(REQUISITION, made["id"])
        made = oldest
    return _again(erp, made)


def _again(erp: Tryton, requisition: Record) -> Record:
    return finding.one(erp, REQUISITION, str(requisition["id"]), _FIELDS, REQUISITION_UNKNOWN)


def requisitions_of(erp: Tryton, requests: Iterable[Record]) -> list[int]:
    """Return the requisitions that some purchase requests come from."""
    origins = [str(each["origin"]).partition(",") for each in requests]
    lines = [finding.number(number) for model, _, number in origins if model == f"{REQUISITION}.line"]
    found = erp.search(REQUISITION, [["lines.id", "in", lines]], ("id",)) if lines else []
    return [int(each["id"]) for each in found]


def _cancel(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    requisition_id = given["requisition_id"]
    requisition = erp.get(REQUISITION, finding.number(requisition_id), _FIELDS)
    answer = {"requisition_id": requisition_id, "status": "cancelled"}
    if requisition is None:
        return {**answer, "status": None, "change": "none"}
    if (status := _STATUS[requisition["state"]]) == "cancelled":
        return {**answer, "change": "none"}
    if status != "open":
        raise finding.refused(REQUISITION_STATUS, f"the requisition is {status}", status=status)
    if requisition["state"] != "draft":
        erp.press(REQUISITION, requisition["id"], "draft")
    erp.press(REQUISITION, requisition["id"], "cancel")
    return {**answer, "change": "updated"}


OPERATIONS: dict[str, Work] = {
    "procurement.create_requisition": _create,
    "procurement.cancel_requisition": _cancel,
}
