"""A schema that grows without end when it is written out is refused at check; one that only refers to itself is not."""

from __future__ import annotations

import time
from typing import Any

import pytest

from server.documents.schemas import problems_of
from server.sdk.schemas import Schema


def doubling(levels: int, word: str = "allOf") -> dict[str, Any]:
    def twice(target: str) -> dict[str, Any]:
        return {word: [{"$ref": target}, {"$ref": target}]}

    defs = {f"d{level}": twice(f"#/$defs/d{level + 1}") for level in range(levels)}
    return {"$ref": "#/$defs/d0", "$defs": {**defs, f"d{levels}": {"type": "integer"}}}


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object", "properties": {"a": {"$ref": "#"}}}
    for _ in range(levels):
        schema = {"allOf": [schema]}
    return schema


def anchored(levels: int) -> dict[str, Any]:
    defs = {f"a{n}": {"$anchor": f"a{n}", "oneOf": [{"$ref": f"#a{n + 1}"}] * 2} for n in range(levels)}
    return {"$ref": "#a0", "$defs": {**defs, f"a{levels}": {"$anchor": f"a{levels}"}}}


def below(levels: int) -> dict[str, Any]:
    defs = {f"p{n}": {"allOf": [{"properties": {"x": {"$ref": f"#/$defs/p{n + 1}"}}}] * 2} for n in range(levels)}
    return {"$ref": "#/$defs/p0", "$defs": {**defs, f"p{levels}": {}}}


BOMBS = {
    "2^24 by allOf": doubling(24),
    "2^3000 by anyOf": doubling(3000, "anyOf"),
    "by anchors": anchored(30),
    "through properties": below(30),
}
FINE = {
    "itself": {"$ref": "#"},
    "a tree": {"type": "object", "properties": {"kids": {"type": "array", "items": {"$ref": "#"}}}},
    "two that refer to each other": {
        "$ref": "#/$defs/a",
        "$defs": {"a": {"properties": {"b": {"$ref": "#/$defs/b"}}}, "b": {"properties": {"a": {"$ref": "#/$defs/a"}}}},
    },
    "one used often": {
        "$defs": {"money": {"type": "string", "pattern": "^[0-9]+$"}},
        "properties": {f"p{number}": {"$ref": "#/$defs/money"} for number in range(1000)},
    },
    "2^8": doubling(8),
    "deep": nested(60),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_at_once(name: str) -> None:
    started = time.monotonic()
    [problem] = problems_of(BOMBS[name])
    assert "its references multiply" in problem.message
    assert time.monotonic() - started < 1


@pytest.mark.parametrize("name", FINE)
def test_what_only_refers_to_itself_is_taken_and_ends(name: str) -> None:
    assert problems_of(FINE[name]) == []
    value: Any = {}
    for _ in range(60):
        value = {"a": value, "kids": [{}]}
    started = time.monotonic()
    Schema(FINE[name]).accepts(value if name != "a tree" else {"kids": [{"kids": []}] * 100})
    assert time.monotonic() - started < 1


@pytest.mark.parametrize(
    "schema",
    [{"$ref": "https://example.com/x.json"}, {"$ref": "file:///etc/passwd"}, {"allOf": [{"$ref": "other.json#/a"}]}],
    ids=str,
)
def test_a_reference_outside_is_refused_and_nothing_of_it_is_read(schema: dict[str, Any]) -> None:
    assert "stays inside" in problems_of(schema)[0].message
    with pytest.raises(ValueError, match=r"may not leave|retriev|refer"):
        Schema(schema)


@pytest.mark.parametrize("pattern", ["(a+)+$", "^(a|aa)+$", "(.*)*x"])
def test_a_pattern_cannot_run_wild(pattern: str) -> None:
    started = time.monotonic()
    Schema({"pattern": pattern}).accepts("a" * 50_000 + "!")
    assert time.monotonic() - started < 1
    assert problems_of({"pattern": "(?=a)a"}) != []
