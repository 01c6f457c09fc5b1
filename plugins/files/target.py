"""`files.write`: records into files that are there whole or not at all.

append   each batch is a file of its own, named by the keys of its records: written again, it is the same file
replace  batches wait in a hidden folder beside the file; `finish` makes the file of them
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, ClassVar

import orjson

from plugins.files.failures import format_missing
from plugins.files.options import TARGET, WRITTEN, Form, form_of
from plugins.files.source import place_of
from plugins.files.writers import fields_of, write_records
from server.sdk import Batch, Destination, Target, WriteResult, as_json, writing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from server.sdk import Context, Files, Mode, Row

_MODES: tuple[Mode, ...] = ("append", "replace")
WRITE = writing("files.write", "Write records into a file: a new part of it, or all of it anew.", TARGET, _MODES)
_LINES = Form("jsonl", packed=False)
_BEGUN = "begun"


class FilesWrite(Target):
    """Writes files under a temporary name and renames them, or as one object."""

    operation = WRITE
    options_schema = TARGET
    modes: ClassVar[frozenset[Mode]] = frozenset(_MODES)

    def record_schema(self, options: Mapping[str, Any]) -> bool:  # noqa: ARG002 - the base's signature
        """Take any record."""
        return True

    def write(self, to: Destination, batch: Batch, context: Context) -> WriteResult:
        """Write a batch as one part."""
        if not batch.records:
            return WriteResult()
        form, path = _form(to), str(to.options["path"])
        mark = hashlib.sha256("\n".join([to.run, *batch.keys]).encode()).hexdigest()[:16]
        with place_of(context) as files:
            if to.mode == "replace":
                _put(files, f"{_waiting(to)}/{mark}.jsonl", _LINES, {}, batch.records)
            else:
                _put(files, _part_of(path, mark), form, to.options, batch.records)
        return WriteResult()

    def begin(self, to: Destination, context: Context) -> None:
        """Note that the run has begun, so that a run without records makes an empty file."""
        _form(to)
        with place_of(context) as files, files.write(f"{_waiting(to)}/{_BEGUN}") as file:
            file.write(b"")

    def finish(self, to: Destination, context: Context) -> None:
        """Make the file of what the run wrote; the note of its beginning goes first, so that it is done once."""
        waiting, form = _waiting(to), _form(to)
        with place_of(context) as files:
            if not files.find(f"{waiting}/{_BEGUN}"):
                return
            parts = [each.path for each in files.find(f"{waiting}/*.jsonl")]
            fields = to.options.get("fields") or fields_of(_records(files, parts)) if form.format == "csv" else ()
            with files.write(to.options["path"]) as file:
                write_records(file, form, to.options, fields, _records(files, parts))
            _clear(files, waiting, parts)

    def abandon(self, to: Destination, context: Context) -> None:
        """Remove what waits."""
        waiting = _waiting(to)
        with place_of(context) as files:
            _clear(files, waiting, [each.path for each in files.find(f"{waiting}/*.jsonl")])


def _form(to: Destination) -> Form:
    path = str(to.options["path"])
    form = form_of(path, to.options)
    if form is None or form.format not in WRITTEN:
        raise format_missing(path, f"its name tells none of {', '.join(WRITTEN)}; say `format`")
    return form


def _put(files: Files, path: str, form: Form, options: Mapping[str, Any], records: Sequence[Row]) -> None:
    fields = options.get("fields") or fields_of(records)
    with files.write(path) as file:
        write_records(file, form, options, fields, records)


def _part_of(path: str, mark: str) -> str:
    """Return the path of a part: its mark before the ending, `orders.csv.gz` becomes `orders-MARK.csv.gz`."""
    folder, slash, name = path.rpartition("/")
    stem, dot, ending = name.partition(".")
    return f"{folder}{slash}{stem}-{mark}{dot}{ending}"


def _waiting(to: Destination) -> str:
    """Return the hidden folder in which the parts of a run wait."""
    folder, slash, name = str(to.options["path"]).rpartition("/")
    run = "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in to.run)
    return f"{folder}{slash}.{name}.{run or 'run'}"


def _records(files: Files, parts: Sequence[str]) -> Iterator[Row]:
    for path in parts:
        with files.open(path) as file:
            for line in file:
                yield as_json(orjson.loads(line))


def _clear(files: Files, waiting: str, parts: Sequence[str]) -> None:
    for path in (f"{waiting}/{_BEGUN}", *parts):
        files.remove(path)
