"""Bounds of numbers, texts, lists and objects: whether a new schema's are as wide as the old one's."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from server.events import containment, objects

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from server.events.containment import Break, Conjunction, Part

_NUMBERS = ("integer", "fraction")


def range_breaks(old: Conjunction, kinds: frozenset[str], new: Part) -> Iterator[Break]:
    """Yield the bounds that are narrower than they were; those of kinds that were never allowed do not count."""
    for word, holds in _HOLDS.items():
        about = _ABOUT[word]
        if word in new.node and any(kind in kinds for kind in about) and not holds(old, new.node[word]):
            yield containment.Break((*new.pointer, word), f"`{word}` is narrower than it was")


def _said(old: Conjunction, word: str) -> list[Any]:
    return [part.node[word] for part in old if word in objects.mapping(part)]


def _above(old: Conjunction, bound: Any) -> bool:
    lowest = [*_said(old, "minimum"), *_said(old, "exclusiveMinimum")]
    return any(each >= bound for each in lowest)


def _strictly_above(old: Conjunction, bound: Any) -> bool:
    return any(each > bound for each in _said(old, "minimum")) or any(
        each >= bound for each in _said(old, "exclusiveMinimum")
    )


def _below(old: Conjunction, bound: Any) -> bool:
    highest = [*_said(old, "maximum"), *_said(old, "exclusiveMaximum")]
    return any(each <= bound for each in highest)


def _strictly_below(old: Conjunction, bound: Any) -> bool:
    return any(each < bound for each in _said(old, "maximum")) or any(
        each <= bound for each in _said(old, "exclusiveMaximum")
    )


def _multiple(old: Conjunction, unit: Any) -> bool:
    steps = [Decimal(str(each)) for each in _said(old, "multipleOf")]
    if not containment.kinds_of(old) & {"fraction"}:
        steps.append(Decimal(1))
    return any(each % Decimal(str(unit)) == 0 for each in steps)


def _at_least(word: str) -> Callable[[Conjunction, Any], bool]:
    return lambda old, bound: bound <= 0 or any(each >= bound for each in _said(old, word))


def _at_most(word: str) -> Callable[[Conjunction, Any], bool]:
    return lambda old, bound: any(each <= bound for each in _said(old, word))


def _same(word: str) -> Callable[[Conjunction, Any], bool]:
    return lambda old, value: value in _said(old, word)


def _enough_properties(old: Conjunction, bound: Any) -> bool:
    return len(objects.required(old)) >= bound or _at_least("minProperties")(old, bound)


def _few_properties(old: Conjunction, bound: Any) -> bool:
    declared = objects.declared(old)
    return (not objects.open_ended(old) and len(declared) <= bound) or _at_most("maxProperties")(old, bound)


def _unique(old: Conjunction, value: Any) -> bool:
    return not value or True in _said(old, "uniqueItems") or any(each <= 1 for each in _said(old, "maxItems"))


_HOLDS: dict[str, Callable[[Conjunction, Any], bool]] = {
    "minimum": _above,
    "exclusiveMinimum": _strictly_above,
    "maximum": _below,
    "exclusiveMaximum": _strictly_below,
    "multipleOf": _multiple,
    "minLength": _at_least("minLength"),
    "maxLength": _at_most("maxLength"),
    "pattern": _same("pattern"),
    "format": _same("format"),
    "minItems": _at_least("minItems"),
    "maxItems": _at_most("maxItems"),
    "uniqueItems": _unique,
    "minProperties": _enough_properties,
    "maxProperties": _few_properties,
}
_ABOUT = {
    **dict.fromkeys(("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum", "multipleOf"), _NUMBERS),
    **dict.fromkeys(("minLength", "maxLength", "pattern", "format"), ("string",)),
    **dict.fromkeys(("minItems", "maxItems", "uniqueItems"), ("array",)),
    **dict.fromkeys(("minProperties", "maxProperties"), ("object",)),
}
