"""What a check found: one sentence with its place, a stable code and, where one is near, what was probably meant."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

Severity = Literal["error", "warning"]
_LONGEST_COMPARED = 80
_MOST_COMPARED = 2_000
_LONGEST_SHOWN = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong (`error`) or doubtful (`warning`). `line` and `col` count from 1, in characters."""

    code: str
    message: str
    file: str
    line: int
    col: int
    severity: Severity = "error"
    suggestion: str | None = None

    def __str__(self) -> str:
        """Write `file:line:col CODE message (did you mean …?)`; a warning says so before its message."""
        warning = "warning: " if self.severity == "warning" else ""
        meant = f" (did you mean {self.suggestion}?)" if self.suggestion else ""
        return f"{self.file}:{self.line}:{self.col} {self.code} {warning}{self.message}{meant}"

    def as_dict(self) -> dict[str, Any]:
        """Return the finding as a JSON object, for the API and `--json`."""
        return {
            "code": self.code,
            "message": self.message,
            "file": self.file,
            "line": self.line,
            "col": self.col,
            "severity": self.severity,
            "suggestion": self.suggestion,
        }


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings once each, by file, place and code."""
    return sorted(set(findings), key=lambda f: (f.file, f.line, f.col, f.code, f.message, f.suggestion or ""))


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that `word` was probably meant to be, or None. Bounded for hostile input."""
    if not word or len(word) > _LONGEST_COMPARED:
        return None
    candidates = [each for _, each in zip(range(_MOST_COMPARED), known, strict=False) if each != word]
    by_fold = {each.casefold().replace("-", "_"): each for each in candidates}
    folded = word.casefold().replace("-", "_")
    if folded in by_fold:
        return by_fold[folded]
    close = difflib.get_close_matches(folded, by_fold, n=1, cutoff=0.6)
    return by_fold[close[0]] if close else None


def shown(value: object) -> str:
    """Write a value for a message: short, on one line, in quotes when it is a text."""
    text = f'"{value}"' if isinstance(value, str) else str(value)
    text = "".join(letter if letter.isprintable() else " " for letter in text[: _LONGEST_SHOWN * 2])
    return text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "…"
