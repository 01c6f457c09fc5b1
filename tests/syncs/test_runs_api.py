"""Runs over HTTP and on the command line: start, see, cancel, preview, and records that are tried again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from server import bootstrap
from server.app import create_app
from server.config import Settings
from server.integrations.guards import LONGEST_BY_HAND
from server.store import Cause
from server.syncs.preview import Preview, same
from server.syncs.reopening import ReopeningRecords
from server.syncs.runs_api import RUN_ENDED, blueprint
from tests.authoring_db.conftest import Client, Frame

if TYPE_CHECKING:
    from tests.syncs.running import Syncing


@pytest.fixture
def api(syncing: Syncing) -> Client:
    core = syncing.product.core
    preview = Preview(core.tenant, bootstrap.making_of(core), syncing.caller, core.clock, core.admit)
    scopes = {"main": syncing.scope, "rival": syncing.product.workspace("rival", "rival")}
    app = create_app(Frame(Settings(), core.tenant, [blueprint(core.tenant, core.hint, preview)], scopes))
    return Client(app.test_client(), "operator")


def test_a_preview_asks_no_longer_than_somebody_waits(api: Client, syncing: Syncing) -> None:
    syncing.job()
    syncing.put(1)
    syncing.ours("""UPDATE integrations SET body = body::jsonb || '{"policy": {"timeout": "10m"}}'""")
    assert api("POST", "/sync-jobs/customers/preview", {})["create"] == 1
    assert set(syncing.gate.seconds) == {LONGEST_BY_HAND}


def test_a_run_is_started_seen_and_listed(api: Client, syncing: Syncing) -> None:
    syncing.job()
    for number in range(25):
        syncing.put(number)
    started = api("POST", "/sync-jobs/customers/runs", {}, status=202)
    assert (started["state"], started["cause"], started["read"]) == ("queued", "person", 0)
    while syncing.slice():
        pass
    shown = api("GET", f"/sync-runs/{started['id']}")
    assert (shown["state"], shown["written"], shown["total"], shown["percent"]) == ("succeeded", 25, 25, 100.0)
    assert shown["rows_per_second"] > 0
    assert [each["id"] for each in api("GET", "/sync-jobs/customers/runs")["items"]] == [started["id"]]


def test_a_run_of_one_row_takes_its_key(api: Client, syncing: Syncing) -> None:
    syncing.job()
    syncing.put(1)
    syncing.put(2)
    api("POST", "/sync-jobs/customers/runs", {"key": [2]}, status=202)
    syncing.slice()
    assert syncing.customers() == ["n2"]


def test_a_run_is_cancelled_once(api: Client, syncing: Syncing) -> None:
    syncing.job()
    run = api("POST", "/sync-jobs/customers/runs", {}, status=202)["id"]
    api("POST", f"/sync-runs/{run}/cancel")
    syncing.slice()
    assert api("GET", f"/sync-runs/{run}")["state"] == "cancelled"
    assert api("POST", f"/sync-runs/{run}/cancel", status=409)["code"] == RUN_ENDED


def test_a_preview_tells_field_by_field_and_writes_nothing(api: Client, syncing: Syncing) -> None:
    syncing.job()
    syncing.new("INSERT INTO shop.customers VALUES ('1', 'n1', 'e1@x', 1.50), ('2', 'other', 'e2@x', 1.50)")
    syncing.put(1)
    syncing.put(2)
    syncing.put(3)
    syncing.put(4, name=None)
    found = api("POST", "/sync-jobs/customers/preview", {})
    assert {name: found[name] for name in ("total", "read", "create", "update", "unchanged", "delete")} == {
        "total": 4, "read": 4, "create": 1, "update": 1, "unchanged": 1, "delete": 0,
    }  # fmt: skip
    assert found["samples"][0]["changes"] == [{"field": "name", "from": "other", "to": "n2"}]
    assert [each["key"] for each in found["refused"]] == ["[4]"]
    assert syncing.customers() == ["n1", "other"]
    assert syncing.product.rows("SELECT * FROM sync_runs") == []


def test_nobody_sees_or_starts_runs_of_another_workspace(api: Client, syncing: Syncing) -> None:
    syncing.job()
    run = api("POST", "/sync-jobs/customers/runs", {}, status=202)["id"]
    for method, path in (
        ("GET", f"/sync-runs/{run}"),
        ("POST", f"/sync-runs/{run}/cancel"),
        ("GET", "/sync-jobs/customers/runs"),
        ("POST", "/sync-jobs/customers/preview"),
        ("POST", "/sync-jobs/customers/runs"),
    ):
        body: Any = {} if path.endswith(("runs", "preview")) and method == "POST" else None
        api.as_("operator@rival")(method, path, body, status=404)


@pytest.mark.parametrize("run", ["run_0000000000000000000000000z", "nothing", "evt_01m82qmtz8e9qs0d3as4zzv6jz"])
def test_a_run_that_is_not_there_is_not_found(api: Client, run: str) -> None:
    api("GET", f"/sync-runs/{run}", status=404)


def test_a_refused_record_is_tried_again_with_the_row_and_the_map_of_now(syncing: Syncing) -> None:
    syncing.job()
    syncing.put(1, name=None)
    syncing.put(2)
    syncing.run()
    [letter] = syncing.product.rows("SELECT ref FROM dead_letters WHERE kind = 'record'")
    syncing.put(1, name="mended")
    with syncing.product.core.tenant.begin(syncing.scope, Cause("user:anna", "cor_1")) as tx:
        ReopeningRecords(lambda: None).reopen(tx, [letter.ref])
    syncing.slice()
    assert syncing.customers() == ["mended", "n2"]
    assert [row.state for row in syncing.product.rows("SELECT state FROM sync_refused")] == ["replayed"]


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ("1.50", 1.5, True),
        (None, None, True),
        (None, "", False),
        ("2026-01-01T00:00:00Z", "2026-01-01T05:00:00+05:00", True),
        ("a", "A", False),
        (1, "1", True),
    ],
)
def test_values_compare_whatever_their_form(left: object, right: object, expected: object) -> None:
    assert same(left, right) is expected
