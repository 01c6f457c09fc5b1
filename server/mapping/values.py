"""Values as the language sees them: JSON, and Decimal. Truth, equality, order, exact numbers, and texts of numbers.

A float comes only from data that was read as one. It is compared and calculated with as the decimal that it prints as,
so that 0.1 is a tenth.
"""

from __future__ import annotations

import json
import math
from decimal import MAX_EMAX, MIN_EMIN, ROUND_HALF_UP, Context, Decimal, DivisionByZero, InvalidOperation, Overflow
from typing import TYPE_CHECKING, Any

from .budget import DEPTH, weight
from .errors import TYPE, VALUE, Refused

if TYPE_CHECKING:
    from .budget import Budget

Number = int | Decimal
DIGITS = 34
CONTEXT = Context(
    prec=DIGITS,
    rounding=ROUND_HALF_UP,
    Emin=-99,
    Emax=99,
    traps=[InvalidOperation, DivisionByZero, Overflow],
    flags=[],
)
_LARGEST = 10**DIGITS
_WIDE = Context(prec=400, Emin=MIN_EMIN, Emax=MAX_EMAX)  # wider than any float, so that normalizing rounds nothing
NUMBERS = frozenset((int, float, Decimal))
_KINDS = {
    str: "text",
    int: "number",
    float: "number",
    Decimal: "number",
    bool: "boolean",
    list: "list",
    dict: "object",
    type(None): "null",
}


def kind_of(value: Any) -> str:
    """Return `text`, `number`, `boolean`, `list`, `object` or `null`."""
    return _KINDS.get(type(value), "object")


def truthy(value: Any) -> bool:
    """Tell JMESPath's truth: false are null, false, and empty text, list and object; 0 is true."""
    if value is None or value is False:
        return False
    return bool(value) or type(value) in NUMBERS


def exact(value: Any) -> Number:
    """Return a number as int or Decimal.

    Raises:
        Refused: EXPR_VALUE, not finite or of more than 34 digits before the point.

    """
    if type(value) is float:
        if not math.isfinite(value):
            raise Refused("the number is not finite", code=VALUE, value=value)
        value = Decimal(repr(value))
    if type(value) is int:
        if not -_LARGEST < value < _LARGEST:
            raise Refused(f"the integer has more than {DIGITS} digits", code=VALUE, value=value)
    elif not value.is_finite() or value.adjusted() > CONTEXT.Emax:
        raise Refused("the number is not finite, or too large", code=VALUE, value=value)
    number: Number = value
    return number


def decimal(value: Any) -> Decimal:
    """Return a number as Decimal; errors as `exact`."""
    number = exact(value)
    return number if type(number) is Decimal else Decimal(number)


def whole(value: Any) -> int:
    """Return a number without fraction as int.

    Raises:
        Refused: EXPR_VALUE, it has a fraction, or as `exact`.

    """
    number = exact(value)
    if number != int(number):
        raise Refused("a whole number is needed here", code=VALUE, value=value)
    return int(number)


def fixed(value: Decimal) -> str:
    """Write a Decimal with all its digits and without exponent."""
    return f"{value:f}"


def rounded(value: Number, places: int) -> Decimal:
    """Round half up (away from zero) to `places` after the point; the result shows them all.

    Raises:
        Refused: EXPR_VALUE, more digits than the arithmetic has.

    """
    try:
        return Decimal(value).quantize(Decimal(1).scaleb(-places), context=CONTEXT)
    except InvalidOperation as error:
        raise Refused(f"the number has no room for {places} places", code=VALUE, value=value) from error


def parse_number(text: str) -> Number | None:
    """Read a number from text, with exponent or without; None when it is not one, or too large."""
    stripped = text.strip()
    if len(stripped) > DIGITS * 2 or not stripped.isascii() or "_" in stripped or not stripped[-1:].isdigit():
        return None
    try:
        value = Decimal(stripped)
    except InvalidOperation:
        return None
    if not value.is_finite() or abs(value.adjusted()) > CONTEXT.Emax:
        return None
    digits = stripped[1:] if stripped[0] in "+-" else stripped
    if digits.isdigit():
        return int(value) if abs(value) < _LARGEST else None
    return value


def ordered(left: Any, right: Any) -> tuple[Any, Any] | None:
    """Return the two as values that Python orders, or None when JMESPath gives null for comparing them.

    Raises:
        Refused: EXPR_TYPE, one is a number and the other a text.

    """
    left_kind, right_kind = type(left), type(right)
    if left_kind in NUMBERS and right_kind in NUMBERS:
        return (exact(left), exact(right)) if left_kind is not right_kind else (left, right)
    if left_kind is str and right_kind is str:
        return left, right
    if (left_kind is str and right_kind in NUMBERS) or (right_kind is str and left_kind in NUMBERS):
        text = left if left_kind is str else right
        raise Refused("a number is compared with a text; use to_decimal(…) on the text", code=TYPE, value=text)
    return None


def equals(left: Any, right: Any, budget: Budget, depth: int = DEPTH) -> bool:
    """Tell whether two values are the same JSON; 1 is 1.0 but not true. Takes a step per pair of parts.

    Raises:
        Refused: EXPR_BUDGET.

    """
    kind = type(left)
    if kind is not type(right):
        return kind in NUMBERS and type(right) in NUMBERS and _same_number(left, right)
    pairs: Any
    if kind is list:
        pairs = zip(left, right, strict=True) if len(left) == len(right) else None
    elif kind is dict:
        pairs = [(x, right[key]) for key, x in left.items()] if left.keys() == right.keys() else None
    else:
        same: bool = left == right
        return same
    if pairs is None:
        return False
    budget.descend(len(left), depth)
    return all(equals(x, y, budget, depth - 1) for x, y in pairs)


def _same_number(left: Any, right: Any) -> bool:
    if type(left) is float and type(right) is Decimal:
        left = Decimal(repr(left))
    elif type(right) is float and type(left) is Decimal:
        right = Decimal(repr(right))
    same: bool = left == right
    return same


def key_of(value: Any, budget: Budget) -> Any:
    """Return a key that is the same for the same JSON, and hashable. Takes the steps of going through the value.

    Raises:
        Refused: EXPR_BUDGET.

    """
    kind = type(value)
    if kind is list or kind is dict:
        budget.spend(weight(value) * 4)
        return (kind, _canonical(value))
    if kind is float:
        return Decimal(repr(value)) if math.isfinite(value) else (float, repr(value))
    return (bool, value) if kind is bool else value


def _canonical(value: Any) -> str:
    """Write JSON so that the same is written the same: names sorted, numbers without trailing zeros."""
    kind = type(value)
    if kind is list:
        return f"[{','.join([_canonical(x) for x in value])}]"
    if kind is dict:
        return f"{{{','.join([f'{_ENCODE(key)}:{_canonical(value[key])}' for key in sorted(value)])}}}"
    if kind is float or kind is Decimal:
        return f"{Decimal(repr(value) if kind is float else value).normalize(_WIDE)}"
    if kind is int:
        return f"{Decimal(value).normalize(_WIDE)}" if value.bit_length() < _WIDE.prec else f"{value:x}"
    return _ENCODE(value)


def encoded(value: Any, budget: Budget) -> str:
    """Write a value as compact JSON, a Decimal as a number with all its digits.

    Raises:
        Refused: EXPR_BUDGET; EXPR_VALUE, a number that is not finite.

    """
    units = weight(value)
    budget.grow(units)
    budget.spend(units)
    try:
        return _ENCODE(value)
    except _HasDecimalError:
        budget.spend(units * 4)
        return _encoded(value)
    except ValueError as error:
        raise Refused("the number cannot be written as JSON", code=VALUE, value=value) from error


class _HasDecimalError(Exception):
    """Tells that the fast encoder has met a Decimal."""


def _refuse(_value: Any) -> Any:
    raise _HasDecimalError


_ENCODE = json.JSONEncoder(
    ensure_ascii=False, check_circular=False, allow_nan=False, separators=(",", ":"), default=_refuse
).encode


def _encoded(value: Any) -> str:
    kind = type(value)
    if kind is list:
        return f"[{','.join([_encoded(x) for x in value])}]"
    if kind is dict:
        return f"{{{','.join([f'{_ENCODE(key)}:{_encoded(x)}' for key, x in value.items()])}}}"
    return fixed(value) if kind is Decimal else _ENCODE(value)
