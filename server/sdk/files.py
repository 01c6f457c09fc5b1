"""Files of others as a plugin sees them: a folder on this machine, an SFTP server, an S3-compatible store, all the same.

    with context.files(url, options) as files:
        for each in files.find("orders/*.csv"): …

Paths are relative to the place that the URL names, with `/`; none leads out of it. `*`, `?` and `[…]` match within a name,
`**` any number of folders; names that begin with a dot are matched by no wildcard.
"""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Protocol, Self

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from datetime import datetime

MOST_FILES = 100_000
"""The most files that are found; more of them are an error, not a part of them."""
_WILD = frozenset("*?[")


@dataclass(frozen=True, slots=True, order=True)
class FileInfo:
    """One file: when it was changed last (UTC), where it is, and its bytes; ordered so."""

    modified: datetime
    path: str
    size: int


class Files(Protocol):
    """A place with files. What goes wrong is raised as Retryable or Permanent, as everywhere."""

    def find(self, pattern: str) -> list[FileInfo]:
        """Return the files that a pattern matches, at most `MOST_FILES`, the longest unchanged first.

        Raises:
            Permanent: FILE_REFUSED, TOO_MANY_MATCHES.

        """
        ...

    def open(self, path: str, offset: int = 0) -> BinaryIO:
        """Open a file for reading from a byte on; close it.

        Raises:
            Permanent: FILE_REFUSED, FILE_MISSING.

        """
        ...

    def write(self, path: str) -> AbstractContextManager[BinaryIO]:
        """Write a file: it appears, or takes another's place, whole, when the block ends without an error."""
        ...

    def remove(self, path: str) -> None:
        """Remove a file, if it is there."""
        ...

    def close(self) -> None:
        """Give connections back."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_exc: object) -> None: ...


def start_of(pattern: str) -> str:
    """Return the folders of a pattern before its first wildcard, with a slash at the end, or nothing."""
    kept: list[str] = []
    for part in pattern.split("/")[:-1]:
        if _WILD & set(part):
            break
        kept.append(part)
    return "".join(f"{each}/" for each in kept)


def matches(pattern: str, path: str) -> bool:
    """Say whether a path fits a pattern."""
    return _fits(pattern.split("/"), path.split("/"))


def _fits(parts: list[str], names: list[str]) -> bool:
    if not parts:
        return not names
    if parts[0] == "**":
        if _fits(parts[1:], names):
            return True
        return bool(names) and not names[0].startswith(".") and _fits(parts, names[1:])
    if not names or (names[0].startswith(".") and not parts[0].startswith(".")):
        return False
    return fnmatch.fnmatchcase(names[0], parts[0]) and _fits(parts[1:], names[1:])
