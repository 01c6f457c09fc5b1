"""The ERP makes and changes its own tables, step by step, when it is first asked for; one process at a time does it."""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING

from sqlalchemy import insert, inspect, select, text, update

from plugins.erp_sandbox.finance.tables import FINANCE_TABLES
from plugins.erp_sandbox.inventory.tables import INVENTORY_TABLES
from plugins.erp_sandbox.logistics.tables import LOGISTICS_TABLES
from plugins.erp_sandbox.people.tables import PEOPLE_TABLES
from plugins.erp_sandbox.procurement.tables import PROCUREMENT_TABLES
from plugins.erp_sandbox.production.tables import PRODUCTION_ORDERS, PRODUCTION_TABLES
from plugins.erp_sandbox.quality.tables import QUALITY_TABLES
from plugins.erp_sandbox.sales.tables import SALES_TABLES
from plugins.erp_sandbox.tables import CALLS, CUSTOMERS, METADATA, OUTBOX, VERSIONS
from plugins.erp_sandbox.warehouse.tables import WAREHOUSE_TABLES

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.engine import Connection, Engine

_LOCK = 7310003
_done: weakref.WeakSet[Engine] = weakref.WeakSet()
_one = threading.Lock()


def _first(connection: Connection) -> None:
    """Make customers, the answers of calls, and the outbox."""
    METADATA.create_all(connection, tables=[CUSTOMERS, CALLS, OUTBOX])


def _sales_and_finance(connection: Connection) -> None:
    METADATA.create_all(connection, tables=[*SALES_TABLES, *FINANCE_TABLES])


def _people(connection: Connection) -> None:
    METADATA.create_all(connection, tables=PEOPLE_TABLES)


def _stock_and_production(connection: Connection) -> None:
    stock = (*INVENTORY_TABLES, *WAREHOUSE_TABLES, *LOGISTICS_TABLES)
    METADATA.create_all(connection, tables=[*stock, *PRODUCTION_TABLES, *QUALITY_TABLES, *PROCUREMENT_TABLES])


def _later(connection: Connection) -> None:
    """Make what was thought of later than its tables, where they were made before."""
    column = PRODUCTION_ORDERS.c.completed_at
    if column.name not in {each["name"] for each in inspect(connection).get_columns(PRODUCTION_ORDERS.name)}:
        kind = column.type.compile(dialect=connection.dialect)
        connection.execute(text(f"ALTER TABLE {PRODUCTION_ORDERS.name} ADD COLUMN {column.name} {kind}"))
        done = PRODUCTION_ORDERS.c.status == "completed"
        connection.execute(update(PRODUCTION_ORDERS).where(done).values({column: PRODUCTION_ORDERS.c.updated_at}))
    connection.execute(text("DROP INDEX IF EXISTS calls_by_age"))
    for table in (CALLS, *PEOPLE_TABLES, *PRODUCTION_TABLES, *PROCUREMENT_TABLES):
        for each in sorted(table.indexes, key=lambda index: str(index.name)):
            each.create(connection, checkfirst=True)


STEPS: tuple[Callable[[Connection], None], ...] = (
    _first,
    _sales_and_finance,
    _people,
    _stock_and_production,
    _later,
)
"""A step that is released never changes; a table that a later step alters is written out in the step that made it."""


def migrate(engine: Engine) -> None:
    """Bring the tables of a database up to date, once for each engine of this process."""
    if engine in _done:
        return
    with _one:
        if engine in _done:
            return
        with engine.connect() as connection:
            _lock(connection)
            _take(connection)
            connection.commit()
        _done.add(engine)


def _lock(connection: Connection) -> None:
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})


def _take(connection: Connection) -> None:
    if not inspect(connection).has_table(VERSIONS.name):
        VERSIONS.create(connection)
    had = set(connection.scalars(select(VERSIONS.c.version)))
    for version, step in enumerate(STEPS, 1):
        if version not in had:
            step(connection)
            connection.execute(insert(VERSIONS), {"version": version})
