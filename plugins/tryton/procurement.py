"""The port `procurement`, what is ordered and comes: purchases and supplier shipments.

A purchase is confirmed when it is made; what comes of it is received and put into the storage zone by a shipment for each call,
whose reference is that call. It is invoiced on fulfillment: when goods come Tryton drafts the supplier's invoice.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from plugins.tryton import finding
from plugins.tryton.coverage import not_supported
from plugins.tryton.requisitions import requisitions_of
from plugins.tryton.stock import stocked
from plugins.tryton.suppliers import seller_of, supplier_of
from plugins.tryton.values import amount, day, exact, goods, moment, quantity
from server.sdk.ports.procurement import PURCHASE_STATUS, PURCHASE_UNKNOWN, RECEIPT_TOO_MUCH

if TYPE_CHECKING:
    from collections.abc import Mapping

    from plugins.tryton.customers import Work
    from plugins.tryton.rest import Record, Tryton

PURCHASE = "purchase.purchase"
RECEIPT = "stock.shipment.in"
MOVE = "stock.move"
_FIELDS = (
    *("state", "reference", "party", "warehouse", "delivery_date", "untaxed_amount", "create_date"),
    *("lines.product", "lines.quantity", "lines.unit_price", "lines.amount", "lines.delivery_date"),
    *("lines.moves.state", "lines.moves.quantity", "lines.moves.shipment", "lines.moves.product"),
    *("lines.moves_ignored", "lines.requests.origin"),
)
_PRICE = Decimal("0.0001")
_STEPS = (("quotation", "confirm"), ("confirmed", "process"))


def _of(erp: Tryton, purchase_order_id: str) -> Record:
    return finding.one(erp, PURCHASE, purchase_order_id, _FIELDS, PURCHASE_UNKNOWN)


def _again(erp: Tryton, purchase: Record) -> Record:
    return _of(erp, str(purchase["id"]))


def _came(line: Record) -> Decimal:
    return sum((exact(each["quantity"]) for each in line["moves"] if each["state"] == "done"), Decimal(0))


def _expected(line: Record) -> list[Record]:
    return [each for each in line["moves"] if each["state"] not in ("done", "cancelled")]


def _status(purchase: Record) -> str:
    lines = purchase["lines"]
    came = [_came(each) for each in lines]
    if purchase["state"] == "cancelled":
        return "cancelled"
    if all(number >= exact(each["quantity"]) for number, each in zip(came, lines, strict=True)):
        return "received"
    over = purchase["state"] in ("processing", "done") and not any(_expected(each) for each in lines)
    if any(came):
        return "received" if over else "partly_received"
    return "cancelled" if over and any(each["moves_ignored"] for each in lines) else "ordered"


def _shown(erp: Tryton, purchase: Record) -> dict[str, Any]:
    days = [each["delivery_date"] for each in purchase["lines"] if each["delivery_date"]]
    requisitions = requisitions_of(erp, (request for line in purchase["lines"] for request in line["requests"]))
    return {
        "purchase_order_id": str(purchase["id"]),
        "supplier_id": str(purchase["party"]),
        "status": _status(purchase),
        "items": [
            {
                "product_id": str(each["product"]),
                "quantity": goods(each["quantity"]),
                "received": goods(_came(each)),
                "unit_price": amount(each["unit_price"]),
                "net": amount(each["amount"]),
            }
            for each in purchase["lines"]
        ],
        "total": amount(purchase["untaxed_amount"]),
        "requisition_id": str(requisitions[0]) if requisitions else None,
        "expected_date": day(purchase["delivery_date"] or max(days, default=None)),
        "created_at": moment(purchase["create_date"]),
    }


def _order(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    purchase = finding.keyed(erp, PURCHASE, _FIELDS) or _drafted(erp, given)
    if purchase["state"] == "draft":
        erp.write(PURCHASE, purchase["id"], _completed(erp, purchase, given))
        erp.press(PURCHASE, purchase["id"], "quote")
        purchase = _again(erp, purchase)
    for state, button in _STEPS:
        if purchase["state"] == state:
            erp.press(PURCHASE, purchase["id"], button)
            purchase = _again(erp, purchase)
    return {**_shown(erp, purchase), "change": "created"}


def _drafted(erp: Tryton, given: Mapping[str, Any]) -> Record:
    if "requisition_id" in given:
        because = "its own wizard makes purchases of approved requisitions"
        raise not_supported("procurement.create_purchase_order", because, field="requisition_id")
    named = given.get("supplier_id")
    supplier = None if named is None else supplier_of(erp, named)
    known, wanted = stocked(erp, given["items"])
    supplier = supplier or seller_of(erp, wanted)
    expected = given.get("expected_date")
    lines = []
    for product_id, number in wanted.items():
        product = known[product_id]
        line = {"product": product["id"], "quantity": quantity(number), "unit": product["purchase_uom"]}
        lines.append({**line, "unit_price": exact(product["cost_price"])})
    values = {
        "party": supplier["id"],
        "reference": erp.key,
        "currency": finding.currency(erp),
        "warehouse": finding.warehouse(erp)["id"],
        "invoice_method": "fulfillment",
        "purchase_date": finding.today(erp),
        "delivery_date": None if expected is None else finding.date_of(expected),
        "lines": [["create", lines]],
    }
    return _again(erp, finding.settled(erp, PURCHASE, erp.create(PURCHASE, values)))


def _completed(erp: Tryton, purchase: Record, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what Tryton's own form would fill in: address and terms, the supplier's prices, its product and taxes."""
    filled = erp.press(PURCHASE, purchase["id"], "on_change", fieldnames=["party"])
    values = {name: filled[name] for name in ("invoice_address", "payment_term") if name in filled}
    said = {each["product_id"]: exact(each["unit_price"]) for each in given.get("items", ()) if "unit_price" in each}
    lines = []
    for line in purchase["lines"]:
        named = erp.press("purchase.line", line["id"], "on_change", fieldnames=["product", "quantity"])
        own = {name: named[name] for name in ("unit_price", "product_supplier") if named.get(name) is not None}
        if str(line["product"]) in said:
            own["unit_price"] = said[str(line["product"])].quantize(_PRICE)
        if taxes := [each["id"] for _, each in named.get("taxes", {}).get("add", [])]:
            own["taxes"] = [["add", taxes]]
        if own:
            lines.append(["write", [line["id"]], own])
    return {**values, "lines": lines} if lines else values


def _cancel(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    purchase_order_id = given["purchase_order_id"]
    purchase = erp.get(PURCHASE, finding.number(purchase_order_id), _FIELDS)
    answer = {"purchase_order_id": purchase_order_id, "status": "cancelled"}
    if purchase is None:
        return {**answer, "status": None, "change": "none"}
    status = _status(purchase)
    if status == "cancelled":
        return {**answer, "change": "none"}
    if status != "ordered":
        raise finding.refused(PURCHASE_STATUS, f"the purchase order is {status}", status=status)
    _ended(erp, purchase)
    return {**answer, "change": "updated"}


def _ended(erp: Tryton, purchase: Record) -> None:
    """Cancel a purchase; one that is processed ends over there as done, with all that was to come cancelled and ignored."""
    if purchase["state"] in ("draft", "quotation"):
        erp.press(PURCHASE, purchase["id"], "cancel")
        return
    if purchase["state"] == "confirmed":
        erp.press(PURCHASE, purchase["id"], "process")
        purchase = _again(erp, purchase)
    coming = [each for line in purchase["lines"] for each in _expected(line)]
    for shipment in {each["shipment"] for each in coming if each["shipment"]}:
        model, _, number = str(shipment).partition(",")
        erp.press(model, int(number), "cancel")
    for each in coming:
        if not each["shipment"]:
            erp.press(MOVE, each["id"], "cancel")
    lines = [(line, [each["id"] for each in line["moves"]]) for line in _again(erp, purchase)["lines"]]
    ignored = [["write", [line["id"]], {"moves_ignored": [["add", moves]]}] for line, moves in lines if moves]
    erp.write(PURCHASE, purchase["id"], {"lines": ignored})
    erp.press(PURCHASE, purchase["id"], "process")


def _receive(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    purchase = _of(erp, given["purchase_order_id"])
    fields = ("state", "incoming_moves")
    receipt = finding.keyed(erp, RECEIPT, fields)
    if receipt is None:
        if (status := _status(purchase)) in ("received", "cancelled"):
            raise finding.refused(PURCHASE_STATUS, f"the purchase order is {status}", status=status)
        receipt = _shipment(erp, purchase, _taken(purchase, given))
    for state, button in (("draft", "receive"), ("received", "do")):
        if receipt["state"] == state:
            erp.press(RECEIPT, receipt["id"], button)
            receipt = finding.one(erp, RECEIPT, str(receipt["id"]), fields, PURCHASE_UNKNOWN)
    return {**_shown(erp, _again(erp, purchase)), "change": "updated"}


def _taken(purchase: Record, given: Mapping[str, Any]) -> dict[int, Decimal]:
    """Return how much comes by each move that is expected: all of it unless said.

    Raises:
        Permanent: RECEIPT_TOO_MUCH.

    """
    coming = [each for line in purchase["lines"] for each in _expected(line)]
    if "items" not in given:
        return {each["id"]: exact(each["quantity"]) for each in coming}
    rest: dict[str, Decimal] = {}
    for item in given["items"]:
        rest[item["product_id"]] = rest.get(item["product_id"], Decimal(0)) + exact(item["quantity"])
    taken: dict[int, Decimal] = {}
    for each in coming:
        product_id = str(each["product"])
        if part := min(exact(each["quantity"]), rest.get(product_id, Decimal(0))):
            taken[each["id"]] = part
            rest[product_id] -= part
    over = {product_id: number for product_id, number in rest.items() if number}
    for product_id, number in over.items():
        raise finding.refused(RECEIPT_TOO_MUCH, "more came than was to come", product_id=product_id, over=goods(number))
    return taken


def _shipment(erp: Tryton, purchase: Record, taken: Mapping[int, Decimal]) -> Record:
    """Make the shipment of what came. Of a move that comes in part Tryton expects the rest by another."""
    fields = ("input_location", "storage_location")
    house = erp.get("stock.location", purchase["warehouse"], fields) or {}
    moves = [["write", [move], {"quantity": quantity(number)}] for move, number in taken.items()]
    values = {
        "supplier": purchase["party"],
        "reference": erp.key,
        "warehouse": purchase["warehouse"],
        "warehouse_input": house.get("input_location"),
        "warehouse_storage": house.get("storage_location"),
        "incoming_moves": [["add", list(taken)], *moves],
    }
    made = erp.create(RECEIPT, values, ("state",))
    return finding.settled(erp, RECEIPT, made)


OPERATIONS: dict[str, Work] = {
    "procurement.create_purchase_order": _order,
    "procurement.cancel_purchase_order": _cancel,
    "procurement.receive_stock": _receive,
}
