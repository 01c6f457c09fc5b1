"""A schema may only grow: whatever the old one took fits the new one, and what it declared is declared still."""

from __future__ import annotations

import copy
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from server.events.containment import breaks
from server.sdk.schemas import Schema


def obj(required: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(required), "properties": properties}


TEXT, WHOLE, NUMBER = {"type": "string"}, {"type": "integer"}, {"type": "number"}
A = obj(("a",), a=TEXT)
TREE = {"$defs": {"n": obj((), v=WHOLE, kids={"type": "array", "items": {"$ref": "#/$defs/n"}})}, "$ref": "#/$defs/n"}


def tree(**changes: Any) -> dict[str, Any]:
    changed = copy.deepcopy(TREE)
    changed["$defs"]["n"]["properties"] |= changes
    return changed


GROWS: dict[str, tuple[Any, Any]] = {
    "the same": (A, A),
    "a word about it": (A, {**A, "title": "An order", "description": "x", "examples": [1]}),
    "an optional property": (A, obj(("a",), a=TEXT, b=WHOLE)),
    "an optional property with needs": (
        A,
        {**obj(("a",), a=TEXT, b=WHOLE, c=WHOLE), "dependentRequired": {"b": ["c"]}},
    ),
    "no longer required": (A, obj((), a=TEXT)),
    "a wider type": (obj(a=WHOLE), obj(a=NUMBER)),
    "null too": (obj(a=TEXT), obj(a={"type": ["string", "null"]})),
    "null too, by anyOf": (obj(a=TEXT), obj(a={"anyOf": [TEXT, {"type": "null"}]})),
    "two kinds split": ({"type": ["string", "null"]}, {"anyOf": [TEXT, {"type": "null"}]}),
    "two kinds joined": ({"oneOf": [TEXT, {"type": "null"}]}, {"type": ["null", "string"]}),
    "one more value": ({"enum": ["a", "b"]}, {"enum": ["a", "b", "c"]}),
    "a constant among values": ({"const": 1}, {"enum": [1.0, 2]}),
    "values that have the type": ({"enum": ["a", "b"]}, {"type": "string", "maxLength": 1}),
    "values freed": ({"type": "string", "enum": ["a"]}, TEXT),
    "wider bounds": (
        {"type": "number", "minimum": 1, "maximum": 5},
        {"type": "number", "exclusiveMinimum": 0, "maximum": 9},
    ),
    "longer texts": ({"type": "string", "maxLength": 5}, {"type": "string", "maxLength": 6}),
    "bounds of another kind": (TEXT, {"type": "string", "minimum": 3, "minItems": 1}),
    "a coarser step freed": (
        {"type": "number", "multipleOf": Decimal("0.1")},
        {"type": "number", "multipleOf": Decimal("0.05")},
    ),
    "whole numbers are steps": (WHOLE, {"type": "integer", "multipleOf": Decimal("0.5")}),
    "opened": ({**A, "additionalProperties": False}, A),
    "closed stays closed, and grows": (
        {**A, "additionalProperties": False},
        {**obj(("a",), a=TEXT, b=TEXT), "additionalProperties": False},
    ),
    "behind a reference": (obj(a=TEXT), {"$defs": {"t": TEXT}, **obj(a={"$ref": "#/$defs/t"})}),
    "a reference elsewhere": (
        {"$defs": {"t": TEXT}, **obj(a={"$ref": "#/$defs/t"})},
        {"$defs": {"u/~": TEXT}, **obj(a={"$ref": "#/$defs/u~1~0"})},
    ),
    "a tree grows": (TREE, tree(name=TEXT)),
    "a tree's leaves widen": (TREE, tree(v=NUMBER)),
    "parts put together": ({"allOf": [obj(("a",), a=TEXT), obj(b=WHOLE)]}, obj(("a",), a=TEXT, b=WHOLE)),
    "taken apart": (obj(("a",), a=TEXT, b=WHOLE), {"allOf": [obj(("a",), a=TEXT), obj(b=WHOLE)]}),
    "one more shape": (
        {"oneOf": [obj(("k",), k={"const": "a"}, x=TEXT)]},
        {"oneOf": [obj(("k",), k={"const": "a"}, x=TEXT), obj(("k",), k={"const": "b"})]},
    ),
    "longer lists": ({"type": "array", "items": WHOLE, "maxItems": 3}, {"type": "array", "items": NUMBER}),
    "fewer places said": ({"type": "array", "prefixItems": [TEXT, WHOLE]}, {"type": "array", "prefixItems": [TEXT]}),
    "the rest stays as it was": (
        {"type": "object", "additionalProperties": WHOLE},
        {"type": "object", "properties": {"a": WHOLE}, "additionalProperties": NUMBER},
    ),
    "a pattern stays": (
        {"type": "object", "patternProperties": {"^x": WHOLE}},
        {"type": "object", "patternProperties": {"^x": NUMBER}},
    ),
    "a condition stays": (
        {**A, "if": {"properties": {"a": {"const": "x"}}}, "then": {"required": ["b"]}},
        {**obj(("a",), a=TEXT, c=TEXT), "if": {"properties": {"a": {"const": "x"}}}, "then": {"required": ["b"]}},
    ),
    "everything": (A, {**A, "unevaluatedProperties": True}),
    "what could never be there": (obj(a=TEXT, x=False), obj(a=TEXT)),
}
BREAKS: dict[str, tuple[Any, Any, list[tuple[Any, ...]]]] = {
    "required": (A, obj(("a", "b"), a=TEXT, b=TEXT), [("required",)]),
    "gone": (obj(a=TEXT, b=TEXT), obj(a=TEXT), [("properties",)]),
    "gone below": (obj(a=obj(b=TEXT, c=TEXT)), obj(a=obj(b=TEXT)), [("properties", "a", "properties")]),
    "gone and forbidden": (
        {**obj(a=TEXT, b=TEXT), "additionalProperties": False},
        {**obj(a=TEXT), "additionalProperties": False},
        [("properties",)],
    ),
    "renamed": (A, obj(("b",), b=TEXT), [("required",), ("properties",)]),
    "another type": (A, obj(("a",), a=WHOLE), [("properties", "a", "type")]),
    "no null": (obj(a={"type": ["string", "null"]}), obj(a=TEXT), [("properties", "a", "type")]),
    "no fractions": (obj(a=NUMBER), obj(a=WHOLE), [("properties", "a", "type")]),
    "a type at last": (obj(a={}), obj(a=TEXT), [("properties", "a", "type")]),
    "one value less": ({"enum": ["a", "b"]}, {"enum": ["a"]}, [()]),
    "values at last": (TEXT, {"type": "string", "enum": ["a"]}, [("enum",)]),
    "tighter": ({"type": "number", "maximum": 5}, {"type": "number", "maximum": 4}, [("maximum",)]),
    "tighter by a hair": (
        {"type": "number", "minimum": 1},
        {"type": "number", "exclusiveMinimum": 1},
        [("exclusiveMinimum",)],
    ),
    "a bound at last": (TEXT, {"type": "string", "minLength": 1}, [("minLength",)]),
    "a pattern": (TEXT, {"type": "string", "pattern": "^a"}, [("pattern",)]),
    "a format": (TEXT, {"type": "string", "format": "date"}, [("format",)]),
    "a finer step": (NUMBER, {"type": "number", "multipleOf": Decimal("0.01")}, [("multipleOf",)]),
    "closed": (A, {**A, "additionalProperties": False}, [("additionalProperties",)]),
    "narrowed": (A, {**A, "additionalProperties": TEXT}, [("additionalProperties",)]),
    "the rest had any name": (
        {"type": "object", "additionalProperties": NUMBER},
        {"type": "object", "properties": {"a": TEXT}, "additionalProperties": NUMBER},
        [("properties", "a", "type")],
    ),
    "shorter lists": ({"type": "array"}, {"type": "array", "maxItems": 3}, [("maxItems",)]),
    "no repetition": ({"type": "array"}, {"type": "array", "uniqueItems": True}, [("uniqueItems",)]),
    "narrower items": ({"type": "array", "items": NUMBER}, {"type": "array", "items": WHOLE}, [("items", "type")]),
    "items at last": ({"type": "array"}, {"type": "array", "items": TEXT}, [("items", "type")]),
    "a place at last": (
        {"type": "array", "items": NUMBER},
        {"type": "array", "prefixItems": [TEXT], "items": NUMBER},
        [("prefixItems", 0, "type")],
    ),
    "a tree withers": (TREE, tree(v=TEXT), [("$defs", "n", "properties", "v", "type")]),
    "a shape less": ({"anyOf": [TEXT, WHOLE]}, {"anyOf": [TEXT]}, [("anyOf",)]),
    "two shapes at once": (obj(a=TEXT), {"oneOf": [obj(a=TEXT), obj(a=TEXT, b=TEXT)]}, [("oneOf",)]),
    "not": (A, {**A, "not": {"required": ["z"]}}, [("not",)]),
    "a condition": (A, {**A, "if": {"required": ["a"]}, "then": {"required": ["b"]}}, [("if",)]),
    "what only a condition knew": (
        {"if": {"required": ["t"]}, "then": {"properties": {"x": TEXT}}},
        {"if": {"required": ["t"]}, "then": {"properties": {"x": TEXT}}, "properties": {"x": WHOLE}},
        [("properties", "x")],
    ),
    "nothing": (A, False, [()]),
    "a pattern of names": (
        {"type": "object", "patternProperties": {"^x": WHOLE}},
        {"type": "object", "patternProperties": {"^y": WHOLE}},
        [("patternProperties",)],
    ),
    "nothing unevaluated": (A, {**A, "unevaluatedProperties": False}, [("unevaluatedProperties",)]),
    "an anchor": (
        {"$defs": {"t": {"$anchor": "t", **TEXT}}, **obj(a={"$ref": "#t"})},
        {"$defs": {"t": {"$anchor": "t", **WHOLE}}, **obj(a={"$ref": "#t"})},
        [("properties", "a", "$dynamicRef")],
    ),
}


@pytest.mark.parametrize("name", GROWS)
def test_what_grows_passes(name: str) -> None:
    assert breaks(*GROWS[name]) == []


@pytest.mark.parametrize("name", BREAKS)
def test_what_breaks_is_named_with_its_place(name: str) -> None:
    old, new, places = BREAKS[name]
    assert [each.pointer for each in breaks(old, new)] == places


@pytest.mark.parametrize("size", [200, 2000])
def test_the_largest_schemas_are_answered_soon(size: int) -> None:
    def chain(leaf: Any) -> dict[str, Any]:
        defs = {f"d{n}": {"anyOf": [obj(x={"$ref": f"#/$defs/d{n + 1}"}), obj(x={"$ref": f"#/$defs/d{n + 1}"}, y=TEXT)]}
                for n in range(size)}  # fmt: skip
        return {"$ref": "#/$defs/d0", "$defs": {**defs, f"d{size}": leaf}}

    assert breaks(chain(TEXT), chain(WHOLE)) != []


# What a generator makes of schemas: small ones of every word that is followed.
NAMES = st.sampled_from("abc")
LEAVES = st.one_of(
    st.builds(lambda t, low: {"type": t, "minimum": low}, st.sampled_from(["integer", "number"]), st.integers(-1, 2)),
    st.builds(lambda high: {"type": "number", "exclusiveMaximum": high}, st.integers(0, 3)),
    st.builds(lambda n: {"type": "string", "maxLength": n}, st.integers(0, 2)),
    st.sampled_from([TEXT, WHOLE, NUMBER, {"type": "null"}, {"type": ["string", "null"]}, {}, True, {"type": "boolean"}]),
    st.builds(lambda values: {"enum": values}, st.lists(st.sampled_from([1, "x", None, True]), min_size=1, unique_by=repr)),
    st.just({"const": 1}),
)  # fmt: skip


def inner(below: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    properties = st.dictionaries(NAMES, below, max_size=3)
    return st.one_of(
        st.builds(
            lambda p, r, rest: {"type": "object", "properties": p, "required": sorted(r), **rest},
            properties,
            st.sets(NAMES, max_size=2),
            st.one_of(
                st.just({}),
                st.just({"additionalProperties": False}),
                st.builds(lambda s: {"additionalProperties": s}, below),
                st.builds(lambda s: {"patternProperties": {"^[ab]": s}}, below),
                st.just({"maxProperties": 2}),
                st.just({"dependentRequired": {"a": ["b"]}}),
            ),
        ),
        st.builds(lambda s, n: {"type": "array", "items": s, "maxItems": n}, below, st.integers(0, 2)),
        st.builds(lambda s, t: {"prefixItems": [s], "items": t}, below, below),
        st.builds(lambda w, s: {w: s}, st.sampled_from(["anyOf", "oneOf", "allOf"]), st.lists(below, min_size=1, max_size=3)),
        st.builds(lambda s: {"$defs": {"d": s}, "$ref": "#/$defs/d"}, below),
    )  # fmt: skip


SCHEMAS = st.recursive(LEAVES, inner, max_leaves=6)
VALUES = st.recursive(
    st.sampled_from([None, True, False, 0, 1, 2, -1, 1.5, 3.0, "", "x", "yy", "zzz"]),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(NAMES, below, max_size=3),
    max_leaves=6,
)


def hoisted(schema: Any) -> Any:
    """Bring the definitions of all parts to the root, where references look for them."""
    defs: dict[str, Any] = {}

    def walk(node: Any) -> Any:
        if isinstance(node, list):
            return [walk(each) for each in node]
        if not isinstance(node, dict):
            return node
        rest = {key: walk(value) for key, value in node.items() if key != "$defs"}
        if "$defs" in node and isinstance(node.get("$ref"), str):
            name = f"d{len(defs)}"
            defs[name] = True
            defs[name] = walk(node["$defs"]["d"])
            rest["$ref"] = f"#/$defs/{name}"
        return rest

    whole = walk(schema)
    return {**whole, "$defs": defs} if defs and isinstance(whole, dict) else whole


@st.composite
def changed(draw: st.DrawFn, schema: Any) -> Any:  # noqa: PLR0911 - one way of change for each word
    """A schema that differs a little: some part of it is another, or gone."""
    if not isinstance(schema, dict) or draw(st.integers(0, 3)) == 0:
        return draw(LEAVES | SCHEMAS | st.just(schema))
    key = draw(st.sampled_from(sorted(schema)) if schema else st.none())
    if key is None:
        return schema
    if draw(st.integers(0, 4)) == 0:
        return {
            name: value for name, value in schema.items() if name != key and not (key == "$defs" and name == "$ref")
        }
    value = schema[key]
    if key in ("properties", "patternProperties", "$defs") and value:
        name = draw(st.sampled_from(sorted(value)))
        return {**schema, key: {**value, name: draw(changed(value[name]))}}
    if key in ("anyOf", "oneOf", "allOf", "prefixItems"):
        if key in ("anyOf", "oneOf") and draw(st.integers(0, 3)) == 0:
            return {**{name: each for name, each in schema.items() if name != key}, "oneOf": value}
        number = draw(st.integers(0, len(value) - 1))
        return {**schema, key: [*value[:number], draw(changed(value[number])), *value[number + 1 :]]}
    if key in ("items", "additionalProperties"):
        return {**schema, key: draw(changed(value))}
    if key == "required":
        return {**schema, key: draw(st.sampled_from([value[:-1], sorted({*value, draw(NAMES)})]))}
    if key in ("minimum", "maxLength", "maxItems", "exclusiveMaximum", "maxProperties"):
        return {**schema, key: value + draw(st.integers(-1, 1)) if value else value}
    return schema


def fitting(schema: Any, root: Any) -> st.SearchStrategy[Any]:  # noqa: PLR0911 - one way for each word
    """Values that mostly fit a schema: what no generator of any JSON would hit upon."""
    if not isinstance(schema, dict):
        return VALUES
    if "$ref" in schema:
        return fitting(root["$defs"][schema["$ref"].rpartition("/")[2]], root)
    for word in ("anyOf", "oneOf", "allOf"):
        if word in schema:
            return st.one_of([fitting(each, root) for each in schema[word]])
    if "enum" in schema or "const" in schema:
        return st.sampled_from(schema.get("enum", [schema.get("const")]))
    if "properties" in schema or schema.get("type") == "object":
        return _objects(schema, root)
    if "items" in schema:
        first = [fitting(each, root) for each in schema.get("prefixItems", [])]
        rest = st.lists(fitting(schema["items"], root), max_size=2)
        return st.tuples(*first).flatmap(lambda head: rest.map(lambda tail: [*head, *tail])) if first else rest
    low = schema.get("minimum", 0)
    return VALUES | st.sampled_from([low, low + 1, low + 0.5, schema.get("exclusiveMaximum", 3) - 1, "x" * 2, None])


def _objects(schema: Any, root: Any) -> st.SearchStrategy[Any]:
    known = {name: fitting(each, root) for name, each in schema.get("properties", {}).items()}
    for name in schema.get("required", []):
        known.setdefault(name, VALUES)
    needed = {name: known.pop(name) for name in schema.get("required", []) if name in known}
    named = st.fixed_dictionaries(needed, optional=known)
    more = schema.get("additionalProperties") or schema.get("patternProperties", {}).get("^[ab]", False)
    if more is False:
        return named
    others = st.dictionaries(NAMES, fitting(more, root), max_size=2)
    return st.builds(lambda other, own: {**other, **own}, others, named)


def declares(schema: Any, value: Any, root: Any) -> bool:
    """Tell whether the value has no property that the schema does not declare, by the widest reading."""
    if isinstance(value, list):
        parts = [each for each in in_place(schema, root) if isinstance(each, dict)]
        return all(declares({"anyOf": [part["items"] for part in parts if "items" in part] +
                                      [item for part in parts for item in part.get("prefixItems", [])]}, each, root)
                   for each in value)  # fmt: skip
    if not isinstance(value, dict):
        return True
    parts = [each for each in in_place(schema, root) if isinstance(each, dict)]
    for name, each in value.items():
        below = [part["properties"][name] for part in parts if name in part.get("properties", {})]
        below += [node for part in parts for text, node in part.get("patternProperties", {}).items()
                  if name in "ab" and text]  # fmt: skip
        below += [part["additionalProperties"] for part in parts if isinstance(part.get("additionalProperties"), dict)
                  and part["additionalProperties"]]  # fmt: skip
        if not below or not declares({"anyOf": below}, each, root):
            return False
    return True


def in_place(schema: Any, root: Any) -> list[Any]:
    if not isinstance(schema, dict):
        return [schema]
    found = [schema]
    if "$ref" in schema:
        found += in_place(root["$defs"][schema["$ref"].rpartition("/")[2]], root)
    for word in ("anyOf", "oneOf", "allOf"):
        for each in schema.get(word, []):
            found += in_place(each, root)
    return found


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_whatever_fits_the_old_schema_fits_a_compatible_one(data: st.DataObject) -> None:
    raw = data.draw(SCHEMAS)
    old, new = hoisted(raw), hoisted(data.draw(changed(raw)))
    found = breaks(old, new)
    event("breaks" if found else "compatible")
    assume(not found and old != new)
    before, after = Schema(old), Schema(new)
    for value in data.draw(st.lists(fitting(old, old), min_size=10, max_size=30)):
        if before.accepts(value) and declares(old, value, old):
            assert after.accepts(value), (old, new, value)
