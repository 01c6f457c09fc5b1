"""The contract of ports: one list of inputs that every ERP behind them is held to, whichever it is.

    stage = Stage(World(adapter, context))        # server.sdk.port_inputs.stage; context(key) makes the context of a call
    for name in tried(adapter): assert list(breaches(stage, name)) == []
    assert list(deal_won(stage)) == [] and list(order_fulfilled(stage)) == []

What is there before: the customer `C-1`, the goods `P1` (made of something, none in stock, at 10.00) and `P2` (100 in stock, at
25.00). `furnish` makes them where the ERP takes them by its ports. Of each operation: the answer fits its schema; the same key
again gets the same answer; ids that there are not are refused by the port's code; and what it is undone by undoes it, once.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from server.kernel.errors import CrossdockError
from server.sdk.port_inputs import INPUTS
from server.sdk.port_inputs.stage import NOBODY
from server.sdk.ports import PORTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from server.sdk.adapter import Adapter
    from server.sdk.port_inputs.stage import Stage, World
    from server.sdk.ports import Promise

_PROMISES = {promise.operation.name: promise for port in PORTS for promise in port.promises}
_UNKNOWN = {
    "customer_id": "CUSTOMER_UNKNOWN",
    "deal_id": "DEAL_UNKNOWN",
    "employee_id": "EMPLOYEE_UNKNOWN",
    "inspection_id": "INSPECTION_UNKNOWN",
    "invoice_id": "INVOICE_UNKNOWN",
    "order_id": "ORDER_UNKNOWN",
    "packing_id": "PACKING_UNKNOWN",
    "payment_id": "PAYMENT_UNKNOWN",
    "picking_id": "PICKING_UNKNOWN",
    "product_id": "PRODUCT_UNKNOWN",
    "production_order_id": "PRODUCTION_UNKNOWN",
    "project_id": "PROJECT_UNKNOWN",
    "purchase_order_id": "PURCHASE_UNKNOWN",
    "quote_id": "QUOTE_UNKNOWN",
    "requisition_id": "REQUISITION_UNKNOWN",
    "shipment_id": "SHIPMENT_UNKNOWN",
    "task_id": "TASK_UNKNOWN",
    "supplier_id": "SUPPLIER_UNKNOWN",
}
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
