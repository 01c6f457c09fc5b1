"""The flows of `definitions/flows` on the embedded ERP, in a workspace of a product: seeded, with deals to be won."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from server import bootstrap
from server.flows.aggregate import Flow
from server.flows.repository import FLOWS
from server.integrations.aggregate import Integration
from server.integrations.repository import INTEGRATIONS
from server.kernel.ids import new_uuid

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.support.product import Product

DEFINITIONS = Path(__file__).parents[2] / "definitions" / "flows"
_OF_THE_FILE = ("kind", "tests")
_ORDERS = """
SELECT d.external_id AS deal, count(o.order_id) AS orders, count(*) FILTER (WHERE o.status <> 'cancelled') AS standing,
  sum((SELECT count(*) FROM plugin_erp_sandbox.invoices i WHERE i.order_id = o.order_id)) AS invoices,
  sum((SELECT count(*) FROM plugin_erp_sandbox.invoices i WHERE i.order_id = o.order_id AND i.status <> 'void')) AS open,
  sum((SELECT count(*) FROM plugin_erp_sandbox.production_orders p WHERE p.order_id = o.order_id)) AS made,
  sum((SELECT count(*) FROM plugin_erp_sandbox.production_orders p WHERE p.order_id = o.order_id AND p.status <> 'cancelled')) AS making
FROM plugin_erp_sandbox.deals d LEFT JOIN plugin_erp_sandbox.orders o ON o.deal_id = d.deal_id AND o.company = d.company
GROUP BY d.external_id
"""
_RUNS = """
SELECT data ->> 'deal_id' AS deal, r.state, r.error ->> 'code' AS code,
  (SELECT count(*) FROM flow_steps s WHERE s.run_id = r.id AND s.path LIKE 'produce[%') AS products
FROM flow_runs r JOIN flows f ON f.id = r.flow_id
WHERE f.name = 'deal-won'
"""
SEEDED = 200
"""As many deals as the ERP seeds; those beyond are copies."""
_COPY = """
INSERT INTO plugin_erp_sandbox.{table}
SELECT (jsonb_populate_record(t, to_jsonb(t) || jsonb_build_object('{key}', t.{key} || 'x' || n) ||
        CASE WHEN '{table}' = 'deals' THEN jsonb_build_object('external_id', to_jsonb(t) ->> 'external_id' || 'x' || n) ELSE '{{}}' END)).*
FROM plugin_erp_sandbox.{table} t, generate_series(1, {times}) n
"""


class Company:
    """An ERP whose deals are won."""

    def __init__(self, product: Product, *flows: str) -> None:
        self.product = product
        self.deals: dict[str, str] = {}
        for body in _bodies("erp.yaml", "Integration"):
            self._declare(Integration(new_uuid()), INTEGRATIONS, {**body, "policy": {"breaker": {"failures": 10_000}}})
        for name in flows or ("deal-won",):
            for body in _bodies(f"{name}.yaml", "Flow"):
                self._declare(Flow(new_uuid()), FLOWS, body)

    def seed(self, deals: int, *, broke: bool = False) -> None:
        """Make customers, products and deals; with `broke` some customers have no credit: their invoices fail."""
        core = self.product.core
        caller = bootstrap.caller_of(core)
        with self.product.tx() as tx:
            call = bootstrap.making_of(core).named(
                tx, "erp", "sandbox.seed", {"size": min(deals, SEEDED)}, key=str(new_uuid())
            )
        caller.call(replace(call, timeout=300.0))
        caller.close()
        more = {"times": (deals - 1) // SEEDED}
        for table, key in (("deals", "deal_id"), ("sale_lines", "owner_id")) if more["times"] else ():
            self._sql(_COPY.format(table=table, key=key, **more))
        deals_made = self._sql(f"SELECT external_id, deal_id FROM plugin_erp_sandbox.deals ORDER BY 1 LIMIT {deals}")
        self.deals = {row.external_id: row.deal_id for row in deals_made}
        if broke:
            self._sql(
                "UPDATE plugin_erp_sandbox.customers SET credit_limit = '1.00' WHERE external_id IN ('C-NORD', 'C-2')"
            )

    def win(self) -> None:
        """Win every deal, and publish the events of it: as the outbox of the ERP would, which is not what is looked at here."""
        self._sql("UPDATE plugin_erp_sandbox.deals SET status = 'won'")
        ids = list(self.deals.values())
        for start in range(0, len(ids), 500):
            items = [{"type": "deal.won", "data": {"deal_id": each}} for each in ids[start : start + 500]]
            answer = self.product.client().post(
                "/api/v1/events", data=json.dumps(items), content_type="application/json"
            )
            assert answer.status_code == 202, answer.json

    def open(self) -> int:
        """Return how many runs have not ended."""
        return int(self.product.rows("SELECT count(*) AS n FROM flow_runs WHERE ended_at IS NULL")[0].n)

    def wrong(self) -> list[str]:
        """Say of which deals the ERP holds anything else than their runs say."""
        by_id = {id_: name for name, id_ in self.deals.items()}
        runs = {by_id[row.deal]: row for row in self.product.rows(_RUNS)}
        found = [f"{deal}: no run" for deal in self.deals if deal not in runs]
        for row in self._sql(_ORDERS):
            run = runs.get(row.deal)
            if run is None:
                continue
            held = (row.orders, row.standing, row.invoices or 0, row.open or 0, row.made or 0, row.making or 0)
            products = run.products
            good = {"completed": (1, 1, 1, 1, products, products), "compensated": (1, 0, 0, 0, products, 0)}
            if held != good.get(run.state):
                found.append(f"{row.deal}: {run.state} {run.code} {held}")
        return found

    def states(self) -> dict[str, int]:
        """Return how many runs are in which state."""
        rows = self.product.rows("SELECT state, count(*) AS n FROM flow_runs GROUP BY state")
        return {row.state: int(row.n) for row in rows}

    def _declare(self, aggregate: Any, repository: Any, body: dict[str, Any]) -> None:
        aggregate.create(body["name"], body, 1, {})
        aggregate.activate()
        with self.product.tx() as tx:
            tx.run("UPDATE workspaces SET routes_version = routes_version + 1 WHERE id = :workspace_id")
            repository.add(tx, aggregate)

    def _sql(self, sql: str) -> list[Any]:
        """Run a statement as the superuser: the plugin's tables are its own."""
        with self.product.core.engine.connect() as conn:
            conn.exec_driver_sql("SET LOCAL ROLE NONE")
            found = conn.exec_driver_sql(sql)
            return list(found) if found.returns_rows else []


def _bodies(file: str, kind: str) -> Iterator[dict[str, Any]]:
    documents: Sequence[dict[str, Any]] = list(yaml.safe_load_all((DEFINITIONS / file).read_text("utf-8")))
    for each in documents:
        if each["kind"] == kind:
            yield {key: value for key, value in each.items() if key not in _OF_THE_FILE}
