"""The `jmespath` library's parser, with the position of every node, strict commas, and a bound on nesting.

A tree is nested dicts `{type, children, value?, at?}` as in `jmespath.ast`; `at` is the position in the text. The library reads
`f(a b)` as two arguments and `{a: x b: y}` as two keys; JMESPath's grammar has a comma there, and so has ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jmespath.exceptions import ParseError

from .errors import SYNTAX, TOO_DEEP, TOO_LONG, ExpressionError
from .lexer import Token, text_hint, tokenize

if TYPE_CHECKING:

    class Parser:
        """What we use of the library's parser: its stubs leave out what a subclass needs."""

        _tokens: list[Token]
        _index: int

        def _expression(self, binding_power: int = 0) -> Tree: ...
        def _parse_comparator(self, left: Tree, comparator: str) -> Tree: ...
        def _current_token(self) -> str: ...
        def _lookahead_token(self, number: int) -> Token: ...
        def _match(self, token_type: str) -> None: ...
        def _match_multiple_tokens(self, token_types: list[str]) -> None: ...
        def _advance(self) -> None: ...

else:
    from jmespath.parser import Parser

Tree = dict[str, Any]
MAX_LENGTH = 4_096
MAX_NESTING = 48
MAX_TREE_DEPTH = 160


class _Parser(Parser):
    """One use: `tree()` of one text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text
        self._nesting = 0

    def tree(self) -> Tree:
        self._tokens = tokenize(self._text)
        self._index = 0
        tree = self._expression(0)
        if self._current_token() != "eof":
            raise self._unexpected(self._lookahead_token(0))
        return tree

    def _expression(self, binding_power: int = 0) -> Tree:
        self._nesting += 1
        start = self._lookahead_token(0)["start"]
        if self._nesting > MAX_NESTING:
            raise ExpressionError(
                f"the expression is nested more than {MAX_NESTING} deep", code=TOO_DEEP, text=self._text, position=start
            )
        tree = super()._expression(binding_power)
        tree.setdefault("at", start)
        self._nesting -= 1
        return tree

    def _token_nud_unquoted_identifier(self, token: Token) -> Tree:
        return {"type": "field", "children": [], "value": token["value"], "at": token["start"]}

    def _token_nud_quoted_identifier(self, token: Token) -> Tree:
        if self._current_token() == "lparen":
            raise ExpressionError("a function's name stands without quotes", text=self._text, position=token["start"])
        return {"type": "field", "children": [], "value": token["value"], "at": token["start"]}

    def _parse_comparator(self, left: Tree, comparator: str) -> Tree:
        at = self._lookahead_token(-1)["start"]
        return {**super()._parse_comparator(left, comparator), "at": at}

    def _token_led_lparen(self, left: Tree) -> Tree:
        at: int = left["at"] if "at" in left else self._lookahead_token(-1)["start"]
        if left["type"] != "field":
            raise ExpressionError("only a name can be called", text=self._text, position=at)
        arguments: list[Tree] = []
        while self._current_token() != "rparen":
            if arguments:
                self._match("comma")
            arguments.append(self._expression())
        self._advance()
        return {"type": "function_expression", "children": arguments, "value": left["value"], "at": at}

    def _parse_multi_select_hash(self) -> Tree:
        pairs: list[Tree] = []
        while True:
            key = self._lookahead_token(0)
            self._match_multiple_tokens(token_types=["quoted_identifier", "unquoted_identifier"])
            self._match("colon")
            value = self._expression(0)
            pairs.append({"type": "key_val_pair", "children": [value], "value": key["value"], "at": key["start"]})
            if self._current_token() == "rbrace":
                self._advance()
                return {"type": "multi_select_dict", "children": pairs}
            self._match("comma")

    def _raise_parse_error_for_token(self, token: Token, _reason: str) -> None:
        raise self._unexpected(token)

    def _raise_parse_error_maybe_eof(self, _expected_type: Any, token: Token) -> None:
        raise self._unexpected(token)

    def _error_nud_token(self, token: Token) -> None:
        raise self._unexpected(token)

    def _unexpected(self, token: Token) -> ExpressionError:
        at, kind = token["start"], token["type"]
        if kind == "eof":
            message = "the expression ends too early" if self._text.strip() else "the expression is empty"
        elif kind == "number":
            message = f"inside […] a number that is no index is written in backticks: `{token['value']}`"
        else:
            message = f"{self._text[at : at + 20].partition(' ')[0]!r} is not expected here"
        return ExpressionError(message + text_hint(self._text), text=self._text, position=at)


def parse(text: str) -> Tree:
    """Return the tree of an expression.

    Raises:
        ExpressionError: EXPR_SYNTAX, EXPR_TOO_LONG or EXPR_TOO_DEEP.

    """
    if len(text) > MAX_LENGTH:
        raise ExpressionError(
            f"the expression has {len(text)} characters; {MAX_LENGTH} are taken",
            code=TOO_LONG,
            text=text,
            position=MAX_LENGTH,
        )
    if not text.strip():
        raise ExpressionError("the expression is empty", text=text)
    try:
        tree = _Parser(text).tree()
    except ParseError as error:
        raise ExpressionError(str(error.msg), code=SYNTAX, text=text, position=error.lex_position or 0) from error
    _check_depth(tree, text)
    return tree


def _check_depth(tree: Tree, text: str) -> None:
    """Refuse long chains such as `a|b|c|…`: the compiler and what it makes recurse along the tree."""
    level = [tree]
    for _ in range(MAX_TREE_DEPTH):
        level = [child for node in level for child in node["children"] if isinstance(child, dict)]
        if not level:
            return
    raise ExpressionError(
        f"the expression is nested more than {MAX_TREE_DEPTH} deep",
        code=TOO_DEEP,
        text=text,
        position=level[0].get("at", 0),
    )
