"""What a table looks like becomes a definition that passes the check and runs, awkward names and all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from server import bootstrap
from server.authoring.check import check
from server.authoring.proposing import End, sync_job
from server.documents.catalog import FixedCatalog
from server.documents.reading import File
from server.integrations.discovery import CANNOT_DISCOVER, Discovery
from server.integrations.plugins import discover
from server.integrations.spec import plugin_facts
from server.kernel.errors import Conflict, NotFound
from server.sdk.sources import Dataset
from server.store import Cause

if TYPE_CHECKING:
    from tests.syncs.running import Syncing

ANNA = Cause("user:anna", "cor_1")
INTEGRATIONS = """
kind: Integration
name: old
plugin: sql
config: {url: "sqlite:///old.db"}
---
kind: Integration
name: new
plugin: sql
config: {url: {secret: NEW}}
"""


@pytest.fixture
def discovery(syncing: Syncing) -> Discovery:
    core = syncing.product.core
    return Discovery(core.tenant, bootstrap.making_of(core), syncing.caller)


def test_a_table_becomes_a_job_that_runs(syncing, discovery):
    syncing.old(
        'CREATE TABLE odd (id INTEGER PRIMARY KEY, name TEXT NOT NULL, "E-Mail" TEXT, credit NUMERIC(10, 2), active BOOLEAN,'
        ' "value" TEXT, "no" TEXT, updated_at TIMESTAMP)'
    )
    syncing.old("INSERT INTO odd VALUES (1, 'ACME', 'a@b.c', 10.5, 1, 'v', 'n', '2026-01-01 00:00:00')")
    syncing.new(
        'CREATE TABLE odd (id int PRIMARY KEY, name text, "E-Mail" text, credit numeric(10, 2), active boolean, "no" text,'
        " updated_at timestamp)"
    )
    try:
        found = discovery.ask(syncing.scope, ANNA, "old", None, {})
        [shown] = [each for each in found.datasets if each["name"] == "odd"]
        assert (found.operation, shown["primary_key"], shown["cursor"]) == ("query.read", ["id"], ["updated_at"])
        dataset = Dataset(**{**shown, "primary_key": tuple(shown["primary_key"]), "cursor": tuple(shown["cursor"])})
        facts = plugin_facts(discover())
        reads = End("old.query.read", facts["sql"].operations["query.read"].source)
        writes = End("new.table.write", facts["sql"].operations["table.write"].target)
        text = "\n".join(sync_job("odd", dataset, reads, writes)) + "\n"
        result = check([File("a.yaml", (INTEGRATIONS + "---\n" + text).encode())], FixedCatalog(plugins=facts))
        assert [str(each) for each in result.findings] == []
        [body] = [each.body for each in result.documents if each.kind == "SyncJob"]
        syncing.job("odd", **{"map": None, **{key: value for key, value in body.items() if key != "name"}})
        row = syncing.run("odd")
        assert (row.state, row.written, row.refused) == ("succeeded", 1, 0), row.error
        [written] = syncing.new('SELECT id, name, "E-Mail", credit::text, active, "no" FROM odd')
        assert written == (1, "ACME", "a@b.c", "10.50", True, "n")
    finally:
        syncing.new("DROP TABLE odd")


def test_what_a_target_holds_is_told_too(syncing, discovery):
    found = discovery.ask(syncing.scope, ANNA, "new", "table.write", {"schema": "shop"})
    [shown] = found.datasets
    assert shown["options"] == {"table": "customers", "schema": "shop"}
    assert shown["primary_key"] == ["external_id"]


def test_only_ones_own_integrations_are_asked(syncing, discovery):
    with pytest.raises(Conflict) as refused:
        discovery.ask(syncing.scope, ANNA, "old", "nothing.here", {})
    assert refused.value.code == CANNOT_DISCOVER
    with pytest.raises(NotFound):
        discovery.ask(syncing.scope, ANNA, "older", None, {})
    rival = syncing.product.workspace("rival", "main")
    with pytest.raises(NotFound):
        discovery.ask(rival, ANNA, "old", None, {})
