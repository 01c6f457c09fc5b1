"""`files.read`: the rows of files, the longest unchanged file first, from wherever a run left off."""

from __future__ import annotations

import gzip
import io
import zlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from plugins.files.documents import JsonRows, XmlRows
from plugins.files.failures import file_broken, format_missing, too_large
from plugins.files.lines import CsvRows, JsonLines
from plugins.files.options import SOURCE, form_of, seconds
from plugins.files.sheets import ParquetRows, XlsxRows
from server.sdk import Dataset, Page, ReadRequest, Source, dataset_of, reading

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence

    from server.sdk import Context, FileInfo, Files, Key, Row

READ = reading("files.read", "Read the rows of files that match a pattern, the longest unchanged file first.", SOURCE)
LARGEST_UNPACKED = 64 * 1024**3
_DOCUMENTS: dict[str, Any] = {"json": JsonRows, "xml": XmlRows, "xlsx": XlsxRows, "parquet": ParquetRows}
_LINES = {"csv": CsvRows, "jsonl": JsonLines}
_SAMPLE = 200
_BLOCK = 1024**2
_SAME_MOMENT = 10_000
_MOST_SHOWN = 1_000


class FilesRead(Source):
    """Reads files one after another. The token of a run is the moment of the last file read: the next reads newer ones."""

    operation = READ
    options_schema = SOURCE
    cursors = frozenset({"token", "none"})
    snapshots = True

    def read(self, request: ReadRequest, context: Context) -> Generator[Page, None, None]:
        """Yield pages; see `Source.read`.

        Raises:
            Permanent: FILE_BROKEN, DATA_FILE_TOO_LARGE, FORMAT_MISSING, and what the place raises.

        """
        with place_of(context) as files:
            seen = Seen.read(request.token)
            place = dict(request.position or {})
            if "seen" in place:
                seen = Seen.read(place["seen"])
            for each in _due(files, request, seen, context.clock.now()):
                row = place if _is(each, place) else {}
                yield from _file(files, each, request, row, seen)

    def keys(self, request: ReadRequest, context: Context) -> Iterator[Sequence[Key]]:
        """Read everything and keep the keys."""
        whole = ReadRequest(options=request.options, primary_key=request.primary_key, size=request.size)
        for page in self.read(whole, context):
            if page.rows:
                yield [tuple(row.get(name) for name in request.primary_key) for row in page.rows]

    def discover(self, options: Mapping[str, Any], context: Context) -> Sequence[Dataset]:
        """Return the files that can be read; with a `path`, what the rows of the newest that it matches look like."""
        with place_of(context) as files:
            if "path" not in options:
                known = [each.path for each in files.find("**/*") if form_of(each.path, {})]
                return [
                    Dataset(name=path, options={"path": path}, schema={"type": "object"})
                    for path in known[:_MOST_SHOWN]
                ]
            found = files.find(options["path"])
            if not found:
                return []
            rows = list(islice(_rows_of(files, found[-1].path, options, {}), _SAMPLE))
        return [dataset_of(options["path"].rpartition("/")[2], options, rows)]


@dataclass(slots=True)
class Seen:
    """What was read whole: every file until a moment, and of those changed at that very moment, these."""

    moment: datetime | None = None
    paths: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, token: Any) -> Seen:
        """Return what a token says."""
        return cls(datetime.fromisoformat(token["moment"]), list(token["paths"])) if token else cls()

    def holds(self, file: FileInfo) -> bool:
        """Say whether a file was read, as it is now."""
        if self.moment is None or file.modified > self.moment:
            return False
        return file.modified < self.moment or file.path in self.paths

    def add(self, file: FileInfo) -> None:
        """Note that a file was read whole."""
        same = self.paths if file.modified == self.moment else []
        self.moment, self.paths = file.modified, [*same, file.path][-_SAME_MOMENT:]

    def as_json(self) -> Any:
        return {"moment": self.moment.isoformat(), "paths": self.paths} if self.moment else None


def place_of(context: Context) -> Files:
    """Open the place of the context's integration."""
    config = context.config
    return context.files(config["url"], {name: value for name, value in config.items() if name != "url"})


def _due(files: Files, request: ReadRequest, seen: Seen, now: datetime) -> Iterable[FileInfo]:
    options = request.options
    latest = now - timedelta(seconds=seconds(options.get("settle", "2s")))
    since = datetime.fromisoformat(options["modified_since"]) if "modified_since" in options else None
    if since is not None and since.tzinfo is None:
        since = since.replace(tzinfo=UTC)
    for each in files.find(options["path"]):
        if not seen.holds(each) and each.modified <= latest and (since is None or each.modified >= since):
            yield each


def _is(file: FileInfo, place: Mapping[str, Any]) -> bool:
    """Say whether a position lies in this file, as it still is."""
    return (file.path, file.size, file.modified.isoformat()) == tuple(
        place.get(name) for name in ("path", "size", "at")
    )


def _file(
    files: Files, file: FileInfo, request: ReadRequest, place: Mapping[str, Any], seen: Seen
) -> Generator[Page, None, None]:
    """Yield the pages of one file, and tell by the last one's position that it was read."""
    number = place.get("row", 0)
    rows = _rows_of(files, file.path, request.options, place)
    iterator = iter(rows)
    here = {"path": file.path, "size": file.size, "at": file.modified.isoformat()}
    before, marked = seen.as_json(), request.options.get("with_place", False)
    held, after = list(islice(iterator, request.size)), _place(rows)
    while held:
        following, later = list(islice(iterator, request.size)), _place(rows)
        if marked:
            held = [_marked(row, file, number + place_in) for place_in, row in enumerate(held, 1)]
        number += len(held)
        if not following:
            break
        yield Page(held, {**here, **after, "row": number, "seen": before}, before)
        held, after = following, later
    seen.add(file)
    yield Page(held, {"seen": seen.as_json()}, seen.as_json())


def _place(rows: Any) -> dict[str, int]:
    return rows.place() if isinstance(rows, CsvRows | JsonLines) else {}


def _marked(row: Row, file: FileInfo, number: int) -> Row:
    return {**row, "_file": file.path, "_row": number, "_modified": file.modified}


def _rows_of(files: Files, path: str, options: Mapping[str, Any], place: Mapping[str, Any]) -> Any:
    form = form_of(path, options)
    if form is None:
        raise format_missing(path, "its name does not tell its format; say `format`")

    def opened(offset: int) -> BinaryIO:
        return _unpacked(path, files.open(path), offset) if form.packed else files.open(path, offset)

    if form.format in _LINES:
        return _LINES[form.format](path, opened, options, place)
    return islice(_DOCUMENTS[form.format](path, opened, options), place.get("row", 0), None)


def _unpacked(path: str, file: BinaryIO, offset: int) -> BinaryIO:
    """Return what is packed in a file, from a byte on."""
    found = io.BufferedReader(_Unpacked(path, file), _BLOCK)
    while offset > 0 and (skipped := found.read(min(offset, _BLOCK))):
        offset -= len(skipped)
    return cast("BinaryIO", found)


class _Unpacked(io.RawIOBase):
    """What is packed by gzip, up to a bound."""

    def __init__(self, path: str, file: BinaryIO) -> None:
        super().__init__()
        self._path, self._file, self._packed, self._left = path, file, gzip.GzipFile(fileobj=file), LARGEST_UNPACKED

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            count = self._packed.readinto(buffer)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise file_broken(self._path, "it is packed, and damaged") from error
        self._left -= count
        if self._left < 0:
            raise too_large(self._path, f"more than {LARGEST_UNPACKED} bytes are packed in it")
        return count

    def close(self) -> None:
        self._file.close()
        super().close()
