"""JSON Schema 2020-12, compiled once: no reference leaves the schema, no pattern can run wild, no value is shown."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import jsonschema_rs

MOST_ERRORS = 20


class FieldError(NamedTuple):
    """One broken rule: where (JSON Pointer, empty for the whole) and what, without the value."""

    pointer: str
    message: str


def pointer_to(path: list[str | int]) -> str:
    """Return the JSON Pointer (RFC 6901) of a path."""
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in path)


class Schema:
    """A compiled schema.

    Raises:
        ValueError: no JSON Schema 2020-12, a reference that leaves it, or a pattern that needs backtracking.

    """

    def __init__(self, schema: dict[str, Any] | bool) -> None:  # noqa: FBT001 - true and false are schemas
        self._validator = jsonschema_rs.Draft202012Validator(
            schema,
            retriever=_stay_here,
            pattern_options=jsonschema_rs.RegexOptions(),
            validate_formats=True,
            mask="the value",
        )

    def accepts(self, value: Any) -> bool:
        """Say whether the value fits; what is no JSON does not."""
        try:
            return self._validator.is_valid(value)
        except ValueError:
            return False

    def errors(self, value: Any) -> tuple[FieldError, ...]:
        """Return the broken rules, at most 20."""
        found = []
        try:
            for error in self._validator.iter_errors(value):
                found.append(FieldError(pointer_to(error.instance_path), error.message))
                if len(found) == MOST_ERRORS:
                    break
        except ValueError as error:
            return (FieldError("", f"not JSON: {error}"),)
        return tuple(found)


def _stay_here(uri: str) -> Any:
    raise ValueError(f"a reference may not leave the schema: {uri}")


def is_json(value: Any) -> bool:
    """Say whether the value is JSON as it stands: text keys, no NaN, no set, no cycle."""
    try:
        return bool(json.loads(json.dumps(value, allow_nan=False)) == value)
    except (ValueError, TypeError, RecursionError):
        return False
