"""Suppliers, requisitions, purchase orders, and what comes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from plugins.erp_sandbox import records
from plugins.erp_sandbox.opening import working
from plugins.erp_sandbox.procurement.buying import PURCHASE, REQUISITION
from plugins.erp_sandbox.procurement.tables import SUPPLIED, SUPPLIERS
from server.sdk import Permanent
from server.sdk.ports.procurement import PURCHASE_STATUSES
from tests.erp.calling import call, refusal, told
from tests.erp.stocking import product, stock

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

    from plugins.erp_sandbox.transitions import Transitions
    from server.sdk import Context


@pytest.fixture
def engine(small_engine: Engine) -> Engine:
    """SQLite is enough here: `test_stock_together.py` has all of it on PostgreSQL."""
    return small_engine


def supplier(context: Context, name: str, *product_ids: str) -> str:
    made = call(context, "suppliers.upsert", external_id=name, name=name, product_ids=list(product_ids))
    return str(made["supplier_id"])


def items(**quantities: float) -> list[dict[str, Any]]:
    return [{"product_id": each, "quantity": quantity} for each, quantity in quantities.items()]


@pytest.mark.parametrize(
    ("table", "statuses", "allowed"),
    [
        (
            REQUISITION,
            ("open", "ordered", "cancelled"),
            {"order": "open", "cancel": "open cancelled", "order is cancelled": "ordered"},
        ),
        (
            PURCHASE,
            PURCHASE_STATUSES,
            {
                "receive some": "ordered partly_received",
                "receive all": "ordered partly_received",
                "cancel": "ordered cancelled",
            },
        ),
    ],
    ids=["requisition", "purchase order"],
)
def test_every_transition_is_in_the_table_or_refused(
    table: Transitions, statuses: tuple[str, ...], allowed: dict[str, str]
) -> None:
    assert set(table.moves) == set(allowed)
    for verb, froms in allowed.items():
        for status in statuses:
            if status in froms.split():
                assert table.after(status, verb) in statuses
                continue
            with pytest.raises(Permanent) as refused:
                table.after(status, verb)
            assert refused.value.code == table.code


def test_suppliers_are_written_found_and_listed(context: Context) -> None:
    bolt = product(context, "bolt")
    first = supplier(context, "Bolts & Co", bolt)
    assert call(context, "suppliers.upsert", external_id="Bolts & Co", name="Bolts & Co")["change"] == "none"
    changed = call(context, "suppliers.upsert", external_id="Bolts & Co", name="Bolts", email="a@b.c")
    assert (changed["change"], changed["product_ids"]) == ("updated", [bolt])
    supplier(context, "Nuts")
    assert call(context, "suppliers.get", supplier_id=first)["name"] == "Bolts"
    assert len(call(context, "suppliers.search")["suppliers"]) == 2
    assert [each["name"] for each in call(context, "suppliers.search", text="ol")["suppliers"]] == ["Bolts"]
    assert [each["name"] for each in call(context, "suppliers.search", product_id=bolt)["suppliers"]] == ["Bolts"]
    page = call(context, "suppliers.search", limit=1)
    assert len(call(context, "suppliers.search", limit=1, cursor=page["next"])["suppliers"]) == 1
    assert refusal(context, "suppliers.get", external_id="x").code == "SUPPLIER_UNKNOWN"


def test_goods_are_ordered_and_come_in_parts(context: Context) -> None:
    bolt, nut = product(context, "bolt"), product(context, "nut", 1)
    supplier(context, "Anything")
    seller = supplier(context, "Bolts", bolt, nut)
    made = call(context, "procurement.create_purchase_order", items=items(**{bolt: 10, nut: 2.5}))
    assert (made["supplier_id"], made["status"], made["total"]) == (seller, "ordered", "50.00")
    this = {"purchase_order_id": made["purchase_order_id"]}
    some = call(context, "procurement.receive_stock", this, items=items(**{bolt: 4}))
    assert (some["status"], stock(context, bolt)) == ("partly_received", (4, 0))
    assert refusal(context, "procurement.receive_stock", this, items=items(**{bolt: 7})).code == "RECEIPT_TOO_MUCH"
    assert refusal(context, "procurement.cancel_purchase_order", this).code == "PURCHASE_STATUS"
    assert call(context, "procurement.receive_stock", this)["status"] == "received"
    assert (stock(context, bolt), stock(context, nut)) == ((10, 0), (3.5, 0))
    assert refusal(context, "procurement.receive_stock", this).code == "PURCHASE_STATUS"
    assert len(told(context, "purchase_order.received")) == 2
    assert refusal(context, "procurement.receive_stock", purchase_order_id="x").code == "PURCHASE_UNKNOWN"


def test_a_requisition_is_ordered_once_and_open_again_when_its_order_is_cancelled(context: Context) -> None:
    bolt = product(context, "bolt")
    asked = call(context, "procurement.create_requisition", items=items(**{bolt: 3}), reason="MO-1")["requisition_id"]
    assert refusal(context, "procurement.create_purchase_order", requisition_id=asked).code == "SUPPLIER_UNKNOWN"
    supplier(context, "Anything")
    made = call(context, "procurement.create_purchase_order", requisition_id=asked)["purchase_order_id"]
    assert refusal(context, "procurement.create_purchase_order", requisition_id=asked).code == "REQUISITION_STATUS"
    assert refusal(context, "procurement.cancel_requisition", requisition_id=asked).code == "REQUISITION_STATUS"
    for change in ("updated", "none"):
        assert call(context, "procurement.cancel_purchase_order", purchase_order_id=made)["change"] == change
    for change in ("updated", "none"):
        assert call(context, "procurement.cancel_requisition", requisition_id=asked)["change"] == change
    for operation, key in (("purchase_order", "purchase_order_id"), ("requisition", "requisition_id")):
        assert call(context, f"procurement.cancel_{operation}", {key: "never"})["change"] == "none"
    assert refusal(context, "procurement.create_purchase_order", requisition_id="x").code == "REQUISITION_UNKNOWN"


def test_the_one_that_sells_all_is_found_among_many(context: Context) -> None:
    bolt, nut = product(context, "bolt"), product(context, "nut")
    with working(context, writes=True) as desk:
        empty = {"name": "A", "email": None, "phone": None, "lead_time_days": 1}
        ids = [f"sup_{number:04}" for number in range(1001)]
        rows = [records.stamped(desk, {"supplier_id": each, "external_id": each, **empty}) for each in ids]
        records.add(desk, SUPPLIERS, *rows)
        sold = [{"company": desk.company, "supplier_id": each, "product_id": nut} for each in ids]
        records.add(desk, SUPPLIED, *sold, {**sold[-1], "product_id": bolt})
    wanted = items(**{bolt: 1, nut: 1})
    assert call(context, "procurement.create_purchase_order", items=wanted)["supplier_id"] == ids[-1]
    anything = supplier(context, "anything")
    cog = items(**{product(context, "cog"): 1})
    assert call(context, "procurement.create_purchase_order", items=cog)["supplier_id"] == anything


def test_what_runs_low_says_how_much_of_it_is_on_its_way(context: Context) -> None:
    bolt = product(context, "bolt", 10)
    supplier(context, "anything")
    call(context, "inventory.update_stock_levels", levels=[{"product_id": bolt, "reorder_point": 5}])
    for quantity in (20, 7):
        bought = call(context, "procurement.create_purchase_order", items=items(**{bolt: quantity}))
    call(context, "procurement.cancel_purchase_order", purchase_order_id=bought["purchase_order_id"])
    call(context, "inventory.adjust_stock", product_id=bolt, change=-6, reason="broken")
    [low] = told(context, "inventory.stock.low")
    assert (low.data["available"], low.data["on_order"]) == (4, 20)
