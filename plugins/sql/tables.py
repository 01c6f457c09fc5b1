"""What a table is: its columns and what identifies a row. Asked of the database and kept for a minute."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import inspect
from sqlalchemy.exc import NoSuchTableError

from server.sdk import Permanent, code

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.engine import Connection, Engine

TABLE_MISSING = code("TABLE_MISSING", "The database has no table of that name, or does not show it to us.")
FIELD_UNKNOWN = code("FIELD_UNKNOWN", "The table has no such column; `details.fields` names them.")
KEY_MISSING = code("KEY_MISSING", "No unique key of the table is over just the fields of match_on.")

_KEPT_SECONDS = 60.0
_KEPT = 256
_FORMATTED = """
SELECT a.attname, format_type(a.atttypid, a.atttypmod), a.attgenerated
FROM pg_attribute a WHERE a.attrelid = to_regclass(%s) AND a.attnum > 0 AND NOT a.attisdropped
"""


@dataclass(frozen=True, slots=True)
class Table:
    """A table: `name` quoted for SQL; `types` by column, as the database writes them; `keys` the unique ones."""

    name: str
    schema: str | None
    plain: str
    types: Mapping[str, str]
    keys: frozenset[frozenset[str]]
    primary_key: tuple[str, ...]
    written: tuple[str, ...]
    """The columns that can be written: not those that the database computes."""

    def vet(self, fields: Sequence[str]) -> None:
        """Pass when every field is a column.

        Raises:
            Permanent: FIELD_UNKNOWN.

        """
        unknown = [each for each in fields if each not in self.types]
        if unknown:
            message = f"the table {self.plain} has no column {', '.join(unknown[:5])}"
            raise Permanent(message, code=FIELD_UNKNOWN, source="sql", fields=unknown[:20])

    def vet_key(self, match_on: Sequence[str]) -> None:
        """Pass when a unique key is over just these fields.

        Raises:
            Permanent: FIELD_UNKNOWN, KEY_MISSING.

        """
        self.vet(match_on)
        if frozenset(match_on) not in self.keys:
            message = f"the table {self.plain} has no unique key over {', '.join(match_on) or 'nothing'}"
            raise Permanent(message, code=KEY_MISSING, source="sql")


class Tables:
    """The tables that one process knows of; the 256 asked for last."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[int, str | None, str], tuple[float, Table, Engine]] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, connection: Connection, options: Mapping[str, Any]) -> Table:
        """Return the table that the options name.

        Raises:
            Permanent: TABLE_MISSING.

        """
        key = (id(connection.engine), options.get("schema"), options["table"])
        known = self._known.get(key)
        # the engine is kept with it, so that no other engine can get the same id meanwhile
        if known is not None and known[0] > time.monotonic() and known[2] is connection.engine:
            return known[1]
        table = read_table(connection, options["table"], options.get("schema"))
        with self._lock:
            self._known[key] = (time.monotonic() + _KEPT_SECONDS, table, connection.engine)
            while len(self._known) > _KEPT:
                self._known.popitem(last=False)
        return table

    def forget(self, connection: Connection, options: Mapping[str, Any]) -> None:
        """Ask the database again next time."""
        with self._lock:
            self._known.pop((id(connection.engine), options.get("schema"), options["table"]), None)


def read_table(connection: Connection, plain: str, schema: str | None) -> Table:
    """Ask the database for a table's columns and keys."""
    ask = inspect(connection)
    try:
        columns = ask.get_columns(plain, schema)
        primary = tuple(ask.get_pk_constraint(plain, schema).get("constrained_columns") or ())
        unique = [tuple(each["column_names"]) for each in ask.get_unique_constraints(plain, schema)]
        indexes = [each for each in ask.get_indexes(plain, schema) if each.get("unique") and _is_whole(each)]
    except NoSuchTableError as error:
        raise Permanent(f"there is no table {plain[:100]}", code=TABLE_MISSING, source="sql") from error
    name = quoted(connection, plain, schema)
    types = {each["name"]: str(each["type"]) for each in columns}
    generated = {each["name"] for each in columns if each.get("computed")}
    if connection.dialect.name == "postgresql":
        rows = connection.exec_driver_sql(_FORMATTED, (name,)).all()
        types = {row[0]: row[1] for row in rows}
        generated = {row[0] for row in rows if row[2] not in ("", b"")}
    keys = {
        frozenset(map(str, each)) for each in (primary, *unique, *(each["column_names"] for each in indexes)) if each
    }
    written = tuple(each for each in types if each not in generated)
    return Table(name, schema, plain, types, frozenset(keys), primary, written)


def quoted(connection: Connection, name: str, schema: str | None = None) -> str:
    """Return a name in quotation marks, whatever it holds."""
    quote = connection.dialect.identifier_preparer.quote_identifier
    return f"{quote(schema)}.{quote(name)}" if schema else str(quote(name))


def _is_whole(index: Mapping[str, Any]) -> bool:
    """Say whether the index is over columns alone, and all rows."""
    partial = any(key.endswith("_where") for key in index.get("dialect_options", {}))
    return not partial and not index.get("expressions") and None not in index["column_names"]
