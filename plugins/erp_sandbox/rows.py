"""Rows of one table, found, locked, added and changed by name. The company of the desk is always meant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, select, text, update

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlalchemy import ColumnElement, Row, Table

    from plugins.erp_sandbox.desk import Desk


def _where(desk: Desk, table: Table, named: Mapping[str, Any]) -> list[ColumnElement[bool]]:
    return [table.c.company == desk.company, *(table.c[name] == value for name, value in named.items())]


def all_of(desk: Desk, table: Table, order: str, *, lock: bool = False, **named: Any) -> Sequence[Row[Any]]:
    """Return the rows with these values, in the order of a column; with `lock` nobody else changes them meanwhile."""
    query = select(table).where(*_where(desk, table, named)).order_by(table.c[order])
    return desk.connection.execute(query.with_for_update() if lock and desk.locks else query).all()


def one(desk: Desk, table: Table, *, lock: bool = False, **named: Any) -> Row[Any] | None:
    """Return the row with these values, if there is one."""
    query = select(table).where(*_where(desk, table, named))
    return desk.connection.execute(query.with_for_update() if lock and desk.locks else query).first()


def those(desk: Desk, table: Table, column: str, values: Iterable[Any]) -> dict[Any, Row[Any]]:
    """Return the rows with one of these values in a column that is unique, by that value."""
    query = select(table).where(table.c.company == desk.company, table.c[column].in_(sorted(set(values))))
    return {row._mapping[column]: row for row in desk.connection.execute(query)}  # noqa: SLF001 - SQLAlchemy's public name


def add(desk: Desk, table: Table, *rows: Mapping[str, Any]) -> None:
    """Add rows."""
    if rows:
        desk.connection.execute(insert(table), [{"company": desk.company, **row} for row in rows])


def change(desk: Desk, table: Table, this: Mapping[str, Any], **values: Any) -> None:
    """Change the rows with the values of `this`."""
    desk.connection.execute(update(table).where(*_where(desk, table, this)).values(**values))


def stand_in_line(desk: Desk, line: int) -> None:
    """Let one transaction of the company at a time go on, until its end; SQLite has one writer anyway."""
    if desk.locks:
        lock = text("SELECT pg_advisory_xact_lock(hashtextextended(:company, :line))")
        desk.connection.execute(lock, {"company": desk.company, "line": line})
