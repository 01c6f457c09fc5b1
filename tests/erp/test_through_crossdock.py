"""The embedded ERP behind Crossdock: called by hand, and filled by the example's sync job, by its schedule and by an event."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from server.authoring.check import check
from server.documents.catalog import FixedCatalog
from server.documents.reading import File
from server.integrations.aggregate import Integration
from server.integrations.plugins import discover
from server.integrations.repository import INTEGRATIONS
from server.integrations.spec import plugin_facts
from server.integrations.usecases import ByHand
from server.kernel.errors import Permanent
from server.kernel.ids import new_uuid
from server.store import Cause
from server.syncs import ticks
from tests.support.product import Product
from tests.syncs.running import Syncing
from tests.syncs.worlds import EVENT, EXAMPLE, KINDS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ANNA = Cause("user:anna", "cor_1", "evt_0")


@pytest.fixture
def syncing(tmp_path: Path, database_url: str) -> Iterator[Syncing]:
    with closing(Syncing(Product(database_url, files=tmp_path), tmp_path)) as made:
        add(made.product, "erp", plugin="erp_sandbox", config={})
        add(made.product, "legacy-db", plugin="sql", config={"url": "sqlite:///old.db"})
        yield made


def add(product: Product, name: str, **body: Any) -> None:
    integration = Integration(new_uuid())
    integration.create(name, {"name": name, **body}, 1, {})
    integration.activate()
    with product.tx() as tx:
        INTEGRATIONS.add(tx, integration)


def example() -> dict[str, Any]:
    """Return the body of the example's sync job, checked against the plugins that there are."""
    files = [File("a.yaml", EXAMPLE.encode()), File("b.yaml", EVENT.removeprefix("\n---\n").encode())]
    result = check(files, FixedCatalog(plugins=plugin_facts(discover())), KINDS)
    assert result.ok, result.findings
    return dict(next(each.body for each in result.documents if each.kind == "SyncJob"))


def put(syncing: Syncing, number: int, name: str, credit: str = "10") -> None:
    syncing.old(
        "INSERT OR REPLACE INTO customers VALUES (?, ?, ?, ?, ?, ?)",
        *(number, name, f"{name}@X.Y", credit, "2026-02-01T00:00:00Z", None),
    )


def work(syncing: Syncing) -> list[Any]:
    for _ in range(30):
        if not syncing.slice():
            break
    return list(syncing.product.rows("SELECT * FROM sync_runs ORDER BY id"))


def test_the_example_syncs_customers_into_the_erp_by_schedule_and_by_event(syncing: Syncing) -> None:
    syncing.old("ALTER TABLE customers ADD COLUMN city TEXT")
    for number in range(25):
        put(syncing, number, f"n{number}")
    job = syncing.job(**{key: value for key, value in example().items() if key not in ("kind", "name")})
    product = syncing.product
    with product.core.engine.connect() as conn:
        now = conn.exec_driver_sql("SELECT now()").scalar_one()
        ticks.reschedule(conn, job.id, now)
        nominal = conn.exec_driver_sql("SELECT nominal FROM sync_schedules").scalar_one()
        assert ticks.tick_slice(conn, nominal + timedelta(seconds=1)) == (1, 1)
    [run] = work(syncing)
    assert (run.state, run.cause, run.nominal, run.written) == ("succeeded", "schedule", nominal, 25), run.error
    hand = ByHand(
        product.core.engine, product.core.secrets, product.core.plugins, syncing.caller, product.core.networks.policy
    )
    found = hand.call(product.scope, ANNA, "erp", "customers.get", {"external_id": "7"}).output
    assert (found["name"], found["email"], found["city"], found["credit_limit"]) == ("n7", "n7@x.y", "unknown", "10.00")
    put(syncing, 7, "renamed", "12.5")
    again = syncing.run("customers", key=[7])
    assert (again.state, again.written) == ("succeeded", 1), again.error
    found = hand.call(product.scope, ANNA, "erp", "customers.get", {"external_id": "7"}).output
    assert (found["name"], found["credit_limit"], found["revision"]) == ("renamed", "12.50", 2)


def test_a_call_by_hand_under_a_key_is_done_once_and_no_neighbour_sees_it(syncing: Syncing) -> None:
    core = syncing.product.core
    hand = ByHand(core.engine, core.secrets, core.plugins, syncing.caller, core.networks.policy)
    given = {"external_id": "C-1", "name": "ACME"}
    first = hand.call(syncing.scope, ANNA, "erp", "customers.upsert", given, key="k1")
    assert hand.call(syncing.scope, ANNA, "erp", "customers.upsert", given, key="k1").output == first.output
    assert hand.test(syncing.scope, ANNA, "erp").status == "healthy"
    rival = syncing.product.workspace("rival", "main")
    integration = Integration(new_uuid())
    integration.create("erp", {"name": "erp", "plugin": "erp_sandbox"}, 1, {})
    integration.activate()
    with core.engine.begin(rival, ANNA) as tx:
        INTEGRATIONS.add(tx, integration)
    with pytest.raises(Permanent) as refused:
        hand.call(rival, ANNA, "erp", "customers.get", {"external_id": "C-1"})
    assert refused.value.code == "CUSTOMER_UNKNOWN"
