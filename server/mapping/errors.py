"""What can be wrong with an expression: in its text (ExpressionError), or with the values it met (EvaluationError)."""

from __future__ import annotations

from typing import Any

from server.kernel.errors import Invalid, Permanent, code

SYNTAX = code("EXPR_SYNTAX", "The text is not an expression; `position` counts characters from 0.")
UNKNOWN_FUNCTION = code("EXPR_UNKNOWN_FUNCTION", "There is no function of this name; the reference lists them all.")
ARITY = code("EXPR_ARITY", "The function takes another number of arguments.")
UNKNOWN_ROOT = code("EXPR_UNKNOWN_ROOT", "An expression in this place cannot start with this name.")
TOO_LONG = code("EXPR_TOO_LONG", "The expression is longer than is taken.")
TOO_DEEP = code("EXPR_TOO_DEEP", "The expression is nested deeper than is taken.")
TYPE = code("EXPR_TYPE", "An operator or function met a value of a kind that it does not take.")
BUDGET = code("EXPR_BUDGET", "The evaluation used up its steps, or made something too large or too deep.")
MISSING = code("EXPR_MISSING", "A value is required here, and the expression gave null.")
VALUE = code(
    "EXPR_VALUE", "The value is of the right kind, but it cannot be used: not a date, not a number, too large, …"
)

_SHOWN = 80
_TEXT_SHOWN = 200


def short(value: Any) -> str:
    """Show a value in at most 80 ASCII characters, without walking through all of it."""
    match value:
        case str():
            shown = ascii(value[:_SHOWN])
        case list():
            shown = f"list of {len(value)}"
        case dict():
            shown = "object with " + ", ".join(ascii(str(key)[:20]) for key in list(value)[:3]) if value else "{}"
        case None | bool():
            shown = {None: "null", True: "true", False: "false"}[value]
        case int() if value.bit_length() > _SHOWN * 3:
            shown = f"integer of {value.bit_length()} bits"
        case _:
            shown = ascii(value)
    return shown if len(shown) <= _SHOWN else shown[: _SHOWN - 1] + "…"


def _clean(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


class ExpressionError(Invalid):
    """An expression that cannot be compiled. `position` counts characters of the expression from 0."""

    default_code = SYNTAX

    def __init__(
        self, message: str, *, code: str = SYNTAX, text: str = "", position: int = 0, suggestion: str | None = None
    ) -> None:
        self.position = max(0, min(position, len(text)))
        self.suggestion = suggestion
        self.text = text
        super().__init__(
            _clean(message),
            code=code,
            source="mapping",
            expression=_clean(text[:_TEXT_SHOWN]),
            position=self.position,
            suggestion=suggestion,
        )


class EvaluationError(Permanent):
    """An expression that failed on the values it was given. `value` shows the culprit, `pointer` the place in the map."""

    default_code = VALUE

    def __init__(self, message: str, *, code: str, text: str = "", position: int = 0, value: str = "") -> None:
        self.position = position
        self.expression = text
        self.value = value
        self.pointer: tuple[str | int, ...] = ()
        self.items: tuple[int, ...] = ()
        super().__init__(
            _clean(message),
            code=code,
            source="mapping",
            expression=_clean(text[:_TEXT_SHOWN]),
            position=position,
            value=value,
        )

    def within(self, *steps: str | int) -> EvaluationError:
        """Put `steps` before the pointer: called by each level of a map that the error passes."""
        self.pointer = (*steps, *self.pointer)
        self.details["pointer"] = [_clean(step) if isinstance(step, str) else step for step in self.pointer]
        return self

    def at_item(self, index: int) -> EvaluationError:
        """Remember which item of an `each` it was, the outermost first."""
        self.items = (index, *self.items)
        self.details["items"] = list(self.items)
        return self


class Refused(Exception):
    """Raised by functions, budgets and conversions, which do not know where they stand; the compiler adds the place."""

    def __init__(self, message: str, *, code: str = VALUE, value: Any = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.value = short(value)

    def at(self, text: str, position: int) -> EvaluationError:
        """Return the error with its place."""
        return EvaluationError(self.message, code=self.code, text=text, position=position, value=self.value)
