"""The functions of the JMESPath specification. They refuse null unless the specification says otherwise."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from server.mapping.decimals import CONTEXT, NUMBERS, decimal, exact, parse_number
from server.mapping.errors import TYPE, Refused
from server.mapping.values import encoded, equals, kind_of

from .base import Body, Library

if TYPE_CHECKING:
    from server.mapping.budget import Budget

STANDARD = Library(standard=True)
_TEXT = frozenset((str,))
_KIND_NAMES = {
    "text": "string",
    "number": "number",
    "boolean": "boolean",
    "list": "array",
    "object": "object",
    "null": "null",
}
_PEOPLE = {"people": [{"name": "Bo", "age": 40}, {"name": "Al", "age": 30}]}


def check_items(items: list[Any], budget: Budget, *kinds: frozenset[type]) -> None:
    """See that all items are of one of the kinds, all of the same.

    Raises:
        Refused: EXPR_TYPE, EXPR_BUDGET.

    """
    budget.spend(len(items))
    if not items:
        return
    allowed = next((kind for kind in kinds if type(items[0]) in kind), None)
    for item in items:
        if allowed is None or type(item) not in allowed:
            expected = (
                "numbers" if kinds == (NUMBERS,) else "texts" if kinds == (_TEXT,) else "all numbers or all texts"
            )
            raise Refused(f"the list holds a {kind_of(item)}, not {expected}", code=TYPE, value=item)


def ordering(items: list[Any], budget: Budget) -> list[Any]:
    """Return keys that order numbers and texts: all numbers exact, or all texts.

    Raises:
        Refused: EXPR_TYPE, EXPR_BUDGET.

    """
    check_items(items, budget, NUMBERS, _TEXT)
    budget.spend(4 * len(items))
    if items and type(items[0]) is str:
        return items
    return [exact(item) for item in items]


def total(items: list[Any], budget: Budget) -> Any:
    """Add numbers exactly: an int when all are.

    Raises:
        Refused: EXPR_TYPE, EXPR_VALUE, EXPR_BUDGET.

    """
    check_items(items, budget, NUMBERS)
    budget.spend(2 * len(items))
    if all(type(item) is int for item in items):
        return exact(sum(items))
    result = decimal(0)
    for item in items:
        result = CONTEXT.add(result, decimal(item))
    return result


def sorted_by(items: list[Any], keys: list[Any], budget: Budget) -> list[Any]:
    """Return the items in the order of their keys, equal ones as they were."""
    order = ordering(keys, budget)
    return [items[index] for index in sorted(range(len(items)), key=order.__getitem__)]


@STANDARD.add("abs(value: number) -> number", "The number without its sign.", ("abs(n)", {"n": -3}, 3))
def _abs(_: Budget, value: Any) -> Any:
    return abs(exact(value))


@STANDARD.add("avg(list: list) -> number|null", "The mean of numbers; null for none.", ("avg(n)", {"n": [1, 2]}, 1.5))
def _avg(budget: Budget, items: list[Any]) -> Any:
    if not items:
        return None
    return CONTEXT.divide(decimal(total(items, budget)), decimal(len(items)))


@STANDARD.add("ceil(value: number) -> number", "The next whole number above.", ("ceil(n)", {"n": 1.2}, 2))
def _ceil(_: Budget, value: Any) -> int:
    return math.ceil(exact(value))


@STANDARD.add("floor(value: number) -> number", "The next whole number below.", ("floor(n)", {"n": -1.2}, -2))
def _floor(_: Budget, value: Any) -> int:
    return math.floor(exact(value))


@STANDARD.add(
    "contains(subject: list|text, search: any) -> boolean",
    "Whether a list has an item, or a text a part.",
    ("contains(tags, 'vip')", {"tags": ["new", "vip"]}, True),
)
def _contains(budget: Budget, subject: Any, search: Any) -> bool:
    if type(subject) is str:
        return type(search) is str and search in subject
    budget.spend(4 * len(subject))
    return any(equals(item, search, budget) for item in subject)


@STANDARD.add(
    "starts_with(subject: text, prefix: text) -> boolean",
    "Whether the text begins so.",
    ("starts_with(s, 'SO-')", {"s": "SO-1"}, True),
)
def _starts_with(_: Budget, subject: str, prefix: str) -> bool:
    return subject.startswith(prefix)


@STANDARD.add(
    "ends_with(subject: text, suffix: text) -> boolean",
    "Whether the text ends so.",
    ("ends_with(s, '-1')", {"s": "SO-1"}, True),
)
def _ends_with(_: Budget, subject: str, suffix: str) -> bool:
    return subject.endswith(suffix)


@STANDARD.add(
    "join(glue: text, list: list) -> text",
    "The texts in one, the glue between.",
    ("join('-', l)", {"l": ["a", "b"]}, "a-b"),
)
def _join(budget: Budget, glue: str, items: list[Any]) -> str:
    check_items(items, budget, _TEXT)
    budget.grow_text(sum(map(len, items)) + len(glue) * len(items))
    return glue.join(items)


@STANDARD.add("keys(object: object) -> list", "The names in an object.", ("keys(o)", {"o": {"a": 1}}, ["a"]))
def _keys(budget: Budget, value: dict[str, Any]) -> list[str]:
    budget.spend(len(value))
    return list(value)


@STANDARD.add("values(object: object) -> list", "The values in an object.", ("values(o)", {"o": {"a": 1}}, [1]))
def _values(budget: Budget, value: dict[str, Any]) -> list[Any]:
    budget.spend(len(value))
    return list(value.values())


@STANDARD.add(
    "length(subject: text|list|object) -> number",
    "How many characters, items or names.",
    ("length(l)", {"l": [7, 8]}, 2),
)
def _length(_: Budget, subject: Any) -> int:
    return len(subject)


@STANDARD.add(
    "map(expression: expression, list: list) -> list",
    "What the expression gives for each item, nulls kept.",
    ("map(&age, people)", _PEOPLE, [40, 30]),
)
def _map(budget: Budget, body: Body, items: list[Any]) -> list[Any]:
    return body.over(items, budget)


@STANDARD.add(
    "max(list: list) -> number|text|null",
    "The largest number, or the last text; null for none.",
    ("max(n)", {"n": [1, 3]}, 3),
)
def _max(budget: Budget, items: list[Any]) -> Any:
    order = ordering(items, budget)
    return items[max(range(len(items)), key=order.__getitem__)] if items else None


@STANDARD.add(
    "min(list: list) -> number|text|null",
    "The least number, or the first text; null for none.",
    ("min(n)", {"n": [1, 3]}, 1),
)
def _min(budget: Budget, items: list[Any]) -> Any:
    order = ordering(items, budget)
    return items[min(range(len(items)), key=order.__getitem__)] if items else None


@STANDARD.add(
    "max_by(list: list, expression: expression) -> item",
    "The item with the largest key.",
    ("max_by(people, &age).name", _PEOPLE, "Bo"),
)
def _max_by(budget: Budget, items: list[Any], body: Body) -> Any:
    order = ordering(body.over(items, budget), budget)
    return items[max(range(len(items)), key=order.__getitem__)] if items else None


@STANDARD.add(
    "min_by(list: list, expression: expression) -> item",
    "The item with the least key.",
    ("min_by(people, &age).name", _PEOPLE, "Al"),
)
def _min_by(budget: Budget, items: list[Any], body: Body) -> Any:
    order = ordering(body.over(items, budget), budget)
    return items[min(range(len(items)), key=order.__getitem__)] if items else None


@STANDARD.add(
    "merge(object: object, more…: object) -> object",
    "The objects in one, later ones first.",
    ("merge(a, b)", {"a": {"x": 1, "y": 1}, "b": {"y": 2}}, {"x": 1, "y": 2}),
)
def _merge(budget: Budget, *objects: dict[str, Any]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for each in objects:
        budget.spend(len(each))
        merged.update(each)
    return merged


@STANDARD.add(
    "not_null(value: any, more…: any) -> any", "The first value that is not null.", ("not_null(a, b)", {"b": 2}, 2)
)
def _not_null(_: Budget, *values: Any) -> Any:
    return next((value for value in values if value is not None), None)


@STANDARD.add("reverse(subject: list|text) -> same", "The other way round.", ("reverse(l)", {"l": [1, 2]}, [2, 1]))
def _reverse(budget: Budget, subject: Any) -> Any:
    budget.spend(len(subject) >> 2)
    return subject[::-1]


@STANDARD.add("sort(list: list) -> same", "Numbers or texts in order.", ("sort(l)", {"l": [2, 1]}, [1, 2]))
def _sort(budget: Budget, items: list[Any]) -> list[Any]:
    return sorted_by(items, items, budget)


@STANDARD.add(
    "sort_by(list: list, expression: expression) -> same",
    "The items in the order of their keys.",
    ("sort_by(people, &age)[].name", _PEOPLE, ["Al", "Bo"]),
)
def _sort_by(budget: Budget, items: list[Any], body: Body) -> list[Any]:
    return sorted_by(items, body.over(items, budget), budget)


@STANDARD.add("sum(list: list) -> number", "Numbers added exactly; 0 for none.", ("sum(n)", {"n": [0.1, 0.2]}, 0.3))
def _sum(budget: Budget, items: list[Any]) -> Any:
    return total(items, budget)


@STANDARD.add(
    "to_array(value: any) -> list", "The value as a list of one, a list as it is.", ("to_array(a)", {"a": 1}, [1])
)
def _to_array(_: Budget, value: Any) -> list[Any]:
    return value if type(value) is list else [value]


@STANDARD.add(
    "to_number(value: any) -> number|null",
    "The number in a text; null when there is none.",
    ("to_number(a)", {"a": "1.5"}, 1.5),
)
def _to_number(_: Budget, value: Any) -> Any:
    if type(value) is str:
        return parse_number(value)
    return value if type(value) in NUMBERS else None


@STANDARD.add(
    "to_string(value: any) -> text", "A text as it is, all else as JSON.", ("to_string(a)", {"a": [1]}, "[1]")
)
def _to_string(budget: Budget, value: Any) -> str:
    return value if type(value) is str else encoded(value, budget)


@STANDARD.add("type(value: any) -> text", "The value's type in JSON's words.", ("type(a)", {"a": "x"}, "string"))
def _type(_: Budget, value: Any) -> str:
    return _KIND_NAMES[kind_of(value)]
