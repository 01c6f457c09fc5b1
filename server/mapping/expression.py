"""A compiled expression: checked once, run many times."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .analysis import Reads, check_roots, made_only_of_data
from .budget import Budget, measure
from .compiler import Compiler
from .errors import Refused
from .parser import parse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .parser import Tree

_CONTAINERS = (list, dict, str)


class Expression:
    """An expression that was checked and compiled.

    `roots` are the names that it starts with, `paths` what it reads: `("data", "lines", "[]", "sku")`.
    """

    __slots__ = ("_bounded", "code", "cost", "paths", "roots", "text", "tree")

    def __init__(self, text: str, roots: frozenset[str] | None) -> None:
        self.text = text
        self.tree: Tree = parse(text)
        reads = Reads(self.tree)
        if roots is not None:
            check_roots(reads, roots, text)
        self.roots = frozenset(reads.roots)
        self.paths = reads.paths
        self.code, self.cost = Compiler(text).compile(self.tree)
        self._bounded = made_only_of_data(self.tree)

    def run(self, scope: Mapping[str, Any], budget: Budget | None = None) -> Any:
        """Return the value for a scope (root → JSON; numbers may be Decimal). Read it, do not change it: it shares the scope's parts.

        Raises:
            EvaluationError: EXPR_TYPE, EXPR_VALUE, EXPR_BUDGET.

        """
        budget = Budget() if budget is None else budget
        budget.left -= self.cost
        value = self.code(scope, budget)
        if not self._bounded and isinstance(value, _CONTAINERS):
            try:
                measure(value, budget)
            except Refused as refused:
                raise refused.at(self.text, 0) from None
        return value

    def __repr__(self) -> str:
        return f"Expression({self.text!r})"


def compile_expression(text: str, roots: frozenset[str] | None = None) -> Expression:
    """Check and compile an expression that may start with the names in `roots` (any, when None).

    Raises:
        ExpressionError: with `position`, `code` and perhaps a `suggestion`.

    """
    return Expression(text, roots)
