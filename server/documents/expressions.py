"""Field types with expressions inside: an expression, a map, a text with `{{ … }}`. Positions point into the text.

What an expression may start with is decided by its place (`server.mapping.PLACES`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from server.documents.credentials import known_credential
from server.documents.fields import FieldType
from server.documents.limits import CUT
from server.documents.nodes import ListNode, MappingNode, Node, ScalarNode, at, plain
from server.documents.scalars import CREDENTIAL, Text, refuse_credential, text_of
from server.documents.values import scalars_in
from server.documents.yaml_repair import balance
from server.mapping import (
    OPTIONS,
    PLACES,
    VALUE_TYPES,
    ExpressionError,
    check_map,
    check_map_paths,
    check_paths,
    compile_expression,
    compile_map,
    compile_template,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from server.documents.checking import Checker
    from server.mapping import PathProblem

_LONGEST = 20_000
_KNOWN_OPTIONS = frozenset((*(option.name for option in OPTIONS), "each", "map", "when"))
_WHOLE_LITERAL = re.compile(r"\s*'((?:[^'\\]|\\.)*)'\s*")
DEFINITIONS: dict[str, Any] = {
    "map": {
        "description": "A text is an expression; {from: EXPR, …} one with options; {value: X} a literal;"
        " {each: EXPR, map: …} a list; any other mapping an object.",
        "anyOf": [
            {"type": ["string", "number", "boolean", "null"]},
            {"type": "array", "items": {"$ref": "#/$defs/map"}},
            {
                "type": "object",
                "required": ["from"],
                "properties": {
                    **{option.name: {"description": option.about} for option in OPTIONS},
                    "from": {"type": "string", "description": "An expression."},
                    "type": {"enum": [each.name for each in VALUE_TYPES]},
                    "required": {"type": "boolean"},
                },
                "additionalProperties": False,
            },
            {"type": "object", "required": ["value"], "properties": {"value": {}}, "additionalProperties": False},
            {
                "type": "object",
                "required": ["each", "map"],
                "properties": {
                    "each": {"type": "string", "description": "An expression that gives a list; `item` is each of it."},
                    "when": {"type": "string"},
                    "map": {"$ref": "#/$defs/map"},
                },
                "additionalProperties": False,
            },
            {
                "type": "object",
                "properties": {"from": False, "each": False},
                "additionalProperties": {"$ref": "#/$defs/map"},
            },
        ],
    }
}


def expression_error(node: Node, error: ExpressionError, checker: Checker) -> None:
    """Note an error of an expression at its place inside the text; or that YAML has cut the text before its end."""
    if isinstance(node, ScalarNode) and node.comment is not None and _cut(node, error):
        line = node.source.line(node.end_line)
        whole = f"{line[node.col - 1 :].rstrip()}" if node.line == node.end_line else str(node.value)
        quote = "'" if '"' in whole else '"'
        message = "YAML takes what follows # as a comment and cuts the expression there; write the whole in quotes"
        checker.error(
            CUT, node, message, f"{quote}{whole[:200]}{quote}", index=line.find("#", node.end_col - 1) + 1 - node.col
        )
        return
    message = _without_suggestion(error.message, error.suggestion)
    checker.error(error.code, node, message, error.suggestion, index=error.position)


def _cut(node: ScalarNode, error: ExpressionError) -> bool:
    """Say whether the text looks unfinished: something is open, or the error stands at its very end."""
    text = str(node.value)
    return balance(text) > 0 or error.position >= len(text.rstrip())


def _without_suggestion(message: str, suggestion: str | None) -> str:
    """Leave a suggestion to the finding, which says it after the message."""
    return message.replace(f"; did you mean {suggestion}?", "", 1) if suggestion else message


@dataclass(frozen=True)
class ExpressionText(FieldType):
    """An expression that may start with the roots of a place."""

    place: str

    def check(self, node: Node, checker: Checker) -> None:
        """Compile it."""
        text = text_of(node, checker, "an expression (a text)")
        if text is None:
            return
        try:
            compile_expression(text, PLACES[self.place])
        except ExpressionError as error:
            expression_error(node, error, checker)

    def schema(self) -> dict[str, Any]:
        """Return the schema of the text."""
        return {"type": "string", "minLength": 1}

    def label(self) -> str:
        """Return `expression` with its roots."""
        return f"expression ({_roots(self.place)})"


@dataclass(frozen=True)
class TemplateText(FieldType):
    """A text with `{{ EXPR }}` inside."""

    place: str
    longest: int = 4000

    def check(self, node: Node, checker: Checker) -> None:
        """Compile what stands in the braces."""
        before = len(checker.findings)
        Text(self.longest, shortest=0).check(node, checker)
        if len(checker.findings) > before or not isinstance(node, ScalarNode):
            return
        try:
            compile_template(str(node.value), PLACES[self.place])
        except ExpressionError as error:
            expression_error(node, error, checker)

    def schema(self) -> dict[str, Any]:
        """Return the schema of the text."""
        return {"type": "string", "maxLength": self.longest}

    def label(self) -> str:
        """Return `text with {{ EXPR }}`."""
        return "text with `{{ EXPR }}`"


@dataclass(frozen=True)
class MapValue(FieldType):
    """A map: what is made of the roots of a place."""

    place: str

    def check(self, node: Node, checker: Checker) -> None:
        """Compile every expression and refuse credentials among the literals."""
        for problem in check_map(plain(node), PLACES[self.place]):
            target = at(node, problem.pointer)
            if target.broken:
                continue
            if problem.position is None:
                message = _without_suggestion(problem.message, problem.suggestion)
                checker.error(problem.code, _key_or(node, problem.pointer, target), message, problem.suggestion)
            else:
                error = ExpressionError(
                    problem.message,
                    code=problem.code,
                    text=problem.text,
                    position=problem.position,
                    suggestion=problem.suggestion,
                )
                expression_error(target, error, checker)
        _refuse_credentials(node, None, checker)

    def schema(self) -> dict[str, Any]:
        """Return the schema: the forms of a map."""
        return {"$ref": "#/$defs/map"}

    def label(self) -> str:
        """Return `map` with its roots."""
        return f"map ({_roots(self.place)})"

    def accepts(self, node: Node) -> bool:
        """Take any value: all of them are maps."""
        return isinstance(node, Node)


def _key_or(root: Node, pointer: tuple[str | int, ...], target: Node) -> Node:
    """Return the key that the pointer ends in, when the problem is about an option of that name."""
    parent = at(root, pointer[:-1]) if pointer else root
    key = parent.key(str(pointer[-1])) if pointer and isinstance(parent, MappingNode) else None
    return key if key is not None and key.value not in _KNOWN_OPTIONS else target


def _roots(place: str) -> str:
    return ", ".join(f"`{root}`" for root in sorted(PLACES[place]))


def _refuse_credentials(node: Node, key: str | None, checker: Checker) -> None:
    """Refuse credentials in a map: known forms anywhere, and literals under a telling name."""
    if isinstance(node, MappingNode):
        literal = node.get("value") if len(node.entries) == 1 else None
        for name, value in [] if literal is not None else node.entries:
            inherited = name.value in ("from", "default", "map")
            _refuse_credentials(value, key if inherited else str(name.value), checker)
        for scalar in scalars_in(literal) if literal is not None else ():
            refuse_credential(scalar, key, checker)
    elif isinstance(node, ListNode):
        for each in node.items:
            _refuse_credentials(each, key, checker)
    elif isinstance(node, ScalarNode) and isinstance(node.value, str):
        _refuse_literal(node, node.value, key, checker)


def _refuse_literal(node: ScalarNode, text: str, key: str | None, checker: Checker) -> None:
    known = known_credential(text)
    literal = _WHOLE_LITERAL.fullmatch(text[:_LONGEST])
    if known:
        checker.error(CREDENTIAL, node, f"this looks like {known}: it does not belong into a definition")
    elif literal and key is not None and literal[1]:
        refuse_credential(ScalarNode(node.source, node.line, node.col, literal[1], "plain", 0, 0), key, checker)


def check_reads(node: Node, place: str, schemas: Mapping[str, Any], about: str, checker: Checker) -> None:
    """Check what an expression, or a text with `{{ … }}`, reads against the schemas of its roots.

    `about` names the schema in the message. What does not compile is left out: it has its finding.
    """
    if not isinstance(node, ScalarNode) or not isinstance(node.value, str) or node.broken:
        return
    try:
        expression = compile_expression(node.value, PLACES[place])
    except ExpressionError:
        return
    for problem in check_paths(expression, schemas):
        _path_problem(node, problem, about, checker)


def check_template_reads(node: Node, place: str, schemas: Mapping[str, Any], about: str, checker: Checker) -> None:
    """Do the same for a text with `{{ … }}`."""
    if not isinstance(node, ScalarNode) or not isinstance(node.value, str) or node.broken:
        return
    try:
        template = compile_template(node.value, PLACES[place])
    except ExpressionError:
        return
    start = 0
    for expression in template.expressions:
        start = max(node.value.find(expression.text, start), 0)
        for problem in check_paths(expression, schemas):
            _path_problem(node, problem, about, checker, start)


def check_map_reads(node: Node, place: str, schemas: Mapping[str, Any], about: str, checker: Checker) -> None:
    """Do the same for every expression of a map; `item` has the shape of its list."""
    try:
        compiled = compile_map(plain(node), PLACES[place])
    except ExpressionError:
        return
    for pointer, problem in check_map_paths(compiled, schemas):
        _path_problem(at(node, pointer), problem, about, checker)


def _path_problem(node: Node, problem: PathProblem, about: str, checker: Checker, start: int = 0) -> None:
    note = checker.error if problem.severity == "error" else checker.warning
    message = f"{about}: {_without_suggestion(problem.message, problem.suggestion)}"
    note(problem.code, node, message, problem.suggestion, index=start + problem.position)
