"""Cancels orders: Tryton lets nobody cancel a sale that it processes, so everything of it is cancelled and then ignored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plugins.tryton import finding
from plugins.tryton.invoices import ended, is_unpaid, void
from plugins.tryton.orders import FIELDS, SALE, again, confirm, is_cancelled, leave, status_of
from server.sdk.ports.orders import ORDER_STATUS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from plugins.tryton.customers import Work
    from plugins.tryton.rest import Record, Tryton

SHIPMENT = "stock.shipment.out"


def _cancel(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    order_id = given["order_id"]
    sale = erp.get(SALE, finding.number(order_id), FIELDS)
    if sale is None:
        return {"order_id": order_id, "status": None, "change": "none"}
    if is_cancelled(sale):
        ended(erp, sale["id"])  # also where a call broke off before the last step
        return {"order_id": order_id, "status": "cancelled", "change": "none"}
    status = status_of(erp, sale)
    if any(each["state"] in ("shipped", "done") for each in sale["shipments"]):
        raise finding.refused(ORDER_STATUS, "the order is shipped", status=status)
    if sale["state"] in ("draft", "quotation"):
        erp.press(SALE, sale["id"], "cancel")
    else:
        _end(erp, confirm(erp, sale))
    return {"order_id": order_id, "status": "cancelled", "change": "updated"}


def _end(erp: Tryton, sale: Record) -> None:
    """What is paid stays as it is: it is refunded and voided by calls of their own, and the order is cancelled without."""
    for invoice in sale["invoices"]:
        if is_unpaid(invoice):
            void(erp, invoice["id"])
    for shipment in sale["shipments"]:
        if shipment["state"] != "cancelled":
            erp.press(SHIPMENT, shipment["id"], "cancel")
    if not sale["shipments"]:
        ship_by_hand(erp, sale)
        for shipment in again(erp, sale)["shipments"]:
            erp.press(SHIPMENT, shipment["id"], "cancel")
    if not sale["invoices"]:
        erp.press(SALE, sale["id"], "manual_invoice")
        for invoice in again(erp, sale)["invoices"]:
            void(erp, invoice["id"])
    leave(erp, again(erp, sale))
    erp.press(SALE, sale["id"], "process")


def ship_by_hand(erp: Tryton, sale: Record) -> None:
    """Let Tryton make the shipments of a sale: of what none is under way for."""
    erp.press(SALE, sale["id"], "manual_shipment", context={"_sale_manual_shipment": True})


OPERATIONS: dict[str, Work] = {"orders.cancel": _cancel}
