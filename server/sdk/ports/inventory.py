"""The port `inventory`: what lies in stock, what of it is reserved for orders, and when to buy more.

What is available of a product is what is on hand less what is reserved. Services have no stock and are always available.
"""

from __future__ import annotations

from typing import Any

from server.kernel.errors import code
from server.sdk.ports.orders import ORDER_STATUS, ORDER_UNKNOWN
from server.sdk.ports.port import Port, read, write
from server.sdk.ports.products import PRODUCT_UNKNOWN
from server.sdk.ports.shapes import (
    AMOUNT_OF_GOODS,
    CHANGE,
    COUNT,
    CURSOR,
    FLAG,
    ID,
    LIMIT,
    MOMENT,
    QUANTITY,
    answer,
    given,
    listed,
    or_null,
    page,
    text,
)

STOCK_SHORT = code(
    "STOCK_SHORT", "There is not enough in stock; `details.missing` names each product and how much lacks."
)
STOCK_RESERVED = code("STOCK_RESERVED", "The order has its goods reserved already.")
STOCK_BOUND = code("STOCK_BOUND", "The order's reservation is being picked or has been shipped; cancel that first.")
PRODUCT_NOT_STOCKED = code("PRODUCT_NOT_STOCKED", "A service does not lie in stock.")
PRODUCTION_UNKNOWN = code("PRODUCTION_UNKNOWN", "The ERP has no such production order.")
PRODUCTION_STATUS = code(
    "PRODUCTION_STATUS", "The production order's status, in `details.status`, does not allow this."
)

ASKED: dict[str, Any] = {
    "type": "object",
    "required": ["product_id", "quantity"],
    "properties": {"product_id": ID, "quantity": QUANTITY},
    "description": "Other fields are allowed and not looked at, so that the items of an order can be handed on.",
}
GOODS = given({"product_id": ID, "quantity": QUANTITY}, ["product_id", "quantity"])
PUT = answer({"product_id": ID, "quantity": AMOUNT_OF_GOODS})
_MISSING = answer(
    {
        "product_id": ID,
        "quantity": AMOUNT_OF_GOODS,
        "available": AMOUNT_OF_GOODS,
        "missing": AMOUNT_OF_GOODS,
    }
)
_THERE = answer({"product_id": ID, "quantity": AMOUNT_OF_GOODS, "available": AMOUNT_OF_GOODS})
_CHECKED = answer({"available": listed(_THERE), "unavailable": listed(_MISSING), "all_available": FLAG})
_CHECKS = (
    "Say of each product whether so much of it is available, and how much is missing. The same product counts together."
)
_LEVEL: dict[str, Any] = {"type": "number", "minimum": 0, "maximum": 1_000_000_000, "multipleOf": 0.0001}
_CHANGE: dict[str, Any] = {
    "type": "number",
    "minimum": -1_000_000_000,
    "maximum": 1_000_000_000,
    "multipleOf": 0.0001,
    "not": {"const": 0},
}
STOCK = answer(
    {
        "product_id": ID,
        "on_hand": AMOUNT_OF_GOODS,
        "reserved": AMOUNT_OF_GOODS,
        "available": AMOUNT_OF_GOODS,
    },
    {
        "reorder_point": or_null(AMOUNT_OF_GOODS),
        "reorder_quantity": or_null(AMOUNT_OF_GOODS),
        "is_low": FLAG,
        "updated_at": MOMENT,
        "change": CHANGE,
    },
)
_ADDED = {
    **STOCK,
    "required": [*STOCK["required"], "added"],
    "properties": {**STOCK["properties"], "added": AMOUNT_OF_GOODS},
}
_RESERVATION = answer(
    {"order_id": ID, "status": {"enum": ["none", "held", "picking", "shipped", "released"]}, "change": CHANGE},
    {"items": listed(PUT)},
)
_BY_ORDER = given({"order_id": ID}, ["order_id"])
_REASON = {**text(500), "description": "Kept in the journal of stock moves."}
_TOLD = ("stock.updated",)
_TOLD_LOW = ("stock.updated", "stock.low", "inventory.stock.low")

INVENTORY = Port(
    "inventory",
    (
        read(
            "inventory.check_stock",
            _CHECKS,
            given({"items": listed(ASKED)}, ["items"]),
            _CHECKED,
            (PRODUCT_UNKNOWN,),
        ),
        write(
            "inventory.reserve_stock",
            "Reserve all the items of an order, or none of them.",
            _BY_ORDER,
            _RESERVATION,
            (ORDER_UNKNOWN, ORDER_STATUS, STOCK_SHORT, STOCK_RESERVED),
            undo="inventory.release_stock",
            events=_TOLD_LOW,
        ),
        write(
            "inventory.release_stock",
            "Give back what is reserved for an order. Where nothing is reserved, nothing is done.",
            _BY_ORDER,
            _RESERVATION,
            (STOCK_BOUND,),
            undo="inventory.reserve_stock",
            events=_TOLD,
        ),
        write(
            "inventory.update_stock_levels",
            "Set what was counted on hand, and from where down and how much to order anew; what is left out stays.",
            given(
                {
                    "levels": listed(
                        given(
                            {
                                "product_id": ID,
                                "on_hand": _LEVEL,
                                "reorder_point": or_null(_LEVEL),
                                "reorder_quantity": or_null(_LEVEL),
                            },
                            ["product_id"],
                        ),
                        1,
                    ),
                    "reason": _REASON,
                },
                ["levels"],
            ),
            answer({"levels": listed(STOCK)}),
            (PRODUCT_UNKNOWN, PRODUCT_NOT_STOCKED, STOCK_SHORT),
            undo="inventory.update_stock_levels",
            events=_TOLD_LOW,
        ),
        write(
            "inventory.adjust_stock",
            "Put right what is on hand by a difference, up or down; what is reserved stays.",
            given({"product_id": ID, "change": _CHANGE, "reason": _REASON}, ["product_id", "change", "reason"]),
            STOCK,
            (PRODUCT_UNKNOWN, PRODUCT_NOT_STOCKED, STOCK_SHORT),
            undo="inventory.adjust_stock",
            events=_TOLD_LOW,
        ),
        write(
            "inventory.add_stock",
            "Put goods into stock. With a production order it is what that has made: not more than it has made and not twice.",
            given(
                {
                    "product_id": ID,
                    "quantity": QUANTITY,
                    "production_order_id": or_null(ID),
                    "reason": _REASON,
                },
                ["product_id", "quantity"],
            ),
            _ADDED,
            (PRODUCT_UNKNOWN, PRODUCT_NOT_STOCKED, PRODUCTION_UNKNOWN, PRODUCTION_STATUS),
            undo="inventory.adjust_stock",
            events=_TOLD,
        ),
        read(
            "inventory.check_materials",
            "Say of each material whether so much of it is available, or of all that a production order needs.",
            {
                **given({"materials": listed(ASKED), "production_order_id": ID}),
                "oneOf": [{"required": ["materials"]}, {"required": ["production_order_id"]}],
            },
            _CHECKED,
            (PRODUCT_UNKNOWN, PRODUCTION_UNKNOWN),
        ),
        read(
            "inventory.stock_report",
            "List the stock of products, page by page in the order of their ids.",
            given(
                {
                    "product_ids": listed(ID, 1, 200),
                    "low_only": {**FLAG, "description": "Only those that are to be ordered anew."},
                    "limit": LIMIT,
                    "cursor": CURSOR,
                }
            ),
            page("products", STOCK),
        ),
        read(
            "inventory.stock_analytics",
            "Sum up the stock and what went in and out of it in the last days.",
            given({"days": {"type": "integer", "minimum": 1, "maximum": 366, "description": "30 unless said."}}),
            answer(
                {
                    "days": COUNT,
                    "products": COUNT,
                    "low": COUNT,
                    "on_hand": AMOUNT_OF_GOODS,
                    "reserved": AMOUNT_OF_GOODS,
                    "moved_in": AMOUNT_OF_GOODS,
                    "moved_out": AMOUNT_OF_GOODS,
                    "turnover": {"type": "number", "description": "What went out for each that is on hand."},
                    "most_moved": listed(answer({"product_id": ID, "moved_out": AMOUNT_OF_GOODS}), most=10),
                }
            ),
        ),
    ),
)
