"""Objects: choosing names, and turning them into lists and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from server.mapping.errors import TYPE, Refused

from .base import Library
from .standard import check_items

if TYPE_CHECKING:
    from server.mapping.budget import Budget

OBJECTS = Library()
_ORDER = {"o": {"id": 1, "note": "x", "total": 5}}
_TEXT = frozenset((str,))


@OBJECTS.add(
    "pick(object: object, names: list) -> object",
    "Only the names that are listed, of those that it has.",
    ('pick(o, `["id", "none"]`)', _ORDER, {"id": 1}),
)
def _pick(budget: Budget, value: dict[str, Any], names: list[Any]) -> dict[str, Any]:
    check_items(names, budget, _TEXT)
    budget.grow(len(names))
    return {name: value[name] for name in names if name in value}


@OBJECTS.add(
    "omit(object: object, names: list) -> object",
    "All but the names that are listed.",
    ('omit(o, `["note"]`)', _ORDER, {"id": 1, "total": 5}),
)
def _omit(budget: Budget, value: dict[str, Any], names: list[Any]) -> dict[str, Any]:
    check_items(names, budget, _TEXT)
    budget.spend(len(value))
    without = frozenset(names)
    return {name: each for name, each in value.items() if name not in without}


@OBJECTS.add(
    "get(object: object, name: text, default?: any) -> any",
    "The value under a name that is only known at run time.",
    ("get(o, 'to' )", _ORDER, None),
    ("get(o, concat('no', 'te'))", _ORDER, "x"),
)
def _get(_: Budget, value: dict[str, Any], name: str, default: Any = None) -> Any:
    return value.get(name, default)


@OBJECTS.add(
    "has(object: object, name: text) -> boolean", "Whether it has the name, be it null.", ("has(o, 'id')", _ORDER, True)
)
def _has(_: Budget, value: dict[str, Any], name: str) -> bool:
    return name in value


@OBJECTS.add(
    "entries(object: object) -> list",
    "Objects {key, value}, one per name.",
    ("entries(o)[0]", _ORDER, {"key": "id", "value": 1}),
)
def _entries(budget: Budget, value: dict[str, Any]) -> list[Any]:
    budget.spend(3 * len(value))
    budget.grow(3 * len(value))
    return [{"key": key, "value": each} for key, each in value.items()]


@OBJECTS.add(
    "from_entries(list: list) -> object",
    "An object of {key, value} objects; of two the last is kept.",
    ("from_entries(l)", {"l": [{"key": "a", "value": 1}]}, {"a": 1}),
)
def _from_entries(budget: Budget, items: list[Any]) -> dict[str, Any]:
    budget.spend(3 * len(items))
    budget.grow(len(items))
    result: dict[str, Any] = {}
    for item in items:
        key = item.get("key") if type(item) is dict else None
        if type(key) is not str:
            raise Refused("an entry is an object with a text as `key`", code=TYPE, value=item)
        result[key] = item.get("value")
    return result
