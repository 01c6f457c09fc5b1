"""Inputs for customers, products, deals, quotes and orders."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from server.sdk.port_inputs.stage import Inputs

INPUTS: Inputs = {
    "customers.analytics": lambda stage: stage.buyer(),
    "customers.archive": lambda stage: {
        "customer_id": stage.world.call("customers.upsert", external_id="C-7", name="Seven")["customer_id"]
    },
    "customers.check_credit_limit": lambda stage: stage.buyer(amount="100.00"),
    "customers.get": lambda stage: stage.buyer(),
    "customers.order_history": lambda stage: stage.buyer(limit=5),
    "customers.preferences": lambda stage: stage.buyer(limit=5),
    "customers.report": lambda _stage: {"limit": 3},
    "customers.search": lambda _stage: {"text": "a", "state": "active", "limit": 2},
    "customers.update_balance": lambda stage: stage.buyer(),
    "customers.update_metrics": lambda stage: stage.buyer(),
    "customers.upsert": lambda _stage: {
        "external_id": "C-9",
        "name": "New",
        "email": "new@example.com",
        "phone": "+77010000000",
        "city": "Almaty",
        "credit_limit": "1200.50",
    },
    "customers.validate": lambda _stage: {"external_id": "C-8", "name": " ", "email": "nowhere", "country": "KZ"},
    "deals.conversion_rate": lambda _stage: {},
    "deals.create": lambda stage: stage.for_customer(name="A deal"),
    "deals.find_active": lambda _stage: {"limit": 5},
    "deals.get": lambda stage: stage.deal(),
    "deals.history": lambda stage: stage.deal(won=True),
    "deals.lose": lambda stage: {**stage.deal(), "reason": "too dear"},
    "deals.record_prediction": lambda stage: {**stage.deal(), "probability": 0.75, "model": "m"},
    "deals.upsert": lambda stage: stage.for_customer(name="A deal", external_id="D-9"),
    "deals.win": lambda stage: stage.deal(),
    "orders.cancel": lambda stage: stage.order("reserve"),
    "orders.create": lambda stage: stage.for_customer(external_id="SO-9"),
    "orders.create_from_deal": lambda stage: {**stage.deal(won=True), "status": "pending"},
    "orders.create_from_quote": lambda stage: stage.quote(accepted=True),
    "orders.get": lambda stage: stage.begun(),
    "orders.search": lambda stage: stage.buyer(limit=3),
    "orders.update": lambda stage: {**stage.order(), "note": "by the back door"},
    "orders.update_payment_status": lambda stage: stage.order(),
    "pricing.standard": lambda stage: stage.some(),
    "products.get": lambda _stage: {"external_id": "P1"},
    "products.search": lambda _stage: {"text": "product", "limit": 2},
    "products.upsert": lambda _stage: {
        "external_id": "P9",
        "name": "New",
        "price": "9.90",
        "cost": "5.00",
        "lead_time_days": 7,
        "kind": "goods",
    },
    "quotes.accept": lambda stage: stage.quote(),
    "quotes.create": lambda stage: stage.for_customer(),
    "quotes.get": lambda stage: stage.quote(),
}
