"""Rows into a table of SQLite, MySQL and MariaDB: one statement, executed for many rows."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING, Any

import orjson

from server.sdk import as_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.engine import Connection

    from plugins.sql.tables import Table
    from server.sdk import Key, Mode, Row

_PLAIN = frozenset({int, float, str, bytes, type(None)})


class PlainRows:
    """Writes to one table through one connection."""

    def __init__(self, connection: Connection, table: Table, match_on: tuple[str, ...]) -> None:
        self._connection = connection
        self._table = table
        self._match_on = match_on
        self._sqlite = connection.dialect.name == "sqlite"
        self._mark = "?" if self._sqlite else "%s"

    def write(self, mode: Mode, fields: tuple[str, ...], records: Sequence[Row]) -> set[int]:
        """Write records of the same fields; return the indexes of those that were written."""
        chosen = list(range(len(records)))
        if mode in {"insert_only", "update_only"}:
            wanted = mode == "update_only"
            chosen = [number for number in chosen if self._is_there(self._key(records[number])) is wanted]
        sql, order = self._sql(mode, fields)
        rows = [
            tuple([value if type(value := records[number][each]) in _PLAIN else self._bound(value) for each in order])
            for number in chosen
        ]
        if rows and sql:
            self._connection.exec_driver_sql(sql, rows)
        return set(chosen)

    def remove(self, keys: Sequence[Key]) -> set[int]:
        """Delete by key; return the indexes of those that were there."""
        sql = f"DELETE FROM {self._table.name} WHERE {self._same()}"
        return {number for number, key in enumerate(keys) if self._run(sql, key).rowcount}

    def mark(self, field: str, value: str, keys: Sequence[Key]) -> set[int]:
        """Set a field to an SQL value where it is not set yet; return the indexes of those that were there."""
        name = self._name(field)
        unset = f"({name} IS NULL OR {name} <> {value})" if value == "true" else f"{name} IS NULL"
        sql = f"UPDATE {self._table.name} SET {name} = {value} WHERE {self._same()} AND {unset}"
        return {number for number, key in enumerate(keys) if self._run(sql, key).rowcount}

    def lookup(self, keys: Sequence[Key]) -> list[Row | None]:
        """Return the row of each key."""
        sql = f"SELECT * FROM {self._table.name} WHERE {self._same()}"
        found: list[Row | None] = []
        for key in keys:
            row = self._run(sql, key).mappings().first()
            found.append(dict(row) if row is not None else None)
        return found

    def _is_there(self, key: Key) -> bool:
        return self._run(f"SELECT 1 FROM {self._table.name} WHERE {self._same()}", key).first() is not None

    def _run(self, sql: str, key: Key) -> Any:
        return self._connection.exec_driver_sql(sql, tuple(map(self._bound, key)))

    def _key(self, record: Row) -> Key:
        return tuple(record[each] for each in self._match_on)

    def _sql(self, mode: Mode, fields: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
        """Return the statement and the fields in the order of its marks; empty where there is nothing to set."""
        names = ", ".join(map(self._name, fields))
        marks = ", ".join([self._mark] * len(fields))
        insert = f"INSERT INTO {self._table.name} ({names}) VALUES ({marks})"
        others = tuple(each for each in fields if each not in self._match_on)
        if mode == "append":
            return insert, fields
        if mode == "update_only":
            sets = ", ".join(f"{self._name(each)} = {self._mark}" for each in others)
            sql = f"UPDATE {self._table.name} SET {sets} WHERE {self._same()}" if others else ""
            return sql, (*others, *self._match_on)
        changed = others if mode == "upsert" else ()
        if self._sqlite:
            key = ", ".join(map(self._name, self._match_on))
            sets = ", ".join(f"{self._name(each)} = excluded.{self._name(each)}" for each in changed)
            return f"{insert} ON CONFLICT ({key}) DO {f'UPDATE SET {sets}' if sets else 'NOTHING'}", fields
        changed = changed or self._match_on[:1]
        sets = ", ".join(f"{self._name(each)} = VALUES({self._name(each)})" for each in changed)
        return f"{insert} ON DUPLICATE KEY UPDATE {sets}", fields

    def _same(self) -> str:
        return " AND ".join(f"{self._name(each)} = {self._mark}" for each in self._match_on)

    def _name(self, field: str) -> str:
        quoted = str(self._connection.dialect.identifier_preparer.quote_identifier(field))
        return quoted if self._sqlite else quoted.replace("%", "%%").replace("%%%%", "%%")

    def _bound(self, value: Any) -> Any:
        """Return the value as the driver takes it: moments in UTC, what has no type there as text."""
        if type(value) in _PLAIN:
            return value
        if isinstance(value, bool):
            return int(value)
        if isinstance(value, datetime):
            aware = value.astimezone(UTC) if value.tzinfo else value
            return aware.isoformat() if self._sqlite else aware.replace(tzinfo=None)
        if isinstance(value, date | time) and not self._sqlite:
            return value
        if isinstance(value, dict | list):
            return orjson.dumps(value, default=as_json).decode()
        return bytes(value) if isinstance(value, memoryview) else str(value)
