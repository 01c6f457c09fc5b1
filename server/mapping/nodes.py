"""The parts of a map: checking each node and making a closure `(scope, budget) -> JSON` of it."""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from server.kernel.errors import code

from .decimals import MOST_PLACES
from .errors import SYNTAX, ExpressionError, Refused, short
from .expression import Expression, compile_expression
from .making import list_by_each, list_of, object_of, optional_value, written_value
from .options import DATED, NUMERIC, OPTIONS, VALUE_TYPES, Convert, converter
from .places import ITEM
from .values import kind_of, plain

if TYPE_CHECKING:
    from .budget import Budget
    from .functions.base import Run

MAP_OPTION = code(
    "MAP_OPTION", "An option of a map's value is unknown, of the wrong kind, or does not go with the others."
)
MAP_NODE = code(
    "MAP_NODE", "A map holds texts, objects with text keys, lists, numbers, booleans and null, to a bounded depth."
)

Pointer = tuple[str | int, ...]
MAX_DEPTH = 32
_OPTION_NAMES = tuple(option.name for option in OPTIONS)
_TYPE_NAMES = tuple(type_.name for type_ in VALUE_TYPES)
_EACH_NAMES = ("each", "map", "when")


@dataclass(frozen=True, slots=True)
class MapProblem:
    """One thing that is wrong in a map: where (`pointer`, and `position` within the expression), and what."""

    pointer: Pointer
    position: int | None
    code: str
    message: str
    suggestion: str | None = None
    text: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the problem as JSON."""
        return {
            "pointer": list(self.pointer),
            "position": self.position,
            "code": self.code,
            "message": self.message,
            "suggestion": self.suggestion,
        }


@dataclass(frozen=True, slots=True)
class Place:
    """An expression of a map, where it stands, and the lists that `item` comes from, the outermost first."""

    pointer: Pointer
    expression: Expression
    lists: tuple[Expression, ...] = ()


@dataclass(frozen=True, slots=True)
class _Here:
    """Where the builder is."""

    pointer: Pointer
    roots: frozenset[str]
    lists: tuple[Expression, ...] = ()
    depth: int = 0

    def below(self, step: str | int) -> _Here:
        return _Here((*self.pointer, step), self.roots, self.lists, self.depth + 1)

    def inside(self, items: Expression | None) -> _Here:
        lists = (*self.lists, items) if items else self.lists
        return _Here(self.pointer, self.roots | {ITEM}, lists, self.depth)


def _null(_scope: Any, _budget: Budget) -> None:
    return None


class Builder:
    """Walks through a map once, collecting `problems` and `places`; what it builds counts only without problems."""

    def __init__(self) -> None:
        self.problems: list[MapProblem] = []
        self.places: list[Place] = []

    def build(self, node: Any, roots: frozenset[str]) -> tuple[Run, int]:
        """Return the closure of a whole map and its cost in steps."""
        return self._node(node, _Here((), roots))

    def _node(self, node: Any, here: _Here) -> tuple[Run, int]:
        if here.depth > MAX_DEPTH:
            return self._problem(here, MAP_NODE, f"the map is nested more than {MAX_DEPTH} deep")
        if isinstance(node, str):
            return self._text(node, here)
        if isinstance(node, dict):
            return self._dict(node, here)
        if isinstance(node, list):
            return list_of([self._node(each, here.below(index)) for index, each in enumerate(node)])
        return self._literal(node, here)

    def _problem(
        self,
        here: _Here,
        code_: str,
        message: str,
        suggestion: str | None = None,
        position: int | None = None,
        text: str = "",
    ) -> tuple[Run, int]:
        self.problems.append(MapProblem(here.pointer, position, code_, message, suggestion, text))
        return _null, 0

    def expression(self, text: Any, here: _Here) -> Expression | None:
        """Compile an expression of the map; None and a problem when it is none."""
        if not isinstance(text, str):
            self._problem(here, SYNTAX, f"an expression is text, not a {kind_of(text)}")
            return None
        try:
            expression = compile_expression(text, here.roots)
        except ExpressionError as error:
            self._problem(here, error.code, error.message, error.suggestion, error.position, text)
            return None
        self.places.append(Place(here.pointer, expression, here.lists))
        return expression

    def _text(self, text: str, here: _Here) -> tuple[Run, int]:
        expression = self.expression(text, here)
        return (_null, 0) if expression is None else (written_value(expression), expression.cost + 1)

    def _literal(self, node: Any, here: _Here) -> tuple[Run, int]:
        reason = _not_json(node)
        if reason:
            return self._problem(here, MAP_NODE, reason)
        return (lambda _scope, budget: plain(node, budget)), 1

    def _dict(self, node: dict[Any, Any], here: _Here) -> tuple[Run, int]:
        if "from" in node:
            return self._options(node, here)
        if "each" in node:
            return self._each(node, here)
        if set(node) == {"value"}:
            return self._literal(node["value"], here.below("value"))
        pairs = []
        for key, each in node.items():
            if not isinstance(key, str):
                self._problem(here, MAP_NODE, f"a name is text: write it in quotes, not {short(key)}")
            else:
                pairs.append((key, *self._node(each, here.below(key))))
        return object_of([(key, run) for key, run, _ in pairs]), sum(cost for *_, cost in pairs) + 1

    # ── {from: …} ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _options(self, node: dict[Any, Any], here: _Here) -> tuple[Run, int]:
        self._known(
            node,
            _OPTION_NAMES,
            here,
            'to make an object with a field "from", write it as an expression: "{from: …, …}"',
        )
        convert = self._converter(node, here)
        default, required = node.get("default"), node.get("required", False)
        if not isinstance(required, bool):
            self._problem(here.below("required"), MAP_OPTION, "required is true or false")
        elif required and default is not None:
            self._problem(
                here.below("required"), MAP_OPTION, "a value with a default is never missing: leave one of the two out"
            )
        default = self._default(default, convert, here.below("default"))
        expression = self.expression(node["from"], here.below("from"))
        if expression is None:
            return _null, 0
        return optional_value(expression, convert, default, required=bool(required)), expression.cost + 3

    def _known(self, node: dict[Any, Any], names: tuple[str, ...], here: _Here, hint: str = "") -> None:
        for key in node:
            if key in names:
                continue
            close = difflib.get_close_matches(str(key)[:64], names, 1)
            tail = f"did you mean {close[0]}?" if close else hint
            message = f"{short(key)} is no option here" + (f"; {tail}" if tail else "")
            self._problem(
                here.below(key if isinstance(key, str) else str(key)), MAP_OPTION, message, close[0] if close else None
            )

    def _converter(self, node: dict[Any, Any], here: _Here) -> Convert | None:
        type_, places, pattern = node.get("type"), node.get("round"), node.get("format")
        before = len(self.problems)
        if type_ is not None and type_ not in _TYPE_NAMES:
            close = difflib.get_close_matches(str(type_)[:64], _TYPE_NAMES, 1)
            suggestion = close[0] if close else None
            self._problem(here.below("type"), MAP_OPTION, f"type is one of {', '.join(_TYPE_NAMES)}", suggestion)
        if places is not None:
            if type(places) is not int or not 0 <= places <= MOST_PLACES:
                self._problem(here.below("round"), MAP_OPTION, f"round is a whole number from 0 to {MOST_PLACES}")
            elif type_ is not None and type_ not in NUMERIC:
                self._problem(
                    here.below("round"), MAP_OPTION, "only a number is rounded: type is decimal, number or integer"
                )
        if pattern is not None and (not isinstance(pattern, str) or not 0 < len(pattern) <= MAX_DEPTH * 2):
            self._problem(here.below("format"), MAP_OPTION, "format is a text of 1 to 64 characters")
        elif pattern is not None and type_ not in DATED:
            self._problem(here.below("format"), MAP_OPTION, "format goes with type date or datetime")
        return converter(type_, places, pattern) if len(self.problems) == before else None

    def _default(self, default: Any, convert: Convert | None, here: _Here) -> Any:
        reason = _not_json(default)
        if reason:
            self._problem(here, MAP_OPTION, reason)
        elif default is not None and convert is not None:
            try:
                return convert(default)
            except Refused as refused:
                self._problem(here, MAP_OPTION, f"the default does not fit its type: {refused.message}")
        return default

    # ── {each: …} ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _each(self, node: dict[Any, Any], here: _Here) -> tuple[Run, int]:
        self._known(node, _EACH_NAMES, here)
        items = self.expression(node["each"], here.below("each"))
        inner = here.inside(items)
        when = self.expression(node["when"], inner.below("when")) if "when" in node else None
        if "map" not in node:
            return self._problem(here, MAP_OPTION, "each needs a map: what every item becomes")
        run, cost = self._node(node["map"], inner.below("map"))
        if items is None:
            return _null, 0
        return list_by_each(items, when, run, cost + (when.cost if when else 0) + 2), items.cost + 2


def _not_json(node: Any, depth: int = MAX_DEPTH) -> str:
    """Say why a literal is not JSON; empty when it is."""
    if node is None or isinstance(node, str | bool | int):
        return ""
    if isinstance(node, float | Decimal):
        return "" if math.isfinite(node) else "a number is finite"
    if not isinstance(node, list | dict):
        return f"a literal is JSON, not {short(node)}: write it in quotes"
    if not depth:
        return f"a literal is nested {MAX_DEPTH} deep at most"
    if isinstance(node, dict) and not all(isinstance(key, str) for key in node):
        return "a name is text: write it in quotes"
    parts = node.values() if isinstance(node, dict) else node
    return next((why for each in parts if (why := _not_json(each, depth - 1))), "")
