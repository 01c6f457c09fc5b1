"""A Tryton in which there is one of everything, and an input for every operation that the plugin answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.tryton.calling import Caller


@dataclass
class Stage:
    """Makes orders that are so far."""

    erp: Caller

    def __post_init__(self) -> None:
        self.customer = self.erp.call("customers.get", external_id="C-1")["customer_id"]
        self.made = self.erp.call("products.get", external_id="P1")["product_id"]
        self.bought = self.erp.call("products.get", external_id="P2")["product_id"]

    def items(self, quantity: int = 2) -> list[dict[str, Any]]:
        return [{"product_id": self.bought, "quantity": quantity}]

    def deal(self, *, won: bool = False) -> str:
        deal = self.erp.call("deals.create", customer_id=self.customer, name="A deal", items=self.items())["deal_id"]
        if won:
            self.erp.call("deals.win", deal_id=deal)
        return str(deal)

    def order(self, *steps: str) -> dict[str, str]:
        """Return the ids of an order that went through so many of reserve, pick, pack, ship."""
        order = self.erp.call("orders.create", customer_id=self.customer, items=self.items())["order_id"]
        found = {"order_id": order}
        if "reserve" in steps:
            self.erp.call("inventory.reserve_stock", order_id=order)
        if "pick" in steps:
            found["picking_id"] = self.erp.call("warehouse.create_picking", order_id=order)["picking_id"]
        if "pack" in steps:
            given = {"picking_id": found["picking_id"]}
            found["packing_id"] = self.erp.call("warehouse.create_packing", **given)["packing_id"]
        if "ship" in steps:
            given = {"order_id": order, "packing_id": found["packing_id"]}
            found["shipment_id"] = self.erp.call("logistics.create_shipment", **given)["shipment_id"]
        return found

    def production(self) -> dict[str, str]:
        made = self.erp.call("production.create_order", product_id=self.made, quantity=3)
        return {"production_order_id": made["production_order_id"]}

    def quote(self) -> dict[str, str]:
        made = self.erp.call("quotes.create", customer_id=self.customer, items=self.items())
        return {"quote_id": made["quote_id"]}

    def invoice(self) -> dict[str, str]:
        made = self.erp.call("invoices.create_from_order", **self.order())
        return {"invoice_id": made["invoice_id"]}

    def payment(self) -> dict[str, str]:
        made = self.erp.call("payments.record", **self.invoice(), amount="60.00")
        assert made["invoice_status"] == "paid"
        return {"payment_id": made["payment_id"]}


def staged(erp: Caller) -> dict[str, dict[str, Any]]:
    """Return an input for each operation, named like its fixture."""
    stage = Stage(erp)
    customer, bought = stage.customer, stage.bought
    some = {"product_id": bought, "quantity": 2}
    accepted = stage.quote()
    erp.call("quotes.accept", **accepted)
    far = ("reserve", "pick", "pack", "ship")
    ordered = stage.order()
    erp.call("production.create_order", order_id=ordered["order_id"], product_id=stage.made, quantity=2)
    named = {"customer_id": customer, "name": "A deal", "items": stage.items()}

    def only(found: dict[str, str], *names: str) -> dict[str, str]:
        return {name: found[name] for name in names}

    return {
        "boms.calculate_requirements__two": {"product_id": stage.made, "quantity": 2},
        "customers.archive__one": {"external_id": "SUP-1"},
        "customers.check_credit_limit__some": {"customer_id": customer, "amount": "100.00"},
        "customers.get__by_external_id": {"external_id": "C-1"},
        "customers.order_history__page": {"customer_id": customer, "limit": 5},
        "customers.preferences__page": {"customer_id": customer, "limit": 5},
        "customers.search__page": {"text": "a", "state": "active", "limit": 2},
        "customers.update_balance__books": {"customer_id": customer},
        "customers.update_metrics__one": {"customer_id": customer},
        "customers.upsert__new": {
            "external_id": "C-9",
            "name": "New",
            "email": "new@example.com",
            "phone": "+77010000000",
            "address": "Abai 1",
            "city": "Almaty",
            "country": None,
            "tax_id": "1",
            "credit_limit": "1200.50",
        },
        "deals.conversion_rate__all": {},
        "deals.create__one": named,
        "deals.find_active__page": {"limit": 5},
        "deals.get__one": {"deal_id": stage.deal()},
        "deals.lose__open": {"deal_id": stage.deal(), "reason": "too dear"},
        "deals.record_prediction__open": {"deal_id": stage.deal(), "probability": 0.75, "model": "m"},
        "deals.upsert__new": {"external_id": "D-9", **named},
        "deals.win__open": {"deal_id": stage.deal()},
        "inventory.add_stock__some": some,
        "inventory.adjust_stock__down": {"product_id": bought, "change": -1, "reason": "broken"},
        "inventory.check_materials__of_a_production": stage.production(),
        "inventory.check_stock__some": {"items": [some, {"product_id": stage.made, "quantity": 1}]},
        "inventory.release_stock__held": stage.order("reserve"),
        "inventory.reserve_stock__order": stage.order(),
        "inventory.stock_report__page": {"limit": 2},
        "invoices.create__line": {
            "customer_id": customer,
            "lines": [{"product_id": bought, "quantity": 1, "unit_price": "5.00"}],
        },
        "invoices.create_from_order__net30": {**stage.order(), "terms": "net30"},
        "invoices.get__one": stage.invoice(),
        "invoices.update_payment_status__one": stage.invoice(),
        "invoices.void__open": stage.invoice(),
        "logistics.cancel_shipment__shipped": only(stage.order(*far), "shipment_id"),
        "logistics.create_shipment__packed": only(stage.order(*far[:3]), "order_id", "packing_id"),
        "logistics.delivery_update__delivered": {**only(stage.order(*far), "shipment_id"), "status": "delivered"},
        "logistics.track__shipped": only(stage.order(*far), "shipment_id"),
        "orders.cancel__confirmed": stage.order("reserve"),
        "orders.create__one": {"customer_id": customer, "items": stage.items(), "external_id": "SO-9"},
        "orders.create_from_deal__won": {"deal_id": stage.deal(won=True), "status": "pending"},
        "orders.create_from_quote__accepted": accepted,
        "orders.get__one": ordered,
        "orders.search__page": {"customer_id": customer, "limit": 3},
        "orders.update__note": {**stage.order(), "note": "by the back door"},
        "orders.update_payment_status__one": stage.order(),
        "payments.record__all": {**stage.invoice(), "amount": "60.00"},
        "payments.refund__all": {"payment_id": stage.payment()["payment_id"]},
        "payments.search__page": {"limit": 2},
        "payments.validate__some": {**stage.invoice(), "amount": "20.00"},
        "pricing.standard__some": some,
        "production.cancel_order__planned": stage.production(),
        "production.check_all_complete__not": ordered,
        "production.complete__all": stage.production(),
        "production.create_order__for_an_order": {"order_id": ordered["order_id"], **some},
        "production.get_order__planned": stage.production(),
        "production.update_status__in_progress": {**stage.production(), "status": "in_progress"},
        "products.get__by_external_id": {"external_id": "P1"},
        "products.search__page": {"text": "product", "limit": 2},
        "products.upsert__new": {
            "external_id": "P9",
            "name": "New",
            "price": "9.90",
            "cost": "5",
            "category": "Goods",
            "tax_rate": "20",
            "lead_time_days": 7,
            "unit": "u",
            "kind": "goods",
        },
        "quotes.accept__open": stage.quote(),
        "quotes.create__some": {"customer_id": customer, "items": stage.items()},
        "quotes.get__open": stage.quote(),
        "warehouse.cancel_packing__packed": only(stage.order(*far[:3]), "packing_id"),
        "warehouse.cancel_picking__picked": only(stage.order(*far[:2]), "picking_id"),
        "warehouse.create_packing__picked": only(stage.order(*far[:2]), "picking_id"),
        "warehouse.create_picking__reserved": stage.order("reserve"),
    }
