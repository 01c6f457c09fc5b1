"""The contract of ports: one list of inputs that every ERP behind them is held to, whichever it is.

    stage = Stage(World(adapter, context))        # context(key) makes the context of a call
    for name in tried(adapter): assert list(breaches(stage, name)) == []
    assert list(deal_won(stage)) == [] and list(order_fulfilled(stage)) == []

What is there before: the customer `C-1`, the goods `P1` (made of something, none in stock, at 10.00) and `P2` (100 in stock, at
25.00). `furnish` makes them where the ERP takes them by its ports. Of each operation: the answer fits its schema; the same key
again gets the same answer; ids that there are not are refused by the port's code; and what it is undone by undoes it, once.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from server.kernel.errors import CrossdockError
from server.sdk.adapter import CallRequest
from server.sdk.ports import PORTS
from server.sdk.schemas import Schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from server.sdk.adapter import Adapter
    from server.sdk.context import Context
    from server.sdk.ports import Promise

NOBODY = "999999999"
"""An id that no ERP under test gave."""
_PROMISES = {promise.operation.name: promise for port in PORTS for promise in port.promises}
_UNKNOWN = {
    "customer_id": "CUSTOMER_UNKNOWN",
    "deal_id": "DEAL_UNKNOWN",
    "invoice_id": "INVOICE_UNKNOWN",
    "order_id": "ORDER_UNKNOWN",
    "packing_id": "PACKING_UNKNOWN",
    "payment_id": "PAYMENT_UNKNOWN",
    "picking_id": "PICKING_UNKNOWN",
    "product_id": "PRODUCT_UNKNOWN",
    "production_order_id": "PRODUCTION_UNKNOWN",
    "quote_id": "QUOTE_UNKNOWN",
    "shipment_id": "SHIPMENT_UNKNOWN",
}
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


INPUTS: dict[str, Callable[[Stage], dict[str, Any]]] = {
    "boms.calculate_requirements": lambda stage: {"product_id": stage.made, "quantity": 2},
    "customers.archive": lambda stage: {
        "customer_id": stage.world.call("customers.upsert", external_id="C-7", name="Seven")["customer_id"]
    },
    "customers.check_credit_limit": lambda stage: stage.buyer(amount="100.00"),
    "customers.get": lambda stage: stage.buyer(),
    "customers.order_history": lambda stage: stage.buyer(limit=5),
    "customers.preferences": lambda stage: stage.buyer(limit=5),
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
    "deals.conversion_rate": lambda _stage: {},
    "deals.create": lambda stage: stage.for_customer(name="A deal"),
    "deals.find_active": lambda _stage: {"limit": 5},
    "deals.get": lambda stage: stage.deal(),
    "deals.lose": lambda stage: {**stage.deal(), "reason": "too dear"},
    "deals.record_prediction": lambda stage: {**stage.deal(), "probability": 0.75, "model": "m"},
    "deals.upsert": lambda stage: stage.for_customer(name="A deal", external_id="D-9"),
    "deals.win": lambda stage: stage.deal(),
    "inventory.add_stock": lambda stage: stage.some(),
    "inventory.adjust_stock": lambda stage: {"product_id": stage.bought, "change": -1, "reason": "broken"},
    "inventory.check_materials": lambda stage: stage.production(),
    "inventory.check_stock": lambda stage: {"items": [stage.some(), {"product_id": stage.made, "quantity": 1}]},
    "inventory.release_stock": lambda stage: stage.order("reserve"),
    "inventory.reserve_stock": lambda stage: stage.order(),
    "inventory.stock_report": lambda _stage: {"limit": 2},
    "invoices.create": lambda stage: stage.buyer(
        lines=[{"product_id": stage.bought, "quantity": 1, "unit_price": "5.00"}]
    ),
    "invoices.create_from_order": lambda stage: {**stage.order(), "terms": "net30"},
    "invoices.get": lambda stage: stage.invoice(),
    "invoices.update_payment_status": lambda stage: stage.invoice(),
    "invoices.void": lambda stage: stage.invoice(),
    "logistics.cancel_shipment": lambda stage: stage.order("ship", "shipment_id"),
    "logistics.create_shipment": lambda stage: stage.order("pack", "order_id", "packing_id"),
    "logistics.delivery_update": lambda stage: {**stage.order("ship", "shipment_id"), "status": "delivered"},
    "logistics.track": lambda stage: stage.order("ship", "shipment_id"),
    "orders.cancel": lambda stage: stage.order("reserve"),
    "orders.create": lambda stage: stage.for_customer(external_id="SO-9"),
    "orders.create_from_deal": lambda stage: {**stage.deal(won=True), "status": "pending"},
    "orders.create_from_quote": lambda stage: stage.quote(accepted=True),
    "orders.get": lambda stage: stage.begun(),
    "orders.search": lambda stage: stage.buyer(limit=3),
    "orders.update": lambda stage: {**stage.order(), "note": "by the back door"},
    "orders.update_payment_status": lambda stage: stage.order(),
    "payments.record": lambda stage: {**stage.invoice(), "amount": "60.00"},
    "payments.refund": lambda stage: stage.payment(),
    "payments.search": lambda _stage: {"limit": 2},
    "payments.validate": lambda stage: {**stage.invoice(), "amount": "20.00"},
    "pricing.standard": lambda stage: stage.some(),
    "production.cancel_order": lambda stage: stage.production(),
    "production.check_all_complete": lambda stage: stage.begun(),
    "production.complete": lambda stage: stage.production(),
    "production.create_order": lambda stage: {**stage.order(), **stage.some()},
    "production.get_order": lambda stage: stage.production(),
    "production.update_status": lambda stage: {**stage.production(), "status": "in_progress"},
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
    "warehouse.cancel_packing": lambda stage: stage.order("pack", "packing_id"),
    "warehouse.cancel_picking": lambda stage: stage.order("pick", "picking_id"),
    "warehouse.create_packing": lambda stage: stage.order("pick", "picking_id"),
    "warehouse.create_picking": lambda stage: stage.order("reserve"),
}
"""An input of each operation that two ERPs answer."""
_UNDO = ("archive", "cancel", "lose", "refund", "release", "void")


def tried(adapter: Adapter) -> list[str]:
    """Return the operations that an ERP answers and the contract has an input for."""
    return [name for name in INPUTS if adapter.operation(name) and name not in adapter.not_supported]


def breaches(stage: Stage, name: str) -> Iterator[str]:
    """Yield what an ERP breaks of one promise, a sentence each."""
    promise, given = _PROMISES[name], INPUTS[name](stage)
    yield from _unknown_ids(stage, promise, given)
    key = f"key_{uuid.uuid4().hex}" if promise.operation.writes else None
    answer = stage.world.call(name, key, **given)
    again = stage.world.call(name, key, **given)
    if promise.operation.writes and _plain(again) != _plain(answer):
        yield f"{name}: the same key gets another answer: {answer} and {again}"
    yield from _undone(stage, promise, {**given, **answer})


def _plain(answer: dict[str, Any]) -> dict[str, Any]:
    """Return an answer without what says whether it was this call that did it, and when."""
    return {name: value for name, value in answer.items() if name not in ("change", "refunds", "refunded")}


def _unknown_ids(stage: Stage, promise: Promise, given: dict[str, Any]) -> Iterator[str]:
    name, undoes = promise.operation.name, {each.undo for each in _PROMISES.values()}
    for field_ in given.keys() & _UNKNOWN.keys():
        code = _UNKNOWN[field_]
        try:
            answer = stage.world.call(name, **{**given, field_: NOBODY})
        except CrossdockError as error:
            if error.code != code or error.retryable:
                yield f"{name}: an unknown {field_} is refused as {error.code}, not {code}"
        else:
            if code in promise.refuses:
                yield f"{name}: an unknown {field_} is not refused"
            if name in undoes and answer.get("change") != "none":
                yield f"{name}: where nothing ever was, it says {answer}"


def _undone(stage: Stage, promise: Promise, known: dict[str, Any]) -> Iterator[str]:
    if promise.undo is None or not promise.undo.partition(".")[2].startswith(_UNDO):
        return
    names = list(_PROMISES[promise.undo].operation.input_schema["properties"])
    named = next(each for each in names if each in known and each.endswith("_id"))
    given = {named: known[named]}
    first = stage.world.call(promise.undo, **given).get("change")
    second = stage.world.call(promise.undo, **given).get("change")
    if (first, second) != ("updated", "none"):
        yield f"{promise.undo}: undoing {promise.operation.name} twice says {first} and {second}"


def deal_won(stage: Stage) -> Iterator[str]:
    """Yield what goes wrong with the calls of the flow deal-won, each sent twice, and with undoing all, newest first."""
    call = _twice(stage.world)
    items = [{"product_id": stage.made, "quantity": 5}, {"product_id": stage.bought, "quantity": 2}]
    deal = stage.world.call("deals.create", customer_id=stage.customer, name="A deal", items=items)["deal_id"]
    stage.world.call("deals.win", deal_id=deal)
    order = call("orders.create_from_deal", deal_id=deal, status="pending")
    checked = stage.world.call("inventory.check_stock", items=order["items"])
    missing = {each["product_id"]: each["missing"] for each in checked["unavailable"]}
    if missing != {stage.made: 5} or (order["status"], order["net"]) != ("pending", "100.00"):
        yield f"of {order} is missing: {missing}"
    undo: list[tuple[str, dict[str, Any]]] = [("orders.cancel", {"order_id": order["order_id"]})]
    for each in checked["unavailable"]:
        wanted = {"product_id": each["product_id"], "quantity": each["missing"], "due_date": order["delivery_date"]}
        made = call("production.create_order", order_id=order["order_id"], **wanted)
        undo.append(("production.cancel_order", {"production_order_id": made["production_order_id"]}))
    invoice = call("invoices.create_from_order", order_id=order["order_id"])
    if (invoice["status"], invoice["total"]) != ("open", order["total"]):
        yield f"the invoice is {invoice}"
    undo.append(("invoices.void", {"invoice_id": invoice["invoice_id"]}))
    yield from _all_undone(stage.world, undo)
    if (status := stage.world.call("orders.get", order_id=order["order_id"])["status"]) != "cancelled":
        yield f"the order is {status}"


def order_fulfilled(stage: Stage) -> Iterator[str]:
    """Yield what goes wrong with the calls of the flow order-fulfilment, each sent twice, and with undoing all."""
    call, before = _twice(stage.world), _free(stage)
    order = stage.order()
    call("inventory.reserve_stock", **order)
    if (free := _free(stage)) != before - 2:
        yield f"{free} of {before} are available with 2 reserved"
    picking = {"picking_id": call("warehouse.create_picking", **order)["picking_id"]}
    packing = {"packing_id": call("warehouse.create_packing", **picking)["packing_id"]}
    shipment = {"shipment_id": call("logistics.create_shipment", **order, **packing)["shipment_id"]}
    if (status := stage.world.call("orders.get", **order)["status"]) != "shipped":
        yield f"the shipped order is {status}"
    undo = [
        ("inventory.release_stock", order),
        ("warehouse.cancel_picking", picking),
        ("warehouse.cancel_packing", packing),
        ("logistics.cancel_shipment", shipment),
    ]
    for name, given in reversed(undo):
        stage.world.call(name, **given)
    yield from (
        f"{name} says that it changes something that was undone"
        for name, given in undo
        if stage.world.call(name, **given)["change"] != "none"
    )
    if (free := _free(stage)) != before:
        yield f"{free} of {before} are available with nothing reserved"


def _free(stage: Stage) -> Any:
    return stage.world.call("inventory.check_stock", items=[stage.some(1)])["available"][0]["available"]


def _twice(world: World) -> Callable[..., dict[str, Any]]:
    def call(name: str, **given: Any) -> dict[str, Any]:
        key = f"key_{uuid.uuid4().hex}"
        answer = world.call(name, key, **given)
        if _plain(world.call(name, key, **given)) != _plain(answer):
            raise AssertionError(f"{name}: the same key gets another answer")
        return answer

    return call


def _all_undone(world: World, undo: list[tuple[str, dict[str, Any]]]) -> Iterator[str]:
    for change in ("updated", "none"):
        for name, given in reversed(undo):
            if (said := world.call(name, **given)["change"]) != change:
                yield f"{name} says {said} where {change} is due"
