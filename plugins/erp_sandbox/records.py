"""Records of any table as dicts: one found and locked, added, changed, listed page by page, and shown as JSON."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, literal, select, tuple_, update

from plugins.erp_sandbox.tables import CENT, PART, Moment, Money, Quantity
from server.sdk import Permanent

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy import ColumnElement, Table

    from plugins.erp_sandbox.desk import Desk

Record = dict[str, Any]
NOTHING = Decimal("0.0000")
_MOST_VALUES = 500
_PAGE = 50


def cents(value: Any) -> Decimal:
    """Return money with two places, rounded half up."""
    return Decimal(str(value)).quantize(CENT, ROUND_HALF_UP)


def parts(value: Any) -> Decimal:
    """Return a quantity with four places, rounded half up."""
    return Decimal(str(value)).quantize(PART, ROUND_HALF_UP)


def number(value: Decimal) -> int | float:
    """Return a quantity as JSON has it: a whole one as an integer."""
    return int(value) if value == value.to_integral_value() else float(value)


def moment(value: datetime) -> str:
    """Return a moment as RFC 3339 in UTC."""
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def refused(code: str, message: str, **details: Any) -> Permanent:
    """Return the error of something that the ERP does not do."""
    return Permanent(message, code=code, source="erp_sandbox", **details)


def values_of(row: Any) -> Record:
    """Return a row by the names of its columns, as plain texts: SQLAlchemy's are of a kind of their own."""
    return {str(name): value for name, value in row._mapping.items()}  # noqa: SLF001 - SQLAlchemy's public name for it


def shown(table: Table, record: Mapping[str, Any], *without: str) -> Record:
    """Return a record as JSON: money as text, quantities as numbers, moments as RFC 3339; not whose it is."""
    return {
        str(column.name): _plain(column.type, record[column.name])  # SQLAlchemy's names are of a kind of their own
        for column in table.c
        if column.name != "company" and column.name not in without
    }


def _plain(type_: Any, value: Any) -> Any:
    if value is None:
        return None
    if isinstance(type_, Quantity):
        return number(value)
    if isinstance(type_, Money):
        return f"{value:.2f}"
    return moment(value) if isinstance(type_, Moment) else value


def one(desk: Desk, table: Table, *, lock: bool = False, **where: Any) -> Record | None:
    """Return the record with these values; with `lock` nobody else changes it meanwhile."""
    found = many(desk, table, *(table.c[name] == value for name, value in where.items()), lock=lock, most=1)
    return found[0] if found else None


def many(
    desk: Desk,
    table: Table,
    *where: ColumnElement[bool],
    lock: bool = False,
    order: Iterable[ColumnElement[Any]] = (),
    most: int | None = None,
) -> list[Record]:
    """Return records in the order of their keys or in another; all are locked in that order."""
    query = select(table).where(table.c.company == desk.company, *where)
    query = query.order_by(*(tuple(order) or tuple(table.primary_key.columns))).limit(most)
    if lock and desk.locks:
        query = query.with_for_update()
    return [values_of(row) for row in desk.connection.execute(query)]


def by_id(desk: Desk, table: Table, column: str, ids: Iterable[str], *, lock: bool = False) -> dict[str, Record]:
    """Return records by the value of one column, in its order."""
    wanted = sorted(set(ids))
    found: dict[str, Record] = {}
    for start in range(0, len(wanted), _MOST_VALUES):
        part = wanted[start : start + _MOST_VALUES]
        these = many(desk, table, table.c[column].in_(part), lock=lock, order=(table.c[column],))
        found.update((each[column], each) for each in these)
    return found


def stamped(desk: Desk, values: Mapping[str, Any]) -> Record:
    """Return the values of a new record with what every one has: whose it is, its revision, and since when."""
    return {"company": desk.company, **values, "revision": 1, "created_at": desk.now, "updated_at": desk.now}


def add(desk: Desk, table: Table, *records: Mapping[str, Any]) -> None:
    """Insert records that name all their columns."""
    if records:
        desk.connection.execute(insert(table), [dict(each) for each in records])


def change(desk: Desk, table: Table, record: Record, **values: Any) -> Record:
    """Change a record that is locked and return it as it is now; what changes nothing is not written."""
    new = {name: value for name, value in values.items() if record[name] != value}
    if not new:
        return record
    if "revision" in record:
        new |= {"revision": record["revision"] + 1, "updated_at": max(desk.now, record["updated_at"])}
    keys = [column == record[column.name] for column in table.primary_key.columns]
    desk.connection.execute(update(table).where(*keys).values(**new))
    return record | new


def paged(
    desk: Desk,
    table: Table,
    given: Mapping[str, Any],
    *where: ColumnElement[bool],
    by: tuple[str, str],
    newest_first: bool = False,
) -> tuple[list[Record], str | None]:
    """Return a page of records in the order of a moment and an id, and the cursor of the next.

    Raises:
        Permanent: a cursor that no page gave.

    """
    order = [table.c[name] for name in by]
    limit = int(given.get("limit", _PAGE))
    conditions = list(where)
    if "cursor" in given:
        at, columns = tuple_(*_position(given["cursor"], order)), tuple_(*order)
        conditions.append(columns < at if newest_first else columns > at)
    directions = [column.desc() for column in order] if newest_first else order
    found = many(desk, table, *conditions, order=directions, most=limit + 1)
    last = found[limit - 1] if len(found) > limit else None
    return found[:limit], None if last is None else f"{last[by[0]].isoformat()}~{last[by[1]]}"


def _position(cursor: str, order: list[Any]) -> list[Any]:
    at, _, last = cursor.partition("~")
    try:
        since = datetime.fromisoformat(at).astimezone(UTC)
    except ValueError as error:
        raise Permanent("the cursor is none that a page gave", source="erp_sandbox") from error
    return [literal(since, order[0].type), literal(last, order[1].type)]
