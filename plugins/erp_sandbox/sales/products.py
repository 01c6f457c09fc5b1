"""Products: read, written, searched. Their stock is kept elsewhere."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from plugins.erp_sandbox.records import add, cents, change, number, one, paged, parts, refused, shown, stamped
from plugins.erp_sandbox.sales.tables import PRODUCTS
from server.sdk.ports.products import PRODUCT_FIELDS, PRODUCT_INVALID, PRODUCT_UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Mapping

    from plugins.erp_sandbox.desk import Desk
    from plugins.erp_sandbox.records import Record

_MONEY = ("price", "cost", "tax_rate")
_EMPTY = {
    "category": None,
    "kind": "goods",
    "unit": "piece",
    "price": Decimal("0.00"),
    "cost": Decimal("0.00"),
    "tax_rate": Decimal("0.00"),
    "lead_time_days": 7,
    "price_breaks": "[]",
}


def show(product: Record) -> Record:
    """Return a product as the port has it."""
    breaks = [
        {"quantity": number(Decimal(each["quantity"])), "percent": each["percent"]}
        for each in json.loads(product["price_breaks"])
    ]
    return {**shown(PRODUCTS, product), "price_breaks": breaks}


def get(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Answer `products.get`."""
    product = one(desk, PRODUCTS, **given)
    if product is None:
        raise refused(PRODUCT_UNKNOWN, "there is no such product", **given)
    return show(product)


def upsert(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Answer `products.upsert`; what is as it should be is not touched."""
    values = _values(given)
    there = one(desk, PRODUCTS, lock=True, external_id=given["external_id"])
    if there is None:
        made = stamped(desk, {"product_id": desk.new_id("prd"), **_EMPTY, "state": "active", **values})
        add(desk, PRODUCTS, made)
        return {**show(made), "change": "created"}
    after = change(desk, PRODUCTS, there, **values)
    return {**show(after), "change": "none" if after is there else "updated"}


def _values(given: Mapping[str, Any]) -> Record:
    values = {key: given[key] for key in PRODUCT_FIELDS if key in given}
    values |= {key: cents(values[key]) for key in _MONEY if key in values}
    values["state"] = "archived" if given.get("archived") else "active"
    if "price_breaks" in values:
        breaks = sorted(values["price_breaks"], key=lambda each: parts(each["quantity"]))
        if len({parts(each["quantity"]) for each in breaks}) < len(breaks):
            raise refused(PRODUCT_INVALID, "two price breaks begin at the same quantity")
        plain = [{"quantity": f"{parts(each['quantity'])}", "percent": f"{cents(each['percent'])}"} for each in breaks]
        values["price_breaks"] = json.dumps(plain)
    return values


def search(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Answer `products.search`."""
    column = PRODUCTS.c
    where = [column[name] == given[name] for name in ("category", "state") if name in given]
    if "text" in given:
        where.append(column.name.icontains(given["text"], autoescape=True))
    found, following = paged(desk, PRODUCTS, given, *where, by=("updated_at", "product_id"))
    return {"products": [show(each) for each in found], "next": following}
