"""Whether one JSON Schema takes all that another one takes: a proof, or the places where there is none. Pure.

`breaks(old, new)` is sound: where it names no place, every value that fits `old`, without properties that `old` does not declare,
fits `new`. It is not complete: what it cannot follow (`not`, `if`, another `pattern`, …) it takes for a break unless it stands
in `old` word for word. Properties that nobody declared do not count, or none could ever be added; but closing an object that was
open, and no longer declaring a property, are breaks, for data and readers that go by the old schema.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from server.documents.kinds import canonical
from server.events import declaring, objects
from server.events.ranges import range_breaks
from server.sdk.schemas import Schema, pointer_to

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Pointer = tuple[str | int, ...]
KINDS = ("null", "boolean", "integer", "fraction", "string", "array", "object")
_OF_TYPE = {name: frozenset((name,)) for name in KINDS} | {"number": frozenset(("integer", "fraction"))}
_NOTES = frozenset(
    ("$schema", "$id", "$comment", "$anchor", "$defs", "definitions", "title", "description", "examples", "default",
     "deprecated", "readOnly", "writeOnly", "contentMediaType", "contentEncoding", "contentSchema")
)  # fmt: skip
_OPAQUE = ("not", "if", "contains", "unevaluatedItems", "$dynamicRef", "dependentSchemas", "unevaluatedProperties")
_WITH = {"if": ("if", "then", "else"), "contains": ("contains", "minContains", "maxContains")}
_ABOUT = {
    "contains": "array",
    "unevaluatedItems": "array",
    "dependentSchemas": "object",
    "unevaluatedProperties": "object",
}
_MOST_STEPS = 5000
_REFERENCE = re.compile(rb'"\$(?:ref|dynamicRef)":"([^"]*)"')
_MOST_BRANCHES = 64


@dataclass(frozen=True, slots=True)
class Break:
    """A place of the new schema that refuses, or no longer declares, what the old one took; `pointer` is inside the schema."""

    pointer: Pointer
    message: str


@dataclass(frozen=True, slots=True)
class Part:
    """A schema inside its document."""

    document: Any = field(repr=False)
    pointer: Pointer
    node: Any

    def below(self, *steps: str | int) -> Part:
        """Return the part at some steps below."""
        node = self.node
        for step in steps:
            node = node[step]
        return Part(self.document, (*self.pointer, *steps), node)

    @property
    def validator(self) -> Schema:
        """The compiled schema, with the references of its document."""
        whole = {**self.document, "$id": "urn:d"} if isinstance(self.document, dict) else self.document
        place = quote(pointer_to(list(self.pointer)), safe="/~")
        return Schema({"$defs": {"d": whole}, "$ref": f"urn:d#{place}"})


Conjunction = tuple[Part, ...]
"""Parts that hold together, each without `$ref` and `allOf`."""


class TooMuch(Exception):
    """The schemas are too large to compare."""


def breaks(old: Any, new: Any) -> list[Break]:
    """Return where `new` refuses, or no longer declares, what `old` takes; both are checked schemas."""
    before, after = Part(old, (), old), Part(new, (), new)
    if canonical(old) == canonical(new):
        return []
    try:
        _refuse_inner_ids(old, new)
        found = [*Comparison().fits((before,), after), *declaring.lost([before], [after])]
    except (TooMuch, RecursionError, ValueError):
        return [Break((), "the change is too large to be compared; raise the version")]
    return list(dict.fromkeys(found))


def _refuse_inner_ids(*schemas: Any) -> None:
    """Give up on schemas inside schemas that have an address of their own: references mean something else there.

    Raises:
        TooMuch: there is one.

    """
    waiting = [inner for each in schemas if isinstance(each, dict) for inner in each.values()]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            if isinstance(part.get("$id"), str):
                raise TooMuch
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part


class Comparison:
    """One comparison; remembers the pairs under way, for schemas that refer to themselves."""

    def __init__(self) -> None:
        self._known: dict[tuple[tuple[Pointer, ...], Pointer], list[Break]] = {}
        self._steps = 0

    def fits(self, old: Sequence[Part], new: Part) -> list[Break]:
        """Return where a part of the new schema refuses what the old parts, together, take."""
        key = (tuple(each.pointer for each in old), new.pointer)
        if key in self._known:
            return self._known[key]
        self._steps += 1
        if self._steps > _MOST_STEPS:
            raise TooMuch
        before = len(self._known)
        self._known[key] = []  # one that comes back to itself holds if the rest does
        cases = list(alternatives(old))
        found = [each for part in flat((new,)) for case in cases for each in self._case(case, part)]
        if found:  # what was found meanwhile may rest on what has just turned out wrong
            for later in list(self._known)[before:]:
                del self._known[later]
        self._known[key] = found
        return found

    def _case(self, old: Conjunction, new: Part) -> list[Break]:
        kinds = kinds_of(old)
        if not kinds:
            return []
        if new.node is False:
            return [Break(new.pointer, "nothing is allowed here any more")]
        if not isinstance(new.node, dict):
            return []
        finite = values_of(old)
        if finite is not None:
            validator = new.validator
            refused = [value for value in finite if not validator.accepts(value)]
            return [Break(new.pointer, f"{len(refused)} of the values that were listed are refused")] if refused else []
        return [
            *self._types(kinds, new),
            *range_breaks(old, kinds, new),
            *self._choices(old, new),
            *self._opaque(old, kinds, new),
            *(objects.array_breaks(self, old, new) if "array" in kinds else ()),
            *(objects.object_breaks(self, old, new) if "object" in kinds else ()),
        ]

    def _types(self, kinds: frozenset[str], new: Part) -> Iterator[Break]:
        lost = kinds - kinds_of((new,))
        if "type" in new.node and lost:
            names = sorted({"number" if each == "fraction" else each for each in lost})
            yield Break((*new.pointer, "type"), f"the type no longer allows {', '.join(names)}")
        for word in ("enum", "const"):
            if word in new.node:
                yield Break((*new.pointer, word), "only listed values are allowed now")

    def _choices(self, old: Conjunction, new: Part) -> Iterator[Break]:
        for word in ("anyOf", "oneOf"):
            if word not in new.node or stands_in(old, new, (word,)):
                continue
            branches = [new.below(word, number) for number in range(len(new.node[word]))]
            for case in by_kind(old):
                fitting = [each for each in branches if not self.fits(case, each)]
                if not fitting:
                    yield Break((*new.pointer, word), "no branch takes all that was allowed")
                    break
                others = [each for each in branches if each is not fitting[0]]
                if word == "oneOf" and not all(apart(case, each) for each in others):
                    yield Break((*new.pointer, word), "more than one branch may take what was allowed")
                    break

    def _opaque(self, old: Conjunction, kinds: frozenset[str], new: Part) -> Iterator[Break]:
        for word in _OPAQUE:
            if new.node.get(word, True) in (True, {}) or _ABOUT.get(word) not in (None, *kinds):
                continue
            whole = word.startswith("unevaluated")
            if not (_stands_whole(old, new) if whole else stands_in(old, new, _WITH.get(word, (word,)))):
                yield Break((*new.pointer, word), f"`{word}` was added or changed")


def flat(parts: Sequence[Part], depth: int = 0) -> Conjunction:
    """Return the parts with references followed and `allOf` taken apart; a reference that is not followed stays, as `$dynamicRef`."""
    if depth > _MOST_BRANCHES:
        raise TooMuch
    found: list[Part] = []
    for part in parts:
        if not isinstance(part.node, dict):
            found.append(part)
            continue
        inner = [part.below("allOf", number) for number in range(len(part.node.get("allOf", ())))]
        rest = {key: value for key, value in part.node.items() if key not in _NOTES and key not in ("allOf", "$ref")}
        if "$ref" in part.node:
            target = resolved(part.document, part.node["$ref"])
            if target is None:
                rest["$dynamicRef"] = part.node["$ref"]
            else:
                inner.append(target)
        if rest or not inner:
            found.append(Part(part.document, part.pointer, rest))
        found += flat(inner, depth + 1)
    return tuple(found)


def resolved(document: Any, reference: str) -> Part | None:
    """Return the part that a reference inside the document means; None for one by an anchor."""
    if not (reference == "#" or reference.startswith("#/")):
        return None
    part = Part(document, (), document)
    for step in reference[1:].split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(part.node, list) and name.isdigit() and int(name) < len(part.node):
            part = part.below(int(name))
        elif isinstance(part.node, dict) and name in part.node:
            part = part.below(name)
        else:
            return None
    return part


def alternatives(old: Sequence[Part]) -> Iterator[Conjunction]:
    """Yield the cases of the old schema: one for each way through its `anyOf` and `oneOf`, while they are few."""
    waiting = [flat(old)]
    made = 1
    while waiting:
        case = waiting.pop()
        split = next(
            ((part, word) for part in case for word in ("anyOf", "oneOf") if word in objects.mapping(part)), None
        )
        branches = 0 if split is None else len(split[0].node[split[1]])
        if split is None:
            yield case
            continue
        part, word = split
        made += branches
        if made > _MOST_BRANCHES:
            raise TooMuch
        rest = Part(part.document, part.pointer, {key: value for key, value in part.node.items() if key != word})
        others = tuple(rest if each is part else each for each in case)
        waiting += [(*others, *flat((part.below(word, number),))) for number in range(branches)]


def kinds_of(parts: Sequence[Part]) -> frozenset[str]:
    """Return the kinds of value that all the parts take, as far as `type` and listed values say."""
    kinds = frozenset(KINDS)
    for part in parts:
        if part.node is False:
            return frozenset()
        types = objects.mapping(part).get("type")
        names = [types] if isinstance(types, str) else types
        if names is not None:
            kinds &= frozenset().union(*(_OF_TYPE[name] for name in names))
    return kinds


def by_kind(case: Conjunction) -> Iterator[Conjunction]:
    """Yield a case once for each kind of value."""
    for kind in sorted(kinds_of(case)):
        type_ = "number" if kind == "fraction" else kind
        yield (*case, Part(None, ("type", type_), {"type": type_}))


def values_of(case: Conjunction) -> list[Any] | None:
    """Return the values that a case takes, when it lists them."""
    listed = next((values for part in case if (values := _listed(part)) is not None), None)
    if listed is None:
        return None
    validators = [part.validator for part in case if part.document is not None]
    return [value for value in listed if all(each.accepts(value) for each in validators)]


def _listed(part: Part) -> list[Any] | None:
    node = objects.mapping(part)
    values: list[Any] | None = [node["const"]] if "const" in node else node.get("enum")
    return values


def apart(case: Conjunction, branch: Part) -> bool:
    """Tell whether nothing that the case takes can fit a branch: by kinds, or by the listed values of a property that both need."""
    other = flat((branch,))
    if not kinds_of(case) & kinds_of(other):
        return True
    if kinds_of(case) & kinds_of(other) != {"object"}:
        return False
    for name in objects.required(case) & objects.required(other):
        one, two = (_all_listed(objects.named(parts, name)) for parts in (case, other))
        if one is not None and two is not None and not one & two:
            return True
    return False


def _all_listed(parts: Sequence[Part]) -> set[bytes] | None:
    values = next((values for part in flat(parts) if (values := _listed(part)) is not None), None)
    if values is None or any(isinstance(value, (list, dict)) for value in values):
        return None
    return {canonical(_number(value)) for value in values}


def _number(value: Any) -> Any:
    """Write equal numbers alike: 1 and 1.0 are one to a schema."""
    return float(value) if isinstance(value, (int, float, Decimal)) and not isinstance(value, bool) else value


def stands_in(old: Conjunction, new: Part, words: Sequence[str]) -> bool:
    """Tell whether a rule of the new part stands in an old one word for word, and refers to nothing that may have changed."""
    text = _words(new.node, words)
    return any(_words(part.node, words) == text and _same_references(text, part, new)
               for part in old if isinstance(part.node, dict))  # fmt: skip


def _stands_whole(old: Conjunction, new: Part) -> bool:
    """Tell whether all that an `unevaluated…` depends on is as it was; properties may have come to it."""
    wanted = _but_properties(new)
    return any(_but_properties(part) == wanted and _same_references(wanted, part, new)
               for part in old if isinstance(part.node, dict) and part.document is not None)  # fmt: skip


def _but_properties(part: Part) -> bytes:
    node = resolved(part.document, f"#{pointer_to(list(part.pointer))}")
    whole = node.node if node is not None else part.node
    return canonical({key: value for key, value in whole.items() if key != "properties" and key not in _NOTES})


def _words(node: dict[str, Any], words: Sequence[str]) -> bytes:
    return canonical({word: node[word] for word in words if word in node})


def _same_references(text: bytes, old: Part, new: Part) -> bool:
    if b'ef":' not in text:
        return True
    one, two = (_definitions(part.document) for part in (old, new))
    return one == two and all(
        each.startswith((b"#/$defs/", b"#/definitions/")) for each in _REFERENCE.findall(text + one)
    )


def _definitions(document: Any) -> bytes:
    if not isinstance(document, dict):
        return b""
    return canonical({key: document[key] for key in ("$defs", "definitions") if key in document})
