"""The tree of a document: every node knows its line and column, so that every finding can name its place."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Style = Literal["plain", "single", "double", "literal", "folded"]
Plain = None | bool | int | Decimal | str
_BREAK = re.compile(r"\r\n|\r|\n")
_ESCAPE = re.compile(r"\\(?:x..|u[dD][89abAB]..\\u[dD][c-fC-F]..|u....|U........|.)", re.DOTALL)


@dataclass
class Source:
    """One file as it was read: its name as findings show it, and its text."""

    file: str
    text: str

    @cached_property
    def lines(self) -> list[str]:
        """The lines without their breaks."""
        return _BREAK.split(self.text)

    def line(self, number: int) -> str:
        """Return line `number`, counted from 1; empty past the end."""
        return self.lines[number - 1] if 0 < number <= len(self.lines) else ""


@dataclass(slots=True)
class Node:
    """A place in a document. `broken` says that a finding already tells why its value cannot be used."""

    source: Source
    line: int
    col: int
    broken: bool = field(default=False, kw_only=True)


@dataclass(slots=True)
class ScalarNode(Node):
    """A single value; a number with a fraction or exponent is a Decimal. The end is where the next character stands."""

    value: Plain
    style: Style
    end_line: int
    end_col: int

    def place(self, index: int) -> tuple[int, int]:
        """Return the line and column of character `index` of the text, as exactly as its style allows."""
        if self.style == "literal":
            return self._literal_place(index)
        if self.style == "folded" or self.line != self.end_line:
            return self.line, self.col
        raw = self.source.line(self.line)
        at = self.col - 1
        if self.style == "plain":
            return self.line, at + index + 1
        at += 1
        for _ in range(index):
            at += self._width(raw, at)
        return self.line, at + 1

    def _width(self, raw: str, at: int) -> int:
        if self.style == "single":
            return 2 if raw[at : at + 2] == "''" else 1
        match = _ESCAPE.match(raw, at)
        return len(match[0]) if match else 1

    def _literal_place(self, index: int) -> tuple[int, int]:
        before = str(self.value)[:index]
        number = self.line + 1 + before.count("\n")
        written = str(self.value).split("\n")[before.count("\n")]
        start = self.source.line(number).find(written) if written else 0
        return number, max(start, 0) + index - (before.rfind("\n") + 1) + 1

    @property
    def comment(self) -> str | None:
        """The comment after this value on its line, from its `#` on, when the value is plain."""
        if self.style != "plain":
            return None
        rest = self.source.line(self.end_line)[self.end_col - 1 :]
        bare = rest.lstrip(" \t")
        return bare if bare.startswith("#") and bare != rest else None


@dataclass(slots=True)
class ListNode(Node):
    """A list."""

    items: list[Node]


@dataclass(slots=True)
class MappingNode(Node):
    """A mapping; keys are texts as written, each once."""

    entries: list[tuple[ScalarNode, Node]]

    def get(self, key: str) -> Node | None:
        """Return the value under `key`, or None."""
        return next((value for name, value in self.entries if name.value == key), None)

    def key(self, key: str) -> ScalarNode | None:
        """Return the node of `key` itself, or None."""
        return next((name for name, _ in self.entries if name.value == key), None)

    def keys(self) -> Iterator[str]:
        """Yield the keys in the order of the file."""
        return (str(name.value) for name, _ in self.entries)

    def text(self, key: str) -> str | None:
        """Return the value under `key` when it is a text, else None."""
        value = self.get(key)
        return value.value if isinstance(value, ScalarNode) and isinstance(value.value, str) else None


def plain(node: Node) -> Any:
    """Return the node as plain JSON values (dict, list, str, int, Decimal, bool, None)."""
    if isinstance(node, ScalarNode):
        return node.value
    if isinstance(node, ListNode):
        return [plain(each) for each in node.items]
    if isinstance(node, MappingNode):
        return {str(key.value): plain(value) for key, value in node.entries}
    return None


def whole(node: Node) -> bool:
    """Say whether no part of the node is broken."""
    if node.broken:
        return False
    if isinstance(node, ListNode):
        return all(whole(each) for each in node.items)
    if isinstance(node, MappingNode):
        return all(whole(value) for _, value in node.entries)
    return True


def at(node: Node, pointer: Sequence[str | int]) -> Node:
    """Return the deepest node on the way to `pointer`, so that a finding lands as near as it can."""
    for step in pointer:
        below: Node | None = None
        if isinstance(node, MappingNode):
            below = node.get(str(step))
        elif isinstance(node, ListNode) and str(step).isdecimal() and int(step) < len(node.items):
            below = node.items[int(step)]
        if below is None:
            break
        node = below
    return node
