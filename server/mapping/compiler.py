"""From a tree to closures `(value, budget) -> value`, each with its cost in steps for one evaluation without its loops."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

from .calls import Call, check, find
from .errors import BUDGET, SYNTAX, EvaluationError, ExpressionError, Refused
from .functions import Body
from .values import equals, ordered, truthy

if TYPE_CHECKING:
    from collections.abc import Callable

    from .budget import Budget
    from .functions.base import Run
    from .parser import Tree

Code = tuple["Run", int]
_ORDER = {"lt": operator.lt, "lte": operator.le, "gt": operator.gt, "gte": operator.ge}
_STEP = 1
_MADE = 4  # making a list or object, and going through it at the end


def _same(value: Any, _budget: Budget) -> Any:
    return value


class Compiler:
    """Compiles the trees of one text."""

    def __init__(self, text: str) -> None:
        self._text = text

    def compile(self, tree: Tree, at: int = 0) -> Code:
        """Return the closure of a tree and its cost.

        Raises:
            ExpressionError: EXPR_SYNTAX, EXPR_UNKNOWN_FUNCTION, EXPR_ARITY, EXPR_TYPE.

        """
        at = tree.get("at", at)
        method: Callable[[Tree, int], Code] = getattr(self, f"_{tree['type']}")
        return method(tree, at)

    def _exhausted(self, at: int) -> EvaluationError:
        return EvaluationError("the expression takes too many steps", code=BUDGET, text=self._text, position=at)

    # ── leaves ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _identity(self, _tree: Tree, _at: int) -> Code:
        return _same, 0

    def _current(self, _tree: Tree, _at: int) -> Code:
        return _same, 0

    def _literal(self, tree: Tree, _at: int) -> Code:
        constant = tree["value"]
        return (lambda _value, _budget: constant), _STEP

    def _field(self, tree: Tree, _at: int) -> Code:
        return _path([tree["value"]]), _STEP

    def _expref(self, _tree: Tree, at: int) -> Code:
        raise ExpressionError(
            "an &expression is an argument of a function, and stands nowhere else",
            code=SYNTAX,
            text=self._text,
            position=at,
        )

    # ── steps into a value ──────────────────────────────────────────────────────────────────────────────────────────

    def _subexpression(self, tree: Tree, at: int) -> Code:
        children = tree["children"]
        names = [child["value"] for child in children if child["type"] == "field"]
        if len(names) == len(children):
            return _path(names), _STEP + len(names) // 2
        return self._chain(children, at)

    def _chain(self, children: list[Tree], at: int) -> Code:
        codes = [self.compile(child, at) for child in children]
        stages = [run for run, _ in codes if run is not _same]
        cost = sum(cost for _, cost in codes)
        if not stages:
            return _same, cost
        if len(stages) == 1:
            return stages[0], cost
        if len(stages) == 2:  # noqa: PLR2004
            first, second = stages
            return (lambda value, budget: second(first(value, budget), budget)), cost

        def chain(value: Any, budget: Budget) -> Any:
            for stage in stages:
                value = stage(value, budget)
            return value

        return chain, cost

    _index_expression = _pipe = lambda self, tree, at: self._chain(tree["children"], at)

    def _index(self, tree: Tree, _at: int) -> Code:
        index = tree["value"]

        def item(value: Any, _budget: Budget) -> Any:
            if type(value) is not list:
                return None
            try:
                return value[index]
            except IndexError:
                return None

        return item, _STEP

    def _slice(self, tree: Tree, at: int) -> Code:
        part = slice(*tree["children"])
        if part.step == 0:
            raise ExpressionError("a slice's step is not 0", code=SYNTAX, text=self._text, position=at)

        def cut(value: Any, budget: Budget) -> Any:
            if type(value) is not list:
                return None
            budget.left -= len(value) >> 3
            return value[part]

        return cut, _STEP

    # ── loops ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _projection(self, tree: Tree, at: int) -> Code:
        left, right = tree["children"]
        (base, cost), (body, body_cost) = self.compile(left, at), self.compile(right, at)
        each = body_cost + _STEP
        exhausted = self._exhausted

        def project(value: Any, budget: Budget) -> Any:
            items = base(value, budget)
            if type(items) is not list:
                return None
            budget.left -= each * len(items)
            if budget.left < 0:
                raise exhausted(at)
            if body is _same:
                return [item for item in items if item is not None]
            return [result for item in items if (result := body(item, budget)) is not None]

        return project, cost + _STEP

    def _value_projection(self, tree: Tree, at: int) -> Code:
        left, right = tree["children"]
        (base, cost), (body, body_cost) = self.compile(left, at), self.compile(right, at)
        each = body_cost + _STEP

        def project(value: Any, budget: Budget) -> Any:
            of = base(value, budget)
            if not isinstance(of, dict):
                return None
            budget.left -= each * len(of)
            if budget.left < 0:
                raise self._exhausted(at)
            return [result for item in of.values() if (result := body(item, budget)) is not None]

        return project, cost + _STEP

    def _filter_projection(self, tree: Tree, at: int) -> Code:
        left, right, condition = tree["children"]
        (base, cost), (body, body_cost) = self.compile(left, at), self.compile(right, at)
        test, test_cost = self.compile(condition, at)
        each = body_cost + test_cost + _STEP

        def project(value: Any, budget: Budget) -> Any:
            items = base(value, budget)
            if type(items) is not list:
                return None
            budget.left -= each * len(items)
            if budget.left < 0:
                raise self._exhausted(at)
            return [
                result for item in items if truthy(test(item, budget)) and (result := body(item, budget)) is not None
            ]

        return project, cost + _STEP

    def _flatten(self, tree: Tree, at: int) -> Code:
        base, cost = self.compile(tree["children"][0], at)
        text = self._text

        def flatten(value: Any, budget: Budget) -> Any:
            items = base(value, budget)
            if type(items) is not list:
                return None
            size = sum([len(item) if type(item) is list else 1 for item in items])
            try:
                budget.grow(size)
                budget.spend((size + len(items)) >> 1)
            except Refused as refused:
                raise refused.at(text, at) from None
            merged: list[Any] = []
            for item in items:
                if type(item) is list:
                    merged += item
                else:
                    merged.append(item)
            return merged

        return flatten, cost + _STEP

    # ── making lists and objects ────────────────────────────────────────────────────────────────────────────────────

    def _multi_select_list(self, tree: Tree, at: int) -> Code:
        codes = [self.compile(child, at) for child in tree["children"]]
        runs = [run for run, _ in codes]

        def select(value: Any, budget: Budget) -> Any:
            return None if value is None else [run(value, budget) for run in runs]

        return select, sum(cost for _, cost in codes) + len(codes) + _MADE

    def _multi_select_dict(self, tree: Tree, at: int) -> Code:
        codes = [self.compile(child["children"][0], child.get("at", at)) for child in tree["children"]]
        names = [child["value"] for child in tree["children"]]
        pairs = [(name, run) for name, (run, _) in zip(names, codes, strict=True)]

        def select(value: Any, budget: Budget) -> Any:
            return None if value is None else {name: run(value, budget) for name, run in pairs}

        return select, sum(cost for _, cost in codes) + len(codes) + _MADE

    # ── logic ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _or_expression(self, tree: Tree, at: int) -> Code:
        (left, left_cost), (right, right_cost) = [self.compile(child, at) for child in tree["children"]]

        def either(value: Any, budget: Budget) -> Any:
            result = left(value, budget)
            return result if truthy(result) else right(value, budget)

        return either, left_cost + right_cost + _STEP

    def _and_expression(self, tree: Tree, at: int) -> Code:
        (left, left_cost), (right, right_cost) = [self.compile(child, at) for child in tree["children"]]

        def both(value: Any, budget: Budget) -> Any:
            result = left(value, budget)
            return right(value, budget) if truthy(result) else result

        return both, left_cost + right_cost + _STEP

    def _not_expression(self, tree: Tree, at: int) -> Code:
        run, cost = self.compile(tree["children"][0], at)
        return (lambda value, budget: not truthy(run(value, budget))), cost + _STEP

    def _comparator(self, tree: Tree, at: int) -> Code:
        (left, left_cost), (right, right_cost) = [self.compile(child, at) for child in tree["children"]]
        name = tree["value"]
        run = (
            self._equality(left, right, at, wanted=name == "eq")
            if name in ("eq", "ne")
            else self._order(left, right, at, name)
        )
        return run, left_cost + right_cost + 2 * _STEP

    def _equality(self, left: Run, right: Run, at: int, *, wanted: bool) -> Run:
        text = self._text

        def compare(value: Any, budget: Budget) -> bool:
            x, y = left(value, budget), right(value, budget)
            if type(x) is str and type(y) is str:
                return (x == y) is wanted
            try:
                return equals(x, y, budget) is wanted
            except Refused as refused:
                raise refused.at(text, at) from None

        return compare

    def _order(self, left: Run, right: Run, at: int, name: str) -> Run:
        text, compare_two = self._text, _ORDER[name]

        def compare(value: Any, budget: Budget) -> bool | None:
            x, y = left(value, budget), right(value, budget)
            if type(x) is int and type(y) is int:
                return bool(compare_two(x, y))
            try:
                pair = ordered(x, y)
            except Refused as refused:
                raise refused.at(text, at) from None
            return None if pair is None else bool(compare_two(*pair))

        return compare

    # ── functions ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _function_expression(self, tree: Tree, at: int) -> Code:
        function = find(tree["value"], self._text, at)
        check(function, tree["children"], self._text, at)
        arguments: list[Run | Body] = []
        total = function.cost
        for child in tree["children"]:
            if child["type"] == "expref":
                arguments.append(Body(*self.compile(child["children"][0], at)))
            else:
                run, cost = self.compile(child, at)
                arguments.append(run)
                total += cost
        return Call(function, self._text, at).compile(arguments), total


def _path(names: list[str]) -> Run:
    """Return the closure of `a.b.c`; anything on the way that is no object, or lacks the name, gives null."""
    if len(names) == 1:
        (name,) = names

        def one(value: Any, _budget: Budget) -> Any:
            try:
                return value[name]
            except (KeyError, TypeError):
                return None

        return one
    if len(names) == 2:  # noqa: PLR2004
        outer, inner = names

        def two(value: Any, _budget: Budget) -> Any:
            try:
                return value[outer][inner]
            except (KeyError, TypeError):
                return None

        return two

    def many(value: Any, _budget: Budget) -> Any:
        try:
            for name in names:
                value = value[name]
        except (KeyError, TypeError):
            return None
        return value

    return many
