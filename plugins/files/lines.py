"""CSV and JSON lines: read line by line, and gone on with at a byte, so that a stop costs nothing."""

from __future__ import annotations

import csv
import json
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any, BinaryIO

import orjson

from plugins.files.failures import broken_row, file_broken

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from server.sdk import Row

LONGEST_LINE = 16 * 1024 * 1024
_BOM = b"\xef\xbb\xbf"
_LONG_NUMBER = re.compile(rb"[0-9.]{16}")
_SHOWN = 20
_WIDE = ("utf-16", "utf16", "utf-32", "utf32")


class Lines:
    """The lines of a file from a byte on; `offset` and `line` tell where the next begins."""

    def __init__(self, path: str, offset: int, line: int) -> None:
        self.path, self.offset, self.line = path, offset, line

    def of(self, file: BinaryIO) -> Iterator[bytes]:
        """Yield lines, the end of each included.

        Raises:
            Permanent: FILE_BROKEN: one is longer than 16 MiB.

        """
        while raw := file.readline(LONGEST_LINE):
            if len(raw) == LONGEST_LINE and not raw.endswith(b"\n"):
                raise file_broken(self.path, f"line {self.line + 1} is longer than is read")
            self.line += 1
            first, self.offset = self.offset == 0, self.offset + len(raw)
            yield raw.removeprefix(_BOM) if first else raw


class CsvRows:
    """The rows of a CSV file. A row of the wrong length is handed out as broken; the rest is read on."""

    def __init__(
        self, path: str, opened: Callable[[int], BinaryIO], options: Mapping[str, Any], place: Mapping[str, Any]
    ) -> None:
        """`opened` opens the file at a byte; `place` is what `place()` returned."""
        self._path, self._opened, self._options = path, opened, options
        self._encoding = options.get("encoding", "utf-8")
        if self._encoding.lower().startswith(_WIDE):
            raise file_broken(path, f"{self._encoding} is not read; convert it to utf-8")
        self._nulls = frozenset(options.get("null", ()))
        self._lines = Lines(path, place.get("offset", 0), place.get("line", 0))
        self._undecoded = 0

    def place(self) -> dict[str, int]:
        """Return where the next row begins."""
        return {"offset": self._lines.offset, "line": self._lines.line}

    def __iter__(self) -> Iterator[Row]:
        names = list(self._options.get("fields", ()))
        if self._lines.offset:
            names = names or self._header()
            with self._opened(self._lines.offset) as file:
                yield from self._rows(self._reader(file, self._lines), names)
            return
        with self._opened(0) as file:
            reader = self._reader(file, self._lines)
            yield from self._rows(reader, self._names(reader, names))

    def _header(self) -> list[str]:
        with self._opened(0) as file:
            return self._names(self._reader(file, Lines(self._path, 0, 0)), [])

    def _names(self, reader: Iterator[list[str]], names: list[str]) -> list[str]:
        """Skip what stands before the rows and return the names of the fields."""
        try:
            for _ in range(self._options.get("skip", 0)):
                next(reader, None)
            found = next(reader, None) if self._options.get("header", True) else None
        except csv.Error as error:
            raise file_broken(self._path, f"its header cannot be read: {error}") from error
        names = names or found or []
        twice = {each for each in names if names.count(each) > 1} if len(set(names)) < len(names) else None
        if twice:
            raise file_broken(self._path, f"its header names {min(twice)[:100]!r} twice")
        return names

    def _reader(self, file: BinaryIO, lines: Lines) -> Iterator[list[str]]:
        options = self._options
        return csv.reader(
            self._text(file, lines),
            delimiter=options.get("delimiter", "\t" if self._path.lower().endswith((".tsv", ".tsv.gz")) else ","),
            quotechar=options.get("quote", '"'),
            escapechar=options.get("escape"),
            doublequote="escape" not in options,
            strict=True,
        )

    def _text(self, file: BinaryIO, lines: Lines) -> Iterator[str]:
        encoding = self._encoding
        try:
            for raw in lines.of(file):
                try:
                    yield raw.decode(encoding)
                except UnicodeDecodeError:
                    self._undecoded = lines.line
                    yield raw.decode(encoding, "replace")
        except LookupError as error:
            raise file_broken(self._path, f"there is no encoding {encoding}") from error

    def _rows(self, reader: Iterator[list[str]], names: list[str]) -> Iterator[Row]:
        width, nulls, lines = len(names), self._nulls, self._lines
        while True:
            began = lines.line + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield broken_row(f"line {began}: {error}", None)
                continue
            if not names:  # there is no header and no list of names: the first row says how many there are
                names = [f"column_{place}" for place in range(1, len(cells) + 1)]
                width = len(names)
            if len(cells) == width and not self._undecoded:
                row: Row = dict(zip(names, cells, strict=True))
                if nulls:
                    row = {name: None if value in nulls else value for name, value in row.items()}
                yield row
            elif cells:
                yield self._broken(began, cells, width)

    def _broken(self, line: int, cells: list[str], width: int) -> Row:
        reason = f"line {line} has {len(cells)} fields where {width} are due"
        if self._undecoded:
            reason, self._undecoded = f"line {self._undecoded} is not {self._encoding}", 0
        return broken_row(reason, cells[:_SHOWN])


class JsonLines:
    """The rows of a file with a JSON object a line."""

    def __init__(
        self,
        path: str,
        opened: Callable[[int], BinaryIO],
        options: Mapping[str, Any],  # noqa: ARG002 - as the others are made
        place: Mapping[str, Any],
    ) -> None:
        self._opened = opened
        self._lines = Lines(path, place.get("offset", 0), place.get("line", 0))

    def place(self) -> dict[str, int]:
        """Return where the next row begins."""
        return {"offset": self._lines.offset, "line": self._lines.line}

    def __iter__(self) -> Iterator[Row]:
        with self._opened(self._lines.offset) as file:
            for raw in self._lines.of(file):
                if not raw.isspace():
                    yield self._row(raw)

    def _row(self, raw: bytes) -> Row:
        try:
            found = orjson.loads(raw) if _LONG_NUMBER.search(raw) is None else json.loads(raw, parse_float=Decimal)
        except (ValueError, RecursionError):
            return broken_row(f"line {self._lines.line} is no JSON", raw[:500].decode("utf-8", "replace"))
        if not isinstance(found, dict):
            return broken_row(f"line {self._lines.line} is no object", raw[:500].decode("utf-8", "replace"))
        return found
