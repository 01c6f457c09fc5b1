"""What is asked for, ordered and received."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from plugins.erp_sandbox import records
from plugins.erp_sandbox.inventory import levels, sold, stock
from plugins.erp_sandbox.inventory.reservations import shown_goods
from plugins.erp_sandbox.inventory.stock import Change, Why
from plugins.erp_sandbox.procurement import suppliers
from plugins.erp_sandbox.procurement.tables import PURCHASE_ITEMS, PURCHASES, REQUISITION_ITEMS, REQUISITIONS
from plugins.erp_sandbox.records import NOTHING, Record, cents, number, refused
from plugins.erp_sandbox.sales import pricing
from plugins.erp_sandbox.transitions import Transitions
from server.sdk.ports.procurement import (
    PURCHASE_STATUS,
    PURCHASE_UNKNOWN,
    RECEIPT_TOO_MUCH,
    REQUISITION_STATUS,
    REQUISITION_UNKNOWN,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal

    from plugins.erp_sandbox.desk import Desk

REQUISITION = Transitions(
    "requisition",
    REQUISITION_STATUS,
    {
        "order": {"open": "ordered"},
        "cancel": {"open": "cancelled", "cancelled": "cancelled"},
        "order is cancelled": {"ordered": "open"},
    },
)
PURCHASE = Transitions(
    "purchase order",
    PURCHASE_STATUS,
    {
        "receive some": dict.fromkeys(("ordered", "partly_received"), "partly_received"),
        "receive all": dict.fromkeys(("ordered", "partly_received"), "received"),
        "cancel": {"ordered": "cancelled", "cancelled": "cancelled"},
    },
)


def ask(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Ask that goods be bought."""
    goods = levels.summed(given["items"])
    sold.stocked(desk, goods)
    requisition = {
        "company": desk.company,
        "requisition_id": desk.new_id("req"),
        "status": "open",
        **{name: given.get(name) for name in ("needed_by", "reason", "production_order_id")},
        "created_at": desk.now,
    }
    records.add(desk, REQUISITIONS, requisition)
    whose = {"company": desk.company, "requisition_id": requisition["requisition_id"]}
    records.add(desk, REQUISITION_ITEMS, *({**whose, "product_id": each, "quantity": q} for each, q in goods.items()))
    shown = {**records.shown(REQUISITIONS, requisition), "items": shown_goods(goods)}
    desk.emit("requisition.created", f"requisition/{requisition['requisition_id']}", shown)
    return {**shown, "change": "created"}


def withdraw(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Withdraw what was asked for; what never was, or is withdrawn already, is fine."""
    found = records.one(desk, REQUISITIONS, lock=True, **given)
    if found is None:
        return {**given, "status": None, "change": "none"}
    after = REQUISITION.after(found["status"], "cancel")
    records.change(desk, REQUISITIONS, found, status=after)
    return {**given, "status": after, "change": "none" if after == found["status"] else "updated"}


def order(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Order goods from a supplier."""
    goods, prices = _wanted(desk, given)
    known = sold.stocked(desk, goods)
    supplier_id = given.get("supplier_id") or suppliers.seller_of(desk, goods)
    supplier = suppliers.get(desk, {"supplier_id": supplier_id})
    expected = given.get("expected_date") or str(desk.now.date() + timedelta(days=supplier["lead_time_days"]))
    purchase_order_id = desk.new_id("po")
    whose = {"company": desk.company, "purchase_order_id": purchase_order_id}
    costs: dict[str, Decimal] = {each: product["cost"] for each, product in known.items()} | prices
    items = [{**whose, **_line(each, quantity, costs[each])} for each, quantity in goods.items()]
    purchase = {
        "company": desk.company,
        "purchase_order_id": purchase_order_id,
        "supplier_id": supplier_id,
        "requisition_id": given.get("requisition_id"),
        "status": "ordered",
        "total": cents(sum(each["net"] for each in items)),
        "expected_date": expected,
        "created_at": desk.now,
    }
    records.add(desk, PURCHASES, purchase)
    records.add(desk, PURCHASE_ITEMS, *items)
    shown = _shown(desk, purchase)
    desk.emit("purchase_order.created", f"purchase_order/{purchase_order_id}", shown)
    return {**shown, "change": "created"}


def _line(product_id: str, quantity: Decimal, price: Decimal) -> Record:
    line = pricing.priced({"quantity": quantity, "unit_price": price, "discount_percent": NOTHING, "tax_rate": NOTHING})
    names = ("quantity", "unit_price", "net")
    return {"product_id": product_id, "received": NOTHING, **{name: line[name] for name in names}}


def _wanted(desk: Desk, given: Mapping[str, Any]) -> tuple[dict[str, Decimal], dict[str, Decimal]]:
    """Return quantities and prices by product, of the input or of the requisition, which is ordered by this."""
    if "items" in given:
        prices = {each["product_id"]: cents(each["unit_price"]) for each in given["items"] if "unit_price" in each}
        return levels.summed(given["items"]), prices
    requisition = records.one(desk, REQUISITIONS, lock=True, requisition_id=given["requisition_id"])
    if requisition is None:
        raise refused(REQUISITION_UNKNOWN, "there is no such requisition", requisition_id=given["requisition_id"])
    records.change(desk, REQUISITIONS, requisition, status=REQUISITION.after(requisition["status"], "order"))
    this = REQUISITION_ITEMS.c.requisition_id == requisition["requisition_id"]
    return {each["product_id"]: each["quantity"] for each in records.many(desk, REQUISITION_ITEMS, this)}, {}


def cancel(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Cancel what has not come; its requisition is open again. What never was, or is cancelled already, is fine."""
    found = records.one(desk, PURCHASES, **given)
    if found is None:
        return {**given, "status": None, "change": "none"}
    requisition_id = found["requisition_id"]
    requisition = requisition_id and records.one(desk, REQUISITIONS, lock=True, requisition_id=requisition_id)
    found = _locked(desk, given["purchase_order_id"])
    after = PURCHASE.after(found["status"], "cancel")
    change = "none" if after == found["status"] else "updated"
    if change == "updated":
        if requisition:
            again = REQUISITION.after(requisition["status"], "order is cancelled")
            records.change(desk, REQUISITIONS, requisition, status=again)
        purchase = records.change(desk, PURCHASES, found, status=after)
        desk.emit("purchase_order.cancelled", f"purchase_order/{found['purchase_order_id']}", _shown(desk, purchase))
    return {**given, "status": after, "change": change}


def receive(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Put into stock what came."""
    purchase = _locked(desk, given["purchase_order_id"])
    PURCHASE.after(purchase["status"], "receive some")
    items = {each["product_id"]: each for each in _items(desk, purchase)}
    rest = {each: item["quantity"] - item["received"] for each, item in items.items()}
    came = levels.summed(given["items"]) if "items" in given else {each: left for each, left in rest.items() if left}
    for each, quantity in came.items():
        if quantity > rest.get(each, NOTHING):
            left = number(rest.get(each, NOTHING))
            raise refused(RECEIPT_TOO_MUCH, "more came than was to come", product_id=each, rest=left)
    why = Why("received", f"purchase_order/{purchase['purchase_order_id']}")
    stock.change(desk, {each: Change(quantity) for each, quantity in came.items()}, why)
    for each, quantity in came.items():
        records.change(desk, PURCHASE_ITEMS, items[each], received=items[each]["received"] + quantity)
    all_came = all(left == came.get(each, NOTHING) for each, left in rest.items())
    status = PURCHASE.after(purchase["status"], "receive all" if all_came else "receive some")
    shown = _shown(desk, records.change(desk, PURCHASES, purchase, status=status))
    data = {**shown, "received": shown_goods(came)}
    desk.emit("purchase_order.received", f"purchase_order/{purchase['purchase_order_id']}", data)
    return {**shown, "change": "updated"}


def _locked(desk: Desk, purchase_order_id: str) -> Record:
    found = records.one(desk, PURCHASES, lock=True, purchase_order_id=purchase_order_id)
    if found is None:
        raise refused(PURCHASE_UNKNOWN, "there is no such purchase order", purchase_order_id=purchase_order_id)
    return found


def _items(desk: Desk, purchase: Record) -> list[Record]:
    this = PURCHASE_ITEMS.c.purchase_order_id == purchase["purchase_order_id"]
    return records.many(desk, PURCHASE_ITEMS, this)


def _shown(desk: Desk, purchase: Record) -> Record:
    items = [records.shown(PURCHASE_ITEMS, each, "purchase_order_id") for each in _items(desk, purchase)]
    return {**records.shown(PURCHASES, purchase), "items": items}
