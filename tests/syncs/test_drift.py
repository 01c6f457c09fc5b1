"""What becomes of runs whose source brings other fields than before."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import Any

import pytest

from server.syncs.drift import SCHEMA_CHANGED, Drift
from server.syncs.job import job_of
from server.syncs.shapes import Shape
from tests.syncs.running import BODY, Syncing

EVENT = "crossdock.sync_job.schema_changed"
WHOLE = {key: value for key, value in BODY["source"].items() if key != "cursor"}


def told(syncing: Syncing) -> list[Any]:
    return [
        row.data for row in syncing.product.rows(f"SELECT data FROM journal WHERE type = '{EVENT}' ORDER BY version")
    ]


def begun(syncing: Syncing, **body: Any) -> Any:
    job = syncing.job(**{"source": WHOLE, **body})
    for number in range(3):
        syncing.put(number)
    assert syncing.run().state == "succeeded"
    return job


def test_a_new_field_is_told_once_and_the_run_goes_on(syncing):
    begun(syncing)
    assert told(syncing) == []
    syncing.old("ALTER TABLE customers ADD COLUMN phone TEXT")
    syncing.old("UPDATE customers SET phone = '1'")
    row = syncing.run()
    assert (row.state, row.written + row.unchanged) == ("succeeded", 3)
    [event] = told(syncing)
    assert event["added"] == {"phone": "string"}
    assert (event["lost"], event["changed"]) == ([], {})
    assert event["run_id"].startswith("run_")
    assert syncing.run().state == "succeeded"
    assert len(told(syncing)) == 1
    [published] = syncing.product.rows("SELECT type, subject FROM events WHERE type = :type", type=EVENT)
    assert published.type == EVENT


def test_a_lost_field_and_another_type_are_told(syncing):
    begun(syncing)
    syncing.old("ALTER TABLE customers DROP COLUMN email")
    syncing.old("UPDATE customers SET name = 7 WHERE id = 1")
    syncing.old("CREATE TABLE c2 (id INTEGER PRIMARY KEY, name INTEGER, credit TEXT, updated_at TEXT)")
    syncing.old("INSERT INTO c2 SELECT id, 5, credit, updated_at FROM customers")
    syncing.old("DROP TABLE customers")
    syncing.old("ALTER TABLE c2 RENAME TO customers")
    syncing.run()
    [event] = told(syncing)
    assert (event["added"], event["lost"], event["changed"]) == ({}, ["email"], {"name": "number"})


def test_a_frozen_job_stops_before_it_writes_until_a_definition_knows_the_field(syncing):
    job = begun(syncing, schema_drift="freeze")
    syncing.old("ALTER TABLE customers ADD COLUMN phone TEXT")
    syncing.old("UPDATE customers SET phone = '1', name = 'other'")
    for _ in range(2):
        row = syncing.run()
        assert (row.state, row.error["code"], row.written) == ("failed", SCHEMA_CHANGED, 0)
        assert row.error["details"]["added"] == {"phone": "string"}
        assert "phone (string)" in row.error["message"]
    assert "other" not in syncing.customers()
    syncing.change(job, map={**BODY["map"], "name": "join('', [row.name, row.phone])"})
    assert syncing.run().state == "succeeded"
    assert syncing.customers() == ["other1"] * 3


def test_rows_that_differ_are_dead_letters_and_the_others_are_written(syncing):
    begun(syncing, schema_drift="dead_letter", guards={"max_error_percent": 100})
    syncing.old("INSERT INTO customers VALUES (8, 9.5, 'a', '1', '2026-01-01T00:00:00Z')")
    syncing.old("CREATE TABLE c2 (id, name, email, credit, updated_at)")
    syncing.old("INSERT INTO c2 SELECT * FROM customers WHERE id < 8 UNION ALL SELECT 8, 9.5, 'a', '1', '2026'")
    syncing.old("DROP TABLE customers")
    syncing.old("ALTER TABLE c2 RENAME TO customers")
    syncing.old("UPDATE customers SET name = 'new' WHERE id = 2")
    row = syncing.run()
    assert (row.state, row.refused, row.written) == ("succeeded", 1, 1)
    [letter] = syncing.product.rows("SELECT reason, error FROM dead_letters WHERE kind = 'record'")
    assert letter.reason == "schema"
    assert letter.error["details"]["changed"] == {"name": "number"}
    assert [each.key for each in syncing.product.rows("SELECT key FROM sync_refused")] == ["[8]"]


def test_new_fields_are_left_out_where_the_job_ignores_them(syncing):
    syncing.new("CREATE TABLE shop.plain (id int PRIMARY KEY, name text, email text, credit text, updated_at text)")
    target = {"call": "new.table.write", "schema": "shop", "table": "plain", "match_on": ["id"]}
    job = syncing.job(source=WHOLE, target=target, schema_drift="ignore", map=None)
    syncing.change(job, map=None)
    syncing.put(1)
    assert syncing.run().state == "succeeded"
    syncing.old("ALTER TABLE customers ADD COLUMN phone TEXT")
    syncing.old("UPDATE customers SET phone = '1', name = 'b'")
    row = syncing.run()
    assert (row.state, row.written) == ("succeeded", 1), row.error
    assert syncing.new("SELECT name FROM shop.plain") == [("b",)]
    assert told(syncing) == []


@pytest.mark.parametrize("kind", ["postgres", "sqlite"])
def test_the_table_gets_the_column_where_the_target_says_so(syncing, kind):
    syncing.new("CREATE TABLE shop.plain (id int PRIMARY KEY, name text, email text, credit text, updated_at text)")
    target = {"call": "new.table.write", "schema": "shop", "table": "plain", "match_on": ["id"], "add_columns": True}
    if kind == "sqlite":
        syncing.old("CREATE TABLE plain (id INTEGER PRIMARY KEY, name text, email text, credit text, updated_at text)")
        target = {"call": "old.table.write", "table": "plain", "match_on": ["id"], "add_columns": True}
    ask = syncing.old if kind == "sqlite" else syncing.new
    place = "plain" if kind == "sqlite" else "shop.plain"
    job = syncing.job(source=WHOLE, target=target, map=None)
    syncing.put(1)
    assert syncing.run().state == "succeeded"
    syncing.old("ALTER TABLE customers ADD COLUMN visits INTEGER")
    syncing.old("ALTER TABLE customers ADD COLUMN never TEXT")
    syncing.old("UPDATE customers SET visits = 4")
    row = syncing.run()
    assert (row.state, row.written) == ("succeeded", 1), row.error
    assert ask(f"SELECT id, visits FROM {place}") == [(1, 4)]
    with pytest.raises(Exception, match="never"):
        ask(f"SELECT never FROM {place}")  # a column of nothing but nulls has no type yet
    assert told(syncing)[0]["added"] == {"visits": "number", "never": "null"}
    assert job.name == "customers"


def test_a_run_that_has_not_succeeded_is_still_learning(syncing):
    syncing.job(source={**WHOLE}, schema_drift="freeze", batch={"size": 1})
    syncing.put(1)
    syncing.old("INSERT INTO customers VALUES (2, 9.5, 'a', '1', 7)")
    assert syncing.run().state == "succeeded", "the first run says what is usual"
    syncing.old("UPDATE customers SET updated_at = 9, name = 'c' WHERE id = 1")
    assert syncing.run().state == "succeeded"


def test_no_shape_is_seen_by_another_workspace(syncing):
    begun(syncing)
    assert len(syncing.product.rows("SELECT * FROM sync_shapes")) == 1
    rival = syncing.product.workspace("rival", "main")
    with syncing.product.tx(rival) as tx:
        assert tx.all("SELECT * FROM sync_shapes") == []


ROW = {"id": 1, "name": "a", "price": Decimal(1), "tags": [], "more": {}, "on": None}


@pytest.mark.parametrize(
    ("row", "added", "lost", "changed"),
    [
        (ROW, {}, [], {}),
        ({**ROW, "on": "x"}, {}, [], {}),
        ({**ROW, "id": 1.5}, {}, [], {}),
        ({**ROW, "name": None}, {}, [], {}),
        ({**ROW, "id": True}, {}, [], {"id": "boolean"}),
        ({**ROW, "tags": {}}, {}, [], {"tags": "object"}),
        ({**ROW, "else": 1}, {"else": "number"}, [], {}),
        ({key: value for key, value in ROW.items() if key != "more"}, {}, ["more"], {}),
    ],
)
def test_a_row_differs_by_its_fields_and_their_types(row, added, lost, changed):
    shape = Shape()
    shape.learn(ROW, first=True)
    shape = Shape.of_json(shape.as_json())
    change = shape.change_of(row)
    assert (change.added, change.lost, change.changed) == (added, lost, changed)


def test_a_field_that_some_rows_lack_is_not_lost_without_it():
    shape = Shape()
    shape.learn(ROW, first=True)
    shape.learn({"id": 2})
    assert not shape.change_of({"id": 3, "name": "x"})


def test_looking_costs_two_microseconds_a_row():
    drift = Drift(None, None, None, None, job_of({"name": "c", **BODY}))  # type: ignore[arg-type]
    rows = [{f"field_{number}": str(number) for number in range(10)} for _ in range(10_000)]
    drift._remember(rows[0])
    best = min(_timed(drift, rows) for _ in range(5))
    assert best / len(rows) < 4e-6, "twice what it costs on a quiet machine"


def _timed(drift: Drift, rows: list[Any]) -> float:
    began = time.perf_counter()
    drift.vet(rows, [])
    return time.perf_counter() - began
