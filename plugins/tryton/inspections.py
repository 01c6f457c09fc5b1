"""The port `quality` on inspections, each by the control of its product and of the production that it is about, if of one.

The reference says how much is inspected, and which call began it. What was measured and judged are the inspection's points.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from plugins.tryton import finding
from plugins.tryton.controls import COUNT, POINTS, checkpoints, control_of
from plugins.tryton.coverage import not_supported
from plugins.tryton.values import exact, goods, moment
from server.sdk.ports.inventory import PRODUCTION_UNKNOWN
from server.sdk.ports.products import PRODUCT_UNKNOWN
from server.sdk.ports.quality import CHECKPOINT_UNKNOWN, INSPECTION_STATUS, INSPECTION_TOO_MUCH, INSPECTION_UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from plugins.tryton.customers import Work
    from plugins.tryton.rest import Record, Tryton

INSPECTION = "quality.inspection"
_FIELDS = (
    *("state", "reference", "origin", "points", "control.product", *(f"control.{each}" for each in POINTS)),
    *("alerts.state", "alerts.description", "create_date"),
)
_PRODUCTION = "production,"
_MADE = ("running", "done")
_BETWEEN = " | "
_KEPT: dict[str, Callable[[float], Any]] = {"integer": round, "numeric": exact, "float": float}
"""How Tryton keeps a measure of each type of point."""


def inspection_of(erp: Tryton, given: Mapping[str, Any]) -> Record:
    """Return an inspection.

    Raises:
        Permanent: INSPECTION_UNKNOWN.

    """
    return finding.one(erp, INSPECTION, given["inspection_id"], _FIELDS, INSPECTION_UNKNOWN)


def production_of(inspection: Record) -> str | None:
    """Return the id of the production that an inspection is about."""
    origin = str(inspection["origin"] or "")
    return origin.removeprefix(_PRODUCTION) if origin.startswith(_PRODUCTION) else None


def quantity_of(erp: Tryton, inspection: Record) -> Decimal:
    """Return how much is inspected: what its reference says; of one that a person made, what its production makes."""
    try:
        return exact((inspection["reference"] or "").partition(";")[0])
    except InvalidOperation:
        production = erp.get("production", finding.number(production_of(inspection) or ""), ("quantity",))
        return exact(production["quantity"]) if production else Decimal(0)


def status_of(inspection: Record) -> str:
    """Return the status of an inspection: one that failed is handled when all its alerts are resolved."""
    if inspection["state"] == "failed":
        states = {each["state"] for each in inspection["alerts"]}
        return "handled" if states == {"resolved"} else "failed"
    return "open" if inspection["state"] == "pending" else "passed"


def _shown(erp: Tryton, inspection: Record) -> dict[str, Any]:
    number = quantity_of(erp, inspection)
    return {
        "inspection_id": str(inspection["id"]),
        "product_id": str(inspection["control"]["product"]),
        "quantity": goods(number),
        "status": status_of(inspection),
        "checkpoints": [_result(inspection, each) for each in _points(inspection, number)],
        "production_order_id": production_of(inspection),
        "purchase_order_id": None,
        "created_at": moment(inspection["create_date"]),
    }


def _points(inspection: Record, number: Decimal) -> list[dict[str, Any]]:
    """Return the checkpoints; the count that has no bounds is to be at least what was said."""
    found = checkpoints(inspection["control"]["points"])
    for each in found:
        if each["name"] == COUNT and each["minimum"] is None and each["maximum"] is None:
            each["minimum"] = goods(number)
    return found


def _result(inspection: Record, point: dict[str, Any]) -> dict[str, Any]:
    value = (inspection["points"] or {}).get(point["name"])
    if value is None:
        return {**point, "passed": None, "value": None}
    if point["kind"] == "manual":
        return {**point, "passed": bool(value), "value": None}
    return {**point, "passed": _between(point, value), "value": goods(value)}


def _between(point: Mapping[str, Any], value: Any) -> bool:
    least, most = point["minimum"], point["maximum"]
    return (least is None or exact(value) >= exact(least)) and (most is None or exact(value) <= exact(most))


def _create(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    product = finding.products(erp, [given["product_id"]], PRODUCT_UNKNOWN)[given["product_id"]]
    if given.get("purchase_order_id") is not None:
        because = "goods that come are inspected by their shipment, not by the purchase"
        raise not_supported("quality.create_inspection", because, field="purchase_order_id")
    reference = f"{goods(given['quantity'])}; {erp.key or ''}"
    found = _begun(erp, reference)
    if found is None:
        production = given.get("production_order_id")
        if production is not None:
            _vet_made(erp, production, given)
        origin = None if production is None else f"{_PRODUCTION}{production}"
        values = {"control": control_of(erp, product)["id"], "reference": reference, "origin": origin}
        found = erp.create(INSPECTION, values, _FIELDS)
        oldest = _begun(erp, reference)
        if oldest is not None and oldest["id"] != found["id"]:
            erp.delete(INSPECTION, found["id"])
            found = oldest
    return {**_shown(erp, found), "change": "created"}


def _begun(erp: Tryton, reference: str) -> Record | None:
    """Return the oldest inspection that the call began; who judged it may stand behind."""
    same = [["reference", "=", reference], ["reference", "like", f"{finding.literal(reference)}{_BETWEEN}%"]]
    return erp.first(INSPECTION, ["OR", *same], _FIELDS) if erp.key else None


def _vet_made(erp: Tryton, production_id: str, given: Mapping[str, Any]) -> None:
    fields = ("state", "product", "quantity")
    production = finding.one(erp, "production", production_id, fields, PRODUCTION_UNKNOWN)
    if str(production["product"]) != given["product_id"]:
        raise finding.refused(PRODUCTION_UNKNOWN, "it makes another product", id=production_id)
    made = exact(production["quantity"]) if production["state"] in _MADE else Decimal(0)
    if exact(given["quantity"]) > made:
        raise finding.refused(INSPECTION_TOO_MUCH, "more would be inspected than is made", made=goods(made))


def _automated(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    """Judge by what was measured. The count needs no measuring: without one it is what was said."""
    inspection = inspection_of(erp, given)
    number = quantity_of(erp, inspection)
    measured: dict[str, Any] = {COUNT: float(number), **given.get("measurements", {})}
    values = {
        each["name"]: _KEPT[each["type_"]](measured[each["name"]])
        for each in inspection["control"]["points"]
        if each["type_"] != "boolean" and each["name"] in measured
    }
    return _judged(erp, inspection, values)


def _judged(erp: Tryton, inspection: Record, values: dict[str, Any]) -> dict[str, Any]:
    """Keep values, and close an inspection of which every point has its result, or one has failed."""
    there = dict(inspection["points"] or {})
    kept = {**there, **values}
    if inspection["state"] != "pending" and kept != there:  # with the same values it is the same call again
        raise finding.refused(INSPECTION_STATUS, "the inspection is over", status=status_of(inspection))
    shown = _points(inspection, quantity_of(erp, inspection))
    results = [_result({"points": kept}, each)["passed"] for each in shown]
    passed = False if False in results else None if None in results else True
    return _closed(erp, inspection, kept, passed=passed)


def _closed(erp: Tryton, inspection: Record, kept: dict[str, Any], *, passed: bool | None) -> dict[str, Any]:
    """Keep the values, and let Tryton judge them: it does so when nothing is left to measure; a box that nobody ticked has not passed."""
    number, points = inspection["id"], inspection["control"]["points"]
    left = [each["name"] for each in points if each["name"] not in kept]
    unticked = [each["name"] for each in points if each["name"] in left and each["type_"] == "boolean"]
    if passed is False:
        kept |= dict.fromkeys(unticked, False)
    over = passed is not None and set(kept) >= {each["name"] for each in points}
    change = "updated" if inspection["state"] == "pending" else "none"
    if inspection["state"] == "pending":
        erp.write(INSPECTION, number, {"points": kept})
        if over:
            erp.press(INSPECTION, number, "process")
        inspection = inspection_of(erp, {"inspection_id": str(number)})
    if over and inspection["state"] != ("passed" if passed else "failed"):  # that it is too few, no tolerance says
        erp.press(INSPECTION, number, "pass_" if passed else "fail")
        inspection = inspection_of(erp, {"inspection_id": str(number)})
    return _answer(erp, inspection, change)


def _answer(erp: Tryton, inspection: Record, change: str) -> dict[str, Any]:
    passed = {"passed": True, "failed": False}.get(inspection["state"])
    return {**_shown(erp, inspection), "passed": passed, "change": change}


def _record(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    inspection = inspection_of(erp, given)
    answer = _at_one(erp, inspection, given) if "checkpoint" in given else _as_a_whole(erp, inspection, given)
    if given.get("note"):
        note = {"resource": f"{INSPECTION},{inspection['id']}", "message": given["note"]}
        if erp.first("ir.note", [[name, "=", value] for name, value in note.items()], ("id",)) is None:
            erp.create("ir.note", note)
    return answer


def _at_one(erp: Tryton, inspection: Record, given: Mapping[str, Any]) -> dict[str, Any]:
    name = given["checkpoint"]
    point = next((each for each in inspection["control"]["points"] if each["name"] == name), None)
    if point is None:
        raise finding.refused(CHECKPOINT_UNKNOWN, "the inspection has no such checkpoint", checkpoint=name)
    if point["type_"] == "boolean":
        return _judged(erp, inspection, {name: given["passed"]})
    shown = next(each for each in _points(inspection, quantity_of(erp, inspection)) if each["name"] == name)
    if "value" not in given or _between(shown, given["value"]) != given["passed"]:
        raise not_supported("quality.record_result", "a measured point is judged by its value alone", field="passed")
    return _judged(erp, inspection, {name: _KEPT[point["type_"]](given["value"])})


def _as_a_whole(erp: Tryton, inspection: Record, given: Mapping[str, Any]) -> dict[str, Any]:
    """Pass or fail all that nobody has judged yet; what is to be measured and was not, nobody can."""
    passed, there, reference = given["passed"], dict(inspection["points"] or {}), inspection["reference"] or ""
    begun = erp.key is not None and reference.endswith(f"{_BETWEEN}{erp.key}")
    if inspection["state"] != "pending" and not begun:
        if inspection["state"] != ("passed" if passed else "failed"):
            raise finding.refused(INSPECTION_STATUS, "the inspection is over", status=status_of(inspection))
        return _answer(erp, inspection, "none")
    points = {each["name"]: each["type_"] for each in inspection["control"]["points"]}
    ticked = {name: passed for name, type_ in points.items() if type_ == "boolean"}
    counted = {COUNT: float(quantity_of(erp, inspection))} if points.get(COUNT, "boolean") != "boolean" else {}
    kept = {**ticked, **counted, **there}
    if missing := sorted(points.keys() - kept.keys()):
        because = f"{', '.join(missing)}: a measured point is judged by its value alone"
        raise not_supported("quality.record_result", because, field="checkpoint")
    if erp.key and not begun:  # who says against all points that it failed has to be known by whoever finishes that
        erp.write(INSPECTION, inspection["id"], {"reference": f"{reference}{_BETWEEN}{erp.key}"})
    return _closed(erp, inspection, kept, passed=passed)


OPERATIONS: dict[str, Work] = {
    "quality.create_inspection": _create,
    "quality.automated_checks": _automated,
    "quality.record_result": _record,
}
