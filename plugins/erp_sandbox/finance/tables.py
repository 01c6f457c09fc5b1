"""Invoices, payments, what of them belongs together, expenses, receipts, and the books."""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, String, Table, Text, UniqueConstraint

from plugins.erp_sandbox.tables import METADATA, Moment, Money, Quantity, company

_DAY = String(10)
INVOICES = Table(
    "invoices",
    METADATA,
    company(),
    Column("invoice_id", String(64), primary_key=True),
    Column("number", String(40), nullable=False),
    Column("customer_id", String(64), nullable=False),
    Column("order_id", String(64)),
    Column("status", String(20), nullable=False),
    Column("net", Money(), nullable=False),
    Column("tax", Money(), nullable=False),
    Column("total", Money(), nullable=False),
    Column("paid", Money(), nullable=False),
    Column("terms", String(20), nullable=False),
    Column("issued_on", _DAY, nullable=False),
    Column("due_date", _DAY, nullable=False),
    Column("revision", Integer(), nullable=False),
    Column("created_at", Moment(), nullable=False),
    Column("updated_at", Moment(), nullable=False),
    Index("invoices_by_order", "company", "order_id"),
    Index("invoices_by_customer", "company", "customer_id"),
    Index("invoices_by_due_date", "company", "status", "due_date"),
)
INVOICE_LINES = Table(
    "invoice_lines",
    METADATA,
    company(),
    Column("invoice_id", String(64), primary_key=True),
    Column("line", Integer(), primary_key=True),
    Column("product_id", String(64)),
    Column("description", String(300)),
    Column("quantity", Quantity(), nullable=False),
    Column("unit_price", Money(), nullable=False),
    Column("discount_percent", Money(), nullable=False),
    Column("tax_rate", Money(), nullable=False),
    Column("net", Money(), nullable=False),
    Column("tax", Money(), nullable=False),
)
PAYMENTS = Table(
    "payments",
    METADATA,
    company(),
    Column("payment_id", String(64), primary_key=True),
    Column("customer_id", String(64), nullable=False),
    Column("invoice_id", String(64)),
    Column("order_id", String(64)),
    Column("amount", Money(), nullable=False),
    Column("applied", Money(), nullable=False),
    Column("refunded", Money(), nullable=False),
    Column("method", String(20), nullable=False),
    Column("status", String(20), nullable=False),
    Column("reference", String(200)),
    Column("failure", String(60)),
    Column("received_on", _DAY, nullable=False),
    Column("revision", Integer(), nullable=False),
    Column("created_at", Moment(), nullable=False),
    Column("updated_at", Moment(), nullable=False),
    Index("payments_by_change", "company", "updated_at", "payment_id"),
    Index("payments_by_invoice", "company", "invoice_id"),
    Index("payments_by_customer", "company", "customer_id"),
)
ALLOCATIONS = Table(
    "allocations",
    METADATA,
    company(),
    Column("payment_id", String(64), primary_key=True),
    Column("invoice_id", String(64), primary_key=True),
    Column("amount", Money(), nullable=False),
    Index("allocations_by_invoice", "company", "invoice_id"),
)
EXPENSES = Table(
    "expenses",
    METADATA,
    company(),
    Column("expense_id", String(64), primary_key=True),
    Column("category", String(100), nullable=False),
    Column("amount", Money(), nullable=False),
    Column("net", Money(), nullable=False),
    Column("tax", Money(), nullable=False),
    Column("description", String(500)),
    Column("supplier_id", String(64)),
    Column("employee_id", String(64)),
    Column("reference", String(200)),
    Column("spent_on", _DAY, nullable=False),
    Column("created_at", Moment(), nullable=False),
)
RECEIPTS = Table(
    "receipts",
    METADATA,
    company(),
    Column("receipt_id", String(64), primary_key=True),
    Column("number", String(40), nullable=False),
    Column("payment_id", String(64), nullable=False),
    Column("customer_id", String(64), nullable=False),
    Column("invoice_id", String(64)),
    Column("amount", Money(), nullable=False),
    Column("text", Text(), nullable=False),
    Column("issued_at", Moment(), nullable=False),
    UniqueConstraint("company", "payment_id", name="receipts_by_payment"),
)
POSTINGS = Table(
    "postings",
    METADATA,
    company(),
    Column("entry_id", String(64), primary_key=True),
    Column("line", Integer(), primary_key=True),
    Column("about", String(64), nullable=False),  # the invoice, payment, expense or customer
    Column("account", String(60), nullable=False),
    Column("customer_id", String(64)),
    Column("amount", Money(), nullable=False),  # a debit above 0, a credit below
    Column("booked_on", _DAY, nullable=False),
    Index("postings_by_customer", "company", "customer_id", "account"),
    Index("postings_by_account", "company", "account", "booked_on"),
)
FINANCE_TABLES = (INVOICES, INVOICE_LINES, PAYMENTS, ALLOCATIONS, EXPENSES, RECEIPTS, POSTINGS)
