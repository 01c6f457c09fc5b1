"""What a checked map becomes: closures `(scope, budget) -> JSON`. Each level puts its step before the pointer of an error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .errors import BUDGET, MISSING, TYPE, EvaluationError, Refused, short
from .places import ITEM
from .values import kind_of, plain, truthy

if TYPE_CHECKING:
    from .budget import Budget
    from .expression import Expression
    from .functions.base import Run
    from .options import Convert

_LIGHT = frozenset((int, float, bool, type(None)))
_SHORT_TEXT = 64


def written_value(expression: Expression) -> Run:
    run = expression.code
    outer, inner = _field_of(expression)
    if inner is not None:
        return _copied(expression, outer, inner)

    def written(scope: Any, budget: Budget) -> Any:
        value = run(scope, budget)
        kind = type(value)
        if kind in _LIGHT or (kind is str and len(value) <= _SHORT_TEXT):
            return value
        try:
            return plain(value, budget)
        except Refused as refused:
            raise refused.at(expression.text, 0) from None

    return written


def _field_of(expression: Expression) -> tuple[str, str | None]:
    """Return the two names of an expression like `row.name`: most values of a record are such, and cost one call less."""
    tree = expression.tree
    if tree["type"] == "subexpression":
        names = [each["value"] for each in tree["children"] if each["type"] == "field"]
        if len(names) == len(tree["children"]) == 2:  # noqa: PLR2004 - a root and a field
            return names[0], names[1]
    return "", None


def _copied(expression: Expression, outer: str, inner: str) -> Run:
    def copied(scope: Any, budget: Budget) -> Any:
        try:
            value = scope[outer][inner]
        except (KeyError, TypeError):
            return None
        kind = type(value)
        if kind in _LIGHT or (kind is str and len(value) <= _SHORT_TEXT):
            return value
        try:
            return plain(value, budget)
        except Refused as refused:
            raise refused.at(expression.text, 0) from None

    return copied


def optional_value(expression: Expression, convert: Convert | None, default: Any, *, required: bool) -> Run:
    run, text = expression.code, expression.text
    if convert is None:
        run = written_value(expression)

    def optional(scope: Any, budget: Budget) -> Any:
        value = run(scope, budget)
        if value is None:
            if required:
                raise EvaluationError("a value is required here, and there is none", code=MISSING, text=text)
            return default
        if convert is None:
            return value
        try:
            return convert(value)
        except Refused as refused:
            raise refused.at(text, 0) from None

    return optional


def object_of(pairs: list[tuple[str, Run]]) -> Run:
    def make(scope: Any, budget: Budget) -> dict[str, Any]:
        result = {}
        key = ""
        try:
            for key, run in pairs:
                result[key] = run(scope, budget)
        except EvaluationError as error:
            raise error.within(key) from error.__cause__
        return result

    return make


def list_of(parts: list[tuple[Run, int]]) -> tuple[Run, int]:
    runs = [run for run, _ in parts]

    def make(scope: Any, budget: Budget) -> list[Any]:
        result: list[Any] = []
        try:
            for run in runs:
                result.append(run(scope, budget))  # noqa: PERF401  # its length is the place of an error
        except EvaluationError as error:
            raise error.within(len(result)) from error.__cause__
        return result

    return make, sum(cost for _, cost in parts) + 1


def list_by_each(items: Expression, when: Expression | None, run: Run, cost: int) -> Run:
    def loop(scope: Any, budget: Budget) -> list[Any]:
        try:
            values = _items(items, cost, scope, budget)
        except EvaluationError as error:
            raise error.within("each") from error.__cause__
        inner = dict(scope)
        result = []
        place, index = "map", 0
        try:
            for index, value in enumerate(values):  # noqa: B007  # it is the place of an error
                inner[ITEM] = value
                if when is not None:
                    place = "when"
                    if not truthy(when.code(inner, budget)):
                        continue
                    place = "map"
                result.append(run(inner, budget))
        except EvaluationError as error:
            raise error.within(place).at_item(index) from error.__cause__
        return result

    return loop


def _items(items: Expression, cost: int, scope: Any, budget: Budget) -> list[Any]:
    values = items.code(scope, budget)
    if values is None:
        return []
    if type(values) is not list:
        raise EvaluationError(
            f"each goes through a list, not a {kind_of(values)}", code=TYPE, text=items.text, value=short(values)
        )
    budget.left -= cost * len(values)
    if budget.left < 0:
        raise EvaluationError("the map takes too many steps", code=BUDGET, text=items.text)
    return values
