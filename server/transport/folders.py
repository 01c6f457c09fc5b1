"""A folder on this machine: opened part by part, so that no link on the way, set before or meanwhile, leads out of it."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, BinaryIO, Self

from server.kernel.errors import Permanent, Retryable, code
from server.sdk.files import MOST_FILES, FileInfo, matches, start_of
from server.transport.paths import file_missing, file_refused, too_many, vet_path

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILES_FAILED = code("FILES_FAILED", "A file could not be read or written for now, such as when a disk is full.")

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_MODE = 0o640
_FOLDER_MODE = 0o750
_DEEPEST = 32


class Folder:
    """The files below `root`, an absolute path that exists; links are not followed, and only plain files are seen."""

    def __init__(self, root: Path, below: str = "") -> None:
        """`below` is a folder in it; it is made when something is written there.

        Raises:
            Permanent: FILE_REFUSED.

        """
        self._root = root
        self._below = vet_path(below) if below else ()

    def find(self, pattern: str) -> list[FileInfo]:
        vet_path(pattern)
        found: list[FileInfo] = []
        start = start_of(pattern)
        try:
            with self._directory((*self._below, *start.split("/")[:-1])) as number:
                self._collect(number, start, pattern, found, 0)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise _failure(error, pattern) from error
        return sorted(found)

    def _collect(self, number: int, prefix: str, pattern: str, found: list[FileInfo], depth: int) -> None:
        with os.scandir(number) as entries:
            for each in entries:
                path = prefix + each.name
                with suppress(FileNotFoundError):  # it went while we looked; the others are still there
                    if each.is_dir(follow_symlinks=False):
                        if depth < _DEEPEST and not each.name.startswith("."):
                            self._descend(number, each.name, pattern, found, (prefix, depth))
                    elif each.is_file(follow_symlinks=False) and matches(pattern, path):
                        known = each.stat(follow_symlinks=False)
                        found.append(FileInfo(datetime.fromtimestamp(known.st_mtime, UTC), path, known.st_size))
                if len(found) > MOST_FILES:
                    raise too_many(MOST_FILES)

    def _descend(self, number: int, name: str, pattern: str, found: list[FileInfo], at: tuple[str, int]) -> None:
        inner = os.open(name, _DIRECTORY, dir_fd=number)
        try:
            self._collect(inner, f"{at[0]}{name}/", pattern, found, at[1] + 1)
        finally:
            os.close(inner)

    def open(self, path: str, offset: int = 0) -> BinaryIO:
        parts = (*self._below, *vet_path(path))
        try:
            with self._directory(parts[:-1]) as folder:
                number = os.open(parts[-1], _READ, dir_fd=folder)
            if not stat.S_ISREG(os.fstat(number).st_mode):
                os.close(number)
                raise file_refused("it is no plain file")
            file = os.fdopen(number, "rb")
            file.seek(offset)
        except OSError as error:
            raise _failure(error, path) from error
        return file

    @contextmanager
    def write(self, path: str) -> Iterator[BinaryIO]:
        parts = (*self._below, *vet_path(path))
        temporary = f".{parts[-1][:100]}.{secrets.token_hex(8)}.part"
        try:
            with self._directory(parts[:-1], make=True) as folder:
                number = os.open(temporary, _WRITE, _MODE, dir_fd=folder)
                try:
                    with os.fdopen(number, "wb") as file:
                        yield file
                        file.flush()
                        os.fsync(file.fileno())
                    os.rename(temporary, parts[-1], src_dir_fd=folder, dst_dir_fd=folder)
                except BaseException:  # whatever ended the block, half a file does not stay; it goes on up
                    os.unlink(temporary, dir_fd=folder)
                    raise
                os.fsync(folder)
        except OSError as error:
            raise _failure(error, path) from error

    def remove(self, path: str) -> None:
        parts = (*self._below, *vet_path(path))
        try:
            with self._directory(parts[:-1]) as folder:
                os.unlink(parts[-1], dir_fd=folder)
        except FileNotFoundError:
            return
        except OSError as error:
            raise _failure(error, path) from error

    @contextmanager
    def _directory(self, parts: tuple[str, ...], *, make: bool = False) -> Iterator[int]:
        """Open a folder part by part; the root itself may be a link of the operator's."""
        number = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for part in parts:
                if make:
                    with suppress(FileExistsError):
                        os.mkdir(part, _FOLDER_MODE, dir_fd=number)
                inner = os.open(part, _DIRECTORY, dir_fd=number)
                os.close(number)
                number = inner
            yield number
        finally:
            os.close(number)

    def close(self) -> None:
        """Hold nothing open."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()


def _failure(error: OSError, path: str) -> Permanent | Retryable:
    if isinstance(error, FileNotFoundError):
        return file_missing(path)
    if error.errno in {errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.ENXIO, errno.ENAMETOOLONG}:
        return file_refused("a link, a folder or something else stands where a plain file should")
    if isinstance(error, PermissionError):
        return file_refused("this server has no right to it")
    return Retryable(f"the file failed: {error.strerror}", code=FILES_FAILED, source="files")
