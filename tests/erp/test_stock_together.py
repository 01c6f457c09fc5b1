"""Everything about goods on PostgreSQL: the whole way of an order, and many at once, who may lose no piece."""

from __future__ import annotations

import itertools
import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import func, select

from plugins.erp_sandbox.inventory.tables import KEPT_GOODS, RESERVATIONS, RESERVED_GOODS, STOCK, STOCK_MOVES
from plugins.erp_sandbox.opening import working
from plugins.erp_sandbox.production import boms, making, scheduling
from plugins.erp_sandbox.sales import orders
from server.sdk import Permanent, Retryable
from tests.erp.calling import call, told
from tests.erp.stocking import order, product, shipped, stock
from tests.erp.test_production import bom, make

if TYPE_CHECKING:
    from collections.abc import Callable

    from plugins.erp_sandbox.desk import Desk
    from server.sdk import Context

pytestmark = pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
_PATIENCE = 50


def insist(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Try again what may be tried again, as Crossdock does."""
    for _ in range(_PATIENCE):
        try:
            return work()
        except Retryable:
            continue
    raise AssertionError("it never went through")


def vet(context: Context) -> None:
    """Check that the journal explains the stock, and the reservations what is reserved."""
    with working(context) as desk:
        found = desk.connection.execute(select(STOCK).where(STOCK.c.company == desk.company)).all()
        moves = select(STOCK_MOVES.c.product_id, func.sum(STOCK_MOVES.c.quantity))
        moves = moves.where(STOCK_MOVES.c.company == desk.company).group_by(STOCK_MOVES.c.product_id)
        moved = {product_id: Decimal(quantity) for product_id, quantity in desk.connection.execute(moves)}
        more = func.sum(RESERVED_GOODS.c.quantity - RESERVED_GOODS.c.made)
        held = select(RESERVED_GOODS.c.product_id, more).join_from(
            RESERVED_GOODS,
            RESERVATIONS,
            (RESERVATIONS.c.company == RESERVED_GOODS.c.company)
            & (RESERVATIONS.c.order_id == RESERVED_GOODS.c.order_id),
        )
        held = held.where(RESERVATIONS.c.company == desk.company, RESERVATIONS.c.status.in_(("held", "picking")))
        reserved = {
            product_id: Decimal(quantity)
            for product_id, quantity in desk.connection.execute(held.group_by(RESERVED_GOODS.c.product_id))
        }
        kept = select(KEPT_GOODS.c.product_id, func.sum(KEPT_GOODS.c.quantity))
        kept = kept.where(KEPT_GOODS.c.company == desk.company).group_by(KEPT_GOODS.c.product_id)
        for product_id, quantity in desk.connection.execute(kept):
            reserved[product_id] = reserved.get(product_id, Decimal(0)) + quantity
    for row in found:
        assert row.on_hand == moved.get(row.product_id, 0) >= row.reserved == reserved.get(row.product_id, 0) >= 0


def test_an_order_goes_all_the_way_from_what_is_bought_to_what_is_delivered(context: Context) -> None:
    table, leg = product(context, "table"), product(context, "leg", 2.5)
    bom(context, table, **{leg: 4})
    sold = order(context, **{table: 3})
    [short] = call(context, "inventory.check_stock", items=[{"product_id": table, "quantity": 3}])["unavailable"]
    made = make(context, table, short["missing"], order_id=sold)
    checked = call(context, "inventory.check_materials", production_order_id=made)
    call(context, "suppliers.upsert", external_id="S", name="Wood", product_ids=[leg])
    lacking = [{"product_id": each["product_id"], "quantity": each["missing"]} for each in checked["unavailable"]]
    asked = call(context, "procurement.create_requisition", items=lacking)
    bought = call(context, "procurement.create_purchase_order", requisition_id=asked["requisition_id"])
    call(context, "procurement.receive_stock", purchase_order_id=bought["purchase_order_id"])
    call(context, "production.schedule", production_order_id=made)
    call(context, "production.complete", production_order_id=made, into_stock=False)
    begun = {"product_id": table, "quantity": 3, "production_order_id": made}
    inspection = call(context, "quality.create_inspection", begun)["inspection_id"]
    assert call(context, "quality.automated_checks", inspection_id=inspection)["passed"]
    call(context, "inventory.add_stock", begun)
    shipment = shipped(context, sold)["shipment_id"]
    call(context, "logistics.delivery_update", shipment_id=shipment, status="delivered")
    assert len(call(context, "logistics.track", shipment_id=shipment)["history"]) == 2
    assert (stock(context, table), stock(context, leg)) == ((0, 0), (0, 0))
    assert [each.data["order_id"] for each in told(context, "order.ready.for.fulfillment")] == [sold]
    found = call(context, "inventory.stock_analytics")
    assert (found["moved_in"], found["moved_out"], found["on_hand"]) == (15, 15, 0)
    call(context, "inventory.update_stock_levels", levels=[{"product_id": leg, "reorder_point": 10}])
    assert len(call(context, "inventory.stock_report", low_only=True)["products"]) == 1
    assert len(call(context, "suppliers.search", product_id=leg, text="oo")["suppliers"]) == 1
    call(context, "maintenance.create_work_order", equipment="saw", description="It is blunt")
    vet(context)


def meanwhile(context: Context, first: Callable[[Desk], object], second: Callable[[], str]) -> str:
    """Begin `second` while `first` is done but not committed: it has to wait. Return what it says after."""
    with ThreadPoolExecutor(1) as pool:
        with working(context, writes=True) as desk:
            first(desk)
            later = pool.submit(second)
            with pytest.raises(TimeoutError):
                later.result(timeout=0.3)
        return later.result(timeout=10)


def code_of(context: Context, operation: str, **given: Any) -> str:
    """Return the code of the refusal, or what has changed."""
    try:
        return str(call(context, operation, given)["change"])
    except Permanent as refused:
        return refused.code


def test_two_bills_at_once_are_no_cycle_together(context: Context) -> None:
    a, b = product(context, "a"), product(context, "b")
    one, other = ({"product_id": x, "components": [{"product_id": y, "quantity": 1}]} for x, y in ((a, b), (b, a)))
    said = meanwhile(context, lambda desk: boms.upsert(desk, one), lambda: code_of(context, "boms.upsert", **other))
    assert said == "BOM_CYCLE"


def test_of_the_last_two_at_once_one_says_that_the_order_is_ready(context: Context) -> None:
    made = [product(context, name) for name in ("gear", "nut")]
    sold = order(context, **dict.fromkeys(made, 1))
    one, other = ({"production_order_id": make(context, each, order_id=sold)} for each in made)
    meanwhile(
        context,
        lambda desk: making.complete(desk, one),
        lambda: code_of(context, "production.complete", **other),
    )
    assert len(told(context, "order.ready.for.fulfillment")) == 1
    assert len(told(context, "production.order.completed")) == 2


def test_an_order_is_not_cancelled_while_it_is_reserved_nor_the_other_way_round(context: Context) -> None:
    sold = {"order_id": order(context, **{product(context, "bolt", 5): 2})}
    said = meanwhile(
        context,
        lambda desk: orders.cancel(desk, sold),
        lambda: code_of(context, "inventory.reserve_stock", **sold),
    )
    assert said == "ORDER_STATUS"


def test_no_day_is_given_twice(context: Context) -> None:
    gear = product(context, "gear")
    one, other = ({"production_order_id": make(context, gear, 1000)} for _ in range(2))
    meanwhile(
        context,
        lambda desk: scheduling.schedule(desk, one),
        lambda: code_of(context, "production.schedule", **other),
    )
    days = [call(context, "production.get_order", each)["scheduled_start"] for each in (one, other)]
    assert days == ["2026-01-02", "2026-01-05"]


FORWARD = ("reserve", "pick", "pack", "ship")


def forward(context: Context, step: str, order_id: str, ids: dict[str, str], key: str) -> dict[str, Any]:
    """Take one step of an order with a key, and the same once more, as one whose answer was lost does."""
    operation, given = {
        "reserve": ("inventory.reserve_stock", {"order_id": order_id}),
        "pick": ("warehouse.create_picking", {"order_id": order_id}),
        "pack": ("warehouse.create_packing", {"picking_id": ids.get("picking_id")}),
        "ship": ("logistics.create_shipment", {"order_id": order_id, "packing_id": ids.get("packing_id")}),
    }[step]
    keyed = replace(context, idempotency_key=key)
    answer = insist(lambda: call(keyed, operation, given))
    assert insist(lambda: call(keyed, operation, given)) == answer
    return answer


def backward(context: Context, step: str, order_id: str, ids: dict[str, str]) -> None:
    """Undo one step, twice."""
    operation, given = {
        "reserve": ("inventory.release_stock", {"order_id": order_id}),
        "pick": ("warehouse.cancel_picking", {"picking_id": ids.get("picking_id")}),
        "pack": ("warehouse.cancel_packing", {"packing_id": ids.get("packing_id")}),
        "ship": ("logistics.cancel_shipment", {"shipment_id": ids.get("shipment_id")}),
    }[step]
    changes = [insist(lambda: call(context, operation, given))["change"] for _ in range(2)]
    assert changes == ["updated", "none"]


def fulfil(context: Context, order_id: str, steps: int, key: str) -> bool:
    """Take so many steps; where they are not all, or one is refused, undo them newest first. Return whether it is shipped."""
    done: list[str] = []
    ids: dict[str, str] = {}
    for step in FORWARD[:steps]:
        answer = _unless(partial(forward, context, step, order_id, ids, f"{key}:{step}"), "STOCK_SHORT")
        if answer is None:
            assert step == "reserve"
            return False
        ids |= answer
        done.append(step)
    if steps == len(FORWARD):
        return True
    for step in reversed(done):
        backward(context, step, order_id, ids)
    return False


@pytest.mark.parametrize("seed", range(2))
def test_many_flows_at_once_lose_no_piece_and_promise_none_twice(context: Context, seed: int) -> None:
    dice = random.Random(seed)
    bolt, nut = product(context, "bolt", 12), product(context, "nut", 9)
    gear = product(context, "gear")
    bom(context, gear, **{bolt: 1, nut: 1})
    sold = [order(context, **{bolt: dice.randint(1, 3), nut: dice.randint(1, 3)}) for _ in range(10)]
    flows = [(each, dice.choice((1, 2, 3, 4, 4)), f"run_{n}") for n, each in enumerate(sold)]
    jobs: list[Callable[[], object]] = [partial(fulfil, context, *flow) for flow in flows]
    jobs += [partial(_made, context, make(context, gear, 1)) for _ in range(3)]
    jobs += [partial(call, context, "inventory.add_stock", product_id=nut, quantity=1) for _ in range(3)]
    dice.shuffle(jobs)
    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(lambda job: job(), jobs))
    vet(context)
    assert any(results)
    sent = [each["order_id"] for each in _sent(context)]
    assert len(sent) == len(set(sent))
    made, _ = stock(context, gear) if results.count("made") else (0, 0)
    out = {each: sum(_asked(context, order_id, each) for order_id in sent) for each in (bolt, nut)}
    assert stock(context, bolt) == (12 - out[bolt] - made, 0)
    assert stock(context, nut) == (9 + 3 - out[nut] - made, 0)


def _made(context: Context, production_order_id: str) -> str:
    this = {"production_order_id": production_order_id}
    return "made" if _unless(lambda: call(context, "production.complete", this), "MATERIALS_SHORT") else "short"


def _unless(work: Callable[[], dict[str, Any]], code: str) -> dict[str, Any] | None:
    """Return the answer, or None where it is refused with that code."""
    try:
        return insist(work)
    except Permanent as refused:
        if refused.code != code:
            raise
        return None


def _sent(context: Context) -> list[dict[str, Any]]:
    found = told(context, "shipment.created", "shipment.updated")
    taken_back = {each.subject for each in found if each.data["status"] == "cancelled"}
    return [dict(each.data) for each in found if each.type == "shipment.created" and each.subject not in taken_back]


def _asked(context: Context, order_id: str, product_id: str) -> float:
    items = call(context, "orders.get", order_id=order_id)["items"]
    return float(sum(each["quantity"] for each in items if each["product_id"] == product_id))


def test_one_order_asked_for_by_many_is_reserved_once(context: Context) -> None:
    bolt = product(context, "bolt", 100)
    sold = order(context, **{bolt: 7})

    def reserve(number: int) -> str:
        keyed = replace(context, idempotency_key=f"key_{number % 3}")
        try:
            return str(insist(lambda: call(keyed, "inventory.reserve_stock", order_id=sold))["change"])
        except Permanent as refused:
            return refused.code

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(reserve, range(9)))
    assert answers.count("created") == 3, "one key, three times"
    assert answers.count("STOCK_RESERVED") == 6
    assert stock(context, bolt) == (100, 7)


def test_events_of_two_products_that_two_calls_want_in_opposite_order_do_not_block_each_other(context: Context) -> None:
    made = [product(context, each, 1000) for each in "ab"]
    sold = [
        order(context, **dict.fromkeys(way, 1)) for way in itertools.islice(itertools.cycle([made, made[::-1]]), 12)
    ]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda each: call(context, "inventory.reserve_stock", order_id=each), sold))
    assert [stock(context, each) for each in made] == [(1000, 12)] * 2
