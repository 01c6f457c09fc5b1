"""The port `finance`: invoices, payments, expenses, receipts and what the books say.

An invoice is `open`, `partly_paid` or `paid`, as its payments say, or `void`: then its bookings are reversed. What was paid beyond
an invoice, where that is allowed, is the customer's credit.
"""

from __future__ import annotations

from typing import Any

from server.kernel.errors import code
from server.sdk.ports.deals import TOTALS
from server.sdk.ports.orders import ORDER_CUSTOMER, ORDER_INVOICED, ORDER_STATUS, ORDER_UNKNOWN
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
    FLAG,
    ID,
    LIMIT,
    MOMENT,
    MONEY,
    PERCENT,
    POSITIVE,
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

CREDIT_LIMIT = code("CREDIT_LIMIT", "With this invoice the customer would owe more than the credit limit allows.")
INVOICE_UNKNOWN = code("INVOICE_UNKNOWN", "The ERP has no such invoice.")
INVOICE_STATUS = code("INVOICE_STATUS", "The invoice's status, in `details.status`, does not allow this.")
PAYMENT_UNKNOWN = code("PAYMENT_UNKNOWN", "The ERP has no such payment.")
PAYMENT_STATUS = code("PAYMENT_STATUS", "The payment's status, in `details.status`, does not allow this.")
PAYMENT_EXCEEDS = code(
    "PAYMENT_EXCEEDS", "The payment is more than what is open; `details.open` says how much that is."
)
PAYMENT_DECLINED = code("PAYMENT_DECLINED", "The customer's bank or card does not pay; `failure.message` says why.")
REFUND_EXCEEDS = code("REFUND_EXCEEDS", "The refund is more than what was paid and not yet refunded.")

INVOICE_STATUSES = ("open", "partly_paid", "paid", "void")
_INVOICE_STATUS = {"enum": list(INVOICE_STATUSES)}
_TERMS = {"type": "string", "pattern": "^(immediate|net[0-9]{1,3})$", "description": "`net30`: due in 30 days."}
_LINE = given(
    {
        "product_id": ID,
        "description": text(300),
        "quantity": QUANTITY,
        "unit_price": MONEY,
        "tax_rate": PERCENT,
    },
    ["quantity", "unit_price"],
)
_BOOKED_LINE = answer(
    {"quantity": AMOUNT_OF_GOODS, "unit_price": AMOUNT, "net": AMOUNT, "tax": AMOUNT},
    {"line": COUNT, "product_id": or_null(ID), "description": words(300), "tax_rate": PERCENT},
)
INVOICE = answer(
    {
        "invoice_id": ID,
        "customer_id": ID,
        "order_id": or_null(ID),
        "status": _INVOICE_STATUS,
        **TOTALS,
        "paid": AMOUNT,
        "open": AMOUNT,
        "due_date": DAY,
    },
    {
        "number": text(40),
        "lines": listed(_BOOKED_LINE),
        "terms": _TERMS,
        "issued_on": DAY,
        "overdue": FLAG,
        "revision": REVISION,
        "created_at": MOMENT,
        "updated_at": MOMENT,
        "change": CHANGE,
    },
)
_METHOD = {"enum": ["transfer", "card", "cash"]}
_PAYMENT_STATUS = {"enum": ["received", "partly_refunded", "refunded", "failed"]}
PAYMENT = answer(
    {
        "payment_id": ID,
        "customer_id": ID,
        "invoice_id": or_null(ID),
        "order_id": or_null(ID),
        "amount": AMOUNT,
        "status": _PAYMENT_STATUS,
    },
    {
        "applied": {**AMOUNT, "description": "To the invoice."},
        "credit": {**AMOUNT, "description": "The part that is the customer's credit."},
        "refunded": AMOUNT,
        "method": _METHOD,
        "reference": words(200),
        "received_on": DAY,
        "failure": or_null(answer({"code": text(60), "message": text(500)})),
        "invoice_status": or_null(_INVOICE_STATUS),
        "revision": REVISION,
        "created_at": MOMENT,
        "updated_at": MOMENT,
        "change": CHANGE,
    },
)
_PAYS: dict[str, Any] = {
    "amount": POSITIVE,
    "method": _METHOD,
    "reference": {**text(200), "description": "What the bank or the gateway calls it."},
    "received_on": DAY,
}
_OVER = {
    "enum": ["refuse", "credit"],
    "description": "What to do with more than is open: refuse it (where nothing is said), or keep it as the customer's credit.",
}
_NAMED = {"invoice_id": ID, "order_id": {**ID, "description": "All invoices of an order."}}
_TERMED: dict[str, Any] = {"due_date": DAY, "terms": _TERMS}
EXPENSE = answer(
    {"expense_id": ID, "category": text(100), "amount": AMOUNT, "spent_on": DAY},
    {
        "net": AMOUNT,
        "tax": AMOUNT,
        "description": words(500),
        "supplier_id": or_null(ID),
        "employee_id": or_null(ID),
        "reference": words(200),
        "created_at": MOMENT,
    },
)
RECEIPT = answer(
    {"receipt_id": ID, "number": text(40), "payment_id": ID, "customer_id": ID, "amount": AMOUNT, "change": CHANGE},
    {"invoice_id": or_null(ID), "issued_at": MOMENT, "text": text(4000)},
)
_SPAN = given({"from": DAY, "to": DAY})
_SPAN_OUT = {"from": or_null(DAY), "to": or_null(DAY)}
_ACCOUNT = answer({"account": text(60), "debit": AMOUNT, "credit": AMOUNT, "balance": AMOUNT})

_INVOICES = (
    write(
        "invoices.create",
        "Invoice a customer for some lines.",
        given({"customer_id": ID, "order_id": ID, "lines": listed(_LINE, 1), **_TERMED}, ["customer_id", "lines"]),
        INVOICE,
        (CUSTOMER_UNKNOWN, ORDER_UNKNOWN, ORDER_CUSTOMER, PRODUCT_UNKNOWN, CREDIT_LIMIT),
        undo="invoices.void",
        events=("invoice.created",),
    ),
    write(
        "invoices.create_from_order",
        "Invoice an order, with its items and prices; due on a day, or as the terms say.",
        given({"order_id": ID, **_TERMED}, ["order_id"]),
        INVOICE,
        (ORDER_UNKNOWN, ORDER_STATUS, ORDER_INVOICED, CREDIT_LIMIT),
        undo="invoices.void",
        events=("invoice.created",),
    ),
    read(
        "invoices.get",
        "Read one invoice with its lines.",
        given({"invoice_id": ID}, ["invoice_id"]),
        INVOICE,
        (INVOICE_UNKNOWN,),
    ),
    write(
        "invoices.update_payment_status",
        "Bring the invoice's status in line with its payments, with `use_credit` after paying from the customer's credit.",
        given({"invoice_id": ID, "use_credit": FLAG}, ["invoice_id"]),
        INVOICE,
        (INVOICE_UNKNOWN,),
    ),
    write(
        "invoices.void",
        "Reverse an invoice on which nothing is paid, or all of an order. What is void stays so, what never was is left alone.",
        one_of(_NAMED, {"reason": text(500)}),
        answer({"invoice_id": or_null(ID), "status": or_null(_INVOICE_STATUS), "change": CHANGE}),
        (INVOICE_STATUS,),
        events=("invoice.voided",),
    ),
)
_PAYMENTS = (
    write(
        "payments.record",
        "Take note of money that came, for an invoice or as credit of a customer.",
        one_of({"invoice_id": ID, "customer_id": ID}, {**_PAYS, "over": _OVER}) | {"required": ["amount"]},
        PAYMENT,
        (INVOICE_UNKNOWN, CUSTOMER_UNKNOWN, INVOICE_STATUS, PAYMENT_EXCEEDS),
        undo="payments.refund",
        events=("payment.received",),
    ),
    write(
        "payments.process",
        "Charge what is open of an invoice, or a part of it. That it is declined is an answer: `failed`, with PAYMENT_DECLINED.",
        given(
            {"invoice_id": ID, "amount": POSITIVE, "method": _METHOD, "reference": text(200)}, ["invoice_id", "method"]
        ),
        PAYMENT,
        (INVOICE_UNKNOWN, INVOICE_STATUS, PAYMENT_EXCEEDS),
        undo="payments.refund",
        events=("payment.processed", "payment.received", "payment.failed"),
    ),
    write(
        "payments.refund",
        "Give back a payment or a part of it, or all that was paid for an invoice or an order. Given back is given back.",
        one_of({"payment_id": ID, **_NAMED}, {"amount": POSITIVE, "reason": text(500)}),
        answer(
            {
                "refunded": AMOUNT,
                "refunds": listed(answer({"payment_id": ID, "amount": AMOUNT, "status": _PAYMENT_STATUS}), most=10_000),
                "change": CHANGE,
            }
        ),
        (REFUND_EXCEEDS,),
        events=("payment.refunded",),
    ),
    read(
        "payments.validate",
        "Say whether a payment of an invoice would be taken, and if not, why.",
        given({"invoice_id": ID, "amount": POSITIVE, "method": _METHOD}, ["invoice_id", "amount"]),
        answer(
            {
                "valid": FLAG,
                "open": or_null(AMOUNT),
                "errors": listed(answer({"code": text(60), "message": text(500)})),
            }
        ),
    ),
    read(
        "payments.search",
        "List payments by customer, invoice or status, page by page in the order of their last change.",
        given({"customer_id": ID, "invoice_id": ID, "status": _PAYMENT_STATUS, "limit": LIMIT, "cursor": CURSOR}),
        page("payments", PAYMENT),
    ),
)
_OTHERS = (
    write(
        "expenses.record",
        "Book money that was spent.",
        given(
            {
                "category": text(100),
                "amount": {**POSITIVE, "description": "With tax."},
                "tax_rate": PERCENT,
                "description": text(500),
                "supplier_id": ID,
                "employee_id": ID,
                "spent_on": DAY,
                "reference": text(200),
            },
            ["category", "amount"],
        ),
        EXPENSE,
    ),
    write(
        "receipts.generate",
        "Make the receipt of a payment; there is one for each.",
        given({"payment_id": ID}, ["payment_id"]),
        RECEIPT,
        (PAYMENT_UNKNOWN, PAYMENT_STATUS),
    ),
    read(
        "reports.kpis",
        "Say from one day to another: orders processed, their average worth, how many deals were won, hours to shipment.",
        _SPAN,
        answer(
            {
                **_SPAN_OUT,
                "orders_processed": COUNT,
                "average_order_value": AMOUNT,
                "conversion_rate": or_null(SHARE),
                "fulfilment_hours": {"type": ["number", "null"]},
            },
            {"orders_shipped": COUNT, "revenue": AMOUNT, "receivables": AMOUNT},
        ),
    ),
    read(
        "reports.sales",
        "Sum what was ordered from one day to another, by day, month, product or customer.",
        given(
            {"from": DAY, "to": DAY, "by": {"enum": ["day", "month", "product", "customer"]}, "limit": LIMIT}, ["by"]
        ),
        answer(
            {
                **_SPAN_OUT,
                "rows": listed(
                    answer({"key": text(64), "orders": COUNT, "net": AMOUNT}, {"quantity": AMOUNT_OF_GOODS})
                ),
            }
        ),
    ),
    read(
        "reports.receivables",
        "Say what is open, by how long it is due.",
        given({"as_of": DAY}),
        answer(
            {
                "as_of": DAY,
                "open": AMOUNT,
                "not_due": AMOUNT,
                "days_1_30": AMOUNT,
                "days_31_60": AMOUNT,
                "days_61_90": AMOUNT,
                "older": AMOUNT,
            }
        ),
    ),
    read(
        "reports.trial_balance",
        "List the accounts of the books; what is debited is credited, so that the difference is nothing.",
        _SPAN,
        answer({**_SPAN_OUT, "accounts": listed(_ACCOUNT), "difference": AMOUNT}),
    ),
)

FINANCE = Port("finance", (*_INVOICES, *_PAYMENTS, *_OTHERS))
