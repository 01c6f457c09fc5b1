"""The example definition as it stands, from a database to the ERP: checked, applied, previewed, run, and kept up by an event."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from server.authoring.applying import apply
from server.authoring.check import check
from server.authoring.kinds import default_kinds
from server.documents.catalog import FixedCatalog
from server.documents.reading import File
from server.events.envelope import NewEvent
from server.integrations.plugins import discover
from server.integrations.spec import plugin_facts
from tests.syncs.worlds import EVENT, EXAMPLE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.syncs.running import Syncing

JOB = "customers-to-erp"


@pytest.fixture
def syncing(syncing: Syncing) -> Iterator[Syncing]:
    syncing.old("ALTER TABLE customers ADD COLUMN city TEXT")
    yield syncing
    syncing.new("DROP SCHEMA IF EXISTS plugin_erp_sandbox CASCADE")


def test_the_example_brings_customers_to_the_erp_and_keeps_them_as_the_database_has_them(syncing: Syncing) -> None:
    product = syncing.product
    for number in range(60):
        put(syncing, number)
    syncing.old("UPDATE customers SET name = NULL WHERE id = 7")
    with product.tx() as tx:
        product.core.secrets.set(tx, "LEGACY_DATABASE_URL", "sqlite:///old.db")
        tx.run("UPDATE workspaces SET routes_version = routes_version + 1 WHERE id = :workspace_id")
        files = [File("sync.yaml", EXAMPLE.encode()), File("event.yaml", EVENT.removeprefix("\n---\n").encode())]
        result = check(files, FixedCatalog(plugins=plugin_facts(discover())), default_kinds())
        assert [str(each) for each in result.findings] == []
        apply(tx, result.documents, "folder:main", prune=False)
    preview = product.client().post(f"/api/v1/sync-jobs/{JOB}/preview", json={"rows": 20}).json
    assert (preview["create"], len(preview["refused"])) == (19, 1)
    assert customers(syncing) == {}, "a preview writes nothing"

    first = syncing.run(JOB)
    assert (first.state, first.read, first.written, first.refused) == ("succeeded", 60, 59, 1), first.error
    held = customers(syncing)
    assert len(held) == 59
    assert held["5"] == ("n5", "e5@x", "unknown", "1.50", "active")

    syncing.old("UPDATE customers SET name = 'N7' WHERE id = 7")
    syncing.old("UPDATE customers SET city = 'Almaty', credit = '9.999' WHERE id = 5")
    with product.tx() as tx:
        news = [NewEvent(type="legacy.customer.changed", data=f'{{"customer_id": "{each}"}}') for each in (5, 7)]
        product.core.publisher.publish(tx, news)
    while syncing.slice():
        pass
    by_event = product.rows("SELECT state, written, key FROM sync_runs WHERE cause = 'event' ORDER BY key::text")
    assert [(row.state, row.written, row.key) for row in by_event] == [("succeeded", 1, ["5"]), ("succeeded", 1, ["7"])]
    held = customers(syncing)
    assert (held["5"], held["7"]) == (
        ("n5", "e5@x", "Almaty", "10.00", "active"),
        ("N7", "e7@x", "unknown", "1.50", "active"),
    )

    syncing.old("DELETE FROM customers WHERE id = 59")
    syncing.ours("UPDATE sync_states SET snapshot_at = snapshot_at - interval '25 hours'")
    last = syncing.run(JOB)
    assert (last.state, last.deleted, last.refused) == ("succeeded", 1, 0), last.error
    assert [key for key, row in customers(syncing).items() if row[-1] == "archived"] == ["59"]


def put(syncing: Syncing, number: int) -> None:
    row = (number, f"n{number}", f"E{number}@X", "1.5", f"2026-02-01T00:{number:02d}:00Z")
    syncing.old("INSERT INTO customers (id, name, email, credit, updated_at) VALUES (?, ?, ?, ?, ?)", *row)


def customers(syncing: Syncing) -> dict[str, tuple[Any, ...]]:
    """Return the ERP's customers by external id: name, e-mail, city, credit limit, and state."""
    if syncing.new("SELECT to_regclass('plugin_erp_sandbox.customers')") == [(None,)]:
        return {}
    rows = syncing.new(
        "SELECT external_id, name, email, city, credit_limit::text, state FROM plugin_erp_sandbox.customers"
    )
    return {row[0]: row[1:] for row in sorted(rows, key=lambda row: int(row[0]))}
