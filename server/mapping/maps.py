"""Maps: the one rule for values. A text is an expression, `{from: …}` one with options, `{value: …}` a literal, `{each: …}` a list,
any other object an object, a list a list; a number, boolean or null stands for itself.

`compile_map` gives what runs, `check_map` everything that is wrong, each with its pointer. Both walk the same way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .budget import Budget
from .errors import BUDGET, EvaluationError, ExpressionError
from .nodes import Builder, MapProblem, Place

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .expression import Expression

__all__ = ["CompiledMap", "MapProblem", "Place", "check_map", "compile_map"]


class CompiledMap:
    """A map that was checked and compiled. `places` are its expressions with their pointers."""

    __slots__ = ("_cost", "_run", "places")

    def __init__(self, node: Any, roots: frozenset[str]) -> None:
        builder = Builder()
        self._run, self._cost = builder.build(node, roots)
        if builder.problems:
            first = builder.problems[0]
            error = ExpressionError(
                first.message,
                code=first.code,
                text=first.text,
                position=first.position or 0,
                suggestion=first.suggestion,
            )
            error.details["errors"] = [problem.as_dict() for problem in builder.problems]
            raise error
        self.places: tuple[Place, ...] = tuple(builder.places)

    @property
    def expressions(self) -> tuple[Expression, ...]:
        """All expressions of the map, in its order."""
        return tuple(place.expression for place in self.places)

    def run(self, scope: Mapping[str, Any], budget: Budget | None = None) -> Any:
        """Return the JSON value that the map makes of a scope (root → JSON); it shares nothing with the scope.

        Raises:
            EvaluationError: with `pointer`, the place in the map, and `items`, the item of each `each` on the way.

        """
        budget = Budget() if budget is None else budget
        budget.left -= self._cost
        if budget.left < 0:
            raise EvaluationError("the budget is used up", code=BUDGET)
        return self._run(scope, budget)


def compile_map(node: Any, roots: frozenset[str]) -> CompiledMap:
    """Compile a map whose expressions start with `roots`.

    Raises:
        ExpressionError: the first problem; `details["errors"]` has all of them.

    """
    return CompiledMap(node, roots)


def check_map(node: Any, roots: frozenset[str]) -> list[MapProblem]:
    """Return all that is wrong with a map, in its order."""
    builder = Builder()
    builder.build(node, roots)
    return builder.problems
