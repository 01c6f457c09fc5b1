"""A desk is opened on the database of a call, its tables made, and closed well or not at all."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from plugins.erp_sandbox.desk import Desk, named_failures
from plugins.erp_sandbox.migrating import migrate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Engine

    from server.sdk import Context


MAIN = "main"
"""The company where none is named."""


def company_of(context: Context) -> str:
    """Return whose rows they are: no workspace sees another's."""
    tenant = context.tenant
    return f"{tenant.organization}/{tenant.workspace}/{context.config.get('company', MAIN)}"


def engine_of(context: Context) -> Engine:
    """Return the database, its tables made."""
    url = context.config.get("url")
    engine = context.store() if url is None else context.sql(url)
    migrate(engine)
    return engine


@contextmanager
def working(context: Context, *, writes: bool = False) -> Iterator[Desk]:
    """Open a desk; it is closed when the block ends well, and leaves nothing behind otherwise."""
    with named_failures(), engine_of(context).connect() as connection:
        if writes and connection.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        key = context.idempotency_key
        desk = Desk(connection, company_of(context), context.clock.now(), context.correlation_id, key)
        yield desk
        desk.close()
