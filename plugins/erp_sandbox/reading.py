"""Tables of the embedded ERP as sources of sync jobs: in the order of their last change, a page a transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import func, literal, select, tuple_

from plugins.erp_sandbox.desk import SOURCE
from plugins.erp_sandbox.finance.tables import PAYMENTS
from plugins.erp_sandbox.inventory.tables import STOCK
from plugins.erp_sandbox.opening import working
from plugins.erp_sandbox.records import values_of
from plugins.erp_sandbox.sales.tables import ORDERS
from plugins.erp_sandbox.tables import CUSTOMERS
from server.sdk import Dataset, Key, Page, Permanent, ReadRequest, Row, Source, code, packed, unpacked
from server.sdk.ports import FINANCE, INVENTORY, SALES
from server.sdk.ports import ORDERS as ORDERS_PORT

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence

    from sqlalchemy import ColumnElement, Select, Table

    from plugins.erp_sandbox.desk import Desk
    from server.sdk import Context, Operation

ERP_FIELD = code("ERP_FIELD", "Records of the embedded ERP cannot be ordered, found or matched by this field.")


class TableRead(Source):
    """One table of the company. A change moves a record to the end, so that a cursor on `updated_at` meets it again.

    `options` are the columns by which it can be narrowed down, each with its schema; `row` is the schema of a row.
    """

    cursors = frozenset({"fields", "none"})
    snapshots = True
    fetches = True

    def __init__(
        self,
        operation: Operation,
        table: Table,
        key: str,
        options: Mapping[str, Any],
        *ordered: str,
        row: Mapping[str, Any],
    ) -> None:
        self.operation = operation  # type: ignore[misc] # one class serves several tables
        self.options_schema = {  # type: ignore[misc]
            "type": "object",
            "additionalProperties": False,
            "properties": dict(options),
        }
        self.table = table
        self.key = key
        self._ordered = (*ordered, key)
        self._schema = row

    def read(self, request: ReadRequest, context: Context) -> Generator[Page, None, None]:
        """Yield the records of the window."""
        order = [self._column(each) for each in request.order]
        position = request.position
        while True:
            query = self._chosen(select(self.table), request).order_by(*order).limit(request.size)
            if position is not None:
                query = query.where(tuple_(*order) > tuple_(*_bound(order, unpacked(position))))
            with working(context) as desk:
                rows = [_row(each) for each in desk.connection.execute(self._own(query, desk))]
            if not rows:
                return
            position = packed(rows[-1][each] for each in request.order)
            yield Page(rows, position)
            if len(rows) < request.size:
                return

    def count(self, request: ReadRequest, context: Context) -> int:
        """Count the records of the window."""
        with working(context) as desk:
            query = self._own(self._chosen(select(func.count()).select_from(self.table), request), desk)
            return int(desk.connection.execute(query).scalar_one())

    def keys(self, request: ReadRequest, context: Context) -> Iterator[Sequence[Key]]:
        """Yield the keys of all records that fit the options."""
        everything = ReadRequest(options=request.options, primary_key=request.primary_key, size=request.size)
        for page in self.read(everything, context):
            yield [tuple(row[each] for each in request.primary_key) for row in page.rows]

    def fetch(self, request: ReadRequest, keys: Sequence[Key], context: Context) -> Sequence[Row]:
        """Return the records with these keys."""
        columns = [self._column(each) for each in request.primary_key]
        wanted = [tuple_(*_bound(columns, each)) for each in keys]
        with working(context) as desk:
            query = self._own(select(self.table).where(tuple_(*columns).in_(wanted)), desk)
            return [_row(each) for each in desk.connection.execute(query)]

    def discover(self, options: Mapping[str, Any], context: Context) -> Sequence[Dataset]:  # noqa: ARG002 - there is one
        """Return the one dataset that there is."""
        key, cursor = (self.key,), self._ordered[:-1]
        return [Dataset(name=self.table.name, options=options, schema=self._schema, primary_key=key, cursor=cursor)]

    def _column(self, name: str) -> ColumnElement[Any]:
        if name not in self._ordered:
            message = f"{self.table.name} are ordered and found by {', '.join(self._ordered)} only"
            raise Permanent(message, code=ERP_FIELD, source=SOURCE)
        return self.table.c[name]

    def _chosen(self, query: Select[Any], request: ReadRequest) -> Select[Any]:
        for name, value in request.options.items():
            query = query.where(self.table.c[name] == value)
        window = request.window
        for bound, than in (("after", "__gt__"), ("since", "__ge__"), ("until", "__lt__")) if window else ():
            values = getattr(window, bound)
            if window is not None and values is not None:
                columns = [self._column(each) for each in window.fields[: len(values)]]
                query = query.where(getattr(tuple_(*columns), than)(tuple_(*_bound(columns, values))))
        return query

    def _own(self, query: Select[Any], desk: Desk) -> Select[Any]:
        return query.where(self.table.c.company == desk.company)


def _bound(columns: Sequence[ColumnElement[Any]], values: Sequence[Any]) -> list[Any]:
    """Return the values typed as their columns, so that moments compare as moments in every database."""
    return [literal(value, column.type) for column, value in zip(columns, values, strict=True)]


def _row(found: Any) -> Row:
    row = values_of(found)
    row.pop("company")
    return row


def _texts(*names: str) -> dict[str, Any]:
    return {name: {"type": "string", "minLength": 1, "maxLength": 200} for name in names}


def _listed(operation: Operation, name: str) -> Mapping[str, Any]:
    schema: Mapping[str, Any] = operation.output_schema["properties"][name]["items"]
    return schema


_CUSTOMERS, _ORDERS = SALES["customers.search"], ORDERS_PORT["orders.search"]
_PAYMENTS, _STOCK = FINANCE["payments.search"], INVENTORY["inventory.stock_report"]
_CHANGED = ("updated_at", "created_at")
READ = (
    TableRead(
        _CUSTOMERS, CUSTOMERS, "customer_id", _texts("city", "state"), *_CHANGED, row=_listed(_CUSTOMERS, "customers")
    ),
    TableRead(_ORDERS, ORDERS, "order_id", _texts("customer_id", "status"), *_CHANGED, row=_listed(_ORDERS, "orders")),
    TableRead(
        _PAYMENTS,
        PAYMENTS,
        "payment_id",
        _texts("customer_id", "invoice_id", "status"),
        *_CHANGED,
        row=_listed(_PAYMENTS, "payments"),
    ),
    TableRead(_STOCK, STOCK, "product_id", {}, "updated_at", row=_listed(_STOCK, "products")),
)
"""What sync jobs can read."""
