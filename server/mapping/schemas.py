"""Checking expressions against the JSON Schemas of what their roots hold: fields that cannot be there, and wrong kinds."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from server.kernel.errors import code

from .functions import FUNCTIONS
from .places import ITEM
from .shapes import (
    Shape,
    field_of,
    items_of,
    kinds_of,
    made_list,
    made_object,
    of_kind,
    shape_of,
    shape_of_literal,
    union,
    values_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .expression import Expression
    from .maps import CompiledMap
    from .nodes import Pointer
    from .parser import Tree

PATH_UNKNOWN = code("PATH_UNKNOWN", "The schema has no such field there.")
PATH_KIND = code("PATH_KIND", "By the schema the value is of a kind that this step gives null for, always.")
PATH_TYPE = code("PATH_TYPE", "By the schema the value is of a kind that this operator or function refuses, always.")

_KIND_NAMES = frozenset(("number", "text", "boolean", "list", "object"))
_LIST = frozenset(("list",))


@dataclass(frozen=True, slots=True)
class PathProblem:
    """What an expression asks of its data and the schema does not give; `position` counts in the expression."""

    position: int
    code: str
    severity: Literal["error", "warning"]
    message: str
    suggestion: str | None = None


def check_paths(expression: Expression, schemas: Mapping[str, Any]) -> list[PathProblem]:
    """Return what is wrong with an expression when its roots hold what the schemas say.

    `schemas` is root → JSON Schema; a root of which nothing is known may be left out.
    """
    walk = _Walk()
    walk.shape(expression.tree, _scope({root: shape_of(schema, schema) for root, schema in schemas.items()}), 0)
    return walk.problems


def check_map_paths(compiled: CompiledMap, schemas: Mapping[str, Any]) -> list[tuple[Pointer, PathProblem]]:
    """Return the same for every expression of a map, with its pointer; `item` has the shape of the list that `each` names."""
    problems: list[tuple[Pointer, PathProblem]] = []
    roots = {root: shape_of(schema, schema) for root, schema in schemas.items()}
    for place in compiled.places:
        shapes = dict(roots)
        for items in place.lists:
            shapes[ITEM] = items_of(_Walk().shape(items.tree, _scope(shapes), 0))
        walk = _Walk()
        walk.shape(place.expression.tree, _scope(shapes), 0)
        problems += [(place.pointer, problem) for problem in walk.problems]
    return problems


def items_schema(expression: Expression, schemas: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the schema of the items of the list that an expression gives; None when nothing certain is known of them."""
    scope = _scope({root: shape_of(schema, schema) for root, schema in schemas.items()})
    items = items_of(_Walk().shape(expression.tree, scope, 0))
    if items is None or len(items) != 1 or "items_shape" in items[0].node:
        return None
    document = items[0].document
    shared = document.get("$defs") if isinstance(document, dict) else None
    return {**items[0].node, **({"$defs": shared} if shared else {})}


def _scope(shapes: dict[str, Shape]) -> Shape:
    """Return the shape of the scope; it is open, since unknown roots are found elsewhere."""
    scope = made_object(shapes)
    if scope is not None:
        scope[0].node["additionalProperties"] = True
        scope[0].node["patternProperties"] = {}
    return scope


class _Walk:
    """Follows one tree, collecting problems."""

    def __init__(self) -> None:
        self.problems: list[PathProblem] = []

    def shape(self, tree: Tree, current: Shape, at: int) -> Shape:
        """Return the shape of the tree's value when the current value has the shape `current`."""
        follow: Callable[[Tree, Shape, int], Shape] = getattr(self, f"_{tree['type']}")
        return follow(tree, current, tree.get("at", at))

    def _identity(self, _tree: Tree, current: Shape, _at: int) -> Shape:
        return current

    _current = _identity

    def _literal(self, tree: Tree, _current: Shape, _at: int) -> Shape:
        return shape_of_literal(tree["value"])

    def _subexpression(self, tree: Tree, current: Shape, at: int) -> Shape:
        for child in tree["children"]:
            current = self.shape(child, current, at)
        return current

    _index_expression = _pipe = _subexpression

    def _index(self, _tree: Tree, current: Shape, at: int) -> Shape:
        return items_of(self._expect("list", current, at))

    def _slice(self, _tree: Tree, current: Shape, at: int) -> Shape:
        return self._expect("list", current, at)

    def _flatten(self, tree: Tree, current: Shape, at: int) -> Shape:
        items = items_of(self._expect("list", self.shape(tree["children"][0], current, at), at))
        return made_list(union(items_of(items), _without_lists(items)) if "list" in kinds_of(items) else items)

    def _multi_select_list(self, tree: Tree, current: Shape, at: int) -> Shape:
        return made_list(union(*[self.shape(child, current, at) for child in tree["children"]]))

    def _multi_select_dict(self, tree: Tree, current: Shape, at: int) -> Shape:
        fields = {child["value"]: self.shape(child["children"][0], current, at) for child in tree["children"]}
        return made_object(fields)

    def _or_expression(self, tree: Tree, current: Shape, at: int) -> Shape:
        return union(*[self.shape(child, current, at) for child in tree["children"]])

    _and_expression = _or_expression

    def _not_expression(self, tree: Tree, current: Shape, at: int) -> Shape:
        self.shape(tree["children"][0], current, at)
        return of_kind("boolean")

    def _report(
        self,
        at: int,
        code_: str,
        message: str,
        severity: Literal["error", "warning"] = "error",
        suggestion: str | None = None,
    ) -> None:
        problem = PathProblem(at, code_, severity, message, suggestion)
        if problem not in self.problems:
            self.problems.append(problem)

    def _field(self, tree: Tree, current: Shape, at: int) -> Shape:
        name: str = tree["value"]
        shape, verdict, names = field_of(current, name)
        if verdict == "kind":
            kind = " or ".join(sorted(kinds_of(current) - {"null"})) or "null"
            self._report(at, PATH_KIND, f'a {kind} has no field "{name}"')
        elif verdict != "ok":
            close = difflib.get_close_matches(name[:64], names, 1)
            hint = f"; did you mean {close[0]}?" if close else ""
            listed = ", ".join(names[:8]) or "none"
            self._report(
                at,
                PATH_UNKNOWN,
                f'the schema has no field "{name}" here (it has {listed}){hint}',
                "error" if verdict == "closed" else "warning",
                close[0] if close else None,
            )
        return shape

    def _expect(self, kind: str, shape: Shape, at: int) -> Shape:
        kinds = kinds_of(shape) - {"null"}
        if kinds and kind not in kinds:
            self._report(at, PATH_KIND, f"a {kind} is expected here, and the schema says {' or '.join(sorted(kinds))}")
            return None
        return shape

    def _projection(self, tree: Tree, current: Shape, at: int) -> Shape:
        base = self.shape(tree["children"][0], current, at)
        if tree["type"] == "value_projection":
            items = values_of(self._expect("object", base, at))
        else:
            items = items_of(self._expect("list", base, at))
        if tree["type"] == "filter_projection":
            self.shape(tree["children"][2], items, at)
        return made_list(self.shape(tree["children"][1], items, at))

    _value_projection = _filter_projection = _projection

    def _comparator(self, tree: Tree, current: Shape, at: int) -> Shape:
        left, right = [kinds_of(self.shape(child, current, at)) - {"null"} for child in tree["children"]]
        if tree["value"] in ("eq", "ne"):
            if left and right and not left & right:
                answer = "false" if tree["value"] == "eq" else "true"
                message = f"a {_either(left)} is never equal to a {_either(right)}: this is always {answer}"
                self._report(at, PATH_TYPE, message, "warning")
        elif {left, right} == {frozenset(("text",)), frozenset(("number",))}:
            self._report(at, PATH_TYPE, "a number is compared with a text; use to_decimal(…) on the text")
        return of_kind("boolean")

    def _function_expression(self, tree: Tree, current: Shape, at: int) -> Shape:
        function = FUNCTIONS[tree["value"]]
        shapes: list[Shape] = []
        items: Shape = None
        for child in tree["children"]:
            if child["type"] != "expref":
                shapes.append(self.shape(child, current, at))
                items = items_of(shapes[-1]) if "list" in kinds_of(shapes[-1]) and items is None else items
            else:
                shapes.append(None)
        for index, child in enumerate(tree["children"]):
            if child["type"] == "expref":
                shapes[index] = self.shape(child["children"][0], items, at)
                continue
            kinds, param = kinds_of(shapes[index]), function.param(index)
            wanted = frozenset(param.kinds)
            present = kinds - {"null"} if function.nulls == "null" else kinds
            if "any" not in wanted and present and not present & wanted:
                message = f"{param.name} of {function.name} must be {' or '.join(param.kinds)}, and the schema says {_either(present)}"
                self._report(child.get("at", at), PATH_TYPE, message)
        return _result(function.name, function.result, shapes)


def _either(kinds: frozenset[str]) -> str:
    return " or ".join(sorted(kinds))


def _without_lists(shape: Shape) -> Shape:
    """Return the shape of items that are no lists; a list stands for none of them when all are."""
    if shape is None:
        return None
    others = tuple(each for each in shape if each.kinds != _LIST)
    return others or items_of(shape)


def _result(name: str, result: str, shapes: list[Shape]) -> Shape:
    if name == "map":
        return made_list(shapes[0])
    if name == "if":
        return union(*shapes[1:]) if len(shapes) == 3 else None  # noqa: PLR2004  # without `else` it may be null
    if result == "same":
        return shapes[0]
    if result == "item":
        return items_of(shapes[0])
    kinds = result.split("|")
    return of_kind(*kinds) if set(kinds) <= _KIND_NAMES | {"null"} else None
