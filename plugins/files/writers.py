"""Records into the bytes of a file: CSV, JSON, JSON lines."""

from __future__ import annotations

import csv
import gzip
import io
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import orjson

from server.sdk import as_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from plugins.files.options import Form
    from server.sdk import Row


def fields_of(records: Iterable[Row]) -> list[str]:
    """Return the names of all fields, in the order in which they first come."""
    return list(dict.fromkeys(name for record in records for name in record))


def write_records(
    file: BinaryIO, form: Form, options: Mapping[str, Any], fields: Sequence[str], records: Iterable[Row]
) -> None:
    """Write all records."""
    writers: dict[str, Callable[[BinaryIO], None]] = {
        "csv": lambda out: _csv(out, options, fields, records),
        "json": lambda out: _json(out, records),
        "jsonl": lambda out: _jsonl(out, records),
    }
    with _packed(file, form) as out:
        writers[form.format](out)


@contextmanager
def _packed(file: BinaryIO, form: Form) -> Iterator[BinaryIO]:
    """Pack where the form says so; without a time in it, so that the same records are the same bytes."""
    if not form.packed:
        yield file
        return
    with gzip.GzipFile(fileobj=file, mode="wb", mtime=0) as out:
        yield cast("BinaryIO", out)


def _csv(out: BinaryIO, options: Mapping[str, Any], fields: Sequence[str], records: Iterable[Row]) -> None:
    text = io.TextIOWrapper(out, options.get("encoding", "utf-8"), newline="")
    writer = csv.writer(
        text, delimiter=options.get("delimiter", ","), quotechar=options.get("quote", '"'), lineterminator="\n"
    )
    if options.get("header", True):
        writer.writerow(fields)
    for record in records:
        writer.writerow([_cell(record.get(name)) for name in fields])
    text.flush()
    text.detach()


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list | tuple):
        return orjson.dumps(as_json(value)).decode()
    return as_json(value)


def _json(out: BinaryIO, records: Iterable[Row]) -> None:
    out.write(b"[")
    for number, record in enumerate(records):
        out.write(b",\n" if number else b"\n")
        out.write(orjson.dumps(as_json(record)))
    out.write(b"\n]\n")


def _jsonl(out: BinaryIO, records: Iterable[Row]) -> None:
    out.writelines(orjson.dumps(as_json(record)) + b"\n" for record in records)
