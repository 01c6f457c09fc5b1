"""The port `deals`: deals and the quotes that are made for them."""

from __future__ import annotations

from typing import Any

from server.kernel.errors import code
from server.sdk.ports.port import Port, read, write
from server.sdk.ports.products import PRODUCT_UNKNOWN
from server.sdk.ports.sales import CUSTOMER_UNKNOWN
from server.sdk.ports.shapes import (
    AMOUNT,
    AMOUNT_OF_GOODS,
    CHANGE,
    COUNT,
    CURSOR,
    DAY,
    EXTERNAL_ID,
    ID,
    LIMIT,
    MOMENT,
    MONEY,
    PERCENT,
    QUANTITY,
    REVISION,
    SHARE,
    answer,
    given,
    listed,
    one_of,
    or_null,
    page,
    text,
    words,
)

DEAL_UNKNOWN = code("DEAL_UNKNOWN", "The ERP has no such deal.")
DEAL_CLOSED = code("DEAL_CLOSED", "The deal is won or lost already; `details.status` says which.")
QUOTE_UNKNOWN = code("QUOTE_UNKNOWN", "The ERP has no such quote.")
QUOTE_EXPIRED = code("QUOTE_EXPIRED", "The quote was valid until a day that is over.")

ITEM = given(
    {
        "product_id": ID,
        "quantity": QUANTITY,
        "unit_price": {**MONEY, "description": "Without it the list price, less the price breaks."},
        "discount_percent": PERCENT,
    },
    ["product_id", "quantity"],
)
"""What somebody wants: goods, how many, and for how much where that differs from the list."""
PRICED_ITEM = answer(
    {"product_id": ID, "quantity": AMOUNT_OF_GOODS, "unit_price": AMOUNT, "net": AMOUNT, "tax": AMOUNT},
    {"line": COUNT, "name": text(300), "discount_percent": PERCENT, "tax_rate": PERCENT},
)
TOTALS: dict[str, Any] = {"net": AMOUNT, "tax": AMOUNT, "total": AMOUNT}
DEAL_STATUS = {"enum": ["open", "won", "lost"]}
DEAL_FIELDS: dict[str, Any] = {
    "customer_id": ID,
    "name": text(300),
    "items": listed(ITEM, 1),
    "expected_close": {**or_null(DAY), "description": "The day on which it may be won."},
    "probability": {**SHARE, "description": "Of winning it, 0 to 1."},
    "note": words(2000),
}
DEAL = answer(
    {
        "deal_id": ID,
        "customer_id": ID,
        "name": text(300),
        "status": DEAL_STATUS,
        "amount": {**AMOUNT, "description": "The total of its items, with tax."},
        "items": listed(PRICED_ITEM),
    },
    {
        "external_id": {"type": ["string", "null"]},
        "expected_close": or_null(DAY),
        "probability": or_null(SHARE),
        "note": words(2000),
        "lost_because": words(500),
        "closed_at": or_null(MOMENT),
        "revision": REVISION,
        "created_at": MOMENT,
        "updated_at": MOMENT,
        "change": CHANGE,
    },
)
QUOTE = answer(
    {
        "quote_id": ID,
        "customer_id": ID,
        "status": {"enum": ["open", "accepted"]},
        "items": listed(PRICED_ITEM),
        **TOTALS,
        "valid_until": or_null(DAY),
    },
    {"deal_id": or_null(ID), "created_at": MOMENT, "updated_at": MOMENT, "change": CHANGE},
)
_STEP = answer({"at": MOMENT, "what": text(40)}, {"from": words(40), "to": words(40), "note": words(2000)})

DEALS = Port(
    "deals",
    (
        write(
            "deals.create",
            "Begin a deal with a customer about some products.",
            given({"external_id": EXTERNAL_ID, **DEAL_FIELDS}, ["customer_id", "name", "items"]),
            DEAL,
            (CUSTOMER_UNKNOWN, PRODUCT_UNKNOWN),
            undo="deals.lose",
            events=("deal.updated",),
        ),
        read(
            "deals.get",
            "Read one deal with its items.",
            one_of({"deal_id": ID, "external_id": EXTERNAL_ID}),
            DEAL,
            (DEAL_UNKNOWN,),
        ),
        write(
            "deals.upsert",
            "Create the deal of an external id, or change it while it is open.",
            given({"external_id": EXTERNAL_ID, **DEAL_FIELDS}, ["external_id", "customer_id", "name", "items"]),
            DEAL,
            (CUSTOMER_UNKNOWN, PRODUCT_UNKNOWN, DEAL_CLOSED),
            undo="deals.lose",
            events=("deal.updated",),
        ),
        write(
            "deals.win",
            "Win an open deal; one that is won stays so.",
            one_of({"deal_id": ID, "external_id": EXTERNAL_ID}),
            DEAL,
            (DEAL_UNKNOWN, DEAL_CLOSED),
            events=("deal.won",),
        ),
        write(
            "deals.lose",
            "Lose an open deal; one that is lost stays so.",
            one_of({"deal_id": ID, "external_id": EXTERNAL_ID}, {"reason": text(500)}),
            DEAL,
            (DEAL_UNKNOWN, DEAL_CLOSED),
        ),
        read(
            "deals.find_active",
            "List open deals, of one customer or of all, page by page in the order of their last change.",
            given({"customer_id": ID, "limit": LIMIT, "cursor": CURSOR}),
            page("deals", DEAL),
        ),
        read(
            "deals.conversion_rate",
            "Say how many of the deals that were closed from one day to another were won.",
            given({"customer_id": ID, "from": DAY, "to": DAY}),
            answer({"won": COUNT, "lost": COUNT, "open": COUNT, "rate": or_null(SHARE)}),
        ),
        read(
            "deals.history",
            "List what became of a deal, the oldest first.",
            given({"deal_id": ID}, ["deal_id"]),
            answer({"deal_id": ID, "history": listed(_STEP, most=1000)}),
            (DEAL_UNKNOWN,),
        ),
        write(
            "deals.record_prediction",
            "Keep how probable a model finds it that an open deal is won.",
            given(
                {"deal_id": ID, "probability": SHARE, "model": text(100), "confidence": SHARE, "note": text(2000)},
                ["deal_id", "probability", "model"],
            ),
            answer({"deal_id": ID, "probability": SHARE, "change": CHANGE}),
            (DEAL_UNKNOWN, DEAL_CLOSED),
        ),
        write(
            "quotes.create",
            "Offer products to a customer, those of a deal or others, until a day.",
            one_of(
                {"deal_id": ID, "items": listed(ITEM, 1)},
                {"customer_id": {**ID, "description": "Needed with `items`."}, "valid_until": DAY},
            ),
            QUOTE,
            (CUSTOMER_UNKNOWN, DEAL_UNKNOWN, PRODUCT_UNKNOWN),
        ),
        read("quotes.get", "Read one quote.", given({"quote_id": ID}, ["quote_id"]), QUOTE, (QUOTE_UNKNOWN,)),
        write(
            "quotes.accept",
            "Take note that the customer accepts; what is accepted stays so.",
            given({"quote_id": ID}, ["quote_id"]),
            QUOTE,
            (QUOTE_UNKNOWN, QUOTE_EXPIRED),
        ),
    ),
)
