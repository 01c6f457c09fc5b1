"""JSON Schemas of users: what is wrong with one, with places; `sdk.schemas` compiles it without a way outside."""

from __future__ import annotations

import functools
import json
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator

from server.documents.kinds import canonical
from server.kernel.errors import code
from server.sdk.schemas import Schema, pointer_to

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jsonschema.exceptions import ValidationError as JsonSchemaError

SCHEMA = code("SCHEMA", "This is no JSON Schema (draft 2020-12), or one with a reference outside or a refused pattern.")
_DRAFT = Draft202012Validator.META_SCHEMA["$id"]
_NO_PATTERN = "the pattern is no regular expression of linear time (no look-around, no back-references)"
_MOST_ERRORS = 20
_MOST_PARTS = 50_000
_DEEPEST = 200
_LONGEST_MESSAGE = 300


@dataclass(frozen=True, slots=True)
class Violation:
    """A rule that a value or a schema breaks: where, and a sentence."""

    pointer: tuple[str | int, ...]
    message: str


def problems_of(schema: Any) -> list[Violation]:
    """Return what is wrong with a schema, each with its place inside the schema."""
    if isinstance(schema, dict) and schema.get("$schema", _DRAFT) != _DRAFT:
        return [Violation(("$schema",), f"only {_DRAFT} is taken")]
    outside = [
        Violation(pointer, f"a $ref stays inside the schema, like #/$defs/x: {uri[:80]}")
        for pointer, uri in _references(schema)
    ]
    if outside:
        return outside
    if _expanded(schema, _anchors(schema), {}) > _MOST_PARTS:
        return [Violation((), f"its references multiply: written out it has more than {_MOST_PARTS:,} parts")]
    try:
        Schema(schema)
    except ValueError as error:
        return _explained(schema, error)
    return []


def _explained(schema: Any, error: ValueError) -> list[Violation]:
    """Find the places of what the compiler refused: by the meta-schema, by its patterns, or the whole."""
    broken = Draft202012Validator(Draft202012Validator.META_SCHEMA).iter_errors(schema)
    found = dict.fromkeys(Violation(tuple(each.absolute_path), _meta_message(each)) for each in broken)
    if found:
        return sorted(found, key=lambda each: [str(step) for step in each.pointer])[:_MOST_ERRORS]
    refused = [Violation(pointer, _NO_PATTERN) for pointer, text in _patterns(schema) if not _is_pattern(text)]
    return refused or [Violation((), _short(str(error)).partition(" Failed validating")[0])]


def compiled(schema: Any) -> Schema | None:
    """Return the compiled schema, or None when something is wrong with it; remembered, since many definitions share one."""
    return _compiled(canonical(schema))


@functools.lru_cache(maxsize=1024)
def _compiled(text: bytes) -> Schema | None:
    schema = json.loads(text, parse_float=Decimal)
    return None if problems_of(schema) else Schema(schema)


def violations(schema: Schema, value: Any) -> list[Violation]:
    """Return the rules that a value breaks, 20 at most; no value is shown."""
    return [Violation(_steps(error.pointer), _short(error.message)) for error in schema.errors(value)]


def _steps(pointer: str) -> tuple[str, ...]:
    return tuple(step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:])


def _is_pattern(text: str) -> bool:
    try:
        Schema({"pattern": text})
    except ValueError:
        return False
    return True


def _patterns(schema: Any) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yield whatever may be a pattern, with its pointer."""
    for pointer, part in _parts(schema):
        if isinstance(part.get("pattern"), str):
            yield (*pointer, "pattern"), part["pattern"]
        if isinstance(part.get("patternProperties"), dict):
            yield from (((*pointer, "patternProperties", text), text) for text in part["patternProperties"])


def _references(schema: Any) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yield every reference that leads out of the schema."""
    for pointer, part in _parts(schema):
        for key in ("$ref", "$dynamicRef"):
            value = part.get(key)
            if isinstance(value, str) and not value.startswith("#"):
                yield (*pointer, key), value


def _anchors(schema: Any) -> dict[str, Any]:
    """Return the parts that references may name: by an anchor, or by their place."""
    parts = list(_parts(schema))
    named = {f"#{part[word]}": part for _, part in parts for word in ("$anchor", "$dynamicAnchor")
             if isinstance(part.get(word), str)}  # fmt: skip
    wanted = {part[key] for _, part in parts for key in ("$ref", "$dynamicRef") if isinstance(part.get(key), str)}
    placed = {f"#{pointer_to(list(pointer))}": part for pointer, part in parts} if wanted - named.keys() else {}
    return {**placed, **named}


def _expanded(part: Any, targets: dict[str, Any], known: dict[int, int], depth: int = 0) -> int:
    """Count the parts of a schema with every reference written out; one that leads back into itself counts once.

    A validator goes through `allOf` of two references, each to another such, twice as often at every level.
    """
    if depth > _DEEPEST:
        return _MOST_PARTS + 1
    if isinstance(part, list):
        return sum(_expanded(each, targets, known, depth + 1) for each in part)
    if not isinstance(part, dict):
        return 0
    if id(part) not in known:
        known[id(part)] = 1
        below = [each for key, each in part.items() if key not in ("$defs", "definitions") or depth == 0]
        below += [targets[each] for key in ("$ref", "$dynamicRef") if (each := part.get(key)) in targets]
        known[id(part)] = 1 + sum(_expanded(each, targets, known, depth + 1) for each in below)
    return known[id(part)]


def _parts(schema: Any) -> Iterator[tuple[tuple[str | int, ...], dict[str, Any]]]:
    """Yield every mapping of the schema with its pointer."""
    waiting: list[tuple[tuple[str | int, ...], Any]] = [((), schema)]
    while waiting:
        pointer, part = waiting.pop()
        if isinstance(part, dict):
            yield pointer, part
            waiting.extend(((*pointer, key), value) for key, value in part.items())
        elif isinstance(part, list):
            waiting.extend(((*pointer, number), value) for number, value in enumerate(part))


def _meta_message(error: JsonSchemaError) -> str:
    if error.validator == "anyOf" and list(error.absolute_path)[-1:] == ["type"]:
        return "a type is one of array, boolean, integer, null, number, object, string, or a list of them"
    return _short(error.message)


def _short(message: str) -> str:
    return re.sub(r"\s+", " ", message)[:_LONGEST_MESSAGE]
