"""What the contract of ports begins with: an ERP under test, and documents that are so far as an operation needs them."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from server.sdk.adapter import CallRequest
from server.sdk.schemas import Schema

if TYPE_CHECKING:
    from server.sdk.adapter import Adapter
    from server.sdk.context import Context
NOBODY = "999999999"
"""An id that no ERP under test gave."""
_STEPS = ("reserve", "pick", "pack", "ship")


@dataclass(frozen=True, slots=True)
class World:
    """An ERP under test: its adapter, and `context(key)` for each call."""

    adapter: Adapter
    context: Callable[[str | None], Context]

    def call(self, operation: str, key: str | None = None, /, **given: Any) -> dict[str, Any]:
        """Call an operation as Crossdock does; a write without a key gets one of its own.

        Raises:
            AssertionError: the input or the answer breaks its schema.

        """
        found = self.adapter.operation(operation)
        request = CallRequest(operation, given)
        if found is None or not self.adapter.validate(request).is_valid:
            raise AssertionError(f"{operation}: {self.adapter.validate(request).errors}")
        context = self.context(key or (f"key_{uuid.uuid4().hex}" if found.writes else None))
        answer = self.adapter.transform(self.adapter.execute(request, context))
        if errors := Schema(dict(found.output_schema)).errors(answer):
            raise AssertionError(f"{operation}: the answer breaks its schema: {errors}")
        return answer


def furnish(world: World) -> None:
    """Make the customer, the goods, the bill of materials and the stock that the contract begins with."""
    world.call("customers.upsert", external_id="C-1", name="ACME")
    ids = {}
    for name, price in (("P1", "10.00"), ("P2", "25.00"), ("WOOD", "3.00")):
        given = {"external_id": name, "name": f"Product {name}", "price": price, "tax_rate": "20"}
        ids[name] = world.call("products.upsert", **given)["product_id"]
    world.call("boms.upsert", product_id=ids["P1"], components=[{"product_id": ids["WOOD"], "quantity": 2}])
    for name, number in (("P2", 100), ("WOOD", 1000)):
        world.call("inventory.add_stock", product_id=ids[name], quantity=number)


@dataclass
class Stage:
    """Makes documents that are so far as an operation needs them."""

    world: World
    customer: str = field(init=False)
    made: str = field(init=False)
    bought: str = field(init=False)

    def __post_init__(self) -> None:
        call = self.world.call
        self.customer = call("customers.get", external_id="C-1")["customer_id"]
        self.made = call("products.get", external_id="P1")["product_id"]
        self.bought = call("products.get", external_id="P2")["product_id"]

    def some(self, number: int = 2) -> dict[str, Any]:
        """Return so much of what is in stock."""
        return {"product_id": self.bought, "quantity": number}

    def for_customer(self, **more: Any) -> dict[str, Any]:
        """Return what an order or a deal of the customer is made of."""
        return {"customer_id": self.customer, "items": [self.some()], **more}

    def deal(self, *, won: bool = False) -> dict[str, Any]:
        """Return a deal's id."""
        made = self.world.call("deals.create", **self.for_customer(name="A deal"))
        if won:
            self.world.call("deals.win", deal_id=made["deal_id"])
        return {"deal_id": made["deal_id"]}

    def quote(self, *, accepted: bool = False) -> dict[str, Any]:
        """Return a quote's id."""
        made = self.world.call("quotes.create", **self.for_customer())
        if accepted:
            self.world.call("quotes.accept", quote_id=made["quote_id"])
        return {"quote_id": made["quote_id"]}

    def order(self, last: str | None = None, *names: str) -> dict[str, Any]:
        """Return the ids (or those of some names) of an order that went up to a step: reserve, pick, pack, ship."""
        call = self.world.call
        found = {"order_id": call("orders.create", **self.for_customer())["order_id"]}
        order = {"order_id": found["order_id"]}
        for step in _STEPS[: _STEPS.index(last) + 1] if last else ():
            if step == "reserve":
                call("inventory.reserve_stock", **order)
            elif step == "pick":
                found["picking_id"] = call("warehouse.create_picking", **order)["picking_id"]
            elif step == "pack":
                found["packing_id"] = call("warehouse.create_packing", picking_id=found["picking_id"])["packing_id"]
            else:
                packed = {**order, "packing_id": found["packing_id"]}
                found["shipment_id"] = call("logistics.create_shipment", **packed)["shipment_id"]
        return {name: found[name] for name in names or ("order_id",)}

    def production(self, **more: Any) -> dict[str, Any]:
        """Return a production order's id."""
        made = self.world.call("production.create_order", product_id=self.made, quantity=3, **more)
        return {"production_order_id": made["production_order_id"]}

    def invoice(self) -> dict[str, Any]:
        """Return the id of an order's invoice."""
        return {"invoice_id": self.world.call("invoices.create_from_order", **self.order())["invoice_id"]}

    def payment(self) -> dict[str, Any]:
        """Return the id of a payment."""
        return {"payment_id": self.world.call("payments.record", **self.invoice(), amount="60.00")["payment_id"]}

    def begun(self) -> dict[str, Any]:
        """Return the id of an order that something is made for."""
        order = self.order()
        self.production(order_id=order["order_id"])
        return order

    def buyer(self, **more: Any) -> dict[str, Any]:
        """Return the customer's id."""
        return {"customer_id": self.customer, **more}


Inputs: TypeAlias = dict[str, Callable[[Stage], dict[str, Any]]]
"""An input of each operation, made when it is needed."""
