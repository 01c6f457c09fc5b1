"""The shape of a source's rows: which fields they have, of which JSON types, and which of them every row has. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from server.sdk.sources import Row

_TYPES: dict[type, str] = {
    bool: "boolean",
    int: "number",
    float: "number",
    Decimal: "number",
    dict: "object",
    list: "array",
    tuple: "array",
    type(None): "null",
}
MOST_FIELDS = 2_000
"""More are not remembered: rows whose fields are data are no table."""


@dataclass(slots=True)
class Known:
    """What is known of a field: its types but for null (none: it was always null), and whether every row had it."""

    types: set[str] = field(default_factory=set)
    always: bool = False


@dataclass(slots=True)
class Change:
    """How rows differ from what is known: fields with their type, those that are missing, those of another type."""

    added: dict[str, str] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    changed: dict[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.added or self.lost or self.changed)

    def take(self, other: Change) -> None:
        """Add what another row shows."""
        self.added.update({name: kind for name, kind in other.added.items() if self.added.get(name) in (None, "null")})
        self.lost += [name for name in other.lost if name not in self.lost]
        self.changed.update(other.changed)

    def described(self) -> str:
        """Return a sentence's part that names the fields, the first of each kind."""
        parts = [
            ("new: ", self.added.items()),
            ("missing: ", [(name, "") for name in self.lost]),
            ("of another type: ", self.changed.items()),
        ]
        return "; ".join(
            head + ", ".join(f"{name} ({kind})" if kind else name for name, kind in list(found)[:10])
            for head, found in parts
            if found
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the change as events and failures show it."""
        return {"added": self.added, "lost": self.lost, "changed": self.changed}


class Shape:
    """The fields of a job's rows."""

    def __init__(self, fields: Mapping[str, Known] | None = None) -> None:
        self.fields = dict(fields or {})
        self._always = frozenset(name for name, known in self.fields.items() if known.always)

    @classmethod
    def of_json(cls, stored: Mapping[str, Any]) -> Shape:
        """Return what `as_json` wrote."""
        return cls({name: Known(set(each["types"]), each["always"]) for name, each in stored.items()})

    def as_json(self) -> dict[str, Any]:
        """Return the shape to be stored."""
        return {
            name: {"types": sorted(known.types), "always": known.always} for name, known in sorted(self.fields.items())
        }

    def change_of(self, row: Row) -> Change:
        """Return how a row differs. A field that was always null may become anything; null is of every type."""
        found = Change()
        for name, value in row.items():
            kind, known = type_of(value), self.fields.get(name)
            if known is None:
                found.added[name] = kind
            elif kind != "null" and known.types and kind not in known.types:
                found.changed[name] = kind
        found.lost = [name for name in self._always if name not in row]
        return found

    def learn(self, row: Row, *, first: bool = False) -> bool:
        """Take a row as one of those that are to be expected; say whether that was news. `first`: it is the very first."""
        news = False
        for name, value in row.items():
            kind, known = type_of(value), self.fields.get(name)
            if known is None:
                if len(self.fields) >= MOST_FIELDS:
                    continue
                known = self.fields[name] = Known(always=first)
                news = True
            if kind != "null" and kind not in known.types:
                known.types.add(kind)
                news = True
        for name in [each for each, known in self.fields.items() if known.always and each not in row]:
            self.fields[name].always = False
            news = True
        if news:
            self._always = frozenset(name for name, known in self.fields.items() if known.always)
        return news


def type_of(value: Any) -> str:
    """Return the JSON type of a value; what JSON has no form for is a text there."""
    return _TYPES.get(type(value), "string")
