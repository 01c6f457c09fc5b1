"""XLSX and Parquet: files that are read from both ends, so one that is far away is first brought here, within a bound."""

from __future__ import annotations

import importlib
import shutil
import tempfile
import zipfile
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import openpyxl

from plugins.files.failures import broken_row, file_broken, format_missing, too_large

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from server.sdk import Row

LARGEST = 2 * 1024**3
LARGEST_UNPACKED = 4 * 1024**3
LARGEST_TEXTS = 256 * 1024**2
_IN_MEMORY = 8 * 1024**2
_BLOCK = 1024**2
_BATCH = 2_000


@contextmanager
def brought(path: str, opened: Callable[[int], BinaryIO]) -> Iterator[BinaryIO]:
    """Open a file that can be read from anywhere.

    Raises:
        Permanent: DATA_FILE_TOO_LARGE.

    """
    with opened(0) as file:
        if file.seekable():
            yield file
            return
        with tempfile.SpooledTemporaryFile(_IN_MEMORY) as here:
            shutil.copyfileobj(cast("BinaryIO", _Bounded(file, path)), here, _BLOCK)
            here.seek(0)
            yield cast("BinaryIO", here)


class _Bounded:
    def __init__(self, file: BinaryIO, path: str) -> None:
        self._file, self._path, self._left = file, path, LARGEST

    def read(self, size: int) -> bytes:
        data = self._file.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise too_large(self._path, f"it is larger than {LARGEST} bytes")
        return data


class XlsxRows:
    """The rows of one sheet; the first row names the fields."""

    def __init__(self, path: str, opened: Callable[[int], BinaryIO], options: Mapping[str, Any]) -> None:
        self._path, self._opened, self._options = path, opened, options

    def __iter__(self) -> Iterator[Row]:
        with brought(self._path, self._opened) as file:
            self._vet(file)
            try:
                book = openpyxl.load_workbook(file, read_only=True, data_only=True, keep_links=False)
            except Exception as error:  # the library raises whatever it stumbles over in a damaged file
                raise file_broken(self._path, "it is no XLSX that can be read") from error
            try:
                yield from self._rows(self._sheet(book))
            finally:
                book.close()

    def _vet(self, file: BinaryIO) -> None:
        """Refuse what would unpack into more than is read."""
        try:
            with zipfile.ZipFile(file) as archive:
                sizes = {each.filename: each.file_size for each in archive.infolist()}
        except (zipfile.BadZipFile, OSError, ValueError) as error:
            raise file_broken(self._path, "it is no XLSX") from error
        texts = sum(size for name, size in sizes.items() if name.endswith(("sharedStrings.xml", "styles.xml")))
        if sum(sizes.values()) > LARGEST_UNPACKED or texts > LARGEST_TEXTS:
            raise too_large(self._path, "what is packed in it is larger than is read")
        file.seek(0)

    def _sheet(self, book: Any) -> Any:
        wanted = self._options.get("sheet", 0)
        try:
            return book[wanted] if isinstance(wanted, str) else book.worksheets[wanted]
        except (KeyError, IndexError) as error:
            raise file_broken(self._path, f"it has no sheet {wanted}") from error

    def _rows(self, sheet: Any) -> Iterator[Row]:
        skip = self._options.get("skip", 0)
        rows = sheet.iter_rows(min_row=skip + 1, values_only=True)
        names = list(self._options.get("fields", ()))
        if self._options.get("header", True):
            found = ["" if each is None else str(each) for each in next(rows, ())]
            while found and not found[-1]:
                found.pop()
            names = names or found
        if len(set(names)) < len(names) or "" in names:
            raise file_broken(self._path, "its header has a name twice, or a column without one")
        for number, cells in enumerate(rows, skip + 2):
            names = names or [f"column_{place}" for place in range(1, len(cells) + 1)]
            if any(cell is not None for cell in cells):
                yield _row(names, cells, number)


def _row(names: list[str], cells: tuple[Any, ...], number: int) -> Row:
    if any(cell is not None for cell in cells[len(names) :]):
        return broken_row(f"row {number} has more cells than there are names", [str(each)[:100] for each in cells[:20]])
    values = [_cell(cell) for cell in cells[: len(names)]]
    return dict(zip(names, [*values, *[None] * (len(names) - len(values))], strict=True))


def _cell(value: Any) -> Any:
    """Return a cell's value; a time has no zone in a sheet: it is UTC."""
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC)
    return int(value) if isinstance(value, float) and value.is_integer() else value


class ParquetRows:
    """The rows of a Parquet file, batch by batch; needs the extra `parquet`."""

    def __init__(self, path: str, opened: Callable[[int], BinaryIO], options: Mapping[str, Any]) -> None:
        self._path, self._opened, self._fields = path, opened, options.get("fields")

    def __iter__(self) -> Iterator[Row]:
        try:
            parquet = importlib.import_module("pyarrow.parquet")
            arrow = importlib.import_module("pyarrow")
        except ImportError as error:
            raise format_missing(
                self._path, "Parquet needs an extra: in the checkout, .venv/bin/python -m pip install -e '.[parquet]'"
            ) from error
        with brought(self._path, self._opened) as file:
            try:
                table = parquet.ParquetFile(file)
                for batch in table.iter_batches(_BATCH, columns=self._fields):
                    yield from map(_plain, batch.to_pylist())
            except (arrow.ArrowException, OSError) as error:
                raise file_broken(self._path, "it is no Parquet that can be read") from error


def _plain(row: Row) -> Row:
    for name, value in row.items():
        if isinstance(value, datetime) and value.tzinfo is None:
            row[name] = value.replace(tzinfo=UTC)
    return row
