"""What stands beside `call` for `files.read` and `files.write`, and how a file is read by it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

FORMATS = ("csv", "json", "jsonl", "xlsx", "xml", "parquet")
WRITTEN = ("csv", "json", "jsonl")
_ENDINGS = {"csv": "csv", "tsv": "csv", "txt": "csv", "ndjson": "jsonl", **{name: name for name in FORMATS}}
_DURATION = {"type": "string", "pattern": "^(0s|[1-9][0-9]{0,5}(s|m|h|d))$"}
_CHARACTER = {"type": "string", "minLength": 1, "maxLength": 1}
_NAMES = {
    "type": "array",
    "minItems": 1,
    "maxItems": 2000,
    "uniqueItems": True,
    "items": {"type": "string", "minLength": 1, "maxLength": 500},
}
_PATH = {
    "type": "string",
    "minLength": 1,
    "maxLength": 1024,
    "pattern": r"^[^/\\\x00-\x1f][^\\\x00-\x1f]*$",
}
_CSV = {
    "encoding": {"type": "string", "minLength": 1, "maxLength": 40, "default": "utf-8"},
    "delimiter": {**_CHARACTER, "default": ","},
    "quote": {**_CHARACTER, "default": '"'},
    "escape": {**_CHARACTER, "description": "Stands before a quote in a value; by default a quote is doubled."},
    "header": {"type": "boolean", "default": True, "description": "The first line names the fields."},
    "fields": {**_NAMES, "description": "The names of the fields, where no line names them."},
}
SOURCE: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["path"],
    "properties": {
        "path": {**_PATH, "description": "A file, or a pattern: `*`, `?`, `[…]` within a name, `**` any folders."},
        "format": {
            "enum": list(FORMATS),
            "description": "By default what the name ends in; a `.gz` after it is unpacked.",
        },
        **_CSV,
        "skip": {
            "type": "integer",
            "minimum": 0,
            "maximum": 1000,
            "description": "CSV, XLSX: lines before the header.",
        },
        "null": {
            "type": "array",
            "maxItems": 20,
            "items": {"type": "string", "maxLength": 50},
            "description": "CSV: texts that mean that there is no value.",
        },
        "records": {
            "type": "string",
            "minLength": 1,
            "maxLength": 200,
            "description": "JSON: dotted path to the list. XML: the name of the elements that are records.",
        },
        "sheet": {"type": ["string", "integer"], "description": "XLSX: the sheet's name or place (from 0)."},
        "settle": {
            **_DURATION,
            "default": "2s",
            "description": "Files changed a shorter time ago may not be finished.",
        },
        "modified_since": {"type": "string", "format": "date-time", "description": "Older files are left out."},
        "with_place": {
            "type": "boolean",
            "default": False,
            "description": "Adds `_file`, `_row` (from 1) and `_modified` to each row.",
        },
    },
}
TARGET: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["path"],
    "properties": {
        "path": {**_PATH, "description": "The file; `append` puts a mark of each part before its ending."},
        "format": {"enum": list(WRITTEN)},
        **{name: _CSV[name] for name in ("encoding", "delimiter", "quote", "header", "fields")},
    },
}
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@dataclass(frozen=True, slots=True)
class Form:
    """The form of a file: `format`, and whether it is packed."""

    format: str
    packed: bool


def form_of(path: str, options: Mapping[str, Any]) -> Form | None:
    """Return the form by the options, or by what the name ends in; None where neither tells."""
    name = path.lower()
    packed = name.endswith(".gz")
    ending = name.removesuffix(".gz").rpartition(".")[2]
    found = options.get("format") or _ENDINGS.get(ending)
    return Form(found, packed) if found else None


def seconds(duration: str) -> float:
    """Return the seconds of a checked duration such as `5m`."""
    return float(int(duration[:-1]) * SECONDS[duration[-1]])
