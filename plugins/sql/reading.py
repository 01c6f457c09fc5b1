"""`query.read`: the rows of a SELECT, in the order of cursor and key, streamed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from plugins.sql.connecting import reading
from plugins.sql.discovering import tables_of
from plugins.sql.failures import driver_failures, named_failures
from plugins.sql.statements import problems_of
from plugins.sql.wrapping import Wrapped, partitions_of
from server.sdk import CURSOR_MISSING, Page, Permanent, Source, as_json, code, packed, unpacked
from server.sdk import reading as reading_operation

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence

    from sqlalchemy.engine import Connection, CursorResult

    from plugins.sql.wrapping import Query
    from server.sdk import Context, Dataset, FieldError, Key, ReadRequest, Row

COLUMNS_TWICE = code("COLUMNS_TWICE", "The query gives two columns of the same name; give one of them another by AS.")

OPTIONS: Mapping[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["sql"],
    "properties": {
        "sql": {
            "description": "One SELECT, with `:name` for each parameter. Cursor and page conditions go round it.",
            "type": "string",
            "minLength": 1,
            "maxLength": 100_000,
        },
        "params": {
            "description": "The values of its parameters.",
            "type": "object",
            "maxProperties": 50,
            "propertyNames": {"pattern": "^[A-Za-z][A-Za-z0-9_]*$"},
            "additionalProperties": {"type": ["string", "number", "boolean", "null"]},
        },
    },
}
_ROWS_A_QUERY = 1_000_000
_ROWS_AT_ONCE = 10_000
_FETCHED = 2_000
_KEYS_A_QUERY = 200
_NAIVE = 1114
_AS_THEY_ARE = frozenset(
    {16, 17, 20, 21, 23, 25, 26, 114, 700, 701, 1000, 1005, 1007, 1009, 1015, 1016, 1042, 1043, 1082, 1083, 1184, 1231}
    | {1700, 2950, 3802, 18, 19}
)


class QueryRead(Source):
    """The rows of a query."""

    options_schema = OPTIONS
    operation = reading_operation("query.read", "Read the rows of a SELECT, page by page.", OPTIONS)
    cursors = frozenset({"fields", "none"})
    partitioned = True
    snapshots = True
    fetches = True

    def problems(self, options: Mapping[str, Any]) -> Sequence[FieldError]:
        """Refuse SQL that is not one statement that reads, and parameters that do not fit it."""
        return list(problems_of(dict(options)))

    def read(self, request: ReadRequest, context: Context) -> Generator[Page, None, None]:
        """Stream the rows; a database that would keep writers out meanwhile is asked for ten thousand at a time."""
        nulls, after = _place(request)
        window = request.window
        with reading(context) as connection:
            wrapped = Wrapped(connection, request)
            if window and window.fields and window.missing == "fail" and request.position is None:
                _expect_values(connection, wrapped)
            streams = _streams(connection)
            at_once = _ROWS_A_QUERY if streams else max(_ROWS_AT_ONCE, request.size)
        at_once = at_once if request.order else request.size
        if nulls and window and window.fields and window.missing == "read":
            yield from self._rest(request, context, at_once, after, nulls=True)
            after = None
        yield from self._rest(request, context, at_once, after, nulls=False)

    def _rest(
        self, request: ReadRequest, context: Context, at_once: int, after: Sequence[Any] | None, *, nulls: bool
    ) -> Generator[Page, None, None]:
        """Yield the pages of one part until a query gives less than it might."""
        fields = request.primary_key if nulls else request.order
        while True:
            number = 0
            for rows, is_followed in _run(context, request, at_once, after, nulls=nulls):
                number += len(rows)
                after = [rows[-1][each] for each in fields]
                yield Page(rows, {"nulls": nulls, "after": packed(after)}, followed=is_followed)
            if number < at_once or not fields:
                return

    def partitions(self, request: ReadRequest, number: int, context: Context) -> list[Any]:
        """Cut the rows into parts of one size by the first field of the key."""
        with reading(context) as connection:
            query = Wrapped(connection, request).bounds(number)
            bounds = [row[0] for row in connection.execute(query.clause, query.values)]
        return partitions_of(bounds) or [{"from": None, "to": None}]

    def count(self, request: ReadRequest, context: Context) -> int:
        """Count the rows of the window."""
        with reading(context) as connection:
            query = Wrapped(connection, request).count()
            return int(connection.execute(query.clause, query.values).scalar_one())

    def keys(self, request: ReadRequest, context: Context) -> Iterator[Sequence[Key]]:
        """Yield all keys, a query a page."""
        after: Sequence[Any] | None = None
        while True:
            with reading(context) as connection:
                query = Wrapped(connection, request).keys(request.size, after)
                found = [tuple(row) for row in connection.execute(query.clause, query.values)]
            if found:
                yield found
                after = found[-1]
            if len(found) < request.size:
                return

    def fetch(self, request: ReadRequest, keys: Sequence[Key], context: Context) -> list[Row]:
        """Read single rows."""
        found: list[Row] = []
        with reading(context) as connection:
            wrapped = Wrapped(connection, request)
            for start in range(0, len(keys), _KEYS_A_QUERY):
                query = wrapped.of_keys(keys[start : start + _KEYS_A_QUERY])
                result = connection.execute(query.clause, query.values)
                found += _made(result)(result.all())
        return found

    def discover(self, options: Mapping[str, Any], context: Context) -> Sequence[Dataset]:
        """Return each table as a SELECT of all its columns."""
        with reading(context) as connection:
            return tables_of(connection, options, lambda select, _name, _schema: {"sql": select})


def _place(request: ReadRequest) -> tuple[bool, Sequence[Any] | None]:
    """Return whether the rows without a cursor value are still to be read, and after which values to go on."""
    if request.position is None:
        return True, None
    return bool(request.position["nulls"]), unpacked(request.position["after"])


def _run(
    context: Context, request: ReadRequest, at_once: int, after: Sequence[Any] | None, *, nulls: bool
) -> Iterator[tuple[list[Row], bool]]:
    with reading(context) as connection:
        query = Wrapped(connection, request).page(at_once, after, nulls=nulls)
        if at_once == _ROWS_A_QUERY:
            yield from _streamed(connection, query, request.size)
            return
        result = connection.execute(query.clause, query.values)
        rows = _made(result)(result.all())
    # SQLite's readers keep writers out: nothing is held while the pages are worked on
    for start in range(0, len(rows), request.size):
        yield rows[start : start + request.size], start + request.size < len(rows)


def _streamed(connection: Connection, query: Query, size: int) -> Iterator[tuple[list[Row], bool]]:
    at_once = size * max(1, -(-_FETCHED // size))
    streaming = connection.execution_options(stream_results=True, max_row_buffer=at_once)
    with streaming.execute(query.clause, query.values) as result:
        made = _made(result)
        with named_failures(may_write=False):
            found: Sequence[Any] = result.fetchmany(at_once)
        while found:
            for start in range(0, len(found), size):
                yield made(found[start : start + size]), start + size < len(found)
            # SQLAlchemy has a few rows of its own at first; from now on the driver is asked: nobody needs rows made of its rows
            with named_failures(may_write=False), driver_failures(connection):
                found = result.cursor.fetchmany(at_once) if result.cursor is not None else ()


def _made(result: CursorResult[Any]) -> Callable[[Sequence[Any]], list[Row]]:
    """Return what makes rows of what the cursor gives; it is asked before the first fetch, since the last one closes it."""
    names = list(result.keys())
    if len(set(names)) != len(names):
        raise Permanent("the query gives two columns of the same name", code=COLUMNS_TWICE, source="sql")
    converters = _converters(result)

    def made(found: Sequence[Any]) -> list[Row]:
        rows = [dict(zip(names, row)) for row in found]  # noqa: B905 - as many as there are; to ask costs a third
        for name, convert in converters.items():
            for row in rows:
                value = row[name]
                if value is not None:
                    row[name] = convert(value)
        return rows

    return made


def _converters(result: CursorResult[Any]) -> dict[str, Callable[[Any], Any]]:
    """Return how the values of columns become such as a row may hold; most columns need none."""
    cursor: Any = result.cursor
    name = result.context.dialect.name
    described = (cursor.description if cursor is not None else None) or ()
    if name == "postgresql":
        return {
            each.name: _utc if each.type_code == _NAIVE else as_json
            for each in described
            if each.type_code not in _AS_THEY_ARE
        }
    if name == "sqlite":
        return {}
    return {each[0]: _of_mysql for each in described if each[1] in _MYSQL_MOMENTS}


_MYSQL_MOMENTS = frozenset({7, 11, 12, 16, 245, 255})


def _utc(value: Any) -> Any:
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) and value.tzinfo is None else value


def _of_mysql(value: Any) -> Any:
    return _utc(value) if isinstance(value, datetime) else as_json(value)


def _expect_values(connection: Connection, wrapped: Wrapped) -> None:
    query = wrapped.without_cursor()
    if connection.execute(query.clause, query.values).first() is not None:
        raise Permanent("a row has no value in a cursor field", code=CURSOR_MISSING, source="sql")


def _streams(connection: Connection) -> bool:
    if connection.dialect.name != "sqlite":
        return True
    return str(connection.exec_driver_sql("PRAGMA journal_mode").scalar()) == "wal"
