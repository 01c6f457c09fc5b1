"""What a definition file may hold, and the values that its scalars become. One rule for YAML and JSON."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TYPE_CHECKING

from server.documents.findings import Finding
from server.kernel.errors import code

if TYPE_CHECKING:
    from server.documents.nodes import Plain, Source

MAX_BYTES = 256 * 1024
MAX_DEPTH = 32
MAX_NODES = 10_000
_MAX_DIGITS = 64
_MAX_EXPONENT = 308
_MAX_INTEGER = 2**63

SYNTAX = code("SYNTAX", "The file is not well-formed YAML or JSON at this place.")
TOO_DEEP = code("TOO_DEEP", f"The document nests deeper than {MAX_DEPTH} levels.")
TOO_MANY_NODES = code("TOO_MANY_NODES", f"The file has more than {MAX_NODES:,} values.")
FILE_TOO_LARGE = code("FILE_TOO_LARGE", f"The file is larger than {MAX_BYTES // 1024} KiB.")
ENCODING = code("ENCODING", "The file is not UTF-8, or holds a character that no definition may hold.")
NUMBER_RANGE = code("NUMBER_RANGE", "The number is too large or too long to be kept exactly.")
DUPLICATE_KEY = code("DUPLICATE_KEY", "The same key stands twice in one mapping; readers disagree which one counts.")

CUT = code("CUT", "YAML cut a text at ` #`: what follows is a comment. The whole text needs quotes.")

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE = frozenset({"true", "True", "TRUE"})
_FALSE = frozenset({"false", "False", "FALSE"})
# A leading zero keeps the text: YAML 1.1 reads `010` as 8 and 1.2 as 10, and who writes it means a code.
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)", re.ASCII)
_OCTAL = re.compile(r"0o[0-7]+", re.ASCII)
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+", re.ASCII)
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", re.ASCII)
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)", re.ASCII)
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


class Stop(Exception):
    """Reading cannot go on; carries the finding. Never leaves this package."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.message)
        self.finding = finding


@dataclass
class Report:
    """The findings of one file while it is read, and the count of its nodes."""

    source: Source
    findings: list[Finding] = field(default_factory=list)
    nodes: int = 0

    def warn(self, code: str, message: str, line: int, col: int) -> None:
        """Note a doubt at a place."""
        self.findings.append(replace(self.finding(code, message, line, col), severity="warning"))

    def add(self, code: str, message: str, line: int, col: int, suggestion: str | None = None) -> None:
        """Note an error at a place."""
        self.findings.append(self.finding(code, message, line, col, suggestion))

    def finding(self, code: str, message: str, line: int, col: int, suggestion: str | None = None) -> Finding:
        """Build an error of this file."""
        return Finding(code=code, message=message, file=self.source.file, line=line, col=col, suggestion=suggestion)

    def count(self, depth: int, line: int, col: int) -> None:
        """Count one node.

        Raises:
            Stop: the file has too many, or nests too deep.

        """
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise Stop(self.finding(TOO_MANY_NODES, f"more than {MAX_NODES:,} values in one file", line, col))
        if depth > MAX_DEPTH:
            raise Stop(self.finding(TOO_DEEP, f"nested deeper than {MAX_DEPTH} levels", line, col))

    def text(self, value: str, line: int, col: int) -> str | None:
        """Return the text with surrogate pairs joined, or None with a finding when it cannot be stored."""
        if not _UNSTORABLE.search(value):
            return value
        try:
            value = value.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            self.add(ENCODING, "half of a surrogate pair (\\ud800 to \\udfff) is not a character", line, col)
            return None
        if "\0" in value:
            self.add(ENCODING, "the character NUL cannot be stored", line, col)
            return None
        return value

    def scalar(self, text: str, line: int, col: int) -> tuple[Plain, bool]:
        """Return what a plain YAML scalar means by the 1.2 core schema, and whether it is usable."""
        if text in _NULL:
            return None, True
        if text in _TRUE or text in _FALSE:
            return text in _TRUE, True
        if _INTEGER.fullmatch(text) or _OCTAL.fullmatch(text) or _HEXADECIMAL.fullmatch(text):
            return self._integer(text, line, col)
        if _FLOAT.fullmatch(text):
            return self._number(text, line, col)
        if _NOT_FINITE.fullmatch(text):
            self.add(
                NUMBER_RANGE, f"{text} is no number that JSON knows; write it in quotes if a text is meant", line, col
            )
            return None, False
        return text, True

    def _integer(self, text: str, line: int, col: int) -> tuple[Plain, bool]:
        # Base 0 reads 0o and 0x as Python does, and a leading zero was no integer to begin with.
        value = int(text, 0) if len(text) <= _MAX_DIGITS else _MAX_INTEGER
        if not -_MAX_INTEGER <= value < _MAX_INTEGER:
            self.add(NUMBER_RANGE, "whole numbers go from -2^63 to 2^63 - 1; write it in quotes", line, col)
            return None, False
        return value, True

    def _number(self, text: str, line: int, col: int) -> tuple[Plain, bool]:
        exponent = re.split("[eE]", text)[1:] or ["0"]
        if len(text) > _MAX_DIGITS or abs(int(exponent[0])) > _MAX_EXPONENT:
            self.add(NUMBER_RANGE, f"numbers have {_MAX_DIGITS} digits and exponents to {_MAX_EXPONENT}", line, col)
            return None, False
        return Decimal(text), True
