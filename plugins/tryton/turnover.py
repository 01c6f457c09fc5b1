"""`inventory.stock_analytics`: what lies in the storage zone, and what went in and out of it by the moves of the last days."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from plugins.tryton import finding
from plugins.tryton.products import PRODUCT
from plugins.tryton.values import exact, goods

if TYPE_CHECKING:
    from collections.abc import Mapping

    from plugins.tryton.customers import Work
    from plugins.tryton.rest import Tryton

_DAYS = 30
_MOST_MOVED = 10
_STOCKED = [["type", "!=", "service"]]


def _analytics(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    days = int(given.get("days", _DAYS))
    levels = _levels(erp, free=False)
    on_hand, free = sum(levels.values(), Decimal(0)), sum(_levels(erp, free=True).values(), Decimal(0))
    came, left = _moved(erp, days, inwards=True), _moved(erp, days, inwards=False)
    gone = sum(left.values(), Decimal(0))
    most = sorted(left, key=lambda each: (-left[each], each))[:_MOST_MOVED]
    return {
        "days": days,
        "products": len(levels),
        "low": 0,  # order points are another module over there
        "on_hand": goods(on_hand),
        "reserved": goods(on_hand - free),
        "moved_in": goods(sum(came.values(), Decimal(0))),
        "moved_out": goods(gone),
        "turnover": float(round(gone / on_hand, 4)) if on_hand else 0,
        "most_moved": [{"product_id": str(each), "moved_out": goods(left[each])} for each in most],
    }


def _levels(erp: Tryton, *, free: bool) -> dict[int, Decimal]:
    where = [finding.warehouse(erp)["storage_location"]]
    rows = finding.every(erp, PRODUCT, _STOCKED, ("quantity",), locations=where, stock_assign=free)
    return {each["id"]: exact(each["quantity"]) for each in rows}


def _moved(erp: Tryton, days: int, *, inwards: bool) -> dict[int, Decimal]:
    """Return how much of each product came into the storage zone, or left it; what is moved within it does not count."""
    zone = [finding.warehouse(erp)["storage_location"]]
    inside, outside = ("to_location", "from_location") if inwards else ("from_location", "to_location")
    domain = [
        ["state", "=", "done"],
        ["effective_date", ">=", finding.today(erp) - timedelta(days=days)],
        [inside, "child_of", zone, "parent"],
        [outside, "not child_of", zone, "parent"],
    ]
    found: dict[int, Decimal] = {}
    for each in finding.every(erp, "stock.move", domain, ("product", "internal_quantity")):
        found[each["product"]] = found.get(each["product"], Decimal(0)) + exact(each["internal_quantity"])
    return found


OPERATIONS: dict[str, Work] = {"inventory.stock_analytics": _analytics}
