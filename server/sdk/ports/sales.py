"""The port `sales`: customers. Money is a text with up to two places, moments are RFC 3339 in UTC."""

from __future__ import annotations

from typing import Any

from server.kernel.errors import code
from server.sdk.ports.port import Port, read, write
from server.sdk.ports.shapes import (
    AMOUNT,
    AMOUNT_OF_GOODS,
    CHANGE,
    COUNT,
    CURSOR,
    DAY,
    EXTERNAL_ID,
    FLAG,
    ID,
    LIMIT,
    MOMENT,
    MONEY,
    NEXT,
    REVISION,
    SIGNED,
    answer,
    given,
    listed,
    or_null,
    text,
    words,
)

CUSTOMER_UNKNOWN = code("CUSTOMER_UNKNOWN", "The ERP has no such customer.")
CUSTOMER_CONFLICT = code("CUSTOMER_CONFLICT", "The record names what belongs to two different customers.")

FIELDS: dict[str, Any] = {
    "external_id": {**EXTERNAL_ID, "description": "What the customer is called where the record comes from."},
    "name": {"type": "string", "minLength": 1, "maxLength": 300},
    "email": words(320),
    "phone": words(50),
    "address": words(1000),
    "city": words(200),
    "country": {**words(2), "pattern": "^[A-Z]{2}$", "description": "ISO 3166-1 alpha-2."},
    "tax_id": words(50),
    "credit_limit": {**MONEY, "description": "The most that may be owed to us; 0: no limit is set."},
}
"""What can be written of a customer. A field that is left out stays as it is; a new one begins empty, its limit at 0."""

CUSTOMER: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["customer_id", *FIELDS, "balance", "state", "revision", "created_at", "updated_at"],
    "properties": {
        "customer_id": ID,
        **FIELDS,
        "external_id": {"type": ["string", "null"]},
        "balance": {**AMOUNT, "description": "What is owed to us; below 0 what we owe."},
        "state": {"enum": ["active", "archived"]},
        "revision": REVISION,
        "created_at": MOMENT,
        "updated_at": MOMENT,
    },
}
_ONE: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "minProperties": 1,
    "maxProperties": 1,
    "properties": {"customer_id": ID, "external_id": EXTERNAL_ID},
}
_WRITTEN = {
    **CUSTOMER,
    "required": [*CUSTOMER["required"], "change"],
    "properties": {**CUSTOMER["properties"], "change": CHANGE},
}

_BY_ID = given({"customer_id": ID}, ["customer_id"])
_SEARCH = given(
    {
        "text": {**text(100), "description": "Part of the name."},
        "email": text(320),
        "city": text(200),
        "state": {"enum": ["active", "archived"]},
        "limit": LIMIT,
        "cursor": CURSOR,
    }
)
_FOUND: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["customers", "next"],
    "properties": {"customers": {"type": "array", "items": CUSTOMER}, "next": NEXT},
}
_PROBLEM = answer({"field": text(100), "message": text(500)})
_METRICS = {
    "customer_id": ID,
    "orders": {**COUNT, "description": "Drafts and cancelled ones do not count."},
    "revenue": AMOUNT,
    "average_order_value": AMOUNT,
    "last_order_at": or_null(MOMENT),
}
_CREDIT = {
    "customer_id": ID,
    "allowed": FLAG,
    "credit_limit": or_null(AMOUNT),
    "balance": AMOUNT,
    "available": {**or_null(AMOUNT), "description": "What may still be owed; null: no limit is set."},
    "exceeded_by": AMOUNT,
}
_ORDER_LINE = answer({"order_id": ID, "status": text(40), "total": AMOUNT, "created_at": MOMENT})
_LIKED = answer({"product_id": ID, "name": text(300), "quantity": AMOUNT_OF_GOODS, "orders": COUNT})
_ANALYTICS = {
    **_METRICS,
    "first_order_at": or_null(MOMENT),
    "cancelled_orders": COUNT,
    "days_between_orders": {"type": ["number", "null"]},
    "open_amount": AMOUNT,
    "overdue_amount": AMOUNT,
}
_BEST = answer({"customer_id": ID, "name": text(300), "orders": COUNT, "revenue": AMOUNT})

SALES = Port(
    "sales",
    (
        read("customers.get", "Read one customer, archived ones too.", _ONE, CUSTOMER, (CUSTOMER_UNKNOWN,)),
        write(
            "customers.upsert",
            "Create the customer of an external id, or change it; an archived one becomes active again.",
            given(FIELDS, ["external_id", "name"]),
            _WRITTEN,
            (CUSTOMER_CONFLICT,),
            undo="customers.archive",
            events=("customer.created", "customer.updated"),
        ),
        read(
            "customers.search",
            "List customers by name, e-mail, city or state, page by page in the order of their last change.",
            _SEARCH,
            _FOUND,
        ),
        write(
            "customers.archive",
            "Archive one customer: it is kept, and no longer among the active ones.",
            _ONE,
            _WRITTEN,
            (CUSTOMER_UNKNOWN,),
            undo="customers.upsert",
            events=("customer.updated",),
        ),
        read(
            "customers.validate",
            "Say whether a record could be a customer's, and if not, why; nothing is kept of it.",
            given({**FIELDS, "name": text(300, 0), "external_id": text(200, 0), "country": words(100)}),
            answer({"valid": FLAG, "errors": listed(_PROBLEM)}),
        ),
        write(
            "customers.update_balance",
            "Bring the balance in line with the books; `amount` books a correction of it first.",
            given({"customer_id": ID, "amount": SIGNED, "reason": text(500)}, ["customer_id"]),
            answer({"customer_id": ID, "balance": AMOUNT, "change": CHANGE}),
            (CUSTOMER_UNKNOWN,),
            events=("customer.updated",),
        ),
        write(
            "customers.update_metrics",
            "Count the customer's orders and their worth anew.",
            _BY_ID,
            answer({**_METRICS, "change": CHANGE}),
            (CUSTOMER_UNKNOWN,),
        ),
        read(
            "customers.check_credit_limit",
            "Say whether the customer may owe what is owed and `amount` more.",
            given({"customer_id": ID, "amount": MONEY}, ["customer_id"]),
            answer(_CREDIT),
            (CUSTOMER_UNKNOWN,),
        ),
        read(
            "customers.order_history",
            "List the customer's orders, the newest first.",
            given({"customer_id": ID, "limit": LIMIT, "cursor": CURSOR}, ["customer_id"]),
            answer({"customer_id": ID, "orders": listed(_ORDER_LINE), "next": NEXT}),
            (CUSTOMER_UNKNOWN,),
        ),
        read(
            "customers.preferences",
            "List the products that the customer orders most.",
            given({"customer_id": ID, "limit": LIMIT}, ["customer_id"]),
            answer({"customer_id": ID, "products": listed(_LIKED)}),
            (CUSTOMER_UNKNOWN,),
        ),
        read(
            "customers.analytics",
            "Say how the customer orders and pays.",
            _BY_ID,
            answer(_ANALYTICS),
            (CUSTOMER_UNKNOWN,),
        ),
        read(
            "customers.report",
            "Say how many customers there are, what they owe, and who ordered most from one day to another.",
            given({"from": DAY, "to": DAY, "limit": LIMIT}),
            answer({"active": COUNT, "archived": COUNT, "balance": AMOUNT, "best": listed(_BEST)}),
        ),
    ),
)
