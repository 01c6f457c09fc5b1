"""The port `orders`: what customers have ordered.

From `draft`, `pending`, `confirmed`, `in_production`, `ready` an order is cancelled or goes on, towards `shipped` and
`delivered`. A shipment that is cancelled makes a shipped one `ready` again.
"""

from __future__ import annotations

from typing import Any

from server.kernel.errors import code
from server.sdk.ports.deals import DEAL_UNKNOWN, ITEM, PRICED_ITEM, QUOTE_UNKNOWN, TOTALS
from server.sdk.ports.port import Port, read, write
from server.sdk.ports.products import PRODUCT_UNKNOWN
from server.sdk.ports.sales import CUSTOMER_UNKNOWN
from server.sdk.ports.shapes import (
    CHANGE,
    CURSOR,
    DAY,
    EXTERNAL_ID,
    ID,
    LIMIT,
    MOMENT,
    PRIORITY,
    REVISION,
    answer,
    given,
    listed,
    or_null,
    page,
    text,
    words,
)

ORDER_UNKNOWN = code("ORDER_UNKNOWN", "The ERP has no such order.")
ORDER_STATUS = code("ORDER_STATUS", "The order's status, in `details.status`, does not allow this.")
ORDER_EXISTS = code("ORDER_EXISTS", "The deal or quote has an order already; `details.order_id` names it.")
ORDER_CONFLICT = code("ORDER_CONFLICT", "Another order has this external id.")
ORDER_CUSTOMER = code("ORDER_CUSTOMER", "The order is another customer's.")
ORDER_INVOICED = code("ORDER_INVOICED", "The order has an invoice already; `details.invoice_id` names it.")
DEAL_NOT_WON = code("DEAL_NOT_WON", "Only a deal that is won becomes an order.")
QUOTE_NOT_ACCEPTED = code("QUOTE_NOT_ACCEPTED", "Only a quote that the customer accepted becomes an order.")

STATUSES = ("draft", "pending", "confirmed", "in_production", "ready", "shipped", "delivered", "cancelled")
_BEGINS = {"enum": ["draft", "pending", "confirmed"], "description": "`pending` where nothing is said."}
_SETS = {"enum": [each for each in STATUSES if each not in ("draft", "cancelled")]}
PAYMENT_STATUS = {"enum": ["unpaid", "partly_paid", "paid"]}
ORDER = answer(
    {
        "order_id": ID,
        "customer_id": ID,
        "status": {"enum": list(STATUSES)},
        "items": listed(PRICED_ITEM),
        **TOTALS,
        "delivery_date": or_null(DAY),
    },
    {
        "external_id": {"type": ["string", "null"]},
        "deal_id": or_null(ID),
        "quote_id": or_null(ID),
        "priority": PRIORITY,
        "payment_status": PAYMENT_STATUS,
        "note": words(2000),
        "ordered_on": DAY,
        "shipped_at": or_null(MOMENT),
        "revision": REVISION,
        "created_at": MOMENT,
        "updated_at": MOMENT,
        "change": CHANGE,
    },
)
_MORE: dict[str, Any] = {
    "status": _BEGINS,
    "priority": PRIORITY,
    "delivery_date": {**DAY, "description": "Without it, the longest lead time of the products from today."},
    "note": text(2000),
}
_BY_ID = given({"order_id": ID}, ["order_id"])
_TOLD = ("order.created",)

ORDERS = Port(
    "orders",
    (
        write(
            "orders.create",
            "Take an order.",
            given(
                {"external_id": EXTERNAL_ID, "customer_id": ID, "items": listed(ITEM, 1), **_MORE},
                ["customer_id", "items"],
            ),
            ORDER,
            (CUSTOMER_UNKNOWN, PRODUCT_UNKNOWN, ORDER_CONFLICT),
            undo="orders.cancel",
            events=_TOLD,
        ),
        write(
            "orders.create_from_deal",
            "Make the order of a deal that is won, with its items and prices.",
            given({"deal_id": ID, **_MORE}, ["deal_id"]),
            ORDER,
            (DEAL_UNKNOWN, DEAL_NOT_WON, ORDER_EXISTS),
            undo="orders.cancel",
            events=_TOLD,
        ),
        write(
            "orders.create_from_quote",
            "Make the order of a quote that is accepted, with its items and prices.",
            given({"quote_id": ID, **_MORE}, ["quote_id"]),
            ORDER,
            (QUOTE_UNKNOWN, QUOTE_NOT_ACCEPTED, ORDER_EXISTS),
            undo="orders.cancel",
            events=_TOLD,
        ),
        read("orders.get", "Read one order with its items.", _BY_ID, ORDER, (ORDER_UNKNOWN,)),
        read(
            "orders.search",
            "List orders by customer or status, page by page in the order of their last change.",
            given({"customer_id": ID, "status": {"enum": list(STATUSES)}, "limit": LIMIT, "cursor": CURSOR}),
            page("orders", ORDER),
        ),
        write(
            "orders.update",
            "Change an order; its items only while it is a draft or pending and has no invoice.",
            given(
                {
                    "order_id": ID,
                    "status": _SETS,
                    "items": listed(ITEM, 1),
                    "delivery_date": DAY,
                    "note": words(2000),
                },
                ["order_id"],
            ),
            ORDER,
            (ORDER_UNKNOWN, ORDER_STATUS, ORDER_INVOICED, PRODUCT_UNKNOWN),
            events=("order.updated",),
        ),
        write(
            "orders.cancel",
            "Cancel an order that is not shipped. One that is cancelled stays so; for one that never was, nothing is done.",
            given({"order_id": ID, "reason": text(500)}, ["order_id"]),
            answer({"order_id": ID, "status": words(40), "change": CHANGE}),
            (ORDER_STATUS,),
            events=("order.cancelled",),
        ),
        write(
            "orders.set_priority",
            "Say how urgent an order is.",
            given({"order_id": ID, "priority": PRIORITY}, ["order_id", "priority"]),
            answer({"order_id": ID, "priority": PRIORITY, "change": CHANGE}),
            (ORDER_UNKNOWN, ORDER_STATUS),
            events=("order.updated",),
        ),
        write(
            "orders.update_payment_status",
            "Bring the order's payment status in line with its invoices.",
            _BY_ID,
            answer({"order_id": ID, "payment_status": PAYMENT_STATUS, "change": CHANGE}),
            (ORDER_UNKNOWN,),
            events=("order.updated",),
        ),
    ),
)
