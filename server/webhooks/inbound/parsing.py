"""From raw bytes to what expressions see as `body`: JSON, forms, XML, CSV, or the bytes as they are. Pure, strict, bounded.

| format | `body` |
|---|---|
| json | the JSON; numbers with a fraction are Decimal. Repeated keys, NaN, integers past 64 bits, more than 64 levels: refused |
| form | `{name: text}`, a list of texts where a name is repeated |
| xml | `{root: …}`: see `xml.py` |
| csv | a list of `{column: text}`, by the first line; the separator is the one of `, ; tab |` that it has most of |
| raw | `{text: …, base64: …}`: `text` is null where the bytes are no UTF-8, or hold U+0000 |

No body at all is null, whatever the format.
"""

from __future__ import annotations

import base64
import csv
import io
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from server.kernel.errors import Malformed, Unsupported
from server.web.bodies import parse_json
from server.webhooks.inbound.xml import parse_xml

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

MOST_FIELDS = 1000
MOST_ROWS = 20_000
_CHARSETS = {"utf-8": "utf-8", "utf8": "utf-8", "us-ascii": "utf-8", "iso-8859-1": "cp1252", "windows-1252": "cp1252"}
_CHARSET = re.compile(r"""charset\s*=\s*["']?([A-Za-z0-9_.:-]{1,40})""", re.IGNORECASE)
_FORMATS = {
    "application/json": "json",
    "text/json": "json",
    "application/x-www-form-urlencoded": "form",
    "application/xml": "xml",
    "text/xml": "xml",
    "text/csv": "csv",
    "application/csv": "csv",
}
_SUFFIXES = {"json": "json", "xml": "xml"}
_SEPARATORS = ",;\t|"


def media_type(header: str) -> str:
    """Return the media type of a Content-Type, in lower case and without parameters."""
    return header.partition(";")[0].strip().lower()


def takes(taken: Sequence[str], given: str) -> bool:
    """Say whether a media type is one of those taken: `application/json`, `application/*+json`, `text/*`, `*/*`."""
    return any(each == given or ("*" in each and _fits(each, given)) for each in taken)


def _fits(pattern: str, given: str) -> bool:
    before, _, behind = pattern.partition("*")
    return pattern == "*/*" or (
        given.startswith(before) and given.endswith(behind) and len(given) > len(before) + len(behind)
    )


def format_of(declared: str | None, given: str) -> str:
    """Return the format of a body: the one declared, or by its media type; `raw` where neither tells."""
    if declared is not None:
        return declared
    return _FORMATS.get(given) or _SUFFIXES.get(given.rpartition("+")[2], "raw")


def parse(body: bytes, format_: str, content_type: str = "") -> Any:
    """Return what expressions see as `body`.

    Raises:
        Malformed: it is not what it claims to be; `details` have line and column where they are known.
        Unsupported: in a charset that is not taken.

    """
    if not body:
        return None
    return _PARSERS[format_](body, content_type)


def _json(body: bytes, content_type: str) -> Any:
    if _charset(content_type) != "utf-8":
        raise _encoding("JSON is taken in UTF-8")
    return parse_json(body, any_text=True, number=Decimal)


def _form(body: bytes, content_type: str) -> dict[str, Any]:
    if _charset(content_type) != "utf-8":
        raise _encoding("forms are taken in UTF-8")
    try:
        return fields_of(body.decode("ascii"))
    except UnicodeDecodeError as error:
        raise _malformed(f"not a form: byte {error.start} is not ASCII", byte=error.start) from error


def fields_of(text: str) -> dict[str, Any]:
    """Return the fields of a form or a query: a text each, a list of texts where a name is repeated.

    Raises:
        Malformed: more than 1,000 fields, or not UTF-8.

    """
    try:
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS)
    except UnicodeDecodeError as error:
        raise _malformed("not a form: a value is not UTF-8") from error
    except ValueError as error:
        raise _malformed(f"more than {MOST_FIELDS} fields") from error
    found: dict[str, Any] = {}
    for name, value in pairs:
        before = found.get(name)
        if before is None:
            found[name] = value
        elif isinstance(before, list):
            before.append(value)
        else:
            found[name] = [before, value]
    return found


def _xml(body: bytes, content_type: str) -> Any:
    named = _CHARSET.search(content_type)  # without one the document says it itself
    return parse_xml(body, _charset(content_type) if named else None)


def _csv(body: bytes, content_type: str) -> list[dict[str, str]]:
    try:
        text = body.decode("utf-8-sig" if _charset(content_type) == "utf-8" else "cp1252")
    except UnicodeDecodeError as error:
        raise _malformed(f"byte {error.start} is none of its charset", byte=error.start) from error
    if "\x00" in text:
        raise _malformed("not CSV: it holds U+0000")
    head = text.partition("\n")[0]
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=max(_SEPARATORS, key=head.count), strict=True)
    try:
        return _records(rows)
    except csv.Error as error:
        raise _malformed(f"not CSV: {error} (line {rows.line_num})", line=rows.line_num) from error


def _records(rows: Any) -> list[dict[str, str]]:
    columns: list[str] = next(rows, [])
    if len(set(columns)) != len(columns) or len(columns) > MOST_FIELDS:
        raise _malformed(f"the first line names a column twice, or more than {MOST_FIELDS}", line=1)
    records: list[dict[str, str]] = []
    for row in rows:
        if not row:
            continue
        if len(row) != len(columns):
            message = f"line {rows.line_num} has {len(row)} values for {len(columns)} columns"
            raise _malformed(message, line=rows.line_num)
        if len(records) >= MOST_ROWS:
            raise _malformed(f"more than {MOST_ROWS} rows")
        records.append(dict(zip(columns, row, strict=True)))
    return records


def _raw(body: bytes, content_type: str) -> dict[str, Any]:
    del content_type
    try:
        text = body.decode("utf-8") if b"\x00" not in body else None
    except UnicodeDecodeError:
        text = None
    return {"text": text, "base64": base64.b64encode(body).decode()}


def _charset(content_type: str) -> str:
    named = _CHARSET.search(content_type) if ";" in content_type else None
    known = _CHARSETS.get(named[1].lower()) if named else "utf-8"
    if known is None:
        raise _encoding(f"the charset {named[1] if named else ''} is not taken")
    return known


def _encoding(message: str) -> Unsupported:
    return Unsupported(message, source="inbound")


def _malformed(message: str, **details: Any) -> Malformed:
    return Malformed(message, source="inbound", **details)


_PARSERS: Mapping[str, Callable[[bytes, str], Any]] = {
    "json": _json,
    "form": _form,
    "xml": _xml,
    "csv": _csv,
    "raw": _raw,
}
