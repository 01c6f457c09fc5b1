"""Lists: taking, grouping, adding up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from server.mapping.decimals import NUMBERS, whole
from server.mapping.errors import TYPE, Refused
from server.mapping.values import key_of, kind_of, truthy

from .base import Body, Library
from .standard import total
from .text import as_text

if TYPE_CHECKING:
    from server.mapping.budget import Budget

LISTS = Library()
_LINES = {"lines": [{"sku": "A", "qty": 2}, {"sku": "B", "qty": 1}, {"sku": "A", "qty": 3}]}
_DEEPEST = 20


@LISTS.add("first(list: list) -> item", "The first item; null when there is none.", ("first(l)", {"l": [7, 8]}, 7))
def _first(_: Budget, items: list[Any]) -> Any:
    return items[0] if items else None


@LISTS.add("last(list: list) -> item", "The last item; null when there is none.", ("last(l)", {"l": [7, 8]}, 8))
def _last(_: Budget, items: list[Any]) -> Any:
    return items[-1] if items else None


@LISTS.add(
    "distinct(list: list) -> same", "Each item once, where it came first.", ("distinct(l)", {"l": [1, 2, 1]}, [1, 2])
)
def _distinct(budget: Budget, items: list[Any]) -> list[Any]:
    budget.spend(4 * len(items))
    seen: dict[Any, Any] = {}
    for item in items:
        seen.setdefault(key_of(item, budget), item)
    return list(seen.values())


@LISTS.add(
    "distinct_by(list: list, expression: expression) -> same",
    "The first item of each key.",
    ("distinct_by(lines, &sku)[].qty", _LINES, [2, 1]),
)
def _distinct_by(budget: Budget, items: list[Any], body: Body) -> list[Any]:
    budget.spend(4 * len(items))
    seen: dict[Any, Any] = {}
    for item, key in zip(items, body.over(items, budget), strict=True):
        seen.setdefault(key_of(key, budget), item)
    return list(seen.values())


@LISTS.add("compact(list: list) -> same", "The items that are not null.", ("compact(l)", {"l": [1, None]}, [1]))
def _compact(budget: Budget, items: list[Any]) -> list[Any]:
    budget.spend(len(items))
    return [item for item in items if item is not None]


@LISTS.add(
    "append(list: list, more…: list) -> list",
    "The lists one after the other.",
    ("append(a, b)", {"a": [1], "b": [2]}, [1, 2]),
)
def _append(budget: Budget, *lists: list[Any]) -> list[Any]:
    size = sum(map(len, lists))
    budget.spend(size)
    budget.grow(size)
    return [item for each in lists for item in each]


@LISTS.add(
    "flatten(list: list, depth?: number) -> list",
    "Lists within the list opened, one level or `depth` levels.",
    ("flatten(l, 2)", {"l": [1, [2, [3]]]}, [1, 2, 3]),
)
def _flatten(budget: Budget, items: list[Any], depth: Any = 1) -> list[Any]:
    levels = whole(depth)
    if not 0 <= levels <= _DEEPEST:
        raise Refused(f"depth is 0 to {_DEEPEST}", value=depth)
    for _ in range(levels):
        size = sum([len(item) if type(item) is list else 1 for item in items])
        budget.spend(size + len(items))
        budget.grow(size)
        opened: list[Any] = []
        for item in items:
            opened.extend(item) if type(item) is list else opened.append(item)
        items = opened
    return items


@LISTS.add(
    "chunk(list: list, size: number) -> list",
    "Lists of so many items each, the last one of what is left.",
    ("chunk(l, 2)", {"l": [1, 2, 3]}, [[1, 2], [3]]),
)
def _chunk(budget: Budget, items: list[Any], size: Any) -> list[Any]:
    step = whole(size)
    if step < 1:
        raise Refused("the size of a chunk is at least 1", value=size)
    budget.spend(3 * len(items))
    budget.grow(len(items))
    return [items[at : at + step] for at in range(0, len(items), step)]


@LISTS.add(
    "sum_by(list: list, expression: expression) -> number",
    "The sum of what the expression gives for each item, nulls left out.",
    ("sum_by(lines, &qty)", _LINES, 6),
)
def _sum_by(budget: Budget, items: list[Any], body: Body) -> Any:
    return total([value for value in body.over(items, budget) if value is not None], budget)


@LISTS.add(
    "count_by(list: list, expression: expression) -> number",
    "How many items the expression is true for.",
    ("count_by(lines, &qty > 1)", _LINES, 2),
)
def _count_by(budget: Budget, items: list[Any], body: Body) -> int:
    return sum(map(truthy, body.over(items, budget)))


@LISTS.add(
    "any(list: list, expression: expression) -> boolean",
    "Whether the expression is true for at least one item.",
    ("any(lines, &qty > 2)", _LINES, True),
)
def _any(budget: Budget, items: list[Any], body: Body) -> bool:
    return any(map(truthy, body.over(items, budget)))


@LISTS.add(
    "all(list: list, expression: expression) -> boolean",
    "Whether the expression is true for every item.",
    ("all(lines, &qty > 2)", _LINES, False),
)
def _all(budget: Budget, items: list[Any], body: Body) -> bool:
    return all(map(truthy, body.over(items, budget)))


@LISTS.add(
    "group_by(list: list, expression: expression) -> list",
    "Objects {key, items}, one per key, in the order in which the keys first come.",
    (
        "group_by(lines, &sku)[].{sku: key, qty: sum_by(items, &qty)}",
        _LINES,
        [{"sku": "A", "qty": 5}, {"sku": "B", "qty": 1}],
    ),
)
def _group_by(budget: Budget, items: list[Any], body: Body) -> list[Any]:
    budget.spend(6 * len(items))
    budget.grow(2 * len(items))
    groups: dict[Any, dict[str, Any]] = {}
    for item, key in zip(items, body.over(items, budget), strict=True):
        group = groups.setdefault(key_of(key, budget), {"key": key, "items": []})
        group["items"].append(item)
    return list(groups.values())


@LISTS.add(
    "index_by(list: list, expression: expression) -> object",
    "An object of the items by their keys, which are texts or numbers; of two the last is kept, null keys are left out.",
    ("index_by(lines, &sku).B.qty", _LINES, 1),
)
def _index_by(budget: Budget, items: list[Any], body: Body) -> dict[str, Any]:
    budget.spend(3 * len(items))
    budget.grow(len(items))
    index: dict[str, Any] = {}
    for item, key in zip(items, body.over(items, budget), strict=True):
        if type(key) is not str and type(key) not in NUMBERS and key is not None:
            raise Refused(f"a key is a text or a number, not a {kind_of(key)}", code=TYPE, value=key)
        if key is not None:
            index[as_text(key)] = item
    return index


@LISTS.add(
    "zip(a: list, b: list) -> list",
    "Pairs of the items with the same place, as many as the shorter list has.",
    ("zip(a, b)", {"a": [1, 2], "b": ["x", "y"]}, [[1, "x"], [2, "y"]]),
)
def _zip(budget: Budget, a: list[Any], b: list[Any]) -> list[Any]:
    size = min(len(a), len(b))
    budget.spend(2 * size)
    budget.grow(3 * size)
    return [list(pair) for pair in zip(a, b, strict=False)]


@LISTS.add(
    "numbered(list: list, start?: number) -> list",
    "Objects {number, item}, numbered from 1 or from `start`: line numbers.",
    ("numbered(l)[].number", {"l": ["a", "b"]}, [1, 2]),
)
def _numbered(budget: Budget, items: list[Any], start: Any = 1) -> list[Any]:
    first = whole(start)
    budget.spend(3 * len(items))
    budget.grow(3 * len(items))
    return [{"number": number, "item": item} for number, item in enumerate(items, first)]
