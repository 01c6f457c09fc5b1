"""Lists and objects: whether a new schema takes and declares every item and property that the old one did."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from server.events import containment, declaring
from server.sdk.schemas import Schema

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server.events.containment import Break, Comparison, Conjunction, Part

_ANYTHING: tuple[Any, ...] = (True, {}, None)


def mapping(part: Part) -> dict[str, Any]:
    """Return what a part says; nothing for `true` and `false`."""
    return part.node if isinstance(part.node, dict) else {}


def required(parts: Conjunction) -> set[str]:
    """Return the names of the properties that must be there."""
    return {name for part in parts for name in mapping(part).get("required", ())}


def declared(parts: Conjunction) -> set[str]:
    """Return the names of the properties that are listed."""
    return {name for part in parts for name in mapping(part).get("properties", ())}


def open_ended(parts: Conjunction) -> bool:
    """Tell whether properties are declared by more than their names: by a pattern, or as whatever else there is."""
    return any(
        mapping(part).get("patternProperties") or mapping(part).get("additionalProperties") not in (*_ANYTHING, False)
        for part in parts
    )


def named(parts: Conjunction, name: str) -> list[Part]:
    """Return all that the parts say of a property."""
    return [each for part in parts for each in of_name(part, name)]


def of_name(part: Part, name: str) -> list[Part]:
    """Return what one part says of a property: by its name, by a pattern, or as whatever else there is."""
    node = mapping(part)
    found = [part.below("properties", name)] if name in node.get("properties", {}) else []
    found += [part.below("patternProperties", text) for text in node.get("patternProperties", {}) if _means(text, name)]
    if not found and node.get("additionalProperties") not in _ANYTHING:
        found.append(part.below("additionalProperties"))
    return found


def _means(pattern: str, name: str) -> bool:
    return Schema({"pattern": pattern}).accepts(name)


def object_breaks(comparison: Comparison, old: Conjunction, new: Part) -> Iterator[Break]:
    """Yield where properties break."""
    for name in new.node.get("required", ()):
        if name not in required(old):
            yield containment.Break((*new.pointer, "required"), f"{name} is required now")
    for name in sorted(declared(old)):
        yield from _property(comparison, old, new, name)
    yield from _others(comparison, old, new)
    yield from _dependent(old, new)
    names = new.node.get("propertyNames")
    if names is not None and not containment.stands_in(old, new, ("propertyNames",)):
        validator = new.below("propertyNames").validator
        if open_ended(old) or not all(validator.accepts(name) for name in declared(old)):
            yield containment.Break((*new.pointer, "propertyNames"), "`propertyNames` was added or changed")


def _property(comparison: Comparison, old: Conjunction, new: Part, name: str) -> Iterator[Break]:
    before, after = named(old, name), of_name(new, name)
    if not containment.kinds_of(containment.flat(before)):
        return  # it could never be there
    for part in after:
        if part.node is False:
            yield containment.Break((*new.pointer, "properties"), f"{name} was taken away")
        else:
            yield from comparison.fits(before, part)


def _others(comparison: Comparison, old: Conjunction, new: Part) -> Iterator[Break]:
    """Compare what is said of properties by pattern, and of whatever else there is."""
    was = [part.below("additionalProperties") for part in old
           if mapping(part).get("additionalProperties") not in _ANYTHING]  # fmt: skip
    closed = any(part.node is False for part in was)
    patterns = [(text, part.below("patternProperties", text)) for part in old
                for text in mapping(part).get("patternProperties", ())]  # fmt: skip
    for text, part in patterns:
        if text not in new.node.get("patternProperties", {}):
            if new.node.keys() & {"properties", "patternProperties", "additionalProperties", "unevaluatedProperties"}:
                yield containment.Break((*new.pointer, "patternProperties"), f"{text} is no longer declared")
            continue
        yield from comparison.fits([part], new.below("patternProperties", text))
    known = {text for text, _ in patterns}
    added = [("properties", name) for name in new.node.get("properties", ()) if name not in declared(old)]
    added += [("patternProperties", text) for text in new.node.get("patternProperties", ()) if text not in known]
    unseen = declaring.hidden(old) & {name for _, name in added}
    for name in sorted(unseen):
        yield containment.Break((*new.pointer, "properties", name), "a condition of the old schema speaks of it")
    for place in added:  # what was declared as anything else, or by a pattern, may have had this name
        if was and not closed:
            yield from comparison.fits(was, new.below(*place))
        for text, part in patterns:
            if place[0] == "patternProperties" or _means(text, place[1]):
                yield from comparison.fits([part], new.below(*place))
    rest = new.node.get("additionalProperties")
    if rest in _ANYTHING or closed:
        return
    if not was:
        what = "closed" if rest is False else "narrowed"
        yield containment.Break((*new.pointer, "additionalProperties"), f"the object was open and is {what} now")
        return
    yield from comparison.fits(was, new.below("additionalProperties"))


def _dependent(old: Conjunction, new: Part) -> Iterator[Break]:
    for name, needs in new.node.get("dependentRequired", {}).items():
        before = {each for part in old for each in mapping(part).get("dependentRequired", {}).get(name, ())}
        possible = name in declared(old) or open_ended(old)
        if possible and not set(needs) <= before | required(old):
            yield containment.Break((*new.pointer, "dependentRequired"), f"{name} needs more than it did")


def array_breaks(comparison: Comparison, old: Conjunction, new: Part) -> Iterator[Break]:
    """Yield where items break."""
    most = min((mapping(part)["maxItems"] for part in old if "maxItems" in mapping(part)), default=None)
    places = 1 + max(len(mapping(part).get("prefixItems", ())) for part in (*old, new))
    for number in range(places if most is None else min(places, int(most))):
        before = [each for part in old if (each := _item(part, number)) is not None]
        after = _item(new, number)
        if after is not None and (not before or containment.kinds_of(containment.flat(before))):
            yield from comparison.fits(before, after)


def _item(part: Part, number: int) -> Part | None:
    node = mapping(part)
    if number < len(node.get("prefixItems", ())):
        return part.below("prefixItems", number)
    return part.below("items") if "items" in node else None
