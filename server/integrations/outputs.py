"""What a plugin hands back becomes JSON that we own, or a named error: bounded in depth, values and characters."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

from server.kernel.errors import Permanent, code

OUTPUT_INVALID = code(
    "OUTPUT_INVALID", "What the plugin made of the answer is no JSON or breaks the operation's output schema."
)

DEEPEST = 64
MOST_VALUES = 500_000
MOST_CHARACTERS = 32 * 1024 * 1024
_INT_RANGE = 2**63


class _Copier:
    def __init__(self, source: str) -> None:
        self._source = source
        self._values = MOST_VALUES
        self._characters = MOST_CHARACTERS

    def copy(self, value: Any, pointer: str, depth: int) -> Any:
        self._values -= 1
        if self._values < 0:
            raise self._invalid("", f"more than {MOST_VALUES} values")
        if depth > DEEPEST:
            raise self._invalid(pointer[:200], f"nested more than {DEEPEST} deep")
        if isinstance(value, dict):
            return {
                self._text(key, pointer): self.copy(each, f"{pointer}/{key}", depth + 1) for key, each in value.items()
            }
        if isinstance(value, list | tuple):
            return [self.copy(each, f"{pointer}/{place}", depth + 1) for place, each in enumerate(value)]
        return self._scalar(value, pointer)

    def _scalar(self, value: Any, pointer: str) -> Any:
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return self._text(value, pointer)
        if isinstance(value, int) and -_INT_RANGE <= value < _INT_RANGE:
            return int(value)
        if isinstance(value, float) and math.isfinite(value):
            return float(value)
        if isinstance(value, Decimal) and value.is_finite():
            return format(value, "f")
        raise self._invalid(pointer, f"a {type(value).__name__} that is no JSON")

    def _text(self, value: Any, pointer: str) -> str:
        if not isinstance(value, str):
            raise self._invalid(pointer, f"a key that is a {type(value).__name__}")
        self._characters -= len(value)
        if self._characters < 0:
            raise self._invalid("", f"more than {MOST_CHARACTERS} characters")
        if "\0" in value or (not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value)):
            raise self._invalid(pointer, "a text with NUL or half a character")
        return str(value)

    def _invalid(self, pointer: str, message: str) -> Permanent:
        return output_invalid(self._source, [{"pointer": pointer, "message": message}])


def output_invalid(source: str, errors: list[dict[str, str]]) -> Permanent:
    """Build the error for an output that cannot be used; `errors` has a pointer and a message each."""
    first = errors[0]
    message = f"the plugin's output is invalid at {first['pointer'] or '/'}: {first['message']}"
    return Permanent(message, code=OUTPUT_INVALID, source=source, errors=errors)


def own_json(value: Any, source: str) -> dict[str, Any]:
    """Return a copy of `value` in plain JSON types; a Decimal becomes text.

    Raises:
        Permanent: OUTPUT_INVALID.

    """
    if not isinstance(value, dict):
        raise output_invalid(source, [{"pointer": "", "message": f"a {type(value).__name__} where an object is due"}])
    copy: dict[str, Any] = _Copier(source).copy(value, "", 0)
    return copy
