"""Inspections: begun with the checkpoints of the day, judged point by point, and what becomes of what failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import delete

from plugins.erp_sandbox import records
from plugins.erp_sandbox.inventory import sold, stock
from plugins.erp_sandbox.inventory.stock import Change, Why
from plugins.erp_sandbox.production import making, orders
from plugins.erp_sandbox.quality.tables import CHECKPOINTS, FINDINGS, INSPECTIONS
from plugins.erp_sandbox.records import Record, number, parts, refused
from plugins.erp_sandbox.sales.pricing import products_of
from plugins.erp_sandbox.transitions import Transitions
from server.sdk.ports.quality import (
    CHECKPOINT_UNKNOWN,
    INSPECTION_OF_NO_ORDER,
    INSPECTION_STATUS,
    INSPECTION_TOO_MUCH,
    INSPECTION_UNKNOWN,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from plugins.erp_sandbox.desk import Desk

STATUS = Transitions(
    "inspection",
    INSPECTION_STATUS,
    {
        "judge": {"open": "open"},
        "pass": {"open": "passed"},
        "fail": {"open": "failed"},
        "handle": {"failed": "handled"},
    },
)
_POINT = ("name", "kind", "minimum", "maximum")


def set_checkpoints(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Set what is looked at when a product is inspected; of two with one name the last counts."""
    product_id = given["product_id"]
    products_of(desk, [product_id])
    this = (CHECKPOINTS.c.company == desk.company, CHECKPOINTS.c.product_id == product_id)
    desk.connection.execute(delete(CHECKPOINTS).where(*this))
    named = {each["name"]: each for each in given["checkpoints"]}
    whose = {"company": desk.company, "product_id": product_id}
    points = [{name: each.get(name) for name in _POINT} for each in named.values()]
    records.add(desk, CHECKPOINTS, *({**whose, "position": n, **point} for n, point in enumerate(points)))
    return checkpoints(desk, given)


def checkpoints(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Say what is looked at when a product is inspected."""
    products_of(desk, [given["product_id"]])
    return {"product_id": given["product_id"], "checkpoints": _points(desk, given["product_id"])}


def _points(desk: Desk, product_id: str) -> list[Record]:
    found = records.many(desk, CHECKPOINTS, CHECKPOINTS.c.product_id == product_id)
    own = [{name: each[name] for name in _POINT} for each in found]
    return own or [{"name": "quantity", "kind": "automated", "minimum": None, "maximum": None}]


def create(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Begin an inspection."""
    product_id, quantity = given["product_id"], parts(given["quantity"])
    sold.stocked(desk, [product_id])
    production_order_id = given.get("production_order_id")
    if production_order_id is not None:
        _vet_made(desk, production_order_id, product_id, quantity)
    values = {
        "inspection_id": desk.new_id("ins"),
        "product_id": product_id,
        "quantity": quantity,
        "production_order_id": production_order_id,
        "purchase_order_id": given.get("purchase_order_id"),
        "status": "open",
        "action": None,
        "note": None,
    }
    inspection = records.stamped(desk, values)
    records.add(desk, INSPECTIONS, inspection)
    whose = {"company": desk.company, "inspection_id": inspection["inspection_id"]}
    points = [_with_count(each, float(quantity)) for each in _points(desk, product_id)]
    empty = dict.fromkeys(("passed", "value", "note"))
    records.add(desk, FINDINGS, *({**whose, "position": n, **empty, **point} for n, point in enumerate(points)))
    return {**_shown(desk, inspection), "change": "created"}


def _with_count(point: Record, quantity: float) -> Record:
    """Let the count that nobody has set bounds for be at least what was said."""
    if point["name"] == "quantity" and point["minimum"] is None and point["maximum"] is None:
        return {**point, "minimum": quantity}
    return point


def _vet_made(desk: Desk, production_order_id: str, product_id: str, quantity: Any) -> None:
    order = orders.find(desk, production_order_id)
    if order is None or order["product_id"] != product_id:
        raise orders.unknown(production_order_id)
    made = order["produced"] - order["rejected"]
    if quantity > made:
        raise refused(INSPECTION_TOO_MUCH, "more would be inspected than is made", made=number(made))


def automated(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Judge by what was measured. The count needs no measuring: without one it is what was said."""
    inspection = _locked(desk, given["inspection_id"])
    STATUS.after(inspection["status"], "judge")
    measured = {"quantity": float(inspection["quantity"]), **given.get("measurements", {})}
    for finding in _findings(desk, inspection):
        if finding["kind"] == "automated":
            value = measured.get(finding["name"])
            note = None if value is not None else "not measured"
            passed = value is not None and _between(finding, value)
            records.change(desk, FINDINGS, finding, passed=passed, value=value, note=note)
    return _judged(desk, inspection)


def _between(finding: Record, value: float) -> bool:
    least, most = finding["minimum"], finding["maximum"]
    return (least is None or value >= least) and (most is None or value <= most)


def record(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Note what somebody found: at one checkpoint, or at all that have no result."""
    inspection = _locked(desk, given["inspection_id"])
    STATUS.after(inspection["status"], "judge")
    findings = _findings(desk, inspection)
    if "checkpoint" in given:
        meant = [each for each in findings if each["name"] == given["checkpoint"]]
    else:
        meant = [each for each in findings if each["passed"] is None]
    if not meant and "checkpoint" in given:
        raise refused(CHECKPOINT_UNKNOWN, "the inspection has no such checkpoint", checkpoint=given["checkpoint"])
    said = {"passed": given["passed"], "value": given.get("value"), "note": given.get("note")}
    for each in meant:
        records.change(desk, FINDINGS, each, **said)
    return _judged(desk, inspection)


def _judged(desk: Desk, inspection: Record) -> Record:
    """Close an inspection of which every point has its result, or one has failed."""
    results = [each["passed"] for each in _findings(desk, inspection)]
    passed = False if False in results else None if None in results else True
    if passed is not None:
        status = STATUS.after(inspection["status"], "pass" if passed else "fail")
        inspection = records.change(desk, INSPECTIONS, inspection, status=status)
        names = ("inspection_id", "product_id", "production_order_id", "purchase_order_id")
        data = {
            **{name: inspection[name] for name in names},
            "quantity": number(inspection["quantity"]),
            "passed": passed,
        }
        desk.emit("inspection.completed", f"inspection/{inspection['inspection_id']}", data)
    return {**_shown(desk, inspection), "passed": passed, "change": "updated"}


def handle_failure(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Say what becomes of goods that failed."""
    inspection = _locked(desk, given["inspection_id"])
    status = STATUS.after(inspection["status"], "handle")
    action, production_order_id = given["action"], inspection["production_order_id"]
    if production_order_id is not None:
        making.reject(desk, production_order_id, inspection["quantity"], action)
    elif action != "scrap":
        raise refused(INSPECTION_OF_NO_ORDER, "only what a production order has made can be made again")
    else:
        why = Why("rejected", f"inspection/{inspection['inspection_id']}")
        stock.change(desk, {inspection["product_id"]: Change(-inspection["quantity"])}, why)
    records.change(desk, INSPECTIONS, inspection, status=status, action=action, note=given.get("note"))
    answer = {"inspection_id": inspection["inspection_id"], "status": status, "action": action}
    return {**answer, "production_order_id": production_order_id}


def _locked(desk: Desk, inspection_id: str) -> Record:
    found = records.one(desk, INSPECTIONS, lock=True, inspection_id=inspection_id)
    if found is None:
        raise refused(INSPECTION_UNKNOWN, "there is no such inspection", inspection_id=inspection_id)
    return found


def _findings(desk: Desk, inspection: Record) -> list[Record]:
    return records.many(desk, FINDINGS, FINDINGS.c.inspection_id == inspection["inspection_id"])


def _shown(desk: Desk, inspection: Record) -> Record:
    findings = [records.shown(FINDINGS, each, "inspection_id", "position") for each in _findings(desk, inspection)]
    return {**records.shown(INSPECTIONS, inspection), "checkpoints": findings}
