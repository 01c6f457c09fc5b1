"""Writing: types, refusals, and names and values that are no SQL."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from decimal import Decimal
from urllib.parse import urlsplit
from uuid import UUID

import pytest

from plugins.sql.appending import NO_APPEND_TABLE, RUN_LOST
from plugins.sql.failures import RECORD_REFUSED
from plugins.sql.tables import FIELD_UNKNOWN, KEY_MISSING, TABLE_MISSING
from plugins.sql.writing import KEY_EMPTY, NO_ARCHIVE_FIELD
from server.sdk import Batch, Destination, Permanent, Retryable
from tests.sql.test_reading import EVIL

MOMENT = datetime(2026, 1, 1, 12, tzinfo=UTC)


def write(database, records, *, table="t", mode="upsert", match_on=("id",), **more):
    to = Destination(options={"table": table, **more}, match_on=match_on, mode=mode, run="run_1")
    return database.target.write(to, Batch(records, ["k"] * len(records)), database.context)


def append(database, records, page, *, epoch=1, lane="", **more):
    to = Destination(options={"table": "t", **more}, mode="append", run="run_1", epoch=epoch)
    batch = Batch(records, [f"k{each['id']}" for each in records], lane, page)
    return database.target.write(to, batch, database.context)


def test_a_page_that_is_appended_again_brings_what_it_had_not(database):
    database.run("CREATE TABLE t (id int, name text)")
    append(database, [{"id": 1, "name": "a"}], "p1")
    append(database, [{"id": 1, "name": "a"}], "p1", lane="other")
    append(database, [{"id": 2, "name": "b"}], "p2")
    append(database, [{"id": 3, "name": "c"}], "p2")  # a page is written in parts where some of it is refused
    again = append(database, [{"id": each, "name": "x"} for each in (2, 3, 4)], "p2", epoch=2)
    assert (again.unchanged, again.failed) == ([], {})
    append(database, [{"id": 4, "name": "x"}], "p2", epoch=3)
    append(database, [{"id": 1, "name": "a"}], "p3", epoch=3)
    append(database, [{"id": 1, "name": "a"}], "p3", epoch=4, once=False)
    assert database.run("SELECT id FROM t ORDER BY id") == [(1,), (1,), (1,), (1,), (2,), (3,), (4,)]


def test_who_has_lost_the_run_appends_nothing(database):
    database.run("CREATE TABLE t (id int, name text)")
    append(database, [{"id": 1, "name": "a"}], "p1", epoch=2)
    with pytest.raises(Retryable) as raised:
        append(database, [{"id": 2, "name": "b"}], "p2", epoch=1)
    assert raised.value.code == RUN_LOST
    assert database.run("SELECT id FROM t") == [(1,)]


def test_what_stands_beside_is_written_with_the_records_or_not_at_all(database):
    database.run("CREATE TABLE t (id int, name text NOT NULL)")
    with pytest.raises(Permanent):
        append(database, [{"id": 1, "name": None}], "p1")
    append(database, [{"id": 1, "name": "a"}], "p1", epoch=2)
    assert database.run("SELECT id FROM t") == [(1,)]


def test_a_role_that_may_make_no_table_is_told_what_to_do(postgres):
    postgres.run("CREATE TABLE t (id int)")
    postgres.run("CREATE ROLE only_writes LOGIN PASSWORD 'x'")
    postgres.run("GRANT INSERT, SELECT ON t TO only_writes")
    parts = urlsplit(postgres.url)
    postgres.config = {"url": parts._replace(netloc=f"only_writes:x@{parts.hostname}:{parts.port}").geturl()}
    try:
        with pytest.raises(Permanent) as raised:
            append(postgres, [{"id": 1}], "p1")
        assert raised.value.code == NO_APPEND_TABLE
        append(postgres, [{"id": 1}], "p1", once=False)
        assert postgres.run("SELECT count(*) FROM t") == [(1,)]
    finally:
        postgres.run("DROP OWNED BY only_writes; DROP ROLE only_writes")


@pytest.mark.parametrize("name", EVIL)
def test_a_value_is_never_sql(database, name):
    database.run("CREATE TABLE t (id text PRIMARY KEY, name text)")
    for mode in ("upsert", "insert_only", "update_only"):
        write(database, [{"id": name, "name": name}], mode=mode)
    assert database.run("SELECT id, name FROM t") == [(name, name)]
    to = Destination(options={"table": "t"}, match_on=("id",))
    assert database.target.lookup(to, [(name,)], database.context) == [{"id": name, "name": name}]
    assert [key for page in database.target.keys(to, 2, database.context) for key in page] == [(name,)]
    database.target.remove(to, [(name,)], "delete", database.context)
    assert database.run("SELECT count(*) FROM t") == [(0,)]


@pytest.mark.parametrize("field", ['name"; DROP TABLE t; --', "nam%s", "nobody", "na?me", "na:me"])
def test_a_field_that_is_no_column_is_refused_and_one_that_is_may_be_called_anything(database, field):
    database.run("CREATE TABLE t (id int PRIMARY KEY)")
    with pytest.raises(Permanent) as raised:
        write(database, [{"id": 1, field: "x"}])
    assert raised.value.code == FIELD_UNKNOWN
    quoted = '"' + field.replace('"', '""') + '"'
    database.run(f"CREATE TABLE odd (id int PRIMARY KEY, {quoted} text)")
    write(database, [{"id": 1, field: "x"}], table="odd")
    assert database.target.lookup(
        Destination(options={"table": "odd"}, match_on=("id",)), [(1,)], database.context
    ) == [{"id": 1, field: "x"}]


@pytest.mark.parametrize("table", ["nobody", 't"; DROP TABLE t; --', "t; DROP TABLE t", "t.t"])
def test_a_table_that_is_not_there_is_refused(database, table):
    database.run("CREATE TABLE t (id int PRIMARY KEY)")
    with pytest.raises(Permanent) as raised:
        write(database, [{"id": 1}], table=table)
    assert raised.value.code == TABLE_MISSING
    assert database.run("SELECT count(*) FROM t") == [(0,)]


def test_types_of_postgresql_take_what_a_record_holds(postgres):
    postgres.run(
        "CREATE TABLE t (id bigint PRIMARY KEY, d numeric(12,2), f float8, t timestamp, z timestamptz, day date, b bool,"
        " j jsonb, l int[], u uuid, y bytea, s varchar(5), n numeric)"
    )
    record = {
        "id": 1,
        "d": "10.10",
        "f": float("inf"),
        "t": "2026-01-01T17:00:00+05:00",
        "z": MOMENT,
        "day": "2026-01-01",
        "b": True,
        "j": {"a": [1, None]},
        "l": [1, 2],
        "u": UUID(int=7),
        "y": b"\x00\xff",
        "s": "abcde",
        "n": 2**70,
    }
    write(postgres, [record])
    row = postgres.run("SELECT d, f, t, z, b, j, l, u, y, s, n FROM t")[0]
    assert row == (
        Decimal("10.10"), float("inf"), MOMENT.replace(tzinfo=None), MOMENT, True, {"a": [1, None]}, [1, 2], UUID(int=7),
        b"\x00\xff", "abcde", Decimal(2**70),
    )  # fmt: skip


@pytest.mark.parametrize(
    "value", ["abcdef", {"a": 1}, "\ud800", "a\x00b"], ids=["too long", "an object", "no Unicode", "a nought"]
)
def test_a_value_that_does_not_fit_refuses_the_batch_and_nothing_of_it_is_written(postgres, value):
    postgres.run("CREATE TABLE t (id int PRIMARY KEY, s varchar(5))")
    with pytest.raises(Permanent) as raised:
        write(postgres, [{"id": 1, "s": "ok"}, {"id": 2, "s": value}])
    assert raised.value.code == RECORD_REFUSED
    assert postgres.run("SELECT count(*) FROM t") == [(0,)]


def test_a_broken_rule_refuses_the_batch(database):
    database.run("CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL CHECK (n > 0))")
    for n in (None, -1):
        with pytest.raises(Permanent) as raised:
            write(database, [{"id": 1, "n": 5}, {"id": 2, "n": n}])
        assert raised.value.code == RECORD_REFUSED
    assert database.run("SELECT count(*) FROM t") == [(0,)]


def test_a_key_without_a_value_is_that_record_s_failure(database):
    database.run("CREATE TABLE t (id int PRIMARY KEY, n int)")
    result = write(database, [{"id": None, "n": 1}, {"id": 2, "n": 1}])
    assert {number: error.code for number, error in result.failed.items()} == {0: KEY_EMPTY}
    assert database.run("SELECT id FROM t") == [(2,)]


def test_a_match_on_without_a_unique_key_is_refused(database):
    database.run("CREATE TABLE t (id int PRIMARY KEY, a int, b int)")
    database.run("CREATE UNIQUE INDEX partly ON t (a) WHERE b > 1")
    with pytest.raises(Permanent) as raised:
        write(database, [{"id": 1, "a": 1}], match_on=("a",))
    assert raised.value.code == KEY_MISSING


def test_records_of_different_fields_leave_the_others_as_they_are(database):
    database.run("CREATE TABLE t (id int PRIMARY KEY, a int, b int)")
    write(database, [{"id": 1, "a": 1, "b": 1}, {"id": 2, "a": 1, "b": 1}])
    write(database, [{"id": 1, "a": 2}, {"id": 2, "b": 2}, {"id": 3, "a": 3}])
    assert database.run("SELECT * FROM t ORDER BY id") == [(1, 2, 1), (2, 1, 2), (3, 3, None)]


def test_a_row_that_has_these_values_is_left_alone_on_postgresql(postgres):
    postgres.run("CREATE TABLE t (id int PRIMARY KEY, a numeric, j json)")
    records = [{"id": number, "a": "1.50", "j": {"x": number}} for number in range(4)]
    write(postgres, records)
    records[2] = {**records[2], "a": "2"}
    assert list(write(postgres, records).unchanged) == [0, 1, 3]


def test_archiving_needs_a_field_that_is_named(database):
    database.run("CREATE TABLE t (id int PRIMARY KEY, gone timestamp)")
    write(database, [{"id": 1}, {"id": 2}])
    to = Destination(options={"table": "t"}, match_on=("id",))
    with pytest.raises(Permanent) as raised:
        database.target.remove(to, [(1,)], "archive", database.context)
    assert raised.value.code == NO_ARCHIVE_FIELD
    named = Destination(options={"table": "t", "archive_field": "gone"}, match_on=("id",))
    assert list(database.target.remove(named, [(1,), (9,)], "archive", database.context).unchanged) == [1]
    assert database.run("SELECT id FROM t WHERE gone IS NOT NULL") == [(1,)]


def test_a_locked_table_is_worth_another_try(postgres):
    import psycopg

    postgres.run("CREATE TABLE t (id int PRIMARY KEY)")
    postgres.config["statement_timeout"] = 1
    with psycopg.connect(postgres.url) as other:
        other.execute("LOCK TABLE t")
        with pytest.raises(Retryable):
            write(postgres, [{"id": 1}])


def test_writers_at_the_same_time_wait_for_each_other(database):
    database.run("CREATE TABLE t (id int PRIMARY KEY, n int)")
    failed = []

    def work(n):
        try:
            for _ in range(5):
                write(database, [{"id": number, "n": n} for number in range(50)])
        except (Permanent, Retryable) as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(3)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert failed == []
    assert database.run("SELECT count(*) FROM t") == [(50,)]


def test_replace_keeps_views_and_rights_of_the_table(database):
    database.run("CREATE TABLE t (id int PRIMARY KEY, a int)")
    database.run("CREATE VIEW v AS SELECT id FROM t")
    write(database, [{"id": 1, "a": 1}])
    to = Destination(options={"table": "t"}, match_on=("id",), mode="replace", run="run_9")
    database.target.begin(to, database.context)
    database.target.write(to, Batch([{"id": 2, "a": 2}], ["k"]), database.context)
    assert database.run("SELECT id FROM v") == [(1,)]
    database.target.finish(to, database.context)
    assert database.run("SELECT id FROM v") == [(2,)]
