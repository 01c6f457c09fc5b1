"""What can be wrong with a file."""

from __future__ import annotations

from server.sdk import BROKEN_ROW, Permanent, code

FILE_BROKEN = code("FILE_BROKEN", "A file is not of its format; the message says where.")
DATA_FILE_TOO_LARGE = code("DATA_FILE_TOO_LARGE", "A file, or what is packed in it, is larger than is read.")
FORMAT_MISSING = code("FORMAT_MISSING", "The reader of this format is not installed, or the name of a file tells none.")


def file_broken(path: str, reason: str) -> Permanent:
    """Build the error for a file that cannot be read on."""
    return Permanent(f"{path[:200]}: {reason}", code=FILE_BROKEN, source="files")


def too_large(path: str, what: str) -> Permanent:
    """Build the error for a file beyond a bound."""
    return Permanent(f"{path[:200]}: {what}", code=DATA_FILE_TOO_LARGE, source="files")


def format_missing(path: str, reason: str) -> Permanent:
    """Build the error for a file whose format is not known."""
    return Permanent(f"{path[:200]}: {reason}", code=FORMAT_MISSING, source="files")


def broken_row(reason: str, raw: object) -> dict[str, object]:
    """Return the row that stands for one that cannot be read."""
    return {BROKEN_ROW: reason, "_raw": raw}
