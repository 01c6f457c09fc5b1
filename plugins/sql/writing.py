"""`table.write`: records into the rows of a table, a batch in one transaction."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from plugins.sql.appending import Appending
from plugins.sql.connecting import reading
from plugins.sql.connecting import writing as writing_transaction
from plugins.sql.discovering import tables_of
from plugins.sql.growing import grown
from plugins.sql.plain_rows import PlainRows
from plugins.sql.reading import QueryRead
from plugins.sql.rows import PostgresRows
from plugins.sql.tables import Table, Tables, quoted
from server.sdk import FieldError, Permanent, ReadRequest, Target, WriteResult, code, writing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy.engine import Connection

    from server.sdk import Action, Batch, Context, CrossdockError, Dataset, Destination, Key, Mode, Row

KEY_EMPTY = code("KEY_EMPTY", "A record has no value in a field of match_on, so nothing can be matched by it.")
NO_ARCHIVE_FIELD = code(
    "NO_ARCHIVE_FIELD", "The target archives by a field: name it as `archive_field`, a truth value or a moment."
)

_NAME = {"type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[^\\x00]+$"}
OPTIONS: Mapping[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["table"],
    "properties": {
        "table": {"description": "The table, without its schema.", **_NAME},
        "schema": {"description": "The schema it is in; else where the database looks first.", **_NAME},
        "add_columns": {
            "description": "A field that the table lacks becomes a column of it, of the type of the values at hand.",
            "type": "boolean",
            "default": False,
        },
        "once": {
            "description": "Append keeps beside the table, in `crossdock_appended`, what the page under way has brought: nothing comes"
            " twice, whatever dies. False goes without.",
            "type": "boolean",
            "default": True,
        },
        "archive_field": {"description": "What archiving sets: a boolean to true, a moment to now.", **_NAME},
    },
}
_MODES: tuple[Mode, ...] = ("append", "insert_only", "update_only", "upsert", "replace")
_WITH_KEY = frozenset({"insert_only", "update_only", "upsert"})


class TableWrite(Target):
    """The rows of a table."""

    options_schema = OPTIONS
    operation = writing("table.write", "Write records as rows of a table.", OPTIONS, _MODES)
    modes = frozenset(_MODES)
    actions = frozenset({"delete", "archive"})
    looks_up = looks_up_at_once = True
    snapshots = True

    def __init__(self) -> None:
        self._tables = Tables()
        self._appending = Appending()

    def problems(self, options: Mapping[str, Any], match_on: Sequence[str], mode: Mode) -> Sequence[FieldError]:
        """Ask for a key where the mode needs one."""
        found = []
        if mode in _WITH_KEY and not match_on:
            found.append(FieldError("/match_on", f"mode {mode} needs the fields that identify a row"))
        if mode == "replace" and options.get("add_columns"):
            found.append(FieldError("/add_columns", "the table is replaced as it is: columns are not added"))
        return found

    def record_schema(self, options: Mapping[str, Any]) -> bool:  # noqa: ARG002 - the sdk's signature
        """Take any record: the table is asked when it is written."""
        return True

    def write(self, to: Destination, batch: Batch, context: Context) -> WriteResult:
        """Write the batch, all or nothing; records of other fields are further statements in the same transaction."""
        failed, groups = _grouped(to, batch.records)
        if not groups:
            return WriteResult(failed=failed)
        written: set[int] = set()
        with writing_transaction(context) as connection:
            table = self._place(connection, to)
            mode: Mode = to.mode
            if mode == "replace":
                mode = "upsert" if to.match_on else "append"
            elif mode in _WITH_KEY:
                table.vet_key(to.match_on)
            lane = self._appending.lane(connection, table, to, batch) if mode == "append" and _once(to) else None
            written |= lane.brought if lane else set()
            rows = _rows_of(connection, table, to)
            for brought, listed in groups.items():
                numbers = [each for each in listed if each not in written] if lane else listed
                records, fields = [batch.records[number] for number in numbers], brought
                if not records:
                    continue
                if to.options.get("add_columns") and to.mode != "replace" and not table.types.keys() >= set(brought):
                    self._tables.forget(connection, to.options)
                    table, fields = grown(connection, to.options, brought, records)
                    rows = _rows_of(connection, table, to)
                table.vet(fields)
                changed = rows.write(mode, fields, records)
                written.update(numbers[each] for each in changed)
            if lane:
                lane.note()
        named = {number for numbers in groups.values() for number in numbers}
        return WriteResult(sorted(named - written), failed)

    def begin(self, to: Destination, context: Context) -> None:
        """Make the table beside, unless it is there."""
        with writing_transaction(context) as connection:
            table = self._tables.of(connection, to.options)
            stage = _stage(connection, table, to)
            run = connection.exec_driver_sql
            if connection.dialect.name == "postgresql":
                run(f"CREATE TABLE IF NOT EXISTS {stage} (LIKE {table.name} INCLUDING DEFAULTS INCLUDING IDENTITY)")
            elif connection.dialect.name == "sqlite":
                run(f"CREATE TABLE IF NOT EXISTS {stage} AS SELECT * FROM {table.name} WHERE 0")
            else:
                run(f"CREATE TABLE IF NOT EXISTS {stage} LIKE {table.name}")
            if to.match_on and connection.dialect.name in {"postgresql", "sqlite"}:
                table.vet(to.match_on)
                columns = ", ".join(quoted(connection, each) for each in to.match_on)
                index = quoted(connection, _stage_name(to) + "_key")
                run(f"CREATE UNIQUE INDEX IF NOT EXISTS {index} ON {_indexed(connection, stage, to)} ({columns})")

    def finish(self, to: Destination, context: Context) -> None:
        """Put the rows beside in the place of the table's, in one transaction: rights, keys and views stay."""
        with writing_transaction(context) as connection:
            table = self._tables.of(connection, to.options)
            stage = _stage(connection, table, to)
            if not _is_there(connection, to):
                return
            columns = ", ".join(quoted(connection, each) for each in table.written)
            system = " OVERRIDING SYSTEM VALUE" if connection.dialect.name == "postgresql" else ""
            connection.exec_driver_sql(f"DELETE FROM {table.name}")
            connection.exec_driver_sql(f"INSERT INTO {table.name} ({columns}){system} SELECT {columns} FROM {stage}")
            if connection.dialect.name not in {"postgresql", "sqlite"}:
                connection.commit()  # MySQL commits before it drops: done twice, the first two are what they were
            connection.exec_driver_sql(f"DROP TABLE {stage}")

    def abandon(self, to: Destination, context: Context) -> None:
        """Drop the table beside."""
        with writing_transaction(context) as connection:
            stage = _stage(connection, self._tables.of(connection, to.options), to)
            connection.exec_driver_sql(f"DROP TABLE IF EXISTS {stage}")

    def remove(self, to: Destination, keys: Sequence[Key], action: Action, context: Context) -> WriteResult:
        """Delete the rows, or set their archive field."""
        with writing_transaction(context) as connection:
            table = self._tables.of(connection, to.options)
            table.vet(to.match_on)
            rows = _rows_of(connection, table, to)
            if action == "delete":
                removed = rows.remove(keys)
            else:
                field = to.options.get("archive_field")
                if field is None:
                    raise Permanent("no archive_field is named", code=NO_ARCHIVE_FIELD, source="sql")
                table.vet([field])
                removed = rows.mark(field, _archived(table.types[field]), keys)
        return WriteResult(sorted(set(range(len(keys))) - removed))

    def lookup(self, to: Destination, keys: Sequence[Key], context: Context) -> list[Row | None]:
        """Read the rows of these keys."""
        with reading(context) as connection:
            table = self._tables.of(connection, to.options)
            table.vet(to.match_on)
            return _rows_of(connection, table, to).lookup(keys)

    def keys(self, to: Destination, size: int, context: Context) -> Iterator[Sequence[Key]]:
        """Yield the keys of all rows."""
        with reading(context) as connection:
            table = self._tables.of(connection, to.options)
            table.vet(to.match_on)
            columns = ", ".join(quoted(connection, each) for each in to.match_on)
        sql = f"SELECT {columns} FROM {table.name}"
        yield from QueryRead().keys(ReadRequest(options={"sql": sql}, primary_key=to.match_on, size=size), context)

    def discover(self, options: Mapping[str, Any], context: Context) -> Sequence[Dataset]:
        """Return each table."""

        def made(_select: str, name: str, schema: str | None) -> dict[str, Any]:
            return {"table": name, **({"schema": schema} if schema else {})}

        with reading(context) as connection:
            return tables_of(connection, options, made)

    def _place(self, connection: Connection, to: Destination) -> Table:
        table = self._tables.of(connection, to.options)
        return replace(table, name=_stage(connection, table, to)) if to.mode == "replace" else table


def _once(to: Destination) -> bool:
    """A call of its own is done once by its own key; here it is about runs, which go on after a crash."""
    return bool(to.run) and to.options.get("once", True)


def _rows_of(connection: Connection, table: Table, to: Destination) -> PostgresRows | PlainRows:
    kind = PostgresRows if connection.dialect.name == "postgresql" else PlainRows
    return kind(connection, table, to.match_on)


def _grouped(
    to: Destination, records: Sequence[Row]
) -> tuple[dict[int, CrossdockError], dict[tuple[str, ...], list[int]]]:
    """Return what fails before it is sent, and the indexes of the records by their fields."""
    if records and _are_alike(records, to.match_on):
        return {}, {tuple(records[0]): list(range(len(records)))}
    failed: dict[int, CrossdockError] = {}
    groups: dict[tuple[str, ...], list[int]] = {}
    for number, record in enumerate(records):
        if any(record.get(each) is None for each in to.match_on):
            failed[number] = Permanent("a field of match_on has no value", code=KEY_EMPTY, source="sql")
            continue
        groups.setdefault(tuple(record), []).append(number)
    return failed, groups


def _are_alike(records: Sequence[Row], match_on: Sequence[str]) -> bool:
    """Say whether all have the same fields, and values in those of match_on: a look at a batch instead of at each."""
    first = records[0].keys()
    return (
        first >= set(match_on)
        and all(each.keys() == first for each in records)
        and not any(None in [record[name] for record in records] for name in match_on)
    )


def _stage_name(to: Destination) -> str:
    text = f"{to.run}/{to.options.get('schema')}/{to.options['table']}"
    return "crossdock_stage_" + hashlib.sha256(text.encode()).hexdigest()[:20]


def _stage(connection: Connection, table: Table, to: Destination) -> str:
    return quoted(connection, _stage_name(to), table.schema)


def _indexed(connection: Connection, stage: str, to: Destination) -> str:
    """SQLite names the schema at the index, not at the table."""
    return quoted(connection, _stage_name(to)) if connection.dialect.name == "sqlite" else stage


def _is_there(connection: Connection, to: Destination) -> bool:
    return connection.dialect.has_table(connection, _stage_name(to), schema=to.options.get("schema"))


def _archived(kind: str) -> str:
    return "true" if kind.lower().startswith(("bool", "tinyint")) else "CURRENT_TIMESTAMP"
