"""The port `products`: what is sold and made, and for how much."""

from __future__ import annotations

from typing import Any

from server.kernel.errors import code
from server.sdk.ports.port import Port, read, write
from server.sdk.ports.shapes import (
    AMOUNT,
    AMOUNT_OF_GOODS,
    CHANGE,
    CURSOR,
    EXTERNAL_ID,
    FLAG,
    ID,
    LIMIT,
    MOMENT,
    MONEY,
    PERCENT,
    QUANTITY,
    REVISION,
    answer,
    given,
    listed,
    one_of,
    page,
    text,
    words,
)

PRODUCT_UNKNOWN = code("PRODUCT_UNKNOWN", "The ERP has no such product.")
PRODUCT_INVALID = code("PRODUCT_INVALID", "The product cannot be so; the message says why.")
SUM_TOO_LARGE = code("SUM_TOO_LARGE", "The goods are worth more than the ERP can keep.")

_KIND = {"enum": ["goods", "service"], "description": "Goods lie in stock, services do not."}
_LEAD = {"type": "integer", "minimum": 0, "maximum": 730, "description": "Days from an order to its delivery."}
_BREAK = given({"quantity": QUANTITY, "percent": PERCENT}, ["quantity", "percent"])
PRODUCT_FIELDS: dict[str, Any] = {
    "external_id": EXTERNAL_ID,
    "name": text(300),
    "category": words(100),
    "kind": _KIND,
    "unit": text(20),
    "price": {**MONEY, "description": "Of one unit, without tax."},
    "cost": {**MONEY, "description": "Of one unit, to us."},
    "tax_rate": {**PERCENT, "description": "In percent."},
    "lead_time_days": _LEAD,
    "price_breaks": {**listed(_BREAK, most=20), "description": "From that quantity on so many percent less."},
}
"""What can be written of a product. A field that is left out stays as it is."""
PRODUCT = answer(
    {
        "product_id": ID,
        "external_id": {"type": ["string", "null"]},
        "name": text(300),
        "price": AMOUNT,
        "state": {"enum": ["active", "archived"]},
    },
    {
        "category": words(100),
        "kind": _KIND,
        "unit": text(20),
        "cost": AMOUNT,
        "tax_rate": PERCENT,
        "lead_time_days": _LEAD,
        "price_breaks": listed(answer({"quantity": AMOUNT_OF_GOODS, "percent": PERCENT})),
        "revision": REVISION,
        "created_at": MOMENT,
        "updated_at": MOMENT,
        "change": CHANGE,
    },
)
_PRICED = given({"product_id": ID, "quantity": QUANTITY}, ["product_id", "quantity"])
_PRICE = {
    "product_id": ID,
    "quantity": AMOUNT_OF_GOODS,
    "unit_price": AMOUNT,
    "tax_rate": PERCENT,
}

PRODUCTS = Port(
    "products",
    (
        read(
            "products.get",
            "Read one product, archived ones too.",
            one_of({"product_id": ID, "external_id": EXTERNAL_ID}),
            PRODUCT,
            (PRODUCT_UNKNOWN,),
        ),
        write(
            "products.upsert",
            "Create the product of an external id, or change it.",
            given({**PRODUCT_FIELDS, "archived": FLAG}, ["external_id", "name"]),
            PRODUCT,
            (PRODUCT_INVALID,),
        ),
        read(
            "products.search",
            "List products by part of the name or by category, page by page in the order of their last change.",
            given(
                {
                    "text": text(100),
                    "category": text(100),
                    "state": {"enum": ["active", "archived"]},
                    "limit": LIMIT,
                    "cursor": CURSOR,
                }
            ),
            page("products", PRODUCT),
        ),
        read(
            "pricing.standard",
            "Say what a quantity of a product costs, as the list says.",
            _PRICED,
            answer({**_PRICE, "amount": AMOUNT}),
            (PRODUCT_UNKNOWN,),
        ),
        read(
            "pricing.discount",
            "Say what quantities of products cost with the price breaks that they reach.",
            given({"customer_id": ID, "items": listed(_PRICED, 1)}, ["items"]),
            answer(
                {
                    "items": listed(answer({**_PRICE, "discount_percent": PERCENT, "net": AMOUNT})),
                    "net": AMOUNT,
                    "discount": AMOUNT,
                    "tax": AMOUNT,
                    "total": AMOUNT,
                }
            ),
            (PRODUCT_UNKNOWN,),
        ),
    ),
)
