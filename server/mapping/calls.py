"""Function calls: checked when they are compiled (name, number and kind of arguments), cheap when they run."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from .errors import ARITY, BUDGET, TYPE, UNKNOWN_FUNCTION, EvaluationError, ExpressionError, Refused
from .functions import FUNCTIONS, Body, Function
from .values import kind_of

if TYPE_CHECKING:
    from .budget import Budget
    from .functions.base import Run
    from .parser import Tree

_SIZED = frozenset((str, list, dict))
_TOO_MANY_STEPS = "the expression takes too many steps"


def find(name: str, text: str, at: int) -> Function:
    """Return the function.

    Raises:
        ExpressionError: EXPR_UNKNOWN_FUNCTION.

    """
    function = FUNCTIONS.get(name)
    if function is None:
        close = difflib.get_close_matches(name[:64], FUNCTIONS, 1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise ExpressionError(
            f"there is no function {name[:64]}{hint}",
            code=UNKNOWN_FUNCTION,
            text=text,
            position=at,
            suggestion=close[0] if close else None,
        )
    return function


def check(function: Function, arguments: list[Tree], text: str, at: int) -> None:
    """Check what can be seen before running: how many arguments, which of them `&expressions`, the kinds of literals.

    Raises:
        ExpressionError: EXPR_ARITY, EXPR_TYPE.

    """
    count, most = len(arguments), function.most
    if count < function.least or (most is not None and count > most):
        wanted = str(function.least) if most == function.least else f"{function.least} to {most or 'any number'}"
        raise ExpressionError(
            f"{function.name} takes {wanted} arguments, not {count}: {function.signature}",
            code=ARITY,
            text=text,
            position=at,
        )
    for index, argument in enumerate(arguments):
        param = function.param(index)
        wants_expression = param.kinds == ("expression",)
        if wants_expression != (argument["type"] == "expref"):
            problem = "is written &name, an expression" if wants_expression else "is a value, not an &expression"
            raise ExpressionError(
                f"{param.name} of {function.name} {problem}", code=TYPE, text=text, position=argument.get("at", at)
            )
        if argument["type"] == "literal" and type(argument["value"]) not in param.types:
            if argument["value"] is None and function.nulls == "null":
                continue
            raise ExpressionError(
                f"{param.name} of {function.name} must be {' or '.join(param.kinds)}, not {kind_of(argument['value'])}",
                code=TYPE,
                text=text,
                position=argument.get("at", at),
            )


class Call:
    """What the compiled calls of one place share: whom they call, and how they say what is wrong."""

    def __init__(self, function: Function, text: str, at: int) -> None:
        self.function = function
        self.text = text
        self.at = at

    def mismatch(self, values: list[Any]) -> None:
        """Answer arguments of a kind that the function does not take: null for null, where that is its way.

        Raises:
            EvaluationError: EXPR_TYPE.

        """
        function = self.function
        if function.nulls == "null" and None in values:
            return
        for index, value in enumerate(values):
            param = function.param(index)
            if type(value) not in param.types:
                message = f"{param.name} of {function.name} must be {' or '.join(param.kinds)}, not {kind_of(value)}"
                raise Refused(message, code=TYPE, value=value).at(self.text, self.at)

    def exhausted(self) -> EvaluationError:
        """Return the error of a budget that is used up."""
        return EvaluationError(_TOO_MANY_STEPS, code=BUDGET, text=self.text, position=self.at)

    def compile(self, arguments: list[Run | Body]) -> Run:
        """Return the closure of the call; the arguments are compiled, `&expressions` as Body."""
        runs = [each for each in arguments if not isinstance(each, Body)]
        if self.function.lazy:
            return self._lazy(runs)
        if len(runs) != len(arguments) or len(runs) > 2:  # noqa: PLR2004
            return self._general(arguments)
        return self._unary(*runs) if len(runs) == 1 else self._binary(*runs)

    def _unary(self, argument: Run) -> Run:
        run, cost, types = self.function.run, self.function.cost, self.function.param(0).types

        def call(value: Any, budget: Budget) -> Any:
            x = argument(value, budget)
            kind = type(x)
            if kind not in types:
                return self.mismatch([x])
            budget.left -= cost + (len(x) >> 5) if kind in _SIZED else cost
            if budget.left < 0:
                raise self.exhausted()
            try:
                return run(budget, x)
            except Refused as refused:
                raise refused.at(self.text, self.at) from None

        return call

    def _binary(self, first: Run, second: Run) -> Run:
        run, cost = self.function.run, self.function.cost
        types, more_types = self.function.param(0).types, self.function.param(1).types

        def call(value: Any, budget: Budget) -> Any:
            x = first(value, budget)
            y = second(value, budget)
            if type(x) not in types or type(y) not in more_types:
                return self.mismatch([x, y])
            weight = len(x) >> 5 if type(x) in _SIZED else 0
            budget.left -= cost + weight + (len(y) >> 5 if type(y) in _SIZED else 0)
            if budget.left < 0:
                raise self.exhausted()
            try:
                return run(budget, x, y)
            except Refused as refused:
                raise refused.at(self.text, self.at) from None

        return call

    def _general(self, arguments: list[Run | Body]) -> Run:
        run, cost = self.function.run, self.function.cost
        types = [self.function.param(index).types for index in range(len(arguments))]

        def call(value: Any, budget: Budget) -> Any:
            values: list[Any] = [each if isinstance(each, Body) else each(value, budget) for each in arguments]
            weight = cost
            for x, allowed in zip(values, types, strict=True):
                kind = type(x)
                if kind not in allowed:
                    return self.mismatch(values)
                if kind in _SIZED:
                    weight += len(x) >> 5
            budget.left -= weight
            if budget.left < 0:
                raise self.exhausted()
            try:
                return run(budget, *values)
            except Refused as refused:
                raise refused.at(self.text, self.at) from None

        return call

    def _lazy(self, arguments: list[Run]) -> Run:
        run = self.function.run

        def call(value: Any, budget: Budget) -> Any:
            return run(budget, value, *arguments)

        return call
