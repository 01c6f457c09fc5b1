"""The flows of `definitions/flows`, word for word, on a real Tryton: only the integration names another plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from server.sdk.port_inputs.stage import Stage
    from tests.tryton.company import Company


FLOWS = ("deal-won", "order-fulfilment")


@pytest.mark.timeout(300)
def test_a_deal_that_is_won_is_an_order_made_invoiced_and_shipped(company: Company, stage: Stage) -> None:
    call = stage.world.call
    items = [{"product_id": stage.made, "quantity": 3}, {"product_id": stage.bought, "quantity": 1}]
    deal = call("deals.create", customer_id=stage.customer, name="A deal", items=items)["deal_id"]
    call("deals.win", deal_id=deal)
    company.win(deal)
    company.run("deal-won", "completed")
    [order] = [each for each in call("orders.search", limit=200)["orders"] if each["deal_id"] == deal]
    assert (order["status"], order["total"]) == ("in_production", "66.00")
    company.run("order-fulfilment", "waiting")
    [made] = call("production.check_all_complete", order_id=order["order_id"])["open"]
    call("production.complete", production_order_id=made)
    company.made(order["order_id"], made)
    shipment = company.run("order-fulfilment", "completed").output["shipment_id"]
    assert call("logistics.track", shipment_id=shipment)["order_id"] == order["order_id"]
    assert call("orders.get", order_id=order["order_id"])["status"] == "shipped"


@pytest.mark.timeout(300)
def test_an_invoice_that_is_refused_leaves_nothing_of_the_deal(company: Company, stage: Stage) -> None:
    call = stage.world.call
    poor = call("customers.upsert", external_id="C-POOR", name="No credit", credit_limit="1.00")["customer_id"]
    items = [{"product_id": stage.made, "quantity": 3}]
    deal = call("deals.create", customer_id=poor, name="A deal", items=items)["deal_id"]
    call("deals.win", deal_id=deal)
    company.win(deal)
    run = company.run("deal-won", "compensated", "completed", "failed")
    assert run.state == "compensated", run.error
    assert run.error["code"] == "CREDIT_LIMIT"
    [order] = [each for each in call("orders.search", customer_id=poor)["orders"] if each["deal_id"] == deal]
    assert order["status"] == "cancelled"
    assert call("production.check_all_complete", order_id=order["order_id"])["total"] == 0
