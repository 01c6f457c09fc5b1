"""Field declarations: each option is declared once, and the check, the JSON Schema and the reference come from that.

A kind declares `Field`s with types; a type says what it takes (`check`), how an editor sees it (`schema`) and what the
reference page calls it (`label`). Types of single values are in `scalars.py`, those with expressions in
`expressions.py`, those about secrets, references and schemas in `values.py`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from server.documents.checking import describe
from server.documents.findings import nearest, shown
from server.documents.nodes import ListNode, MappingNode, Node, ScalarNode
from server.kernel.errors import code

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from server.documents.checking import Checker

UNKNOWN_KEY = code("UNKNOWN_KEY", "No field of that name exists here; nothing is ever silently ignored.")
MISSING_KEY = code("MISSING_KEY", "A field that is needed does not stand here.")
WRONG_TYPE = code("WRONG_TYPE", "The value is of another type than the field takes.")
WRONG_VALUE = code("WRONG_VALUE", "The value is of the right type but not one that the field takes.")
NOT_YET = code("NOT_YET", "Known and planned, but the engine for it does not exist yet; so it is refused, not ignored.")
CONTRADICTION = code(
    "CONTRADICTION", "Fields that exclude each other stand together, or none of those of which one is needed."
)
_NO_DEFAULT: Any = object()


class FieldType(ABC):
    """What a field takes."""

    @abstractmethod
    def check(self, node: Node, checker: Checker) -> None:
        """Note what is wrong with the value."""

    @abstractmethod
    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema (draft 2020-12) of the value; never stricter than `check`."""

    @abstractmethod
    def label(self) -> str:
        """Return the name of the type for the reference page."""

    def accepts(self, node: Node) -> bool:
        """Say whether the value has the shape of this type: how `OneOf` chooses. A single value by default."""
        return isinstance(node, ScalarNode)

    def below(self) -> Iterator[tuple[str, Field]]:
        """Yield the fields inside the value with their path suffix (`.name`, `[].name`), for the reference page."""
        return iter(())


@dataclass(frozen=True, slots=True)
class Field:
    """One option. `coming` says that it is known but not built yet; `default` is what its absence means."""

    name: str
    type: FieldType
    about: str
    required: bool = False
    default: Any = _NO_DEFAULT
    coming: bool = False
    example: Any = None

    @property
    def has_default(self) -> bool:
        """Whether a default was declared."""
        return self.default is not _NO_DEFAULT

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema of the value with what an editor shows."""
        schema = {**self.type.schema(), "description": self.about}
        if self.has_default:
            schema["default"] = self.default
        return schema


def check_value(type_: FieldType, node: Node, checker: Checker) -> None:
    """Check a value unless a finding already says why it cannot be used."""
    if not (node.broken and isinstance(node, ScalarNode)):
        type_.check(node, checker)


def wrong_type(node: Node, wanted: str, checker: Checker) -> None:
    """Note that a value is of another type."""
    checker.error(WRONG_TYPE, node, f"{wanted} is needed here, found {describe(node)}")


@dataclass(frozen=True)
class Object(FieldType):
    """A mapping with declared fields. `one_of`: exactly one of each group; `rules` see the whole mapping afterwards."""

    fields: tuple[Field, ...]
    one_of: tuple[tuple[str, ...], ...] = ()
    rules: tuple[Callable[[MappingNode, Checker], None], ...] = ()
    name: str = "object"

    def check(self, node: Node, checker: Checker) -> None:
        """Check every key and every field; unknown keys are errors."""
        if not isinstance(node, MappingNode):
            wrong_type(node, f"a mapping with {self._names()}", checker)
            return
        declared = {each.name: each for each in self.fields}
        meant = set()
        for key, value in node.entries:
            declaration = declared.get(str(key.value))
            if declaration is None:
                meant.add(self._unknown(key, node, checker))
            elif declaration.coming:
                checker.error(NOT_YET, key, f'"{declaration.name}" is planned but not built yet')
            else:
                check_value(declaration.type, value, checker)
        if not node.broken:
            self._missing(node, meant, checker)
        for rule in self.rules:
            rule(node, checker)

    def _unknown(self, key: ScalarNode, node: MappingNode, checker: Checker) -> str | None:
        present = set(node.keys())
        suggestion = nearest(str(key.value), [each.name for each in self.fields if each.name not in present])
        checker.error(UNKNOWN_KEY, key, f"{shown(key.value)} is no field of {self.name}", suggestion)
        return suggestion

    def _missing(self, node: MappingNode, meant: set[str | None], checker: Checker) -> None:
        for each in self.fields:
            if each.required and node.get(each.name) is None and each.name not in meant:
                checker.error(MISSING_KEY, node, f'"{each.name}" is missing in {self.name}')
        for group in self.one_of:
            found = [name for name in group if node.get(name) is not None]
            if not found and not meant & set(group):
                checker.error(MISSING_KEY, node, f"one of {_either(group)} is missing in {self.name}")
            for extra in found[1:]:
                key = node.key(extra)
                checker.error(CONTRADICTION, key or node, f'"{extra}" cannot stand beside "{found[0]}"')

    def _names(self) -> str:
        return ", ".join(each.name for each in self.fields if not each.coming)

    def schema(self) -> dict[str, Any]:
        """Return the schema of the object; a coming field is not part of it."""
        schema: dict[str, Any] = {
            "type": "object",
            "properties": {each.name: each.schema() for each in self.fields if not each.coming},
            "additionalProperties": False,
        }
        required = [each.name for each in self.fields if each.required]
        if required:
            schema["required"] = required
        if self.one_of:
            schema["allOf"] = [{"oneOf": [{"required": [name]} for name in group]} for group in self.one_of]
        return schema

    def label(self) -> str:
        """Return `object`."""
        return "object"

    def accepts(self, node: Node) -> bool:
        """Say whether it is a mapping."""
        return isinstance(node, MappingNode)

    def below(self) -> Iterator[tuple[str, Field]]:
        """Yield the fields and what is in them."""
        for each in self.fields:
            yield f".{each.name}", each
            if not each.coming:
                yield from ((f".{each.name}{path}", inner) for path, inner in each.type.below())


def _either(names: tuple[str, ...]) -> str:
    return " or ".join(f'"{name}"' for name in names)


@dataclass(frozen=True)
class ListOf(FieldType):
    """A list of values of one type."""

    item: FieldType
    least: int = 0
    most: int = 1000

    def check(self, node: Node, checker: Checker) -> None:
        """Check every item."""
        if not isinstance(node, ListNode):
            wrong_type(node, f"a {self.label()}", checker)
            return
        if not self.least <= len(node.items) <= self.most:
            checker.error(WRONG_VALUE, node, f"{self.least} to {self.most} items are taken, found {len(node.items)}")
        for each in node.items:
            check_value(self.item, each, checker)

    def schema(self) -> dict[str, Any]:
        """Return the schema of the list."""
        return {"type": "array", "items": self.item.schema(), "minItems": self.least, "maxItems": self.most}

    def label(self) -> str:
        """Return `list of …`."""
        return f"list of {self.item.label()}"

    def accepts(self, node: Node) -> bool:
        """Say whether it is a list."""
        return isinstance(node, ListNode)

    def below(self) -> Iterator[tuple[str, Field]]:
        """Yield the fields of an item."""
        return ((f"[]{path}", inner) for path, inner in self.item.below())


@dataclass(frozen=True)
class MappingOf(FieldType):
    """A mapping with keys of the user's own; `key` checks each key as a text."""

    value: FieldType
    key: FieldType | None = None
    most: int = 100
    rule: Callable[[ScalarNode, Node, Checker], None] | None = None

    def check(self, node: Node, checker: Checker) -> None:
        """Check every key and value."""
        if not isinstance(node, MappingNode):
            wrong_type(node, f"a {self.label()}", checker)
            return
        if len(node.entries) > self.most:
            checker.error(WRONG_VALUE, node, f"{self.most} keys are taken at most, found {len(node.entries)}")
        for key, value in node.entries:
            if self.key is not None:
                check_value(self.key, key, checker)
            check_value(self.value, value, checker)
            if self.rule is not None:
                self.rule(key, value, checker)

    def schema(self) -> dict[str, Any]:
        """Return the schema of the mapping."""
        schema = {"type": "object", "additionalProperties": self.value.schema(), "maxProperties": self.most}
        if self.key is not None:
            schema["propertyNames"] = self.key.schema()
        return schema

    def label(self) -> str:
        """Return `mapping to …`."""
        return f"mapping to {self.value.label()}"

    def accepts(self, node: Node) -> bool:
        """Say whether it is a mapping."""
        return isinstance(node, MappingNode)


@dataclass(frozen=True)
class OneOf(FieldType):
    """One of several forms, told apart by shape: the first that accepts the value checks it."""

    forms: tuple[FieldType, ...]

    def check(self, node: Node, checker: Checker) -> None:
        """Check the value by the form that it has."""
        form = next((each for each in self.forms if each.accepts(node)), None)
        if form is None:
            wrong_type(node, self.label(), checker)
        else:
            form.check(node, checker)

    def schema(self) -> dict[str, Any]:
        """Return the schema: any of the forms."""
        return {"anyOf": [each.schema() for each in self.forms]}

    def label(self) -> str:
        """Return the forms' labels."""
        return " or ".join(dict.fromkeys(each.label() for each in self.forms))

    def accepts(self, node: Node) -> bool:
        """Say whether any form accepts it."""
        return any(each.accepts(node) for each in self.forms)

    def below(self) -> Iterator[tuple[str, Field]]:
        """Yield the fields of every form, each path once."""
        seen = set()
        for form in self.forms:
            for path, inner in form.below():
                if path not in seen:
                    seen.add(path)
                    yield path, inner


@dataclass(frozen=True)
class Keyed(FieldType):
    """A form of `OneOf` that a key announces: `{schedule: …}` beside `{attempts: …}`."""

    keys: tuple[str, ...]
    form: FieldType

    def check(self, node: Node, checker: Checker) -> None:
        """Check the value by the form."""
        self.form.check(node, checker)

    def schema(self) -> dict[str, Any]:
        """Return the form's schema."""
        return self.form.schema()

    def label(self) -> str:
        """Return the form's label."""
        return self.form.label()

    def accepts(self, node: Node) -> bool:
        """Say whether one of the keys stands in the mapping."""
        return isinstance(node, MappingNode) and any(node.key(key) is not None for key in self.keys)

    def below(self) -> Iterator[tuple[str, Field]]:
        """Yield the form's fields."""
        return self.form.below()
