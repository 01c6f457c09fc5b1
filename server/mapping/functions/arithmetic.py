"""Arithmetic on exact numbers: 34 digits, halves round up. Whole numbers stay whole, all else is a Decimal."""

from __future__ import annotations

import operator
from decimal import Decimal, DecimalException
from typing import TYPE_CHECKING, Any

from server.mapping.decimals import CONTEXT, MOST_PLACES, Number, decimal, exact, fixed, parse_number, rounded, whole
from server.mapping.errors import VALUE, Refused

from .base import Library

if TYPE_CHECKING:
    from collections.abc import Callable

    from server.mapping.budget import Budget

ARITHMETIC = Library()


def _calculate(operation: Callable[[Any, Any], Any], left: Any, right: Any) -> Any:
    try:
        return operation(exact(left), exact(right))
    except DecimalException as error:
        raise Refused("the result is too large", code=VALUE, value=left) from error


def _fold(
    operation: Callable[[Any, Any], Any], whole_operation: Callable[[int, int], int], first: Any, *rest: Any
) -> Number:
    result = first
    for each in rest:
        if type(result) is int and type(each) is int:
            result = exact(whole_operation(exact(result), exact(each)))  # type: ignore[arg-type]  # exact keeps an int
        else:
            result = _calculate(operation, result, each)
    number: Number = result
    return number


@ARITHMETIC.add(
    "add(a: number, b: number, more…: number) -> number", "The sum.", ("add(a, 0.20)", {"a": 1}, Decimal("1.2"))
)
def _add(_: Budget, a: Any, *rest: Any) -> Number:
    return _fold(CONTEXT.add, operator.add, a, *rest)


@ARITHMETIC.add("sub(a: number, b: number) -> number", "The difference a − b.", ("sub(a, 3)", {"a": 10}, 7))
def _sub(_: Budget, a: Any, b: Any) -> Number:
    return _fold(CONTEXT.subtract, operator.sub, a, b)


@ARITHMETIC.add(
    "mul(a: number, b: number, more…: number) -> number",
    "The product.",
    ("mul(quantity, to_decimal(price))", {"quantity": 3, "price": "9.99"}, Decimal("29.97")),
)
def _mul(_: Budget, a: Any, *rest: Any) -> Number:
    return _fold(CONTEXT.multiply, operator.mul, a, *rest)


@ARITHMETIC.add(
    "div(a: number, b: number, places?: number) -> number",
    "The quotient a ÷ b, to 34 digits or rounded half up to `places`; dividing by 0 is an error.",
    ("div(a, 8)", {"a": 1}, Decimal("0.125")),
    ("div(2, 3, 2)", {}, Decimal("0.67")),
)
def _div(_: Budget, a: Any, b: Any, places: Any = None) -> Decimal:
    if not b:
        raise Refused("a division by zero", value=a)
    result: Decimal = _calculate(CONTEXT.divide, a, b)
    return result if places is None else rounded(result, _places(places))


@ARITHMETIC.add(
    "mod(a: number, b: number) -> number", "What a ÷ b leaves, with the sign of a.", ("mod(a, 3)", {"a": 10}, 1)
)
def _mod(_: Budget, a: Any, b: Any) -> Number:
    if not b:
        raise Refused("a division by zero", value=a)
    left = _calculate(CONTEXT.remainder, a, b)
    return int(left) if type(a) is int and type(b) is int else left


@ARITHMETIC.add(
    "round(value: number, places?: number) -> number",
    "Rounded half up: to a whole number, or to `places` after the point, all shown.",
    ("round(a, 2)", {"a": 2.345}, Decimal("2.35")),
    ("round(a)", {"a": 2.5}, 3),
)
def _round(_: Budget, value: Any, places: Any = None) -> Number:
    if places is None:
        return int(rounded(exact(value), 0))
    return rounded(exact(value), _places(places))


def _places(value: Any) -> int:
    places = whole(value)
    if not 0 <= places <= MOST_PLACES:
        raise Refused(f"places are 0 to {MOST_PLACES}", value=value)
    return places


@ARITHMETIC.add(
    "to_decimal(value: number|text) -> number",
    "An exact number from a text or number; a text that is none is an error (`to_number` gives null).",
    ("to_decimal(price)", {"price": "1500.00"}, Decimal("1500.00")),
)
def _to_decimal(_: Budget, value: Any) -> Decimal:
    number = parse_number(value) if type(value) is str else value
    if number is None:
        raise Refused("the text is not a number", value=value)
    return decimal(number)


@ARITHMETIC.add(
    "to_integer(value: number|text) -> number",
    "A whole number from a text or number; one with a fraction is an error.",
    ("to_integer(n)", {"n": "42"}, 42),
)
def _to_integer(_: Budget, value: Any) -> int:
    number = parse_number(value) if type(value) is str else value
    if number is None:
        raise Refused("the text is not a number", value=value)
    return whole(number)


@ARITHMETIC.add(
    "format_decimal(value: number, places: number, point?: text, thousands?: text) -> text",
    "The number as text with so many places, a decimal point and a separator of thousands of your own.",
    ("format_decimal(a, 2)", {"a": 1234.5}, "1234.50"),
    ("format_decimal(a, 2, ',', ' ')", {"a": 1234.5}, "1 234,50"),
)
def _format_decimal(_: Budget, value: Any, places: Any, point: str = ".", thousands: str = "") -> str:
    text = f"{rounded(exact(value), _places(places)):,f}"
    whole_part, _point, fraction = text.partition(".")
    grouped = whole_part.replace(",", thousands[:4])
    return f"{grouped}{point[:4]}{fraction}" if fraction else grouped


@ARITHMETIC.add(
    "percent(value: number, rate: number) -> number",
    "So many per cent of the value.",
    ("percent(net, 12)", {"net": 200}, Decimal(24)),
)
def _percent(_: Budget, value: Any, rate: Any) -> Decimal:
    part: Decimal = _calculate(CONTEXT.multiply, value, rate)
    return CONTEXT.scaleb(part, -2)


@ARITHMETIC.add("least(a: number, more…: number) -> number", "The least of the numbers.", ("least(a, 5)", {"a": 7}, 5))
def _least(_: Budget, *values: Any) -> Number:
    return min(map(exact, values))


@ARITHMETIC.add(
    "greatest(a: number, more…: number) -> number", "The largest of the numbers.", ("greatest(a, 0)", {"a": -7}, 0)
)
def _greatest(_: Budget, *values: Any) -> Number:
    return max(map(exact, values))


@ARITHMETIC.add(
    "plain_number(value: number) -> text",
    "The number as text without trailing zeros and without exponent.",
    ("plain_number(a)", {"a": 2.50}, "2.5"),
)
def _plain_number(_: Budget, value: Any) -> str:
    text = fixed(decimal(value))
    return text.rstrip("0").rstrip(".") if "." in text else text
