"""What a JSON Schema says about a value, for following an expression through it without running it.

A shape is a tuple of alternatives, each a schema with its document for `$ref`; None is anything. Whatever is not understood
(`if`, `not`, a remote `$ref`, …) makes the shape anything, so that a problem is only reported when it is one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .values import kind_of

_ALL_KINDS = frozenset(("text", "number", "boolean", "list", "object", "null"))
_KINDS = {
    "string": "text",
    "integer": "number",
    "number": "number",
    "boolean": "boolean",
    "array": "list",
    "object": "object",
    "null": "null",
}
_TYPE_OF = {kind: name for name, kind in _KINDS.items() if name != "integer"}
_UNKNOWN_RULES = ("if", "not", "dependentSchemas", "patternProperties", "$dynamicRef")
_MOST_ALTERNATIVES = 32
_MOST_REFS = 16


@dataclass(frozen=True, slots=True)
class Schema:
    """One alternative: a schema object without `$ref`, `anyOf`, `oneOf` and `allOf`, and the document it stands in."""

    node: dict[str, Any]
    document: Any

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of value that it allows."""
        types = self.node.get("type")
        if isinstance(types, str):
            types = [types]
        if isinstance(types, list):
            return frozenset(_KINDS[name] for name in types if name in _KINDS) or _ALL_KINDS
        if "const" in self.node:
            return frozenset((kind_of(self.node["const"]),))
        if isinstance(self.node.get("enum"), list):
            return frozenset(kind_of(value) for value in self.node["enum"]) or _ALL_KINDS
        return _ALL_KINDS

    @property
    def properties(self) -> dict[str, Any]:
        """The fields that it lists."""
        listed = self.node.get("properties")
        return listed if isinstance(listed, dict) else {}

    @property
    def closed(self) -> bool:
        """Whether fields that it does not list are forbidden."""
        return self.node.get("additionalProperties") is False or self.node.get("unevaluatedProperties") is False

    @property
    def opaque(self) -> bool:
        """Whether it has rules that are not followed here."""
        return any(rule in self.node for rule in _UNKNOWN_RULES)


Shape = tuple[Schema, ...] | None


def shape_of(node: Any, document: Any, refs: int = _MOST_REFS) -> Shape:
    """Return the shape of a schema."""
    if not isinstance(node, dict) or not node or not refs:
        return None
    if "$ref" in node:
        return shape_of(_resolved(node["$ref"], document), document, refs - 1)
    for choice in ("anyOf", "oneOf"):
        if isinstance(node.get(choice), list):
            rest = {key: value for key, value in node.items() if key != choice}
            return union(*(shape_of({**rest, "allOf": [*rest.get("allOf", []), each]} if rest else each, document, refs - 1)
                           for each in node[choice]))  # fmt: skip
    if isinstance(node.get("allOf"), list):
        return _all_of(node, document, refs)
    return (Schema(node, document),)


def _resolved(ref: Any, document: Any) -> Any:
    if not isinstance(ref, str) or not ref.startswith("#"):
        return None
    node = document
    for step in ref[1:].split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(node, dict) and name in node:
            node = node[name]
        elif isinstance(node, list) and name.isdigit() and int(name) < len(node):
            node = node[int(name)]
        else:
            return None
    return node


def _all_of(node: dict[str, Any], document: Any, refs: int) -> Shape:
    """Merge what all parts say; parts with alternatives of their own are taken as saying nothing."""
    merged = {key: value for key, value in node.items() if key != "allOf"}
    for part in node["allOf"]:
        shape = shape_of(part, document, refs - 1)
        if shape is None:
            continue
        if len(shape) != 1:
            merged = {**merged, "not": {}}  # more than can be told here: anything goes
            continue
        other = shape[0].node
        declared = [each.get("properties") for each in (other, merged)]  # whatever a broken schema has there
        properties = {key: value for each in declared if isinstance(each, dict) for key, value in each.items()}
        closed = {
            key: False for key in ("additionalProperties",) if merged.get(key) is False or other.get(key) is False
        }
        merged = {**other, **merged, **({"properties": properties} if properties else {}), **closed}
    return (Schema(merged, document),) if merged else None


def union(*shapes: Shape) -> Shape:
    """Return the shape of a value that has one of the shapes."""
    alternatives: list[Schema] = []
    for shape in shapes:
        if shape is None:
            return None
        alternatives += [each for each in shape if each not in alternatives]
    return tuple(alternatives) if 0 < len(alternatives) <= _MOST_ALTERNATIVES else None


def of_kind(*kinds: str) -> Shape:
    """Return the shape of any value of the kinds."""
    return (Schema({"type": [_TYPE_OF[kind] for kind in kinds]}, None),)


def kinds_of(shape: Shape) -> frozenset[str]:
    """Return the kinds that a value of the shape can have."""
    if shape is None:
        return _ALL_KINDS
    return frozenset().union(*(_ALL_KINDS if each.opaque and "type" not in each.node else each.kinds for each in shape))


def items_of(shape: Shape) -> Shape:
    """Return the shape of a list's items."""
    if shape is None:
        return None
    found: list[Shape] = []
    for each in shape:
        if "list" in each.kinds:
            if "items_shape" in each.node:  # a list that the expression itself makes
                found.append(each.node["items_shape"])
            elif "prefixItems" in each.node or isinstance(each.node.get("items"), list):
                return None
            else:
                found.append(shape_of(each.node.get("items"), each.document))
    return union(*found)


def values_of(shape: Shape) -> Shape:
    """Return the shape of an object's values."""
    if shape is None:
        return None
    found: list[Shape] = []
    for each in shape:
        if "object" in each.kinds:
            if not each.closed or each.opaque:
                return None
            found += [_field_shape(value, each) for value in each.properties.values()]
    return union(*found)


def _field_shape(node: Any, within: Schema) -> Shape:
    return node if isinstance(node, tuple) else shape_of(node, within.document)


def field_of(shape: Shape, name: str) -> tuple[Shape, str, list[str]]:
    """Return the shape of a field, a verdict, and the names listed beside it.

    The verdict is `ok`, `kind` (no object at all), `closed` (the field cannot be there) or `unlisted` (nobody knows of it).
    """
    if shape is None:
        return None, "ok", []
    found: list[Shape] = []
    verdicts: set[str] = set()
    names: list[str] = []
    for each in shape:
        if "object" not in each.kinds:
            verdicts.add("kind")
        elif name in each.properties:
            found.append(_field_shape(each.properties[name], each))
        elif isinstance(each.node.get("additionalProperties"), dict):
            found.append(shape_of(each.node["additionalProperties"], each.document))
        elif each.opaque or not (each.properties or each.closed):
            found.append(None)
        else:
            verdicts.add("closed" if each.closed else "unlisted")
            names += each.properties
    if found:
        return union(*found), "ok", []
    return None, next((verdict for verdict in ("unlisted", "closed", "kind") if verdict in verdicts), "ok"), names


def made_list(items: Shape) -> Shape:
    """Return the shape of a list that an expression makes."""
    return (Schema({"type": "array", "items_shape": items}, None),)


def made_object(fields: dict[str, Shape]) -> Shape:
    """Return the shape of an object that an expression makes: these fields and no others."""
    properties = {name: shape if shape is not None else {} for name, shape in fields.items()}
    return (Schema({"type": "object", "properties": properties, "additionalProperties": False}, None),)


def shape_of_literal(value: Any) -> Shape:
    """Return the shape of a literal."""
    if isinstance(value, dict):
        return made_object({name: shape_of_literal(each) for name, each in value.items()})
    if isinstance(value, list):
        return made_list(union(*(shape_of_literal(each) for each in value)))
    return of_kind(kind_of(value))
