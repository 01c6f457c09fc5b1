"""The flows of `definitions/flows`, word for word, on a real Tryton: only the integration names another plugin."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from server.flows.aggregate import Flow
from server.flows.repository import FLOWS
from server.integrations.aggregate import Integration
from server.integrations.repository import INTEGRATIONS
from server.kernel.ids import new_uuid
from tests.support.product import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server.sdk.port_inputs.stage import Stage
    from tests.support.product import Product
    from tests.tryton.server import TrytonServer

DEFINITIONS = Path(__file__).parents[2] / "definitions/flows"
SECONDS = 90.0


class Company:
    """A workspace with the flows deal-won and order-fulfilment, whose ERP is the Tryton of the tests."""

    def __init__(self, product: Product, server: TrytonServer) -> None:
        self.product = product
        config = {"name": "erp", "plugin": "tryton", "config": server.config}
        self._declare(Integration(new_uuid()), INTEGRATIONS, config)
        for name in ("deal-won", "order-fulfilment"):
            body = next(yaml.safe_load_all((DEFINITIONS / f"{name}.yaml").read_text()))
            kept = {key: value for key, value in body.items() if key not in ("kind", "tests")}
            self._declare(Flow(new_uuid()), FLOWS, kept)

    def _declare(self, aggregate: Any, repository: Any, body: dict[str, Any]) -> None:
        aggregate.create(body["name"], body, 1, {})
        aggregate.activate()
        with self.product.tx() as tx:
            tx.run("UPDATE workspaces SET routes_version = routes_version + 1 WHERE id = :workspace_id")
            repository.add(tx, aggregate)

    def win(self, deal_id: str) -> None:
        event = {"type": "deal.won", "subject": f"deal/{deal_id}", "data": {"deal_id": deal_id}}
        assert self.product.client().post("/api/v1/events", json=event).status_code in (200, 201, 202)

    def made(self, order_id: str, production_order_id: str) -> None:
        data = {"production_order_id": production_order_id, "order_id": order_id}
        event = {"type": "production.order.completed", "subject": f"order/{order_id}", "data": data}
        assert self.product.client().post("/api/v1/events", json=event).status_code in (200, 201, 202)

    def run(self, flow: str, *states: str) -> Any:
        """Return the run of a flow once it is in one of some states."""

        rows: list[Any] = []

        def found() -> Any:
            rows[:] = self.product.rows(
                "SELECT r.*, f.name AS flow FROM flow_runs r JOIN flows f ON f.id = r.flow_id ORDER BY r.id"
            )
            return next((each for each in rows if each.flow == flow and each.state in states), None)

        try:
            return until(found, SECONDS, f"{flow} is in none of {states}")
        except AssertionError:
            print([(each.flow, each.state, each.error) for each in rows])
            print(self.product.rows("SELECT path, state, result, error FROM flow_steps ORDER BY 1"))
            raise


@pytest.fixture
def company(product: Product, tryton_server: TrytonServer) -> Iterator[Company]:
    made = Company(product, tryton_server)
    with product.worker():
        yield made


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
