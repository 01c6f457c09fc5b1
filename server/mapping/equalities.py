"""What an expression asks to be equal: for who looks things up by an index instead of asking the expression of each of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .budget import Budget
from .compiler import Compiler

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .expression import Expression
    from .parser import Tree


class Side:
    """One side of a comparison: a part of an expression that was checked as a whole."""

    __slots__ = ("_code", "_cost")

    def __init__(self, text: str, tree: Tree) -> None:
        self._code, self._cost = Compiler(text).compile(tree)

    def run(self, scope: Mapping[str, Any]) -> Any:
        """Return its value for a scope.

        Raises:
            EvaluationError: as the whole expression.

        """
        budget = Budget()
        budget.left -= self._cost
        return self._code(scope, budget)


def equality(expression: Expression, root: str) -> tuple[str, Side] | None:
    """Return the first field of `root` that must equal something without `root` for the expression to be true, as `data.order_id`."""
    for tree in _conjuncts(expression.tree):
        if tree["type"] != "comparator" or tree["value"] != "eq":
            continue
        left, right = tree["children"]
        for one, other in ((left, right), (right, left)):
            field = _field_of(one, root)
            if field is not None and not _reads(other, root):
                return field, Side(expression.text, other)
    return None


def _conjuncts(tree: Tree) -> Iterator[Tree]:
    if tree["type"] == "and_expression":
        for child in tree["children"]:
            yield from _conjuncts(child)
    else:
        yield tree


def _field_of(tree: Tree, root: str) -> str | None:
    names = [each["value"] for each in tree["children"] if each["type"] == "field"]
    plain = tree["type"] == "subexpression" and len(names) == len(tree["children"]) > 1 and names[0] == root
    return ".".join(names[1:]) if plain and not any("." in name for name in names) else None


def _reads(tree: Tree, root: str) -> bool:
    """Say whether a name stands anywhere: more than it reads, which costs a look-up and is never wrong."""
    if tree["type"] == "field" and tree["value"] == root:
        return True
    return any(_reads(each, root) for each in tree["children"] if isinstance(each, dict))
