"""The port `sales`: customers. Money is a text with up to two places, moments are RFC 3339 in UTC."""

from __future__ import annotations

from typing import Any

from server.kernel.errors import code
from server.sdk.adapter import Operation
from server.sdk.ports.port import Port, Promise

CUSTOMER_UNKNOWN = code("CUSTOMER_UNKNOWN", "The ERP has no such customer.")
CUSTOMER_CONFLICT = code("CUSTOMER_CONFLICT", "The record names what belongs to two different customers.")

MONEY: dict[str, Any] = {"type": "string", "pattern": r"^(0|[1-9][0-9]{0,13})(\.[0-9]{1,2})?$"}
_MOMENT = {"type": "string", "format": "date-time"}
_ID = {"type": "string", "minLength": 1, "maxLength": 64}
_EXTERNAL_ID = {"type": "string", "minLength": 1, "maxLength": 200}


def _text(most: int) -> dict[str, Any]:
    return {"type": ["string", "null"], "maxLength": most}


FIELDS: dict[str, Any] = {
    "external_id": {**_EXTERNAL_ID, "description": "What the customer is called where the record comes from."},
    "name": {"type": "string", "minLength": 1, "maxLength": 300},
    "email": _text(320),
    "phone": _text(50),
    "address": _text(1000),
    "city": _text(200),
    "country": {**_text(2), "pattern": "^[A-Z]{2}$", "description": "ISO 3166-1 alpha-2."},
    "tax_id": _text(50),
    "credit_limit": MONEY,
}
"""What can be written of a customer. A field that is left out stays as it is; a new one begins empty, its limit at 0."""

CUSTOMER: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["customer_id", *FIELDS, "balance", "state", "revision", "created_at", "updated_at"],
    "properties": {
        "customer_id": _ID,
        **FIELDS,
        "external_id": {"type": ["string", "null"]},
        "balance": {"type": "string", "pattern": r"^-?[0-9]+\.[0-9]{2}$", "description": "What is owed to us."},
        "state": {"enum": ["active", "archived"]},
        "revision": {"type": "integer", "minimum": 1},
        "created_at": _MOMENT,
        "updated_at": _MOMENT,
    },
}
_ONE: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "minProperties": 1,
    "maxProperties": 1,
    "properties": {"customer_id": _ID, "external_id": _EXTERNAL_ID},
}
_WRITTEN = {
    **CUSTOMER,
    "required": [*CUSTOMER["required"], "change"],
    "properties": {**CUSTOMER["properties"], "change": {"enum": ["created", "updated", "none"]}},
}

SALES = Port(
    "sales",
    (
        Promise(
            operation=Operation(
                name="customers.get",
                about="Read one customer, archived ones too.",
                input_schema=_ONE,
                output_schema=CUSTOMER,
                idempotent=True,
            ),
            refuses=(CUSTOMER_UNKNOWN,),
        ),
        Promise(
            operation=Operation(
                name="customers.upsert",
                about="Create the customer of an external id, or change it; an archived one becomes active again.",
                input_schema={
                    "type": "object",
                    "additionalProperties": False,
                    "required": ["external_id", "name"],
                    "properties": FIELDS,
                },
                output_schema=_WRITTEN,
                writes=True,
                idempotent=True,
            ),
            refuses=(CUSTOMER_CONFLICT,),
            undo="customers.archive",
            events=("customer.created", "customer.updated"),
        ),
        Promise(
            operation=Operation(
                name="customers.search",
                about="List customers by name, e-mail, city or state, page by page in the order of their last change.",
                input_schema={
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {
                        "text": {
                            "type": "string",
                            "minLength": 1,
                            "maxLength": 100,
                            "description": "Part of the name.",
                        },
                        "email": {"type": "string", "minLength": 1, "maxLength": 320},
                        "city": {"type": "string", "minLength": 1, "maxLength": 200},
                        "state": {"enum": ["active", "archived"]},
                        "limit": {"type": "integer", "minimum": 1, "maximum": 200},
                        "cursor": {"type": "string", "maxLength": 500, "description": "`next` of the page before."},
                    },
                },
                output_schema={
                    "type": "object",
                    "additionalProperties": False,
                    "required": ["customers", "next"],
                    "properties": {
                        "customers": {"type": "array", "items": CUSTOMER},
                        "next": {"type": ["string", "null"]},
                    },
                },
                idempotent=True,
            ),
        ),
        Promise(
            operation=Operation(
                name="customers.archive",
                about="Archive one customer: it is kept, and no longer among the active ones.",
                input_schema=_ONE,
                output_schema=_WRITTEN,
                writes=True,
                idempotent=True,
            ),
            refuses=(CUSTOMER_UNKNOWN,),
            undo="customers.upsert",
            events=("customer.updated",),
        ),
    ),
)
