"""MySQL and MariaDB: what is sent to their driver, in their dialect. There is no server here, so this is as far as it is tested."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, Self

import pymysql
import pytest
from pymysql.cursors import Cursor
from sqlalchemy.dialects.mysql.pymysql import MySQLDialect_pymysql
from sqlalchemy.exc import DBAPIError

from plugins.sql.appending import Lane
from plugins.sql.connecting import writing
from plugins.sql.failures import failure_of
from plugins.sql.plain_rows import PlainRows
from plugins.sql.tables import Table
from plugins.sql.wrapping import Wrapped
from server.sdk import Batch, Destination, ReadRequest, Retryable, Window

DIALECT = MySQLDialect_pymysql()
DIALECT.is_mariadb = False
TABLE = Table("`shop`.`customers`", "shop", "customers", {"id": "int"}, frozenset(), ("id",), ("id",))
EAST = timezone(timedelta(hours=5))


class Connection:
    """Takes down what it is given, and answers each question with the next of `answers`."""

    dialect = DIALECT
    invalidated = False

    def __init__(self, *answers: Any) -> None:
        self.sent: list[tuple[str, Any]] = []
        self._answers = list(answers)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.sent.append(("END", None))

    def commit(self) -> None:
        self.sent.append(("COMMIT", None))

    def exec_driver_sql(self, sql: str, values: Any = None) -> Any:
        self.sent.append((sql, values))
        answer = self._answers.pop(0) if self._answers and sql.startswith("SELECT") else None
        return SimpleNamespace(first=lambda: answer, rowcount=1)


@pytest.mark.parametrize(
    ("mode", "fields", "sql"),
    [
        ("append", ("id", "na%me"), "INSERT INTO `shop`.`customers` (`id`, `na%%me`) VALUES (%s, %s)"),
        (
            "upsert",
            ("id", "na`me"),
            "INSERT INTO `shop`.`customers` (`id`, `na``me`) VALUES (%s, %s) ON DUPLICATE KEY UPDATE `na``me` = VALUES(`na``me`)",
        ),
        (
            "upsert",
            ("id",),
            "INSERT INTO `shop`.`customers` (`id`) VALUES (%s) ON DUPLICATE KEY UPDATE `id` = VALUES(`id`)",
        ),
        (
            "insert_only",
            ("id", "name"),
            "INSERT INTO `shop`.`customers` (`id`, `name`) VALUES (%s, %s) ON DUPLICATE KEY UPDATE `id` = VALUES(`id`)",
        ),
        ("update_only", ("id", "name"), "UPDATE `shop`.`customers` SET `name` = %s WHERE `id` = %s"),
    ],
)
def test_each_mode_is_one_statement_for_many_rows(mode: Any, fields: tuple[str, ...], sql: str) -> None:
    there = {"insert_only": None, "update_only": (1,)}.get(mode)
    connection = Connection(there)
    record = {each: "x" if each != "id" else 1 for each in fields}
    assert PlainRows(connection, TABLE, ("id",)).write(mode, fields, [record]) == {0}  # type: ignore[arg-type]
    sent, values = connection.sent[-1]
    assert sent == sql
    [row] = values
    written = Cursor(_offline()).mogrify(sent, row)
    assert ("'x'" in written) == (len(fields) > 1)
    assert "%%" not in written


def test_values_are_written_as_the_driver_takes_them() -> None:
    rows = PlainRows(Connection(), TABLE, ("id",))  # type: ignore[arg-type]
    given = [datetime(2026, 1, 1, 17, tzinfo=EAST), True, Decimal("1.50"), {"a": [1]}, memoryview(b"x")]
    assert [rows._bound(each) for each in given] == [datetime(2026, 1, 1, 12), 1, "1.50", '{"a":[1]}', b"x"]  # noqa: DTZ001


@pytest.mark.parametrize(
    ("call", "sql"),
    [
        (lambda rows: rows.remove([(1,)]), "DELETE FROM `shop`.`customers` WHERE `id` = %s"),
        (
            lambda rows: rows.mark("gone", "true", [(1,)]),
            "UPDATE `shop`.`customers` SET `gone` = true WHERE `id` = %s AND (`gone` IS NULL OR `gone` <> true)",
        ),
    ],
)
def test_rows_are_deleted_and_archived_by_key(call: Any, sql: str) -> None:
    connection = Connection()
    assert call(PlainRows(connection, TABLE, ("id",))) == {0}  # type: ignore[arg-type]
    assert connection.sent == [(sql, (1,))]


def test_a_page_is_asked_for_with_bound_values_and_moments_in_utc() -> None:
    window = Window(fields=("at", "id"), since=(datetime(2026, 1, 1, 17, tzinfo=EAST),))
    request = ReadRequest(
        options={"sql": "SELECT * FROM t WHERE a LIKE '50%' AND b = :b", "params": {"b": 1}},
        primary_key=("id",),
        window=window,
    )
    query = Wrapped(Connection(), request).page(10, (datetime(2026, 1, 2, tzinfo=UTC), 5))  # type: ignore[arg-type]
    compiled = query.clause.bindparams(**query.values).compile(dialect=DIALECT)
    assert str(compiled) == (
        "SELECT q.* FROM (SELECT * FROM t WHERE a LIKE '50%%' AND b = %s) AS q WHERE q.`at` IS NOT NULL AND q.`id` IS NOT NULL"
        " AND q.`at` >= %s AND (q.`at`, q.`id`) > (%s, %s) ORDER BY q.`at`, q.`id` LIMIT %s"
    )
    assert [compiled.params[each] for each in compiled.positiontup] == [
        1,
        datetime(2026, 1, 1, 12),  # noqa: DTZ001
        datetime(2026, 1, 2),  # noqa: DTZ001
        5,
        10,
    ]


def test_what_was_appended_is_noted_in_its_dialect() -> None:
    connection = Connection(None, (0, "", ""))
    to, batch = Destination(options={"table": "t"}, mode="append", run="run_1", epoch=3), Batch([{}], ["k"], "", "p1")
    lane = Lane(connection, "`crossdock_appended`", to, batch)  # type: ignore[arg-type]
    assert lane.brought == set()
    lane.note()
    assert [sql.split(" (")[0] for sql, _ in connection.sent] == [
        "SELECT epoch, page, appended FROM `crossdock_appended` WHERE run_id = %s AND lane = %s FOR UPDATE",
        "DELETE FROM `crossdock_appended` WHERE at < %s",
        "INSERT IGNORE INTO `crossdock_appended`",
        "SELECT epoch, page, appended FROM `crossdock_appended` WHERE run_id = %s AND lane = %s FOR UPDATE",
        "UPDATE `crossdock_appended` SET epoch = %s, page = %s, appended = %s, at = %s WHERE run_id = %s AND lane = %s",
    ]


def test_a_transaction_counts_in_utc_and_refuses_what_does_not_fit() -> None:
    connection = Connection()
    context: Any = SimpleNamespace(
        config={"url": "mysql://db"}, sql=lambda _url: SimpleNamespace(connect=lambda: connection)
    )
    with writing(context):
        pass
    assert [sql for sql, _ in connection.sent] == [
        "SET SESSION max_execution_time = 60000",
        "SET SESSION time_zone = '+00:00'",
        "SET SESSION sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES')",
        "START TRANSACTION READ WRITE",
        "COMMIT",
        "END",
    ]


@pytest.mark.parametrize(
    ("number", "code", "retryable"),
    [
        (1062, "RECORD_REFUSED", False),
        (1213, "UPSTREAM_FAILED", True),
        (1146, "UPSTREAM_NOT_FOUND", False),
        (3024, "TIMEOUT", True),
    ],
)
def test_errors_of_the_driver_are_named(number: int, code: str, retryable: bool) -> None:
    found = failure_of(DBAPIError(None, None, pymysql.err.OperationalError(number, "secret words")))
    assert (found.code, isinstance(found, Retryable)) == (code, retryable)
    assert "secret words" not in found.message


def _offline() -> Any:
    """Return a connection of the driver that was never made: it writes values into a statement as it would for a server."""
    offline = pymysql.connect(defer_connect=True)
    offline.server_status = 0
    return offline
