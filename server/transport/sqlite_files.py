"""SQLite files: only those below a folder, and a connection that cannot be led to another file."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING
from urllib.parse import quote

from server.kernel.errors import Permanent, code

if TYPE_CHECKING:
    from pathlib import Path

FILE_REFUSED = code(
    "FILE_REFUSED", "The file is not below the folder of this workspace (CROSSDOCK_FILES), or there is no such folder."
)
FILE_MISSING = code("FILE_MISSING", "There is no such file in the folder of this workspace.")

_BUSY_SECONDS = 10.0
_DENIED = frozenset({sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH})
_FUNCTIONS = frozenset({"load_extension", "readfile", "writefile", "fts3_tokenizer", "edit"})


def file_of(name: str, folder: Path | None) -> Path:
    """Return the file of that name, relative to `folder` or absolute below it, links followed.

    Raises:
        Permanent: FILE_REFUSED.

    """
    if folder is None or not name or name == ":memory:" or name.startswith("file:") or "\x00" in name:
        raise _refused()
    root = folder.resolve()
    path = (root / name).resolve()
    if not path.is_relative_to(root) or path == root:
        raise _refused()
    return path


def open_file(path: Path) -> sqlite3.Connection:
    """Open an existing database; it may be used by one thread after another.

    Raises:
        Permanent: FILE_MISSING.

    """
    if not path.is_file():
        raise Permanent("there is no such database file", code=FILE_MISSING, source="transport", file=path.name)
    uri = f"file:{quote(str(path))}?mode=rw"
    connection = sqlite3.connect(uri, uri=True, timeout=_BUSY_SECONDS, check_same_thread=False)
    connection.set_authorizer(_authorize)
    return connection


def _authorize(action: int, _first: str | None, second: str | None, *_rest: str | None) -> int:
    """Deny what reaches beyond the file."""
    if action in _DENIED or (action == sqlite3.SQLITE_FUNCTION and second in _FUNCTIONS):
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK


def _refused() -> Permanent:
    return Permanent("the file is not below the folder of this workspace", code=FILE_REFUSED, source="transport")
