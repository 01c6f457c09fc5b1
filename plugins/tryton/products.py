"""The port `products` on products and their templates: the external id is the template's code, which has one product each."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from plugins.tryton import finding
from plugins.tryton.coverage import not_supported
from plugins.tryton.values import STAMPS, amount, exact, goods, stamps
from server.sdk.ports.products import PRODUCT_INVALID, PRODUCT_UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Mapping

    from plugins.tryton.customers import Work
    from plugins.tryton.rest import Record, Tryton

PRODUCT = "product.product"
_ANY = ["active", "in", [True, False]]
FIELDS = (
    *("code", "name", "active", "type", "list_price_used", "cost_price", "template.id", "template.lead_time"),
    *("default_uom.name", "account_category.name", "account_category.customer_taxes.rate", *STAMPS),
)


def shown(product: Record) -> dict[str, Any]:
    """Return a product as the port has it."""
    category = product.get("account_category") or {}
    lead = product["template"].get("lead_time")
    return {
        "product_id": str(product["id"]),
        "external_id": product["code"] or None,
        "name": product["name"],
        "price": amount(product["list_price_used"]),
        "state": "active" if product["active"] else "archived",
        "category": category.get("name"),
        "kind": "service" if product["type"] == "service" else "goods",
        "unit": product["default_uom"]["name"],
        "cost": amount(product["cost_price"]),
        "tax_rate": percent(category.get("customer_taxes", [])),
        **({} if lead is None else {"lead_time_days": lead.days}),
        **stamps(product),
    }


def percent(taxes: list[Record]) -> str:
    """Return the sum of the rates of some taxes in percent."""
    return amount(sum((exact(each.get("rate")) for each in taxes), Decimal(0)) * 100)


def find(erp: Tryton, given: Mapping[str, Any]) -> Record | None:
    """Return the product that an input names, archived ones too."""
    if "product_id" in given:
        clause: list[Any] = ["id", "=", finding.number(given["product_id"])]
    else:
        clause = ["code", "=", given["external_id"]]
    return erp.first(PRODUCT, [clause, _ANY], FIELDS)


def _get(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    found = find(erp, given)
    if found is None:
        raise finding.refused(PRODUCT_UNKNOWN, "there is no product with this id", **dict(given))
    return shown(found)


def _search(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    domain = [["account_category.name", "=", given["category"]]] if "category" in given else []
    rows, following = finding.named(erp, PRODUCT, domain, FIELDS, given)
    return {"products": [shown(row) for row in rows], "next": following}


def _upsert(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    if given.get("price_breaks"):
        raise not_supported("products.upsert", "price breaks are price lists over there", field="price_breaks")
    found = find(erp, {"external_id": given["external_id"]})
    template, product = _values(erp, given, new=found is None)
    if found is None:
        made = erp.create("product.template", {**template, "products": [["create", [product]]]}, ("products",))
        change, key = "created", str(made["products"][0])
    else:
        key = str(found["id"])
        before = shown(found)
        change = "none" if all(_same(given[name], before.get(name)) for name in given) else "updated"
        if change == "updated":
            finding.revived(erp, "product.template", {**found["template"], "active": found["active"]})
            finding.revived(erp, PRODUCT, found)
            erp.write("product.template", found["template"]["id"], template)
            erp.write(PRODUCT, found["id"], product, **(finding.WHOLE if given.get("archived") else {}))
    found = find(erp, {"product_id": key})
    if found is None:
        raise finding.refused(PRODUCT_UNKNOWN, "the product has gone meanwhile", product_id=key)
    if "tax_rate" in given and exact(given["tax_rate"]) != exact(shown(found)["tax_rate"]):
        raise finding.refused(PRODUCT_INVALID, "the taxes are those of the product's category, and they differ")
    return {**shown(found), "change": change}


def _same(wanted: Any, there: Any) -> bool:
    if isinstance(wanted, bool):
        return not wanted
    if isinstance(there, str) and isinstance(wanted, str):
        try:
            return wanted == there or exact(wanted) == exact(there)
        except ArithmeticError:
            return False
    return bool(wanted == there)


def _values(erp: Tryton, given: Mapping[str, Any], *, new: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    active = not given.get("archived", False)
    template: dict[str, Any] = {"name": given["name"], "active": active}
    product: dict[str, Any] = {"active": active}
    if new:
        template |= {"code": given["external_id"], "type": "goods", "list_price": Decimal(0), "salable": True}
        template |= {"purchasable": True, "producible": True}
        product["cost_price"] = Decimal(0)
    if new or "unit" in given:
        unit = _unit(erp, given.get("unit", "u"))
        template |= {"default_uom": unit, "sale_uom": unit, "purchase_uom": unit}
    if new or "category" in given:
        template["account_category"] = _category(erp, given.get("category"))
    if "kind" in given:
        template["type"] = given["kind"]
    if "price" in given:
        template["list_price"] = product["list_price"] = exact(given["price"])
    if "cost" in given:
        product["cost_price"] = exact(given["cost"])
    if "lead_time_days" in given:
        template["lead_time"] = timedelta(days=given["lead_time_days"])
    return template, product


def _unit(erp: Tryton, name: str) -> int:
    found = erp.first("product.uom", ["OR", ["symbol", "=", name], ["name", "=", name]], ("id",))
    if found is None:
        raise finding.refused(PRODUCT_INVALID, "there is no unit of this name or symbol", unit=name)
    return int(found["id"])


def _category(erp: Tryton, name: str | None) -> int:
    domain: list[Any] = [["accounting", "=", True], *([["name", "=", name]] if name else [])]
    found = erp.first("product.category", domain, ("id",))
    if found is None:
        raise finding.refused(PRODUCT_INVALID, "there is no such category with accounts", category=name)
    return int(found["id"])


def _standard(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    product = _get(erp, {"product_id": given["product_id"]})
    worth = exact(product["price"]) * exact(given["quantity"])
    return {
        "product_id": product["product_id"],
        "quantity": goods(given["quantity"]),
        "unit_price": product["price"],
        "tax_rate": product["tax_rate"],
        "amount": amount(worth),
    }


OPERATIONS: dict[str, Work] = {
    "products.get": _get,
    "products.search": _search,
    "products.upsert": _upsert,
    "pricing.standard": _standard,
}
