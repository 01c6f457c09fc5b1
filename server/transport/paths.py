"""Paths of files in a place of others: relative, plain, and never out of it."""

from __future__ import annotations

import re

from server.kernel.errors import Permanent, code
from server.transport.sqlite_files import FILE_MISSING, FILE_REFUSED

TOO_MANY_MATCHES = code("TOO_MANY_MATCHES", "A pattern matches more files than are read by one job; make it narrower.")

LONGEST = 1024
_BAD = re.compile(r"[\x00-\x1f\x7f\\\ud800-\udfff]")


def vet_path(path: str) -> tuple[str, ...]:
    """Return the parts of a path or pattern.

    Raises:
        Permanent: FILE_REFUSED: it is absolute, has `.`, `..` or an empty part, a backslash or control character, or more
            than 1,024 characters.

    """
    parts = tuple(path.split("/"))
    if len(path) > LONGEST or _BAD.search(path) or any(part in {"", ".", ".."} for part in parts):
        raise file_refused("it is no plain path below the place of the integration")
    return parts


def file_refused(reason: str) -> Permanent:
    """Build the error for a file that is not touched; its path stays out, since it may be anything."""
    return Permanent(f"the file is refused: {reason}", code=FILE_REFUSED, source="files")


def file_missing(path: str) -> Permanent:
    """Build the error for a file that is not there."""
    return Permanent(f"there is no file {path[:200]}", code=FILE_MISSING, source="files")


def too_many(most: int) -> Permanent:
    """Build the error for a pattern that matches more than `most` files."""
    return Permanent(f"the pattern matches more than {most} files", code=TOO_MANY_MATCHES, source="files", most=most)
