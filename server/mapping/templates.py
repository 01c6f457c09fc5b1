"""Texts with `{{ EXPR }}` inside: paths, headers, messages. Everything outside the braces stands for itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .budget import Budget
from .errors import MISSING, TOO_LONG, TYPE, EvaluationError, ExpressionError, Refused
from .expression import Expression, compile_expression
from .functions.text import as_text
from .values import kind_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MAX_LENGTH = 65_536
_QUOTES = "'\"`"


class Template:
    """A text whose expressions were checked and compiled."""

    __slots__ = ("_parts", "text")

    def __init__(self, text: str, roots: frozenset[str] | None) -> None:
        if len(text) > MAX_LENGTH:
            raise ExpressionError(
                f"the text has {len(text)} characters; {MAX_LENGTH} are taken",
                code=TOO_LONG,
                text=text,
                position=MAX_LENGTH,
            )
        self.text = text
        self._parts = list(_parts(text, roots))

    @property
    def expressions(self) -> tuple[Expression, ...]:
        """The expressions of the text, in its order."""
        return tuple(part for part in self._parts if isinstance(part, Expression))

    def run(
        self, scope: Mapping[str, Any], budget: Budget | None = None, escape: Callable[[str], str] | None = None
    ) -> str:
        """Return the text for a scope. Null is an error: write `{{ EXPR || '' }}` where nothing may stand.

        `escape` is put over what each expression gives: percent-encoding where the text is a path.

        Raises:
            EvaluationError: EXPR_MISSING, EXPR_TYPE, EXPR_VALUE, EXPR_BUDGET.

        """
        budget = Budget() if budget is None else budget
        filled = (
            part if isinstance(part, str) else (escape or str)(_filled(part, scope, budget)) for part in self._parts
        )
        return "".join(filled)


def compile_template(text: str, roots: frozenset[str] | None = None) -> Template:
    """Check and compile a text whose expressions start with `roots`.

    Raises:
        ExpressionError: `position` counts in the whole text.

    """
    return Template(text, roots)


def _filled(expression: Expression, scope: Mapping[str, Any], budget: Budget) -> str:
    value = expression.run(scope, budget)
    if value is None:
        message = f"there is nothing to write for {{{{ {expression.text[:80]} }}}}"
        raise EvaluationError(message, code=MISSING, text=expression.text, value="null")
    if isinstance(value, list | dict):
        message = f"a {kind_of(value)} cannot be written into a text; use join or json_encode"
        raise Refused(message, code=TYPE, value=value).at(expression.text, 0)
    try:
        text = as_text(value)
        budget.grow_text(len(text))
    except Refused as refused:
        raise refused.at(expression.text, 0) from None
    return text


def _parts(text: str, roots: frozenset[str] | None) -> list[str | Expression]:
    parts: list[str | Expression] = []
    at = 0
    while (opening := text.find("{{", at)) >= 0:
        closing = _closing(text, opening + 2)
        inside = text[opening + 2 : closing]
        start = opening + 2 + len(inside) - len(inside.lstrip())
        try:
            expression = compile_expression(inside.strip(), roots)
        except ExpressionError as error:
            raise ExpressionError(
                error.message, code=error.code, text=text, position=start + error.position, suggestion=error.suggestion
            ) from error
        parts += [text[at:opening], expression]
        at = closing + 2
    return [part for part in (*parts, text[at:]) if part != ""]


def _closing(text: str, at: int) -> int:
    """Return where the `}}` stands that ends the expression, with quotes and braces inside it in mind."""
    start, braces, quote = at - 2, 0, ""
    while at < len(text):
        letter = text[at]
        if quote:
            if letter == "\\":
                at += 1
            elif letter == quote:
                quote = ""
        elif letter in _QUOTES:
            quote = letter
        elif letter == "{":
            braces += 1
        elif letter == "}":
            if not braces and text.startswith("}}", at):
                return at
            braces -= 1
        at += 1
    raise ExpressionError("the braces {{ are not closed by }}", text=text, position=start)
