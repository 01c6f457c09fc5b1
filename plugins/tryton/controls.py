"""What is looked at when a product is inspected: the points of its quality control. Bounds are tolerances; a boolean is for a person.

Inspections keep the control that they began with: other checkpoints are another control, and the one before is archived.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plugins.tryton import finding
from server.sdk.ports.products import PRODUCT_UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from plugins.tryton.customers import Work
    from plugins.tryton.rest import Record, Tryton

CONTROL = "quality.control"
POINTS = tuple(f"points.{name}" for name in ("name", "type_", "tolerance_lower", "tolerance_upper"))
COUNT = "quantity"
"""The point of a product that has none of its own: that there is as much as was said."""
_FIELDS = ("operations", "frequency", *POINTS)
_PLAIN = [{"name": COUNT, "kind": "automated", "minimum": None, "maximum": None}]


def checkpoints(points: Iterable[Record]) -> list[dict[str, Any]]:
    """Return the points of a control as the port has them."""
    return [
        {
            "name": each["name"],
            "kind": "manual" if each["type_"] == "boolean" else "automated",
            "minimum": each["tolerance_lower"],
            "maximum": each["tolerance_upper"],
        }
        for each in sorted(points, key=lambda point: point["id"])
    ]


def _values(point: Mapping[str, Any]) -> dict[str, Any]:
    manual = point["kind"] == "manual"
    return {
        "name": point["name"],
        "string": point["name"].replace("_", " ").capitalize(),
        "type_": "boolean" if manual else "float",
        "digits": None,
        "tolerance_lower": None if manual or point["minimum"] is None else float(point["minimum"]),
        "tolerance_upper": None if manual or point["maximum"] is None else float(point["maximum"]),
    }


def _controls(erp: Tryton, product: int) -> list[Record]:
    domain = [["product", "=", product], ["company", "in", [erp.settings["company"], None]]]
    return erp.search(CONTROL, domain, _FIELDS)


def _get(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    product = finding.products(erp, [given["product_id"]], PRODUCT_UNKNOWN)[given["product_id"]]
    found = _controls(erp, product["id"])
    return {"product_id": given["product_id"], "checkpoints": checkpoints(found[0]["points"]) if found else _PLAIN}


def _set(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    product = finding.products(erp, [given["product_id"]], PRODUCT_UNKNOWN)[given["product_id"]]
    named = {each["name"]: {"minimum": None, "maximum": None, **each} for each in given["checkpoints"]}
    points, there = [_values(each) for each in named.values()], _controls(erp, product["id"])
    if not (len(there) == 1 and checkpoints(there[0]["points"]) == _as_kept(points)):
        for each in there:
            erp.write(CONTROL, each["id"], {"active": False})
        if points:
            _create(erp, product, points, there[0] if there else {})
    return _get(erp, given)


def _as_kept(points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return checkpoints({**each, "id": n} for n, each in enumerate(points))


def _create(erp: Tryton, product: Record, points: list[dict[str, Any]], before: Record) -> Record:
    values = {
        "name": f"Inspection of {product['name']}"[:200],
        "product": product["id"],
        "company": erp.settings["company"],
        "operations": list(before.get("operations") or ()),
        "frequency": before.get("frequency", 1.0),
        "points": [["create", points]],
    }
    return erp.create(CONTROL, values, _FIELDS)


def control_of(erp: Tryton, product: Record) -> Record:
    """Return the control of a product, with its points; one that counts, made now, where it has none."""
    found = _controls(erp, product["id"])
    return found[0] if found else _create(erp, product, [_values(each) for each in _PLAIN], {})


OPERATIONS: dict[str, Work] = {
    "quality.set_checkpoints": _set,
    "quality.get_checkpoints": _get,
}
