"""A workspace that runs the flows of `definitions/flows`, word for word, and whose ERP is the Tryton of the tests.

FLOWS = ("deal-won", "order-fulfilment")    # of a module: the fixture `company` declares them, and has a worker
company.win(deal); run = company.run("deal-won", "completed")
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from server.flows.aggregate import Flow
from server.flows.repository import FLOWS
from server.integrations.aggregate import Integration
from server.integrations.repository import INTEGRATIONS
from server.kernel.ids import new_uuid
from tests.support.product import until

if TYPE_CHECKING:
    from tests.support.product import Product
    from tests.tryton.server import TrytonServer

DEFINITIONS = Path(__file__).parents[2] / "definitions/flows"
SECONDS = 90.0


class Company:
    """A workspace with some flows; its integration `erp` is the Tryton of the tests."""

    def __init__(self, product: Product, server: TrytonServer, *flows: str) -> None:
        self.product = product
        config = {"name": "erp", "plugin": "tryton", "config": server.config}
        self._declare(Integration(new_uuid()), INTEGRATIONS, config)
        called = "".join((DEFINITIONS / f"{name}.yaml").read_text() for name in flows)
        for body in yaml.safe_load_all((DEFINITIONS / "erp.yaml").read_text()):
            if body["kind"] == "Integration" and body["name"] != "erp" and f"call: {body['name']}." in called:
                self._declare(Integration(new_uuid()), INTEGRATIONS, body)
        for name in flows:
            body = next(yaml.safe_load_all((DEFINITIONS / f"{name}.yaml").read_text()))
            kept = {key: value for key, value in body.items() if key not in ("kind", "tests")}
            self._declare(Flow(new_uuid()), FLOWS, kept)

    def _declare(self, aggregate: Any, repository: Any, body: dict[str, Any]) -> None:
        aggregate.create(body["name"], body, 1, {})
        aggregate.activate()
        with self.product.tx() as tx:
            tx.run("UPDATE workspaces SET routes_version = routes_version + 1 WHERE id = :workspace_id")
            repository.add(tx, aggregate)

    def tell(self, kind: str, subject: str, /, **data: Any) -> None:
        """Publish an event, as whoever watches Tryton does."""
        event = {"type": kind, "subject": subject, "data": data}
        assert self.product.client().post("/api/v1/events", json=event).status_code in (200, 201, 202)

    def win(self, deal_id: str) -> None:
        self.tell("deal.won", f"deal/{deal_id}", deal_id=deal_id)

    def made(self, order_id: str, production_order_id: str) -> None:
        about = {"production_order_id": production_order_id, "order_id": order_id}
        self.tell("production.order.completed", f"order/{order_id}", **about)

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
