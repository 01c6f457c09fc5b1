"""A kind of definition: its fields, its rules, how its tests run. And what a checked document becomes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import orjson

from server.documents.fields import Field, ListOf, MappingOf, Object
from server.documents.scalars import Boolean, Const, Fact, Text, name_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from server.documents.catalog import Catalog
    from server.documents.checking import Checker
    from server.documents.nodes import MappingNode


@dataclass(frozen=True)
class Definition:
    """One checked document. `body` is plain JSON as written (no defaults filled in), with `kind` and `name`."""

    kind: str
    name: str
    version: int | None
    body: Mapping[str, Any]
    file: str
    line: int
    col: int
    hash: str
    node: MappingNode = field(compare=False, repr=False)

    @property
    def label(self) -> str:
        """Return `webhook/orders-to-warehouse`; of an EventType with its version, `event-type/order.created@1`."""
        word = "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in self.kind).lstrip("-")
        return f"{word}/{self.name}" + ("" if self.version is None else f"@{self.version}")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one of a definition's own tests ended. `differences` are sentences with expected and actual values."""

    definition: str
    test: str
    file: str
    line: int
    col: int
    differences: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether all was as expected."""
        return not self.differences


def _no_rules(_root: MappingNode, _checker: Checker) -> None:
    """Rules of a kind that has none."""


def _no_tests(_definition: Definition, _catalog: Catalog) -> list[Outcome]:
    return []


@dataclass(frozen=True)
class Kind:
    """One kind of definition, or one variant of it (`Webhook` with `direction: outbound`).

    `check(root, checker)` holds the rules between fields and with the catalog; it is called after the fields were
    checked and must bear what they found wrong. `test(definition, catalog)` runs the `tests:` of a checked one.
    """

    name: str
    about: str
    object: Object
    variant: tuple[str, str] | None = None
    check: Callable[[MappingNode, Checker], None] = _no_rules
    test: Callable[[Definition, Catalog], list[Outcome]] = _no_tests
    versioned: bool = False

    @property
    def title(self) -> str:
        """Return the name as the reference page shows it."""
        return f"{self.name} ({self.variant[0]}: {self.variant[1]})" if self.variant else self.name


_NAME = Field("name", name_text(), "Unique per kind: small letters, digits, hyphens.", required=True)


def head_fields(kind: str, name: Field = _NAME) -> tuple[Field, ...]:
    """Return the fields that every definition begins with."""
    return (
        Field("kind", Const(kind), f"`{kind}`.", required=True),
        name,
        Field("description", Text(2000), "What it is for, in a sentence."),
        Field("tags", ListOf(Text(50), most=50), "Words to find it by."),
        Field(
            "metadata",
            MappingOf(Fact(), Text(100)),
            "Facts of your own that lists can filter by.",
        ),
    )


ACTIVE = Field("active", Boolean(), "`false` keeps it from working; what a person paused stays paused.", default=True)


def canonical(body: Any) -> bytes:
    """Write plain JSON in one way only: keys sorted, no spaces, numbers with the digits that were written."""
    return orjson.dumps(body, default=json_default, option=orjson.OPT_SORT_KEYS)


def json_default(value: Any) -> Any:
    """Write a Decimal as the number that it is; for `orjson.dumps(default=…)`."""
    if isinstance(value, Decimal):
        return orjson.Fragment(str(value).encode())
    raise TypeError(f"not JSON: {type(value).__name__}")


def hash_of(body: Any) -> str:
    """Return the SHA-256 of the canonical form: equal exactly when nothing was changed."""
    return hashlib.sha256(canonical(body)).hexdigest()
