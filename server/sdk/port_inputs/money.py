"""Inputs for invoices and payments."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from server.sdk.port_inputs.stage import Inputs

INPUTS: Inputs = {
    "invoices.create": lambda stage: stage.buyer(
        lines=[{"product_id": stage.bought, "quantity": 1, "unit_price": "5.00"}]
    ),
    "invoices.create_from_order": lambda stage: {**stage.order(), "terms": "net30"},
    "invoices.get": lambda stage: stage.invoice(),
    "invoices.update_payment_status": lambda stage: stage.invoice(),
    "invoices.void": lambda stage: stage.invoice(),
    "payments.record": lambda stage: {**stage.invoice(), "amount": "60.00"},
    "payments.refund": lambda stage: stage.payment(),
    "payments.search": lambda _stage: {"limit": 2},
    "payments.validate": lambda stage: {**stage.invoice(), "amount": "20.00"},
}
