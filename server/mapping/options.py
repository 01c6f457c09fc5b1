"""What `{from: EXPR, …}` does with a value: the options as data, and the conversions to a type.

Every conversion takes a value that is not null and gives JSON. `decimal` writes text with all its digits, since JSON's numbers
are floats to most readers: that is for money. `number`, and a number without a type, stays a JSON number.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from .decimals import (
    DIGITS,
    MOST_PLACES,
    NUMBERS,
    Number,
    decimal,
    exact,
    fixed,
    parse_number,
    rounded,
    whole,
    writable,
)
from .errors import TYPE, VALUE, Refused
from .functions.dates import format_with, read_date, read_moment, write_date
from .functions.text import as_text
from .values import kind_of

Convert = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Option:
    """One option: its name, the literals that it takes, and what it means."""

    name: str
    type: str
    about: str


@dataclass(frozen=True, slots=True)
class ValueType:
    """One value of the option `type`: what it takes, and how it is written."""

    name: str
    about: str


OPTIONS = (
    Option("from", "expression", "Where the value comes from."),
    Option("type", "text, integer, decimal, number, boolean, date or datetime", "Converts the value, or fails."),
    Option("default", "any literal", "Stands in for null; it is converted as the value would be."),
    Option("required", "boolean", "Null is an error instead of null: EXPR_MISSING."),
    Option("round", "integer from 0 to 20", "Rounds half up to so many places after the point, all of them written."),
    Option("format", "text", "How a date or datetime is written: YYYY, MM, DD, HH, mm, ss, … as in format_date."),
)
VALUE_TYPES = (
    ValueType("text", "Text; numbers with all their digits, booleans as true and false."),
    ValueType("integer", "JSON number without fraction, from a number or a text of one."),
    ValueType("decimal", "Exact decimal, written as text: money."),
    ValueType("number", "JSON number with all its digits, from a number or a text of one."),
    ValueType("boolean", "true or false, from a boolean, the texts true and false, or the numbers 1 and 0."),
    ValueType("date", "Date as YYYY-MM-DD, from a date or datetime in ISO 8601."),
    ValueType("datetime", "Moment as RFC 3339, UTC as Z; a date is its midnight in UTC."),
)
NUMERIC = ("integer", "decimal", "number")  # a tuple, since what a definition says may be unhashable
DATED = ("date", "datetime")


def _number(value: Any) -> Number:
    number = parse_number(value) if type(value) is str else exact(value) if type(value) in NUMBERS else None
    if number is None:
        code = VALUE if type(value) is str else TYPE
        raise Refused(f"a number is needed here, not {_a(value)}", code=code, value=value)
    return number


def _a(value: Any) -> str:
    return "this text" if type(value) is str else f"a {kind_of(value)}"


def _to_text(value: Any) -> str:
    if type(value) in (list, dict):
        raise Refused(f"a text is needed here, not {_a(value)}", code=TYPE, value=value)
    return as_text(value)


def _to_number(number: Number) -> Number:
    return int(number) if number == int(number) else writable(decimal(number))


def _to_boolean(value: Any) -> bool:
    if type(value) is bool:
        return value
    known = {"true": True, "false": False, "1": True, "0": False}
    key = value.strip().lower() if type(value) is str else str(value) if type(value) is int else ""
    if key not in known:
        raise Refused(f"true or false is needed here, not {_a(value)}", code=VALUE, value=value)
    return known[key]


def _dated(convert: Callable[[str], Any], pattern: str | None) -> Convert:
    def run(value: Any) -> str:
        if type(value) is not str:
            raise Refused(f"a date as text is needed here, not {_a(value)}", code=TYPE, value=value)
        moment = convert(value)
        return format_with(moment, pattern) if pattern else write_date(moment)

    return run


def _utc(text: str) -> datetime:
    moment = read_moment(text)
    return moment.replace(tzinfo=UTC) if moment.utcoffset() == UTC.utcoffset(None) else moment


def _date(text: str) -> Any:
    value = read_date(text)
    return value.date() if isinstance(value, datetime) else value


def _numeric(name: str, places: int | None) -> Convert:
    if name == "integer":
        return lambda value: whole(_number(value) if places is None else rounded(_number(value), places))
    if name == "number":
        return lambda value: _to_number(_number(value) if places is None else rounded(_number(value), places))
    if places is None:
        return lambda value: fixed(decimal(_number(value)))
    return _money(places)


def _money(places: int) -> Convert:
    """Round and write; what has just these digits already, as columns of databases and APIs do, is written as it is."""
    point = -places - 1
    is_written = re.compile(rf"-?(?:0|[1-9][0-9]{{0,{DIGITS - MOST_PLACES - 1}}})\.[0-9]{{{places}}}").fullmatch

    def run(value: Any) -> str:
        if places and type(value) is Decimal:
            text = str(value)
            if len(text) <= DIGITS and text[point:][:1] == "." and text[point + 1 :].isdecimal():
                return text
        elif places and type(value) is str and is_written(value):
            return value
        return fixed(rounded(_number(value), places))

    return run


def converter(name: str | None, places: int | None, pattern: str | None) -> Convert | None:
    """Return the conversion that the options ask for, None when they ask for none.

    The conversion raises Refused (EXPR_TYPE, EXPR_VALUE).
    """
    if name in NUMERIC or places is not None:
        return _numeric(name or "decimal", places)
    if name in DATED:
        return _dated(_date if name == "date" else _utc, pattern)
    return {"text": _to_text, "boolean": _to_boolean}.get(name or "")
