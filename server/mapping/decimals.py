"""Exact numbers: whole ones as int, all others as Decimal of 34 digits that rounds half up.

A float comes only from data that was read as one. It is calculated with as the decimal that it prints as, so that 0.1 is a
tenth.
"""

from __future__ import annotations

import math
import re
from decimal import ROUND_HALF_UP, Context, Decimal, DivisionByZero, InvalidOperation, Overflow
from typing import Any

from .errors import VALUE, Refused

Number = int | Decimal
DIGITS = 34
CONTEXT = Context(
    prec=DIGITS, rounding=ROUND_HALF_UP, Emin=-99, Emax=99, traps=[InvalidOperation, DivisionByZero, Overflow], flags=[]
)
NUMBERS = frozenset((int, float, Decimal))
MOST_PLACES = 20
_LARGEST = 10**DIGITS
_LONGEST_TEXT = 70
_MOST_ZEROS = 400  # a float has at most 324 of them
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?")
_UNITS = tuple(Decimal(1).scaleb(-places) for places in range(MOST_PLACES + 1))


def exact(value: Any) -> Number:
    """Return a number as int or Decimal.

    Raises:
        Refused: EXPR_VALUE, not finite or of more digits before the point than the arithmetic takes.

    """
    kind = type(value)
    if kind is int:
        if -_LARGEST < value < _LARGEST:
            return int(value)
        raise Refused(f"the integer has more than {DIGITS} digits", code=VALUE, value=value)
    if kind is float and math.isfinite(value):
        value = Decimal(repr(value))
    elif kind is float or not value.is_finite():
        raise Refused("the number is not finite", code=VALUE, value=value)
    if value.adjusted() > CONTEXT.Emax:
        raise Refused("the number is too large", code=VALUE, value=value)
    number: Decimal = value
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


def writable(value: Decimal) -> Decimal:
    """Return a Decimal that can be written with all its digits and without exponent.

    Raises:
        Refused: EXPR_VALUE, that would be hundreds of zeros.

    """
    if not value.is_finite() or not -_MOST_ZEROS < value.adjusted() < _MOST_ZEROS:
        raise Refused("the number is too large or too small to be written", code=VALUE, value=value)
    return value


def fixed(value: Decimal) -> str:
    """Write a Decimal with all its digits and without exponent. Errors as `writable`."""
    text = str(writable(value))
    return text if "E" not in text else f"{value:f}"


def rounded(value: Number, places: int) -> Decimal:
    """Round half up (away from zero) to 0–20 places after the point; the result shows them all.

    Raises:
        Refused: EXPR_VALUE, more digits than the arithmetic has.

    """
    try:
        return Decimal(value).quantize(_UNITS[places], context=CONTEXT)
    except InvalidOperation as error:
        raise Refused(f"the number has no room for {places} places", code=VALUE, value=value) from error


def parse_number(text: str) -> Number | None:
    """Read a number from text, with exponent or without; None when it is not one, or too large."""
    if len(text) > _LONGEST_TEXT:
        return None
    match = _NUMBER.fullmatch(text) or _NUMBER.fullmatch(text.strip())
    if match is None:
        return None
    if match.lastindex is None:
        number = int(match[0])
        return number if -_LARGEST < number < _LARGEST else None
    value = Decimal(match[0])
    return value if -_MOST_ZEROS < value.adjusted() <= CONTEXT.Emax else None
