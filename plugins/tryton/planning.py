"""The port `production`, what is made of what and when: bills of materials, and the planned start of productions."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from plugins.tryton import finding
from plugins.tryton.coverage import not_supported
from plugins.tryton.making import FIELDS, PRODUCTION, assigned, boms_of, drafted, production_of, shown
from plugins.tryton.stock import stocked
from plugins.tryton.values import STAMPS, day, exact, goods, quantity, revision
from server.sdk.ports.inventory import PRODUCTION_STATUS
from server.sdk.ports.production import BOM_CYCLE, BOM_TOO_DEEP

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal

    from plugins.tryton.customers import Work
    from plugins.tryton.rest import Record, Tryton

BOM = "production.bom"
_LINES = ("product", "quantity")
_BOM_FIELDS = (*(f"{side}.{name}" for side in ("inputs", "outputs") for name in _LINES), "name", *STAMPS)
_DEEPEST = 20


def _upsert_bom(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    known, components = stocked(erp, given["components"])
    made, _ = stocked(erp, [{"product_id": given["product_id"], "quantity": 1}])
    product, makes = made[given["product_id"]], exact(given.get("makes", 1))
    _check_levels(erp, given["product_id"], [each["id"] for each in known.values()])
    inputs = [
        {"product": known[each]["id"], "quantity": quantity(number), "unit": known[each]["default_uom"]}
        for each, number in components.items()
    ]
    output = {"product": product["id"], "quantity": quantity(makes), "unit": product["default_uom"]}
    rows = boms_of(erp, [product["id"]])
    number = rows[0]["bom"]["id"] if rows else _new_bom(erp, product, inputs, output)
    change = _replaced(erp, _bom(erp, number), product, inputs, output) if rows else "created"
    return {
        "product_id": given["product_id"],
        "components": [{"product_id": each, "quantity": goods(number)} for each, number in components.items()],
        "makes": goods(makes),
        "revision": revision(_bom(erp, number)),
        "change": change,
    }


def _bom(erp: Tryton, number: int) -> Record:
    return finding.one(erp, BOM, str(number), _BOM_FIELDS, BOM_TOO_DEEP)


def _new_bom(erp: Tryton, product: Record, inputs: list[Any], output: dict[str, Any]) -> int:
    """Make a bill of materials and tie it to its product: two records. Until then the first has the call in its name."""
    lines = {"inputs": [["create", inputs]], "outputs": [["create", [output]]]}
    bom = finding.keyed(erp, BOM, ("id",), "name")
    if bom is None:
        made = erp.create(BOM, {"name": erp.key or product["name"], **lines})
        bom = finding.settled(erp, BOM, made, "name")
    erp.create("product.product-production.bom", {"product": product["id"], "bom": bom["id"]})
    erp.write(BOM, bom["id"], {"name": product["name"]})
    return int(bom["id"])


def _replaced(erp: Tryton, bom: Record, product: Record, inputs: list[Any], output: dict[str, Any]) -> str:
    """Bring a bill of materials in line; productions keep the moves that they were made with."""
    outputs = [each for each in bom["outputs"] if each["product"] == product["id"]]
    if _sums(bom["inputs"]) == _sums(inputs) and _sums(outputs) == _sums([output]):
        if bom["name"] == erp.key:
            erp.write(BOM, bom["id"], {"name": product["name"]})
        return "none"
    gone = [["delete", [each["id"] for each in bom["inputs"]]]] if bom["inputs"] else []
    first, *others = (each["id"] for each in outputs)
    values: dict[str, Any] = {
        "name": product["name"] if bom["name"] == erp.key else bom["name"],
        "inputs": [*gone, ["create", inputs]],
        "outputs": [["write", [first], {"quantity": output["quantity"], "unit": output["unit"]}]],
    }
    if others:
        values["outputs"].append(["delete", others])
    erp.write(BOM, bom["id"], values)
    return "updated"


def _sums(lines: list[Any]) -> dict[int, Decimal]:
    found: dict[int, Decimal] = {}
    for each in lines:
        found[each["product"]] = found.get(each["product"], exact(0)) + exact(each["quantity"])
    return found


def _check_levels(erp: Tryton, product_id: str, components: list[int]) -> None:
    """Look down from the components of a product.

    Raises:
        Permanent: BOM_CYCLE, BOM_TOO_DEEP.

    """
    top = finding.number(product_id)
    ways: dict[int, list[int]] = {each: [top, each] for each in components}
    for _ in range(_DEEPEST + 1):
        if top in ways:
            cycle = [str(each) for each in ways[top]]
            raise finding.refused(BOM_CYCLE, "a product would be a material of itself", cycle=cycle)
        below: dict[int, list[int]] = {}
        for row in boms_of(erp, list(ways)):
            for each in row["bom"]["inputs"]:
                below.setdefault(each["product"], [*ways[row["product"]], each["product"]])
        if not below:
            return
        ways = below
    raise finding.refused(BOM_TOO_DEEP, "bills of materials stand too deep", product_id=product_id)


def _schedule(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    """Plan the start, from which Tryton's lead time leads to the end; its materials are assigned where they are there."""
    if "capacity_per_day" in given:
        because = "work centers are another module"
        raise not_supported("production.schedule", because, field="capacity_per_day")
    production = production_of(erp, given)
    if production["state"] in ("running", "done", "cancelled"):
        status = shown(production)["status"]
        raise finding.refused(PRODUCTION_STATUS, f"the production is {status}", status=status)
    tomorrow = finding.today(erp) + timedelta(days=1)
    start = max(tomorrow, finding.date_of(given["not_before"])) if "not_before" in given else tomorrow
    end = start + _lead_time(erp, production)
    due: date | None = production["planned_date"]
    values = {"planned_start_date": start, "planned_date": due or end}
    changed = any(production[name] != value for name, value in values.items())
    before = production["state"]
    if changed:
        production = drafted(erp, production)  # where alone Tryton lets anybody plan
        erp.write(PRODUCTION, production["id"], values)
    production = assigned(erp, production) or production_of(erp, given)
    return {
        **shown(production),
        "scheduled_start": day(start),
        "scheduled_end": day(end),
        "is_late": due is not None and end > due,
        "change": "updated" if changed or production["state"] != before else "none",
    }


def _lead_time(erp: Tryton, production: Record) -> timedelta:
    """Return how long it takes over there: the first lead time of the product that fits the bill of materials."""
    bom = [["bom", "=", None], ["bom", "=", production["bom"]]] if production["bom"] else [["bom", "=", None]]
    domain = [["product", "=", production["product"]], ["OR", *bom]]
    order = (("sequence", "ASC NULLS FIRST"), ("id", "ASC"))
    found = erp.first("production.lead_time", domain, ("lead_time",), order=order)
    span: timedelta | None = found["lead_time"] if found else None
    return span or timedelta()


def _find_waiting(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    limit, after = int(given.get("limit", 50)), finding.page(dict(given))[1]
    domain: list[Any] = [["state", "=", "waiting"], ["id", ">", after]]
    if "product_id" in given:
        domain.append(["inputs.product", "=", finding.number(given["product_id"])])
    rows = erp.search(PRODUCTION, domain, FIELDS, limit=limit + 1)
    more = str(rows[limit - 1]["id"]) if len(rows) > limit else None
    return {"production_orders": [shown(each) for each in rows[:limit]], "next": more}


OPERATIONS: dict[str, Work] = {
    "boms.upsert": _upsert_bom,
    "production.schedule": _schedule,
    "production.find_waiting": _find_waiting,
}
