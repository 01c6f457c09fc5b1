"""Deals of the embedded ERP: what becomes of one, and what is told of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.erp.calling import call, refusal, told
from tests.erp.stocking import product

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

    from server.sdk import Context


@pytest.fixture
def engine(small_engine: Engine) -> Engine:
    return small_engine


@pytest.mark.parametrize("first", ["deal", "quote"])
def test_of_one_deal_one_order_is_made_whichever_of_its_quotes_are_accepted(context: Context, first: str) -> None:
    call(context, "sandbox.seed")
    deal = {"deal_id": call(context, "deals.win", external_id="D-1")["deal_id"]}
    quotes = [{"quote_id": call(context, "quotes.create", deal)["quote_id"]} for _ in range(2)]
    for each in quotes:
        call(context, "quotes.accept", each)
    made = call(context, f"orders.create_from_{first}", deal if first == "deal" else quotes[0])
    for operation, named in (("deal", deal), ("quote", quotes[0]), ("quote", quotes[1])):
        again = refusal(context, f"orders.create_from_{operation}", named)
        assert (again.code, again.details["order_id"]) == ("ORDER_EXISTS", made["order_id"])
    call(context, "orders.cancel", order_id=made["order_id"])
    assert call(context, "orders.create_from_quote", quotes[1])["deal_id"] == deal["deal_id"]


def test_an_order_that_was_undone_can_be_taken_again_under_its_external_id(context: Context) -> None:
    items = [{"product_id": product(context, "table"), "quantity": 1}]
    customer = call(context, "customers.upsert", external_id="C-1", name="ACME")["customer_id"]
    wanted = {"external_id": "SHOP-1", "customer_id": customer, "items": items}
    first = call(context, "orders.create", wanted)["order_id"]
    assert refusal(context, "orders.create", wanted).code == "ORDER_CONFLICT"
    call(context, "orders.cancel", order_id=first)
    again = call(context, "orders.create", wanted)
    assert (again["external_id"], again["order_id"] != first) == ("SHOP-1", True)
    assert refusal(context, "orders.create", wanted).code == "ORDER_CONFLICT"
    assert call(context, "orders.get", order_id=first)["status"] == "cancelled"


def test_a_deal_tells_that_it_was_begun_or_changed_and_not_what_is_predicted_of_it(context: Context) -> None:
    table = product(context, "table")
    customer = call(context, "customers.upsert", external_id="C-1", name="ACME")["customer_id"]
    deal = {"external_id": "D", "customer_id": customer, "name": "A", "items": [{"product_id": table, "quantity": 1}]}
    made = call(context, "deals.upsert", deal)["deal_id"]
    for changes in ({}, {"note": "soon"}):
        call(context, "deals.upsert", {**deal, **changes})
    call(context, "deals.record_prediction", deal_id=made, probability=0.5, model="m")
    assert [each.data["change"] for each in told(context, "deal.updated")] == ["created", "updated"]
