"""The statement of a definition with conditions, order and limit round it: values are bound, names are quoted."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from plugins.sql.moments import Style, style_of
from plugins.sql.statements import Statement, statement_of
from server.sdk import packed, unpacked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import TextClause
    from sqlalchemy.engine import Connection

    from server.sdk import ReadRequest, Window


@dataclass(frozen=True, slots=True)
class Query:
    """One statement to run."""

    clause: TextClause
    values: dict[str, Any]


class Wrapped:
    """A reading of a definition's statement; makes queries for parts of it."""

    def __init__(self, connection: Connection, request: ReadRequest) -> None:
        self._connection = connection
        self._request = request
        self._statement: Statement = statement_of(request.options["sql"])
        self._params = dict(request.options.get("params", {}))
        self._styles: dict[str, Style] = {}

    def page(self, limit: int, after: Sequence[Any] | None, *, nulls: bool = False) -> Query:
        """Return the query of the rows of the window after the given values of `request.order`.

        With `nulls` it gives the rows without a cursor value instead, in the order of the key.
        """
        window = self._request.window
        fields = self._request.primary_key if nulls else self._request.order
        made = _Conditions(self)
        if window is not None and window.fields:
            made.window(window, nulls=nulls)
        made.partition(self._request)
        if after is not None:
            made.compare(fields, ">", after)
        order = f" ORDER BY {', '.join(map(self.column, fields))}" if fields else ""
        return self._query("q.*", made, f"{order} LIMIT :_limit", {"_limit": limit})

    def count(self) -> Query:
        """Return the query of how many rows the window has."""
        made = _Conditions(self)
        if self._request.window is not None and self._request.window.fields:
            made.window(self._request.window, nulls=False)
        made.partition(self._request)
        return self._query("count(*)", made)

    def without_cursor(self) -> Query:
        """Return the query that finds one row without a cursor value, if there is one."""
        made = _Conditions(self)
        made.nulls(self._request.window.fields if self._request.window else ())
        made.partition(self._request)
        return self._query("1", made, " LIMIT 1")

    def keys(self, limit: int, after: Sequence[Any] | None) -> Query:
        """Return the query of a page of primary keys, whatever the window."""
        fields = self._request.primary_key
        made = _Conditions(self)
        if after is not None:
            made.compare(fields, ">", after)
        columns = ", ".join(map(self.column, fields))
        return self._query(columns, made, f" ORDER BY {columns} LIMIT :_limit", {"_limit": limit})

    def of_keys(self, keys: Sequence[Sequence[Any]]) -> Query:
        """Return the query of the rows with these primary keys."""
        made = _Conditions(self)
        made.one_of(self._request.primary_key, keys)
        return self._query("q.*", made)

    def bounds(self, number: int) -> Query:
        """Return the query of where each of `number` parts of all rows begins, by the first field of the key."""
        key = self.column(self._request.primary_key[0])
        inner = self._query(f"{key} AS k, ntile(:_parts) OVER (ORDER BY {key}) AS part", _Conditions(self), "", {})
        sql = f"SELECT min(b.k) FROM ({inner.clause.text}) AS b GROUP BY b.part ORDER BY b.part"
        return Query(text(sql), {**inner.values, "_parts": number})

    def sample(self, field: str) -> Query:
        """Return the query of one value of a field."""
        return self._query(self.column(field), _Conditions(self), f" WHERE {self.column(field)} IS NOT NULL LIMIT 1")

    def column(self, field: str) -> str:
        """Return a field's name for SQL; it never comes from data."""
        # with its table's name, since SQLite takes a quoted name that it does not know for a text
        quoted = str(self._connection.dialect.identifier_preparer.quote_identifier(field))
        return f"q.{quoted}".replace(":", "\\:")

    def bound(self, field: str, value: Any) -> Any:
        """Return a value as the database compares it with the field."""
        kind = self._connection.dialect.name
        if kind in {"mysql", "mariadb"} and isinstance(value, datetime) and value.tzinfo is not None:
            return value.astimezone(UTC).replace(tzinfo=None)  # its driver leaves the zone out
        if kind != "sqlite" or not isinstance(value, datetime | Decimal):
            return value
        if isinstance(value, Decimal):
            return int(value) if value == value.to_integral_value() else float(value)
        if field not in self._styles:
            query = self.sample(field)
            row = self._connection.execute(query.clause, query.values).first()
            self._styles[field] = style_of(row[0] if row else None)
        return self._styles[field].written(value)

    def _query(self, what: str, made: _Conditions, tail: str = "", more: dict[str, Any] | None = None) -> Query:
        where = f" WHERE {' AND '.join(made.parts)}" if made.parts else ""
        sql = f"SELECT {what} FROM ({self._statement.text}) AS q{where}{tail}"
        return Query(text(sql), {**self._params, **made.values, **(more or {})})


class _Conditions:
    """Conditions that are joined by AND, and the values bound in them."""

    def __init__(self, wrapped: Wrapped) -> None:
        self._wrapped = wrapped
        self.parts: list[str] = []
        self.values: dict[str, Any] = {}

    def compare(self, fields: Sequence[str], sign: str, values: Sequence[Any]) -> None:
        """Compare the first fields with as many values, as a row."""
        names = [self._bind(field, value) for field, value in zip(fields, values, strict=False)]
        columns = [self._wrapped.column(field) for field in fields[: len(names)]]
        if len(names) == 1:
            self.parts.append(f"{columns[0]} {sign} {names[0]}")
        elif names:
            self.parts.append(f"({', '.join(columns)}) {sign} ({', '.join(names)})")

    def window(self, window: Window, *, nulls: bool) -> None:
        """Bound the cursor fields."""
        if nulls:
            self.nulls(window.fields)
            return
        self.parts += [f"{self._wrapped.column(each)} IS NOT NULL" for each in window.fields]
        for sign, values in ((">", window.after), (">=", window.since), ("<", window.until)):
            if values is not None:
                self.compare(window.fields, sign, values)

    def nulls(self, fields: Sequence[str]) -> None:
        """Ask for rows without a value in one of the fields."""
        self.parts.append(f"({' OR '.join(f'{self._wrapped.column(each)} IS NULL' for each in fields)})")

    def partition(self, request: ReadRequest) -> None:
        """Bound the first field of the key to a partition that `partitions` made."""
        if request.partition is None:
            return
        key = request.primary_key[:1]
        for sign, values in ((">=", request.partition["from"]), ("<", request.partition["to"])):
            if values is not None:
                self.compare(key, sign, unpacked(values))

    def one_of(self, fields: Sequence[str], keys: Sequence[Sequence[Any]]) -> None:
        """Ask for rows whose fields have one of these tuples of values."""
        columns = [self._wrapped.column(each) for each in fields]
        either = []
        for key in keys:
            pairs = zip(columns, fields, key, strict=True)
            either.append(" AND ".join(f"{column} = {self._bind(field, value)}" for column, field, value in pairs))
        self.parts.append(f"({' OR '.join(f'({each})' for each in either) or '1 = 0'})")

    def _bind(self, field: str, value: Any) -> str:
        name = f"_v{len(self.values)}"
        self.values[name] = self._wrapped.bound(field, value)
        return f":{name}"


def partitions_of(bounds: Sequence[Any]) -> list[dict[str, Any]]:
    """Return the partitions that begin at these values: the first from the very beginning, the last to the end."""
    starts = [packed([each]) for each in dict.fromkeys(bounds)][1:]
    ends: list[Any] = [*starts, None]
    return [{"from": start, "to": end} for start, end in zip([None, *starts], ends, strict=True)]
