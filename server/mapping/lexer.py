"""Tokens: those of the `jmespath` library, with exact numbers in literals, and bare numbers where an operand may stand.

A bare number is digits, with `-` before and `.digits` behind: no exponent, no leading zero. Directly inside `[…]` numbers stay
what they are in JMESPath, an index or the parts of a slice, so elsewhere in there a number is written in backticks.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from jmespath.exceptions import LexerError

from .errors import SYNTAX, TOO_DEEP, ExpressionError

if TYPE_CHECKING:
    from collections.abc import Iterator

    class Lexer:
        """What we use of the library's lexer: its stubs leave out what a subclass needs."""

        _position: int

        def tokenize(self, expression: str) -> Iterator[Token]: ...
        def _consume_number(self) -> str: ...
        def _consume_until(self, delimiter: str) -> str: ...

else:
    from jmespath.lexer import Lexer

Token = dict[str, Any]
MAX_DIGITS = 34
MAX_LITERAL_DEPTH = 32
_DIGITS = "0123456789"
_WORDS = re.compile(r"\w[\w \-/]{0,80}")
_OPENING = frozenset(("lparen", "lbrace", "lbracket", "filter"))
_CLOSING = frozenset(("rparen", "rbrace", "rbracket"))


def number(digits: str) -> int | Decimal:
    """Read JSON's or our notation of a number exactly: an integer stays one, all else is a Decimal.

    Raises:
        ValueError: too long, or beyond the range of the arithmetic.

    """
    if len(digits.lstrip("-").replace(".", "")) > MAX_DIGITS:
        raise ValueError(f"a number has at most {MAX_DIGITS} digits")
    if digits.lstrip("-").isdigit():
        return int(digits)
    value = Decimal(digits)
    if abs(value.adjusted()) > MAX_DIGITS:
        raise ValueError("a number of this size is not taken")
    return value


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _depth(text: str) -> int:
    """Return how deep JSON text nests, brackets inside its texts left out."""
    deepest = depth = 0
    quoted = escaped = False
    for letter in text:
        if quoted:
            quoted = escaped or letter != '"'
            escaped = letter == "\\" and not escaped
        elif letter == '"':
            quoted = True
        elif letter in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif letter in "]}":
            depth -= 1
    return deepest


class _Lexer(Lexer):
    """The library's lexer with our reading of numbers; it raises LexerError with a position."""

    def _consume_number(self) -> str:
        start = self._position
        digits = super()._consume_number()
        if len(digits) > MAX_DIGITS + 1:
            raise LexerError(
                lexer_position=start, lexer_value=digits[:20], message=f"a number has at most {MAX_DIGITS} digits"
            )
        return digits

    def _consume_literal(self) -> Token:
        start = self._position
        lexeme = self._consume_until("`").replace("\\`", "`")
        if _depth(lexeme) > MAX_LITERAL_DEPTH:
            raise LexerError(lexer_position=start, lexer_value="`", message="the literal is nested too deeply")
        try:
            value = json.loads(lexeme, parse_float=number, parse_int=number, parse_constant=_no_constant)
        except ValueError as error:
            reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
            raise LexerError(
                lexer_position=start,
                lexer_value="`",
                message=f"between backticks stands JSON ({reason}); for text write '…'",
            ) from error
        return {"type": "literal", "value": value, "start": start, "end": self._position}


def tokenize(text: str) -> list[Token]:
    """Return the tokens of an expression, the last one `eof`.

    Raises:
        ExpressionError: a character or literal that is none.

    """
    try:
        tokens = list(_Lexer().tokenize(text))
    except LexerError as error:
        message = (
            error.message if "oken" not in error.message else f"{text[error.lex_position :][:1]!r} is not expected"
        )
        raise ExpressionError(
            message + text_hint(text), code=_lexer_code(message), text=text, position=error.lex_position
        ) from error
    return _with_numbers(tokens, text)


def text_hint(text: str) -> str:
    """Say how text is written, when words were given that look as if text was meant."""
    return f"; for text write {{value: {text}}}" if _WORDS.fullmatch(text) and text[0] not in _DIGITS else ""


def _lexer_code(message: str) -> str:
    return TOO_DEEP if "deeply" in message else SYNTAX


def _with_numbers(tokens: list[Token], text: str) -> list[Token]:
    """Turn number tokens into literals wherever they are no index and no part of a slice."""
    result: list[Token] = []
    open_brackets: list[str] = []
    at = 0
    while at < len(tokens):
        token = tokens[at]
        kind = token["type"]
        if kind in _OPENING:
            open_brackets.append(kind)
        elif kind in _CLOSING and open_brackets:
            open_brackets.pop()
        if kind == "number" and open_brackets[-1:] != ["lbracket"]:
            token, used = _bare_number(tokens, at, text)
            at += used - 1
        result.append(token)
        at += 1
    return result


def _bare_number(tokens: list[Token], at: int, text: str) -> tuple[Token, int]:
    """Return the literal that starts at token `at` and how many tokens it takes: `12`, or `12` `.` `5`."""
    start, end, used = tokens[at]["start"], tokens[at]["end"], 1
    if tokens[at + 1]["type"] == "dot" and tokens[at + 1]["start"] == end:
        fraction = tokens[at + 2]
        if fraction["type"] != "number" or fraction["start"] != end + 1 or text[end + 1] == "-":
            raise ExpressionError("a number's point is followed by digits", text=text, position=end)
        end, used = fraction["end"], 3
    following = tokens[at + used]
    if following["start"] == end and following["type"] in ("unquoted_identifier", "number", "literal"):
        raise ExpressionError("a number is digits and a point, without exponent or unit", text=text, position=end)
    digits = text[start:end]
    whole = digits.lstrip("-").partition(".")[0]
    if len(whole) > 1 and whole[0] == "0":
        raise ExpressionError("a number has no leading zeros; for text write '…'", text=text, position=start)
    try:
        value = number(digits)
    except ValueError as error:
        raise ExpressionError(str(error), text=text, position=start) from error
    return {"type": "literal", "value": value, "start": start, "end": end}, used
