"""Inputs for invoices and payments."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from server.sdk.port_inputs.stage import Inputs

INPUTS: Inputs = {
    "expenses.record": lambda _stage: {"category": "Travel", "amount": "12.00", "tax_rate": "20", "reference": "R-1"},
    "invoices.create": lambda stage: stage.buyer(
        lines=[{"product_id": stage.bought, "quantity": 1, "unit_price": "5.00"}]
    ),
    "invoices.create_from_order": lambda stage: {**stage.order(), "terms": "net30"},
    "invoices.get": lambda stage: stage.invoice(),
    "invoices.update_payment_status": lambda stage: stage.invoice(),
    "invoices.void": lambda stage: stage.invoice(),
    "payments.process": lambda stage: {**stage.invoice(), "method": "cash"},
    "payments.record": lambda stage: {**stage.invoice(), "amount": "60.00"},
    "payments.refund": lambda stage: stage.payment(),
    "payments.search": lambda _stage: {"limit": 2},
    "payments.validate": lambda stage: {**stage.invoice(), "amount": "20.00"},
    "receipts.generate": lambda stage: stage.payment(),
    "reports.kpis": lambda _stage: {"from": "2026-01-01"},
    "reports.receivables": lambda _stage: {},
    "reports.sales": lambda _stage: {"by": "product", "limit": 3},
    "reports.trial_balance": lambda _stage: {},
}
