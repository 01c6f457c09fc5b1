"""Customers as a source and as a target of sync jobs."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, literal, select, tuple_

from plugins.erp_sandbox.desk import SOURCE
from plugins.erp_sandbox.opening import working
from plugins.erp_sandbox.records import values_of
from plugins.erp_sandbox.sales import customers
from plugins.erp_sandbox.tables import CUSTOMERS
from server.sdk import (
    Batch,
    Dataset,
    Destination,
    Key,
    Page,
    Permanent,
    ReadRequest,
    Row,
    Schema,
    Source,
    Target,
    WriteResult,
    code,
    packed,
    unpacked,
)
from server.sdk.ports import SALES
from server.sdk.ports.sales import CUSTOMER, FIELDS

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence

    from sqlalchemy import ColumnElement, Select

    from plugins.erp_sandbox.desk import Desk
    from server.sdk import Action, Context, CrossdockError

CUSTOMER_INVALID = code("CUSTOMER_INVALID", "A customer's record breaks a rule; `details.errors` names each place.")
CUSTOMER_FIELD = code("CUSTOMER_FIELD", "Customers cannot be ordered or found by this field.")
_ORDERED = ("updated_at", "created_at", "customer_id")


class CustomersRead(Source):
    """Customers in the order of their last change, a page a transaction; a change moves a customer to the end."""

    operation = SALES["customers.search"]
    options_schema = {  # noqa: RUF012 - a constant of the base's making
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "city": {"type": "string", "minLength": 1, "maxLength": 200},
            "state": {"enum": ["active", "archived"]},
        },
    }
    cursors = frozenset({"fields", "none"})
    snapshots = True
    fetches = True

    def read(self, request: ReadRequest, context: Context) -> Generator[Page, None, None]:
        """Yield the customers of the window."""
        order = [_column(each) for each in request.order]
        position = request.position
        while True:
            query = _chosen(select(CUSTOMERS), request).order_by(*order).limit(request.size)
            if position is not None:
                query = query.where(tuple_(*order) > tuple_(*_bound(order, unpacked(position))))
            with working(context) as desk:
                rows = [_row(each) for each in desk.connection.execute(_own(query, desk))]
            if not rows:
                return
            position = packed(rows[-1][each] for each in request.order)
            yield Page(rows, position)
            if len(rows) < request.size:
                return

    def count(self, request: ReadRequest, context: Context) -> int:
        """Count the customers of the window."""
        with working(context) as desk:
            query = _own(_chosen(select(func.count()).select_from(CUSTOMERS), request), desk)
            return int(desk.connection.execute(query).scalar_one())

    def keys(self, request: ReadRequest, context: Context) -> Iterator[Sequence[Key]]:
        """Yield the keys of all customers that fit the options."""
        everything = ReadRequest(options=request.options, primary_key=request.primary_key, size=request.size)
        for page in self.read(everything, context):
            yield [tuple(row[each] for each in request.primary_key) for row in page.rows]

    def fetch(self, request: ReadRequest, keys: Sequence[Key], context: Context) -> Sequence[Row]:
        """Return the customers with these keys."""
        columns = [_column(each) for each in request.primary_key]
        wanted = [tuple_(*_bound(columns, each)) for each in keys]
        with working(context) as desk:
            query = _own(select(CUSTOMERS).where(tuple_(*columns).in_(wanted)), desk)
            return [_row(each) for each in desk.connection.execute(query)]

    def discover(self, options: Mapping[str, Any], context: Context) -> Sequence[Dataset]:  # noqa: ARG002 - there is one
        """Return the one dataset that there is."""
        key, cursor = ("customer_id",), ("updated_at", "created_at")
        return [Dataset(name="customers", options=options, schema=CUSTOMER, primary_key=key, cursor=cursor)]


class CustomersWrite(Target):
    """Customers written in batches: each batch is one transaction, with its events."""

    operation = SALES["customers.upsert"]
    modes = frozenset({"upsert", "insert_only", "update_only"})
    actions = frozenset({"archive"})
    looks_up = looks_up_at_once = True
    snapshots = True
    largest_batch = 2_000

    def write(self, to: Destination, batch: Batch, context: Context) -> WriteResult:
        """Write what fits; what does not is named, and nothing else waits for it."""
        match_on = _match(to)
        failed: dict[int, CrossdockError] = {}
        good: list[int] = []
        for index, record in enumerate(batch.records):
            problems = _record().errors(record)
            if problems:
                said = [{"pointer": each.pointer, "message": each.message} for each in problems]
                message = f"{problems[0].pointer or '/'}: {problems[0].message}"
                failed[index] = Permanent(message, code=CUSTOMER_INVALID, source=SOURCE, errors=said)
            else:
                good.append(index)
        with working(context, writes=True) as desk:
            written = customers.write(desk, [batch.records[index] for index in good], match_on, to.mode)
        failed.update((good[number], error) for number, error in written.failed.items())
        unchanged = [
            index
            for number, index in enumerate(good)
            if written.changes[number] == "none" and number not in written.failed
        ]
        ids: list[str | None] = [None] * len(batch.records)
        for number, index in enumerate(good):
            ids[index] = written.ids[number]
        return WriteResult(unchanged, failed, ids)

    def remove(self, to: Destination, keys: Sequence[Key], action: Action, context: Context) -> WriteResult:
        """Archive the customers with these keys."""
        if action != "archive":
            raise self._cannot(action)
        with working(context, writes=True) as desk:
            found = customers.find(desk, _match(to), (key[0] for key in keys), lock=True)
            rows = [found.get(key[0]) for key in keys]
            done = iter(customers.archive(desk, [row for row in rows if row is not None]))
            changed = [row is not None and next(done)["change"] == "updated" for row in rows]
        return WriteResult(unchanged=[index for index, did in enumerate(changed) if not did])

    def lookup(self, to: Destination, keys: Sequence[Key], context: Context) -> Sequence[Row | None]:
        """Return what can be written of each active customer, money as text."""
        with working(context) as desk:
            found = customers.find(desk, _match(to), (key[0] for key in keys))
        return [_written(found.get(key[0])) for key in keys]

    def keys(self, to: Destination, size: int, context: Context) -> Iterator[Sequence[Key]]:
        """Yield the keys of all active customers that have one, in their order."""
        column = CUSTOMERS.c[_match(to)]
        last = ""
        while True:
            query = select(column).where(CUSTOMERS.c.state == "active", column > last).distinct()
            with working(context) as desk:
                rows = desk.connection.execute(_own(query.order_by(column).limit(size), desk)).all()
            if not rows:
                return
            last = rows[-1][0]
            yield [(row[0],) for row in rows]

    def discover(self, options: Mapping[str, Any], context: Context) -> Sequence[Dataset]:  # noqa: ARG002 - there is one
        """Return the one dataset that there is."""
        schema = self.operation.input_schema
        return [Dataset(name="customers", options=options, schema=schema, primary_key=("external_id",))]


@cache
def _record() -> Schema:
    return Schema(dict(SALES["customers.upsert"].input_schema))


def _match(to: Destination) -> str:
    if len(to.match_on) != 1 or to.match_on[0] not in customers.MATCHES:
        message = f"customers are matched on one of {', '.join(customers.MATCHES)}"
        raise Permanent(message, code=CUSTOMER_FIELD, source=SOURCE)
    return to.match_on[0]


def _column(name: str) -> ColumnElement[Any]:
    if name not in _ORDERED:
        message = f"customers are ordered by {', '.join(_ORDERED)} only"
        raise Permanent(message, code=CUSTOMER_FIELD, source=SOURCE)
    return CUSTOMERS.c[name]


def _bound(columns: Sequence[ColumnElement[Any]], values: Sequence[Any]) -> list[Any]:
    """Return the values typed as their columns, so that moments compare as moments in every database."""
    return [literal(value, column.type) for column, value in zip(columns, values, strict=True)]


def _chosen(query: Select[Any], request: ReadRequest) -> Select[Any]:
    for name, value in request.options.items():
        query = query.where(CUSTOMERS.c[name] == value)
    window = request.window
    for bound, than in (("after", "__gt__"), ("since", "__ge__"), ("until", "__lt__")) if window else ():
        values = getattr(window, bound)
        if window is not None and values is not None:
            columns = [_column(each) for each in window.fields[: len(values)]]
            query = query.where(getattr(tuple_(*columns), than)(tuple_(*_bound(columns, values))))
    return query


def _own(query: Select[Any], desk: Desk) -> Select[Any]:
    return query.where(CUSTOMERS.c.company == desk.company)


def _row(found: Any) -> Row:
    row = values_of(found)
    row.pop("company")
    return row


def _written(found: Any) -> Row | None:
    if found is None or found.state != "active":
        return None
    shown = customers.shown(found)
    return {key: shown[key] for key in FIELDS}
