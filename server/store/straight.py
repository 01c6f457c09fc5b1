"""Statements of the hottest paths, given to the driver itself: SQLAlchemy takes a tenth of a millisecond to say one and to read its
answer, which is more than the database needs for it.

They belong to the transaction of the connection like any other, are prepared by the driver, and fail as SQLAlchemy's own do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.rows import namedtuple_row, tuple_row
from sqlalchemy.exc import DBAPIError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.engine import Connection


def rows(conn: Connection, sql: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> list[tuple[Any, ...]]:
    """Run one statement with the driver's placeholders (`%s`, `%(name)s`) and return its rows, none where it has no answer.

    Raises:
        DBAPIError: as SQLAlchemy raises it, of the same subclass.

    """
    return _run(conn, sql, values, tuple_row)


def named(conn: Connection, sql: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> list[Any]:
    """Do the same and return rows with the names of their columns, which must be names in Python, too."""
    return _run(conn, sql, values, namedtuple_row)


def _run(conn: Connection, sql: str, values: Sequence[Any] | Mapping[str, Any], shape: Any) -> list[Any]:
    driver: Any = conn.connection.driver_connection
    try:
        cursor = driver.cursor(row_factory=shape).execute(sql, values)
        return cursor.fetchall() if cursor.pgresult.nfields else []
    except psycopg.Error as error:
        if driver.closed:
            conn.exec_driver_sql(
                "SELECT"
            )  # fails, and the pool learns that the server is gone, for its other connections too
        raise DBAPIError.instance(
            sql, None, error, psycopg.Error, hide_parameters=True, dialect=conn.dialect
        ) from error
