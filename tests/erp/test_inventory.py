"""Stock: checked, reserved, released, counted and corrected; what is low is told once."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError

from plugins.erp_sandbox.inventory.tables import STOCK
from plugins.erp_sandbox.opening import working
from server.sdk import Permanent
from tests.erp.calling import call, refusal, told
from tests.erp.stocking import order, product, shipped, stock

if TYPE_CHECKING:
    from decimal import Decimal

    from sqlalchemy.engine import Engine

    from server.sdk import Context


@pytest.fixture
def engine(small_engine: Engine) -> Engine:
    """SQLite is enough here: `test_stock_together.py` has all of it on PostgreSQL."""
    return small_engine


def test_a_check_says_what_is_there_and_how_much_is_missing(context: Context) -> None:
    bolt, nut = product(context, "bolt", 5), product(context, "nut")
    service = product(context, "advice", kind="service")
    items = [
        {"product_id": bolt, "quantity": 3, "unit_price": "1.00"},
        {"product_id": bolt, "quantity": 4.5},
        {"product_id": nut, "quantity": 2},
        {"product_id": service, "quantity": 9},
    ]
    found = call(context, "inventory.check_stock", items=items)
    assert found["unavailable"] == [
        {"product_id": bolt, "quantity": 7.5, "available": 5, "missing": 2.5},
        {"product_id": nut, "quantity": 2, "available": 0, "missing": 2},
    ]
    assert [each["product_id"] for each in found["available"]] == [service]
    assert not found["all_available"]
    assert call(context, "inventory.check_stock", items=[])["all_available"]
    unknown = refusal(context, "inventory.check_stock", items=[{"product_id": "x", "quantity": 1}])
    assert unknown.code == "PRODUCT_UNKNOWN"


def test_an_order_is_reserved_whole_or_not_at_all_and_once(context: Context) -> None:
    bolt, nut = product(context, "bolt", 5), product(context, "nut", 1)
    first, second = order(context, **{bolt: 3, nut: 1}), order(context, **{bolt: 2, nut: 2})
    assert call(context, "inventory.reserve_stock", order_id=first)["status"] == "held"
    short = refusal(context, "inventory.reserve_stock", order_id=second)
    assert short.code == "STOCK_SHORT"
    assert short.details["missing"] == [{"product_id": nut, "quantity": 2, "available": 0, "missing": 2}]
    assert stock(context, bolt) == (5, 3), "nothing of what was refused is reserved"
    assert refusal(context, "inventory.reserve_stock", order_id=first).code == "STOCK_RESERVED"
    assert refusal(context, "inventory.reserve_stock", order_id="none").code == "ORDER_UNKNOWN"


def test_what_is_released_can_be_reserved_again_and_releasing_never_fails_for_nothing(context: Context) -> None:
    bolt = product(context, "bolt", 5)
    made = order(context, **{bolt: 3})
    assert call(context, "inventory.release_stock", order_id=made)["change"] == "none"
    assert call(context, "inventory.release_stock", order_id="never")["status"] == "none"
    for _ in range(2):
        call(context, "inventory.reserve_stock", order_id=made)
        assert stock(context, bolt) == (5, 3)
        assert call(context, "inventory.release_stock", order_id=made)["change"] == "updated"
        assert call(context, "inventory.release_stock", order_id=made)["change"] == "none"
        assert stock(context, bolt) == (5, 0)


def test_a_cancelled_order_is_not_reserved(context: Context) -> None:
    made = order(context, **{product(context, "bolt", 5): 3})
    call(context, "orders.cancel", order_id=made)
    refused = refusal(context, "inventory.reserve_stock", order_id=made)
    assert (refused.code, refused.details["status"]) == ("ORDER_STATUS", "cancelled")


def test_stock_is_corrected_and_counted_but_never_below_what_is_reserved(context: Context) -> None:
    bolt = product(context, "bolt", 5)
    call(context, "inventory.reserve_stock", order_id=order(context, **{bolt: 3}))
    assert call(context, "inventory.adjust_stock", product_id=bolt, change=-2, reason="broken")["available"] == 0
    less = {"product_id": bolt, "change": -0.0001, "reason": "gone"}
    assert refusal(context, "inventory.adjust_stock", **less).code == "STOCK_SHORT"
    counted = {"levels": [{"product_id": bolt, "on_hand": 2}]}
    assert refusal(context, "inventory.update_stock_levels", **counted).code == "STOCK_SHORT"
    counted["levels"][0]["on_hand"] = 10
    assert call(context, "inventory.update_stock_levels", **counted)["levels"][0]["change"] == "updated"
    assert call(context, "inventory.update_stock_levels", **counted)["levels"][0]["change"] == "none"
    assert stock(context, bolt) == (10, 3)
    service = product(context, "advice", kind="service")
    refused = refusal(context, "inventory.add_stock", product_id=service, quantity=1)
    assert refused.code == "PRODUCT_NOT_STOCKED"


def test_little_stock_is_told_when_it_becomes_little_and_not_again(context: Context) -> None:
    bolt = product(context, "bolt", 10)
    levels = [{"product_id": bolt, "reorder_point": 4, "reorder_quantity": 20}]
    call(context, "inventory.update_stock_levels", levels=levels)

    def change(by: float) -> None:
        call(context, "inventory.adjust_stock", product_id=bolt, change=by, reason="use")

    for by in (-5, -1, -1, 2, -1, 5):
        change(by)
    low = told(context, "inventory.stock.low")
    assert [each.data["available"] for each in low] == [4, 4], "5, 4 low, 3, 5, 4 low again, 9"
    assert low[0].subject == f"product/{bolt}"
    assert (low[0].data["reorder_point"], low[0].data["reorder_quantity"]) == (4, 20)
    assert len(told(context, "stock.low")) == 2
    assert len(told(context, "stock.updated")) == 7
    call(context, "inventory.update_stock_levels", levels=[{"product_id": bolt, "reorder_point": 50}])
    assert len(told(context, "stock.low")) == 3, "a higher point makes it little too"
    found = call(context, "inventory.stock_report", low_only=True)["products"]
    assert [each["product_id"] for each in found] == [bolt]


def test_the_report_goes_on_page_by_page_and_the_figures_sum_up_the_journal(context: Context) -> None:
    made = [product(context, f"p{number}", number + 1) for number in range(3)]
    shipped(context, order(context, **{made[2]: 2}))
    first = call(context, "inventory.stock_report", limit=2)
    rest = call(context, "inventory.stock_report", limit=2, cursor=first["next"])
    assert sorted(each["product_id"] for each in first["products"] + rest["products"]) == sorted(made)
    assert rest["next"] is None
    found = call(context, "inventory.stock_analytics", days=7)
    assert (found["on_hand"], found["moved_in"], found["moved_out"], found["turnover"]) == (4, 6, 2, 0.5)
    assert found["most_moved"] == [{"product_id": made[2], "moved_out": 2}]


@pytest.mark.parametrize(("on_hand", "reserved"), [(-1, 0), (1, 2), (1, -1)])
def test_the_database_itself_refuses_what_may_never_be_for_good(
    context: Context, on_hand: Decimal, reserved: Decimal
) -> None:
    with pytest.raises(Permanent) as refused:
        _put(context, on_hand, reserved)
    assert isinstance(refused.value.__cause__, IntegrityError)


def _put(context: Context, on_hand: Decimal, reserved: Decimal) -> None:
    with working(context, writes=True) as desk:
        row = {"company": desk.company, "product_id": "p", "on_hand": on_hand, "reserved": reserved}
        desk.connection.execute(insert(STOCK).values(**row, updated_at=desk.now))


def test_no_company_sees_anothers_stock(context: Context) -> None:
    bolt = product(context, "bolt", 5)
    made = order(context, **{bolt: 3})
    other = replace(context, config={"company": "second"})
    assert (
        refusal(other, "inventory.check_stock", items=[{"product_id": bolt, "quantity": 1}]).code == "PRODUCT_UNKNOWN"
    )
    assert refusal(other, "inventory.reserve_stock", order_id=made).code == "ORDER_UNKNOWN"
    call(context, "inventory.reserve_stock", order_id=made)
    assert call(other, "inventory.release_stock", order_id=made)["change"] == "none"
    assert call(other, "inventory.stock_report")["products"] == []
    assert call(other, "inventory.stock_analytics")["moved_in"] == 0
    assert stock(context, bolt) == (5, 3)


def test_a_seeded_company_has_enough_for_all_of_its_deals(context: Context) -> None:
    chair = call(context, "sandbox.seed", size=2)["products"]["P-CHAIR"]
    assert stock(context, chair) == (140, 0)
    for size in (2, 5, 5, 1):
        call(context, "sandbox.seed", size=size)
    assert stock(context, chair) == (200, 0)
