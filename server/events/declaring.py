"""What a schema declares of a value, by whichever way: the names that a reader may go by, and that a later schema must keep."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from server.events import containment, objects

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from server.events.containment import Break, Part

_CHOICES = ("allOf", "anyOf", "oneOf")
_CONDITIONS = ("if", "then", "else")
_MOST_PLACES = 5000


def lost(old: Sequence[Part], new: Sequence[Part]) -> list[Break]:
    """Return the properties that the old schema declares somewhere and the new one does not."""
    found: list[Break] = []
    seen = set()
    waiting: list[tuple[list[Part], list[Part]]] = [(list(old), list(new))]
    while waiting:
        before, after = (list(in_place(parts)) for parts in waiting.pop())
        key = tuple(tuple(sorted(str(each.pointer) for each in parts)) for parts in (before, after))
        if key in seen or not before:
            continue
        seen.add(key)
        if len(seen) > _MOST_PLACES:
            raise containment.TooMuch
        for name in sorted(_names(before)):
            now = _named(after, name)
            if not now and after:
                place = next((each.pointer for each in after if "properties" in each.node), after[0].pointer)
                found.append(containment.Break((*place, "properties"), f"{name} was taken away"))
            waiting.append((_named(before, name), now))
        words = ("items", "additionalProperties")
        waiting.extend((list(_below(before, word)), list(_below(after, word))) for word in words)
    return found


def in_place(parts: Iterable[Part], *, hidden_only: bool = False) -> Iterator[Part]:
    """Yield each part that speaks of the same value, through references, choices and conditions.

    With `hidden_only` only those that a comparison does not look into.
    """
    waiting = [(part, False) for part in parts]
    seen = set()
    while waiting:
        part, hidden = waiting.pop()
        if not isinstance(part.node, dict) or (part.pointer, hidden) in seen:
            continue
        seen.add((part.pointer, hidden))
        if hidden or not hidden_only:
            yield part
        if "$ref" in part.node and (target := containment.resolved(part.document, part.node["$ref"])) is not None:
            waiting.append((target, hidden))
        for word in _CHOICES:
            waiting += [(part.below(word, number), hidden) for number in range(len(part.node.get(word, ())))]
        waiting += [(part.below(word), True) for word in _CONDITIONS if word in part.node]
        waiting += [(part.below("dependentSchemas", name), True) for name in part.node.get("dependentSchemas", ())]


def hidden(parts: Iterable[Part]) -> set[str]:
    """Return the names that only a condition declares."""
    return _names(in_place(parts, hidden_only=True))


def _names(parts: Iterable[Part]) -> set[str]:
    return {name for part in parts for name, node in _properties(part).items() if node is not False}


def _properties(part: Part) -> dict[str, Any]:
    properties: dict[str, Any] = part.node.get("properties", {})
    return properties


def _named(parts: Sequence[Part], name: str) -> list[Part]:
    found = [part.below("properties", name) for part in parts if name in _properties(part)]
    return found or [each for part in parts for each in objects.of_name(part, name) if each.node is not False]


def _below(parts: Iterable[Part], word: str) -> Iterator[Part]:
    for part in parts:
        if word in part.node:
            yield part.below(word)
        if word == "items":
            yield from (part.below("prefixItems", number) for number in range(len(part.node.get("prefixItems", ()))))
