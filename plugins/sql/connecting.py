"""Transactions: one that can only read, one that writes; each statement with an end."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import DBAPIError

from plugins.sql.failures import named_failures, unknown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Connection

    from server.sdk import Context

_SECONDS = 60
_STEPS = 20_000


@contextmanager
def reading(context: Context) -> Iterator[Connection]:
    """Open a transaction that can change nothing, and end it."""
    with named_failures(may_write=False), context.sql(context.config["url"]).connect() as connection:
        _begin(connection, context, may_write=False)
        try:
            yield connection
        finally:
            _still(connection)


@contextmanager
def writing(context: Context) -> Iterator[Connection]:
    """Open a transaction that writes, and commit it.

    Raises:
        Retryable: OUTCOME_UNKNOWN when the connection was lost while committing; else nothing was written.

    """
    with named_failures(may_write=True), context.sql(context.config["url"]).connect() as connection:
        _begin(connection, context, may_write=True)
        try:
            yield connection
            try:
                connection.commit()
            except DBAPIError as error:
                if error.connection_invalidated:
                    raise unknown() from error
                raise
        finally:
            _still(connection)


def _begin(connection: Connection, context: Context, *, may_write: bool) -> None:
    seconds = int(context.config.get("statement_timeout", _SECONDS))
    run = connection.exec_driver_sql
    if connection.dialect.name == "postgresql":
        mode = "" if may_write else "SET TRANSACTION READ ONLY; "
        run(f"{mode}SET LOCAL statement_timeout = {seconds * 1000}; SET LOCAL lock_timeout = {seconds * 1000}")
    elif connection.dialect.name == "sqlite":
        _limit(connection, seconds)
        run(f"PRAGMA query_only = {int(not may_write)}")
        if may_write:
            run("BEGIN IMMEDIATE")
    else:
        late = "max_statement_time" if getattr(connection.dialect, "is_mariadb", False) else "max_execution_time"
        run(f"SET SESSION {late} = {seconds if late.startswith('max_s') else seconds * 1000}")
        run("SET SESSION time_zone = '+00:00'")  # a TIMESTAMP is told in the zone of the session
        run("SET SESSION sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES')")  # else what does not fit is cut off
        run(f"START TRANSACTION READ {'WRITE' if may_write else 'ONLY'}")


def _limit(connection: Connection, seconds: int) -> None:
    """Let SQLite look at the clock; the time counts from each statement's beginning only roughly, from the transaction's."""
    until = time.monotonic() + seconds
    _driver(connection).set_progress_handler(lambda: time.monotonic() > until, _STEPS)


def _still(connection: Connection) -> None:
    if connection.dialect.name == "sqlite" and not connection.invalidated:
        _driver(connection).set_progress_handler(None, 0)


def _driver(connection: Connection) -> Any:
    return connection.connection.driver_connection
