"""Appending once. Beside the table stands, in `crossdock_appended`, which records the page under way has brought, written in one
transaction with them: a page that comes again after a crash brings the rest alone.

There is one row for each lane of a run. It is locked while its lane writes, so that a process that has lost the run, and wakes up
late, either is waited for or finds a higher epoch and writes nothing.
"""

from __future__ import annotations

import time
from hashlib import blake2b
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from sqlalchemy.exc import DBAPIError

from plugins.sql.failures import failure_of
from plugins.sql.tables import quoted
from server.sdk import Permanent, Retryable, code

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.engine import Connection, Engine

    from plugins.sql.tables import Table
    from server.sdk import Batch, Destination

RUN_LOST = code("RUN_LOST", "Another process has gone on with this run, and writes in its stead.")
NO_APPEND_TABLE = code(
    "NO_APPEND_TABLE", "The role may not make the table `crossdock_appended`, by which nothing is appended twice."
)
NAME = "crossdock_appended"
_KEPT_SECONDS = 30 * 86_400
_COLUMNS = (
    "(run_id varchar(64), lane varchar(64), epoch bigint, page varchar(64), appended {text}, at bigint,"
    " PRIMARY KEY (run_id, lane))"
)


class Appending:
    """Knows in which databases the table is."""

    def __init__(self) -> None:
        self._there: WeakKeyDictionary[Engine, set[str | None]] = WeakKeyDictionary()

    def lane(self, connection: Connection, table: Table, to: Destination, batch: Batch) -> Lane:
        """Hold the lane of a batch until the transaction ends.

        Raises:
            Retryable: RUN_LOST. Permanent: NO_APPEND_TABLE.

        """
        known = self._there.setdefault(connection.engine, set())
        # what this transaction makes is not there until it has committed
        if table.schema not in known and not _made(connection, table.schema):
            known.add(table.schema)
        try:
            return Lane(connection, quoted(connection, NAME, table.schema), to, batch)
        except DBAPIError:
            known.discard(table.schema)  # somebody has dropped it
            raise


class Lane:
    """What the page of a batch has brought already; `note` adds to it."""

    def __init__(self, connection: Connection, place: str, to: Destination, batch: Batch) -> None:
        self._connection, self._place, self._batch = connection, place, batch
        self._mark = "?" if connection.dialect.name == "sqlite" else "%s"
        self._of, self._epoch = (to.run, batch.lane), to.epoch
        self._keys = [blake2b(each.encode(), digest_size=10).hexdigest() for each in batch.keys]
        row = self._held()
        if row is None:
            self._begin()
            row = self._held()
        epoch, page, appended = row or (0, "", "")
        if epoch > to.epoch:
            raise Retryable("another process has gone on with the run", code=RUN_LOST, source="sql")
        self._appended = set(appended.split()) if page == batch.page else set()

    @property
    def brought(self) -> set[int]:
        """The indexes of the records that are there already."""
        return {number for number, key in enumerate(self._keys) if key in self._appended}

    def note(self) -> None:
        """Note the whole batch as brought."""
        self._run(
            "UPDATE {} SET epoch = {}, page = {}, appended = {}, at = {} WHERE run_id = {} AND lane = {}",
            self._epoch,
            self._batch.page,
            " ".join([*self._appended, *(each for each in self._keys if each not in self._appended)]),
            int(time.time()),
            *self._of,
        )

    def _held(self) -> Sequence[Any] | None:
        lock = "" if self._connection.dialect.name == "sqlite" else " FOR UPDATE"
        found = self._run("SELECT epoch, page, appended FROM {} WHERE run_id = {} AND lane = {}" + lock, *self._of)
        row: Sequence[Any] | None = found.first()
        return row

    def _begin(self) -> None:
        """Make the lane's row, unless another process has made it this moment; forget runs of long ago."""
        ignore = "INSERT INTO {} (run_id, lane, epoch, page, appended, at) VALUES ({}, {}, 0, '', '', {})"
        mysql = self._connection.dialect.name not in {"postgresql", "sqlite"}
        ignore = ignore.replace("INSERT", "INSERT IGNORE") if mysql else f"{ignore} ON CONFLICT DO NOTHING"
        now = int(time.time())
        self._run("DELETE FROM {} WHERE at < {}", now - _KEPT_SECONDS)
        self._run(ignore, *self._of, now)

    def _run(self, sql: str, *values: object) -> Any:
        marks = [self._mark] * len(values)
        return self._connection.exec_driver_sql(sql.format(self._place, *marks), values)


def _made(connection: Connection, schema: str | None) -> bool:
    """Make the table where it is not there; say whether it had to be."""
    if connection.dialect.has_table(connection, NAME, schema=schema):
        return False
    kind = connection.dialect.name
    text = "text" if kind in {"postgresql", "sqlite"} else "longtext"
    if kind == "postgresql":  # two who make one table at once fail at its type's name
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(hashtext('crossdock_appended'))")
    try:
        columns = _COLUMNS.format(text=text)
        connection.exec_driver_sql(f"CREATE TABLE IF NOT EXISTS {quoted(connection, NAME, schema)} {columns}")
    except DBAPIError as error:
        found = failure_of(error)
        if found.code != "UPSTREAM_FORBIDDEN":
            raise
        message = f"{found.message}: let the role make {NAME}, make it by hand, or say `once: false` (a crash may append twice)"
        raise Permanent(message, code=NO_APPEND_TABLE, source="sql") from error
    return True
