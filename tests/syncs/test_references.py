"""Records that refer to those of other jobs: looked up, parked until they are there, refused, or asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from server.app import create_app
from server.config import Settings
from server.syncs import parked, parked_api
from server.syncs.parked import sweep
from server.syncs.references import REFERENCE_MISSING, split
from tests.authoring_db.conftest import Client, Frame
from tests.syncs.worlds import EXAMPLE, checked

if TYPE_CHECKING:
    from tests.syncs.running import Syncing

ORDERS: dict[str, Any] = {
    "source": {"call": "old.query.read", "sql": "SELECT * FROM orders", "primary_key": ["id"]},
    "map": {"id": "row.id", "customer": {"from": "row.customer_id", "ref": "customers"}, "note": "row.note"},
    "target": {"call": "new.table.write", "schema": "shop", "table": "orders", "match_on": ["id"]},
    "batch": {"size": 10},
}


@pytest.fixture
def syncing(syncing: Syncing) -> Syncing:
    syncing.old("CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id INTEGER, note TEXT)")
    syncing.new("CREATE TABLE shop.orders (id int PRIMARY KEY, customer text, note text)")
    syncing.job()
    return syncing


def orders(syncing: Syncing, how: str = "park", **reference: Any) -> None:
    value = {"from": "row.customer_id", "ref": "customers", "on_missing": how, **reference}
    syncing.job("orders", **{**ORDERS, "map": {**ORDERS["map"], "customer": value}})


def order(syncing: Syncing, number: int, customer: int | None, note: str = "") -> None:
    syncing.old("INSERT OR REPLACE INTO orders VALUES (?, ?, ?)", number, customer, note)


def written(syncing: Syncing) -> list[Any]:
    return syncing.new("SELECT id, customer FROM shop.orders ORDER BY id")


def waiting(syncing: Syncing) -> list[Any]:
    return [row.key for row in syncing.product.rows("SELECT key FROM sync_parked ORDER BY key")]


def work(syncing: Syncing) -> None:
    while syncing.slice():
        pass


def test_a_key_becomes_what_the_other_target_calls_it(syncing):
    for number in range(3):
        syncing.put(number)
        order(syncing, number, number)
    order(syncing, 7, None)
    syncing.run()
    orders(syncing)
    row = syncing.run("orders")
    assert (row.state, row.written, row.refused) == ("succeeded", 4, 0), row.error
    assert written(syncing) == [(0, "0"), (1, "1"), (2, "2"), (7, None)]
    assert waiting(syncing) == []


def test_the_id_that_a_target_tells_goes_before_its_key(syncing):
    syncing.put(1)
    order(syncing, 1, 1)
    syncing.run()
    syncing.ours("UPDATE sync_records SET target_id = 'CUST-1'")
    orders(syncing)
    syncing.run("orders")
    assert written(syncing) == [(1, "CUST-1")]


def test_a_record_waits_until_the_other_is_written(syncing):
    orders(syncing)
    syncing.put(1)
    order(syncing, 1, 1)
    order(syncing, 2, 2)
    row = syncing.run("orders")
    assert (row.state, row.written, row.refused, row.parked) == ("succeeded", 0, 0, row.read), row
    assert waiting(syncing) == ["[1]", "[2]"]
    order(syncing, 1, 1, "changed meanwhile")
    syncing.run()
    work(syncing)
    assert written(syncing) == [(1, "1")]
    assert syncing.new("SELECT note FROM shop.orders") == [("changed meanwhile",)]
    assert waiting(syncing) == ["[2]"]
    [run] = syncing.product.rows("SELECT * FROM sync_runs WHERE cause = 'reference'")
    assert (run.state, run.written, run.key) == ("succeeded", 1, [])
    assert syncing.run("orders").unchanged == 1


def test_a_record_written_meanwhile_waits_no_more_also_without_a_ledger(syncing):
    target = {**ORDERS["target"], "skip_unchanged": False}
    syncing.job("orders", **{**ORDERS, "target": target})
    order(syncing, 1, 1)
    syncing.run("orders")
    assert waiting(syncing) == ["[1]"]
    order(syncing, 1, None)
    syncing.run("orders")
    assert waiting(syncing) == []
    assert written(syncing) == [(1, None)]


def test_one_run_does_for_all_that_wait(syncing):
    orders(syncing)
    for number in range(40):
        order(syncing, number, number % 2)
    syncing.run("orders")
    for number in range(2):
        syncing.put(number)
    syncing.run()
    work(syncing)
    assert len(written(syncing)) == 40
    assert len(syncing.product.rows("SELECT * FROM sync_runs WHERE cause = 'reference'")) == 1


def test_a_source_of_which_no_single_row_can_be_read_gives_what_it_gave(syncing, monkeypatch):
    from server.syncs.ends import SourceEnd

    monkeypatch.setattr(SourceEnd, "fetches", lambda _: False)
    orders(syncing)
    order(syncing, 1, 1, "as it was")
    syncing.run("orders")
    syncing.put(1)
    syncing.run()
    work(syncing)
    assert syncing.new("SELECT id, customer, note FROM shop.orders") == [(1, "1", "as it was")]


def test_what_is_deleted_while_it_waits_is_let_go(syncing):
    orders(syncing)
    order(syncing, 1, 1)
    order(syncing, 2, 1)
    syncing.run("orders")
    syncing.old("DELETE FROM orders WHERE id = 2")
    syncing.put(1)
    syncing.run()
    work(syncing)
    assert written(syncing) == [(1, "1")]
    assert waiting(syncing) == []


def test_a_record_may_be_refused_instead(syncing):
    orders(syncing, "fail")
    order(syncing, 1, 1)
    row = syncing.run("orders")
    assert (row.written, row.refused) == (0, 1)
    [letter] = syncing.product.rows("SELECT reason, error FROM dead_letters WHERE kind = 'record'")
    assert (letter.reason, letter.error["code"]) == ("reference", REFERENCE_MISSING)
    assert letter.error["details"] == {"job": "customers", "key": "[1]"}
    assert waiting(syncing) == []


def test_the_other_job_is_asked_for_that_one_record(syncing):
    orders(syncing, "create")
    for number in range(5):
        syncing.put(number)
    for number in range(3):
        order(syncing, number, 2)
    syncing.run("orders")
    work(syncing)
    assert syncing.customers() == ["n2"], "that one, and no other"
    assert written(syncing) == [(0, "2"), (1, "2"), (2, "2")]
    assert waiting(syncing) == []


def test_what_has_waited_too_long_is_a_dead_letter(syncing):
    orders(syncing, wait="1h")
    order(syncing, 1, 1)
    syncing.run("orders")
    assert sweep(syncing.product.core.engine, lambda: None) == 0
    syncing.ours("UPDATE sync_parked SET until = now() - interval '1 second'")
    assert sweep(syncing.product.core.engine, lambda: None) == 1
    [letter] = syncing.product.rows("SELECT reason, owner, error FROM dead_letters WHERE kind = 'record'")
    assert (letter.reason, letter.owner, letter.error["code"]) == ("reference", "sync/orders", REFERENCE_MISSING)
    [kept] = syncing.product.rows("SELECT key, row FROM sync_refused")
    assert (kept.key, kept.row["customer_id"]) == ("[1]", 1)
    assert waiting(syncing) == []


def test_what_was_parked_while_the_other_was_written_is_found(syncing, monkeypatch):
    orders(syncing)
    syncing.put(1)
    order(syncing, 1, 1)
    syncing.run("orders")
    monkeypatch.setattr(parked, "_WAKE", parked._WAKE.replace("ready_at IS NULL", "false"))
    syncing.run()
    work(syncing)
    assert written(syncing) == []
    assert sweep(syncing.product.core.engine, lambda: None) == 1
    work(syncing)
    assert written(syncing) == [(1, "1")]


def test_the_same_record_read_again_waits_no_longer(syncing):
    orders(syncing, wait="1h")
    order(syncing, 1, 1)
    syncing.run("orders")
    syncing.ours("UPDATE sync_parked SET until = '2026-01-01T00:00:00Z'")
    order(syncing, 1, 1, "again")
    syncing.run("orders")
    [row] = syncing.product.rows("SELECT until FROM sync_parked")
    assert row.until.year == 2026
    assert row.until.month == 1
    order(syncing, 1, None)
    syncing.run("orders")
    assert waiting(syncing) == [], "it refers to nothing any more"


def test_no_record_of_another_workspace_answers_a_reference(syncing):
    rival = syncing.product.workspace("rival", "main")
    syncing.put(1)
    syncing.run()
    syncing.ours(f"UPDATE sync_jobs SET workspace_id = {rival.workspace_id} WHERE name = 'customers'")
    syncing.ours(f"UPDATE sync_records SET workspace_id = {rival.workspace_id}")
    orders(syncing)
    order(syncing, 1, 1)
    assert syncing.run("orders").written == 0
    assert waiting(syncing) == ["[1]"]
    with syncing.product.tx(rival) as tx:
        assert tx.all("SELECT * FROM sync_parked") == []


def test_what_waits_is_listed_over_http(syncing):
    orders(syncing, wait="2h")
    order(syncing, 1, 7)
    order(syncing, 2, 8)
    syncing.run("orders")
    core = syncing.product.core
    scopes = {"main": syncing.scope, "rival": syncing.product.workspace("rival", "rival")}
    app = create_app(Frame(Settings(), core.tenant, [parked_api.blueprint(core.tenant)], scopes))
    first = Client(app.test_client(), "viewer")("GET", "/sync-jobs/orders/parked?limit=1")
    [item] = first["items"]
    assert (item["key"], item["ref"], item["ref_key"], item["ready_at"]) == ([1], "customers", [7], None)
    following = Client(app.test_client(), "viewer")("GET", f"/sync-jobs/orders/parked?cursor={first['next']}")
    assert ([each["key"] for each in following["items"]], following["next"]) == ([[2]], None)


def test_a_map_is_split_into_expressions_and_references():
    node = {
        "a": {"from": "row.a", "ref": "one", "on_missing": "fail", "required": True},
        "lines": {"each": "row.lines", "map": {"item": {"from": "item.x", "ref": "two", "wait": "1h"}}},
        "all": [{"from": "row.b", "ref": "three"}, "row.c"],
        "plain": {"value": {"from": "x", "ref": "y"}},
    }
    rest, found = split(node)
    assert rest["a"] == {"from": "row.a", "required": True}
    assert rest["plain"] == node["plain"]
    assert [(each.pointer, each.job, each.on_missing, each.wait) for each in found] == [
        (("a",), "one", "fail", 86400.0),
        (("lines", "*", "item"), "two", "park", 3600.0),
        (("all", 0), "three", "park", 86400.0),
    ]


OTHER = """
---
kind: SyncJob
name: orders
source: {call: legacy-db.query.read, sql: SELECT 1, primary_key: [id]}
map: {external_id: text(row.id), name: row.name, city: {from: row.customer_id, REF}}
target: {call: erp.customers.upsert, match_on: [external_id]}
"""


@pytest.mark.parametrize(
    ("reference", "code", "message"),
    [
        ("ref: customers-to-erp", None, ""),
        ("ref: orders", None, ""),
        ("ref: customers-to-erp, on_missing: create, wait: 2h", None, ""),
        ("ref: customer-to-erp", "UNKNOWN_REFERENCE", "customers-to-erp"),
        ("ref: legacy-db", "UNKNOWN_REFERENCE", "kind Integration"),
        ("ref: customers-to-erp, on_missing: perhaps", "WRONG_VALUE", "perhaps"),
        ("on_missing: fail", "MISSING_KEY", "ref"),
        ("ref: customers-to-erp, on_missing: fail, wait: 1h", "CONTRADICTION", "wait"),
        ("ref: customers-to-erp, wait: soon", "WRONG_VALUE", "soon"),
        ("ref: customers-to-erp, rfe: 1", "MAP_OPTION", "rfe"),
    ],
)
def test_references_are_checked(reference, code, message):
    found = checked(EXAMPLE + OTHER.replace("REF", reference)).findings
    if code is None:
        assert [str(each) for each in found] == []
        return
    assert any(code in each.code and message in str(each) for each in found), [str(each) for each in found]


def test_a_job_that_forgets_what_it_writes_cannot_be_referred_to():
    text = EXAMPLE.replace("skip_unchanged: true", "skip_unchanged: false").replace(
        "  delete: {detect: key_snapshot, every: 24h, action: archive, max_percent: 2}\n", ""
    )
    found = checked(text + OTHER.replace("REF", "ref: customers-to-erp")).findings
    assert [each.code for each in found] == ["NO_LEDGER"]
