"""Reading: the traps of cursors, and values that are no SQL."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from plugins.sql.reading import COLUMNS_TWICE
from server.sdk import CURSOR_MISSING, CallRequest, Permanent, ReadRequest, Retryable, Window, first_rows
from server.sdk.testing_syncs import pages_of

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
EVIL = ["'; DROP TABLE items; --", '" OR 1=1 --', "\\'; SELECT 1", "%s", ":name", "a' UNION SELECT 1 --", "⌘\n\t"]


@pytest.fixture
def items(database):
    kind = "timestamptz" if database.kind == "postgresql" else "text"
    database.run(f"CREATE TABLE items (id int PRIMARY KEY, name text, changed {kind})")
    return database


def request(sql="SELECT * FROM items", **more):
    return ReadRequest(**{"options": {"sql": sql}, "primary_key": ("id",), "size": 3, **more})


def names(database, made):
    return [row["name"] for page in pages_of(database.source, made, database.context) for row in page.rows]


def put(database, number, name, moment=BEGIN):
    database.run("INSERT INTO items VALUES (%s, %s, %s)", number, name, moment.isoformat() if moment else None)


def test_rows_that_come_while_it_reads_are_read_once_or_by_the_next_run(items):
    for number in range(10):
        put(items, number, f"n{number}", BEGIN + timedelta(seconds=number))
    made = request(window=Window(fields=("changed",)))
    reading = items.source.read(made, items.context)
    first = next(reading)
    reading.close()
    put(items, 10, "before", BEGIN - timedelta(seconds=1))
    put(items, 11, "later", BEGIN + timedelta(seconds=60))
    rest = request(window=Window(fields=("changed",)), position=first.position)
    assert names(items, rest) == [*(f"n{number}" for number in range(3, 10)), "later"]


@pytest.mark.parametrize("name", EVIL)
def test_a_value_is_never_sql(items, name):
    put(items, 1, name)
    put(items, 2, "other")
    by_name = request(
        "SELECT * FROM items WHERE name = :wanted",
        options={"sql": "SELECT * FROM items WHERE name = :w", "params": {"w": name}},
    )
    assert names(items, by_name) == [name]
    assert names(
        items, request(primary_key=("name",), window=Window(fields=("name",), since=(name,), until=(name + "~",)))
    ) == [name]
    keyed = ReadRequest(options={"sql": "SELECT * FROM items"}, primary_key=("name",))
    assert [row["id"] for row in items.source.fetch(keyed, [(name,)], items.context)] == [1]
    assert items.source.count(request(), items.context) == 2


@pytest.mark.parametrize("field", ['id"; DROP TABLE items; --', "no_such", 'a"b', "a:b"])
def test_a_field_that_is_no_column_is_refused(items, field):
    put(items, 1, "a")
    with pytest.raises(Permanent):
        names(items, request(window=Window(fields=(field,))))
    assert items.source.count(request(), items.context) == 1


@pytest.mark.parametrize(("missing", "found"), [("skip", ["b", "c"]), ("read", ["x", "y", "z", "w", "b", "c"])])
def test_rows_without_a_cursor_value_are_left_out_or_read_first(items, missing, found):
    for number, name in enumerate(["x", "y", "z", "w"]):
        put(items, number, name, None)
    put(items, 10, "b")
    put(items, 11, "c", BEGIN + timedelta(days=1))
    window = Window(fields=("changed",), missing=missing)
    assert names(items, request(window=window)) == found
    pages = pages_of(items.source, request(window=window), items.context)
    rest = request(window=window, position=pages[0].position)
    assert names(items, rest) == found[len(pages[0].rows) :]


def test_a_row_without_a_cursor_value_fails_the_run_where_the_job_says_so(items):
    put(items, 1, "x", None)
    with pytest.raises(Permanent) as raised:
        names(items, request(window=Window(fields=("changed",), missing="fail")))
    assert raised.value.code == CURSOR_MISSING


def test_a_moment_bounds_the_window_whatever_its_form(items):
    for number in range(4):
        put(items, number, f"n{number}", BEGIN + timedelta(minutes=number))
    window = Window(fields=("changed",), since=(BEGIN + timedelta(minutes=1),), until=(BEGIN + timedelta(minutes=3),))
    assert names(items, request(window=window)) == ["n1", "n2"]


def test_a_query_cannot_change_anything_by_a_function_of_its_own(postgres):
    postgres.run("CREATE TABLE items (id int PRIMARY KEY)")
    postgres.run("CREATE FUNCTION put() RETURNS int LANGUAGE sql AS 'INSERT INTO items VALUES (1) RETURNING id'")
    with pytest.raises(Permanent):
        pages_of(postgres.source, request("SELECT put() AS id"), postgres.context)
    assert postgres.run("SELECT count(*) FROM items") == [(0,)]


def test_a_statement_ends_at_its_time(database):
    database.config["statement_timeout"] = 1
    sql = "WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n WHERE id < 900000000) SELECT count(*) AS id FROM n"
    with pytest.raises(Retryable) as raised:
        pages_of(database.source, request(sql), database.context)
    assert raised.value.code == "TIMEOUT"


def test_two_columns_of_one_name_are_refused(postgres):
    call = CallRequest("query.read", {"sql": "SELECT 1 AS a, 2 AS a"})
    with pytest.raises(Permanent) as raised:
        first_rows(postgres.source, call, postgres.context)
    assert raised.value.code == COLUMNS_TWICE


def test_partitions_hold_rows_that_are_unevenly_spread(items):
    for number in (1, 2, 3, 4, 5, 1000, 100_000, 100_001):
        put(items, number, f"n{number}")
    parts = items.source.partitions(request(), 3, items.context)
    sizes = [len(names(items, request(partition=each))) for each in parts]
    assert sum(sizes) == 8
    assert max(sizes) <= 4


def test_values_of_postgresql_come_as_a_row_may_hold_them(postgres):
    sql = (
        "SELECT 1 AS id, 1.50::numeric AS d, timestamp '2026-01-01 00:00' AS t, timestamptz '2026-01-01 05:00+05' AS z,"
        " true AS b, '{\"a\": [1]}'::jsonb AS j, ARRAY[1,2] AS l, inet '10.0.0.1' AS i, interval '1 day' AS v,"
        " int4range(1, 5) AS r, 'x'::text AS s, NULL::timestamp AS n"
    )
    row = pages_of(postgres.source, request(sql), postgres.context)[0].rows[0]
    assert row["d"] == Decimal("1.50")
    assert row["t"] == row["z"] == BEGIN
    assert (row["b"], row["j"], row["l"], row["s"], row["n"]) == (True, {"a": [1]}, [1, 2], "x", None)
    assert all(isinstance(row[each], str) for each in "ivr")


def test_tables_are_discovered_with_key_and_cursor(database):
    database.run(
        "CREATE TABLE things (id int PRIMARY KEY, name varchar(20) NOT NULL, price numeric(9, 2), updated_at timestamp)"
    )
    (found,) = database.source.discover({}, database.context)
    assert (found.name, found.primary_key, found.cursor) == ("things", ("id",), ("updated_at",))
    assert found.schema["properties"]["name"] == {"type": "string"}
    assert "name" in found.schema["required"]
    assert pages_of(database.source, ReadRequest(options=found.options, primary_key=("id",)), database.context) == []
    (target,) = database.target.discover({"table": "things"}, database.context)
    assert target.options == {"table": "things"}
