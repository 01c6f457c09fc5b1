"""Values as the language sees them: JSON, and Decimal. Kinds, truth, order, equality, and writing them down."""

from __future__ import annotations

import json
import math
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal
from typing import TYPE_CHECKING, Any

from .budget import DEPTH, measure, weight
from .decimals import NUMBERS, exact, fixed, writable
from .errors import TYPE, VALUE, Refused

if TYPE_CHECKING:
    from .budget import Budget

_WIDE = Context(prec=400, Emin=MIN_EMIN, Emax=MAX_EMAX)  # wider than any float, so that normalizing rounds nothing
_LIGHT = frozenset((str, int, float, bool, type(None)))
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


def plain(value: Any, budget: Budget) -> Any:
    """Copy a value as JSON for the outside, taking room for it. A Decimal stays one: a JSON number with all its digits.

    Raises:
        Refused: EXPR_BUDGET, too large or nested too deeply; EXPR_VALUE, a number that cannot be written.

    """
    measure(value, budget)
    return _copy(value)


def _copy(value: Any) -> Any:
    kind = type(value)
    if kind is list:
        return [x if type(x) in _LIGHT else _copy(x) for x in value]
    if kind is dict:
        return {k: x if type(x) in _LIGHT else _copy(x) for k, x in value.items()}
    return writable(value) if kind is Decimal else value
