"""What things cost: lines with their prices, discounts and taxes, each rounded half up, and their sums."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from plugins.erp_sandbox.records import add, by_id, cents, many, number, parts, refused, shown
from plugins.erp_sandbox.sales.tables import LINES, PRODUCTS
from server.sdk.ports.products import PRODUCT_UNKNOWN, SUM_TOO_LARGE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from plugins.erp_sandbox.desk import Desk
    from plugins.erp_sandbox.records import Record

_HUNDRED = Decimal(100)
_NOTHING = Decimal("0.00")
_MOST = Decimal("9999999999999.99")


def products_of(desk: Desk, ids: Iterable[str]) -> dict[str, Record]:
    """Return the products with these ids, the archived too.

    Raises:
        Permanent: PRODUCT_UNKNOWN.

    """
    wanted = set(ids)
    found = by_id(desk, PRODUCTS, "product_id", wanted)
    if missing := sorted(wanted - found.keys()):
        raise refused(PRODUCT_UNKNOWN, "there is no such product", product_id=missing[0])
    return found


def priced(values: Mapping[str, Any]) -> Record:
    """Return a line with `net` and `tax`, from its quantity, unit price, discount and tax rate.

    Raises:
        Permanent: SUM_TOO_LARGE.

    """
    share = (_HUNDRED - values["discount_percent"]) / _HUNDRED
    net = cents(values["quantity"] * values["unit_price"] * share)
    tax = cents(net * values["tax_rate"] / _HUNDRED)
    if net + tax > _MOST:
        raise refused(SUM_TOO_LARGE, "a line is worth more than can be kept")
    return {**values, "net": net, "tax": tax}


def lines_of(desk: Desk, items: Sequence[Mapping[str, Any]]) -> list[Record]:
    """Return the lines of what somebody wants, at the list price less the price breaks where nothing else is agreed.

    Raises:
        Permanent: PRODUCT_UNKNOWN, also for one that is archived; SUM_TOO_LARGE.

    """
    known = products_of(desk, (item["product_id"] for item in items))
    return [_line(number_, item, known[item["product_id"]]) for number_, item in enumerate(items, 1)]


def _line(line: int, item: Mapping[str, Any], product: Record) -> Record:
    if product["state"] == "archived":
        raise refused(PRODUCT_UNKNOWN, "the product is archived", product_id=product["product_id"])
    quantity = parts(item["quantity"])
    agreed = "unit_price" in item
    discount = _NOTHING if agreed else _break(product, quantity)
    return priced(
        {
            "line": line,
            "product_id": product["product_id"],
            "name": product["name"],
            "quantity": quantity,
            "unit_price": cents(item["unit_price"]) if agreed else product["price"],
            "discount_percent": cents(item.get("discount_percent", discount)),
            "tax_rate": product["tax_rate"],
        }
    )


def _break(product: Record, quantity: Decimal) -> Decimal:
    """Return the percentage of the highest price break that a quantity reaches."""
    reached = [each for each in json.loads(product["price_breaks"]) if Decimal(each["quantity"]) <= quantity]
    return cents(max(reached, key=lambda each: Decimal(each["quantity"]))["percent"]) if reached else _NOTHING


def totals(lines: Iterable[Mapping[str, Any]]) -> dict[str, Decimal]:
    """Return `net`, `tax` and `total` of lines.

    Raises:
        Permanent: SUM_TOO_LARGE.

    """
    net = tax = _NOTHING
    for line in lines:
        net, tax = net + line["net"], tax + line["tax"]
    if net + tax > _MOST:
        raise refused(SUM_TOO_LARGE, "the lines are worth more than can be kept")
    return {"net": net, "tax": tax, "total": net + tax}


def keep(desk: Desk, owner_id: str, lines: Iterable[Mapping[str, Any]]) -> None:
    """Write the lines of a deal, quote or order that has none."""
    add(desk, LINES, *({**line, "company": desk.company, "owner_id": owner_id} for line in lines))


def kept(desk: Desk, owners: Iterable[str]) -> dict[str, list[Record]]:
    """Return the lines of deals, quotes or orders, by whose they are."""
    found: dict[str, list[Record]] = {each: [] for each in owners}
    for record in many(desk, LINES, LINES.c.owner_id.in_(sorted(found))) if found else ():
        found[record["owner_id"]].append(record)
    return found


def without_owner(lines: Iterable[Record]) -> list[Record]:
    """Return lines as they can be kept for somebody else."""
    return [{key: line[key] for key in line if key not in ("company", "owner_id")} for line in lines]


def shown_lines(lines: Iterable[Record]) -> list[Record]:
    """Return lines as the ports have them."""
    return [shown(LINES, {"owner_id": None, **line}, "owner_id") for line in lines]


def standard(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Answer `pricing.standard`: the list price, whatever the price breaks say."""
    product = products_of(desk, [given["product_id"]])[given["product_id"]]
    quantity = parts(given["quantity"])
    return {
        "product_id": product["product_id"],
        "quantity": number(quantity),
        "unit_price": f"{product['price']:.2f}",
        "tax_rate": f"{product['tax_rate']:.2f}",
        "amount": f"{cents(quantity * product['price']):.2f}",
    }


def discount(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Answer `pricing.discount`."""
    lines = lines_of(desk, given["items"])
    full = sum((cents(line["quantity"] * line["unit_price"]) for line in lines), _NOTHING)
    sums = totals(lines)
    named = ("product_id", "quantity", "unit_price", "tax_rate", "discount_percent", "net")
    return {
        "items": [{name: line[name] for name in named} for line in shown_lines(lines)],
        "discount": f"{full - sums['net']:.2f}",
        **{name: f"{value:.2f}" for name, value in sums.items()},
    }
