"""The port `procurement`: suppliers, what is asked for, what is ordered from them, and what came."""

from __future__ import annotations

from typing import Any

from server.kernel.errors import code
from server.sdk.ports.inventory import ASKED, PRODUCT_NOT_STOCKED, PUT
from server.sdk.ports.port import Port, read, write
from server.sdk.ports.products import PRODUCT_UNKNOWN, SUM_TOO_LARGE
from server.sdk.ports.shapes import (
    AMOUNT,
    AMOUNT_OF_GOODS,
    CHANGE,
    CURSOR,
    DAY,
    EXTERNAL_ID,
    ID,
    LIMIT,
    MOMENT,
    MONEY,
    QUANTITY,
    REVISION,
    answer,
    given,
    listed,
    one_of,
    or_null,
    page,
    text,
    words,
)

SUPPLIER_UNKNOWN = code("SUPPLIER_UNKNOWN", "The ERP has no such supplier, or none that sells all of this.")
REQUISITION_UNKNOWN = code("REQUISITION_UNKNOWN", "The ERP has no such requisition.")
REQUISITION_STATUS = code("REQUISITION_STATUS", "The requisition's status, in `details.status`, does not allow this.")
PURCHASE_UNKNOWN = code("PURCHASE_UNKNOWN", "The ERP has no such purchase order.")
PURCHASE_STATUS = code("PURCHASE_STATUS", "The purchase order's status, in `details.status`, does not allow this.")
RECEIPT_TOO_MUCH = code("RECEIPT_TOO_MUCH", "More would be received than is still to come.")

PURCHASE_STATUSES = ("ordered", "partly_received", "received", "cancelled")
_SUPPLIES = {**listed(ID, 0, 500), "description": "What it sells, by product; empty: anything."}
_FIELDS: dict[str, Any] = {
    "external_id": EXTERNAL_ID,
    "name": text(300),
    "email": words(320),
    "phone": words(50),
    "lead_time_days": {"type": "integer", "minimum": 0, "maximum": 730},
    "product_ids": _SUPPLIES,
}
SUPPLIER = answer(
    {"supplier_id": ID, "external_id": {"type": ["string", "null"]}, "name": text(300)},
    {
        "email": words(320),
        "phone": words(50),
        "lead_time_days": _FIELDS["lead_time_days"],
        "product_ids": _SUPPLIES,
        "revision": REVISION,
        "created_at": MOMENT,
        "updated_at": MOMENT,
        "change": CHANGE,
    },
)
_ITEM: dict[str, Any] = {
    "type": "object",
    "required": ["product_id", "quantity"],
    "properties": {
        "product_id": ID,
        "quantity": QUANTITY,
        "unit_price": {**MONEY, "description": "Without it what the product costs us."},
    },
    "description": "Other fields are allowed and not looked at.",
}
_BOUGHT = answer(
    {"product_id": ID, "quantity": AMOUNT_OF_GOODS, "received": AMOUNT_OF_GOODS, "unit_price": AMOUNT, "net": AMOUNT}
)
_PURCHASE = answer(
    {
        "purchase_order_id": ID,
        "supplier_id": ID,
        "status": {"enum": list(PURCHASE_STATUSES)},
        "items": listed(_BOUGHT),
        "total": AMOUNT,
    },
    {"requisition_id": or_null(ID), "expected_date": or_null(DAY), "created_at": MOMENT, "change": CHANGE},
)
_REQUISITION = answer(
    {"requisition_id": ID, "status": {"enum": ["open", "ordered", "cancelled"]}, "items": listed(PUT)},
    {
        "needed_by": or_null(DAY),
        "reason": words(500),
        "production_order_id": or_null(ID),
        "created_at": MOMENT,
        "change": CHANGE,
    },
)

PROCUREMENT = Port(
    "procurement",
    (
        read(
            "suppliers.get",
            "Read one supplier.",
            one_of({"supplier_id": ID, "external_id": EXTERNAL_ID}),
            SUPPLIER,
            (SUPPLIER_UNKNOWN,),
        ),
        write(
            "suppliers.upsert",
            "Create the supplier of an external id, or change it; a field that is left out stays.",
            given(_FIELDS, ["external_id", "name"]),
            SUPPLIER,
            (PRODUCT_UNKNOWN,),
            undo="suppliers.upsert",
        ),
        read(
            "suppliers.search",
            "List suppliers by part of the name or by what they sell, page by page in the order of their ids.",
            given({"text": text(100), "product_id": ID, "limit": LIMIT, "cursor": CURSOR}),
            page("suppliers", SUPPLIER),
        ),
        write(
            "procurement.create_requisition",
            "Ask that goods be bought.",
            given(
                {
                    "items": listed(ASKED, 1),
                    "needed_by": or_null(DAY),
                    "reason": text(500),
                    "production_order_id": or_null(ID),
                },
                ["items"],
            ),
            _REQUISITION,
            (PRODUCT_UNKNOWN, PRODUCT_NOT_STOCKED),
            undo="procurement.cancel_requisition",
            events=("requisition.created",),
        ),
        write(
            "procurement.cancel_requisition",
            "Withdraw what was asked for and is not ordered. For a requisition that never was, nothing is done.",
            given({"requisition_id": ID}, ["requisition_id"]),
            answer({"requisition_id": ID, "status": words(40), "change": CHANGE}),
            (REQUISITION_STATUS,),
        ),
        write(
            "procurement.create_purchase_order",
            "Order goods from a supplier: those of a requisition, or others. Without a supplier, from the first that sells them all.",
            {
                **given(
                    {
                        "supplier_id": or_null(ID),
                        "items": listed(_ITEM, 1),
                        "requisition_id": ID,
                        "expected_date": or_null(DAY),
                    }
                ),
                "oneOf": [{"required": ["items"]}, {"required": ["requisition_id"]}],
            },
            _PURCHASE,
            (
                SUPPLIER_UNKNOWN,
                PRODUCT_UNKNOWN,
                PRODUCT_NOT_STOCKED,
                REQUISITION_UNKNOWN,
                REQUISITION_STATUS,
                SUM_TOO_LARGE,
            ),
            undo="procurement.cancel_purchase_order",
            events=("purchase_order.created",),
        ),
        write(
            "procurement.cancel_purchase_order",
            "Cancel a purchase order of which nothing came. For one that never was, nothing is done.",
            given({"purchase_order_id": ID}, ["purchase_order_id"]),
            answer({"purchase_order_id": ID, "status": words(40), "change": CHANGE}),
            (PURCHASE_STATUS,),
            events=("purchase_order.cancelled",),
        ),
        write(
            "procurement.receive_stock",
            "Put into stock what came of a purchase order, all that is still to come unless said.",
            given({"purchase_order_id": ID, "items": listed(ASKED, 1)}, ["purchase_order_id"]),
            _PURCHASE,
            (PURCHASE_UNKNOWN, PURCHASE_STATUS, RECEIPT_TOO_MUCH),
            events=("stock.updated", "purchase_order.received"),
        ),
    ),
)
