"""JSON with positions: RFC 8259 exactly, duplicate keys and NaN refused, depth and size bounded while reading."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from server.documents.limits import SYNTAX, Report, Stop
from server.documents.nodes import ListNode, MappingNode, Node, ScalarNode
from server.documents.yaml_reading import report_duplicate

if TYPE_CHECKING:
    from server.documents.nodes import Plain

_SPACE = re.compile(r"[ \t\r\n]*")
_TEXT = re.compile(r'"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+"', re.ASCII)
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?", re.ASCII)
_WORDS: dict[str, Plain] = {"true": True, "false": False, "null": None}


def read_json(report: Report) -> list[Node]:
    """Return the documents of a file: one object, or the items of one list. What is wrong is in `report`."""
    try:
        root = _Reader(report).whole()
    except Stop as stop:
        report.findings.append(stop.finding)
        return []
    return root.items if isinstance(root, ListNode) else [root]


class _Reader:
    """Reads one JSON text from left to right."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.source = report.source
        self.text = report.source.text
        self.at = 0
        self.breaks = [0, *(match.end() for match in re.finditer(r"\r\n|\r|\n", self.text))]
        self.line = 0

    def whole(self) -> Node:
        """Read the one value of the text.

        Raises:
            Stop: not JSON, or a limit was reached.

        """
        node = self._value(0)
        self._skip()
        if self.at < len(self.text):
            raise self._wrong("nothing may follow the value; for several documents use a list")
        return node

    def _skip(self) -> None:
        match = _SPACE.match(self.text, self.at)
        self.at = match.end() if match else self.at

    def _place(self) -> tuple[int, int]:
        while self.line + 1 < len(self.breaks) and self.breaks[self.line + 1] <= self.at:
            self.line += 1
        return self.line + 1, self.at - self.breaks[self.line] + 1

    def _wrong(self, message: str) -> Stop:
        return Stop(self.report.finding(SYNTAX, message, *self._place()))

    def _take(self, signs: str) -> str:
        self._skip()
        sign = self.text[self.at : self.at + 1]
        if not sign or sign not in signs:
            found = f"found {sign!r}" if sign else "the text ends"
            raise self._wrong(f"expected {' or '.join(signs)}, {found}")
        self.at += 1
        return sign

    def _value(self, depth: int) -> Node:
        self._skip()
        line, col = self._place()
        self.report.count(depth, line, col)
        sign = self.text[self.at : self.at + 1]
        if sign == "{":
            return MappingNode(self.source, line, col, self._entries(depth + 1))
        if sign == "[":
            return ListNode(self.source, line, col, self._items(depth + 1))
        if sign == '"':
            return self._text(line, col)
        return self._word(line, col)

    def _items(self, depth: int) -> list[Node]:
        items: list[Node] = []
        self._take("[")
        self._skip()
        if self.text[self.at : self.at + 1] == "]":
            self.at += 1
            return items
        while True:
            items.append(self._value(depth))
            if self._take(",]") == "]":
                return items

    def _entries(self, depth: int) -> list[tuple[ScalarNode, Node]]:
        entries: dict[str, tuple[ScalarNode, Node]] = {}
        self._take("{")
        self._skip()
        if self.text[self.at : self.at + 1] == "}":
            self.at += 1
            return []
        while True:
            self._skip()
            key = self._text(*self._place())
            self.report.count(depth, key.line, key.col)
            self._take(":")
            value = self._value(depth)
            name = str(key.value)
            if name in entries:
                report_duplicate(self.report, key, entries[name][0])
            elif not key.broken:
                entries[name] = (key, value)
            if self._take(",}") == "}":
                return list(entries.values())

    def _text(self, line: int, col: int) -> ScalarNode:
        match = _TEXT.match(self.text, self.at)
        if match is None:
            raise self._wrong("expected a text in double quotes, closed on its line, with the escapes of JSON")
        self.at = match.end()
        value = self.report.text(json.loads(match[0]), line, col)
        return ScalarNode(self.source, line, col, value, "double", *self._place(), broken=value is None)

    def _word(self, line: int, col: int) -> ScalarNode:
        for word, meaning in _WORDS.items():
            if self.text.startswith(word, self.at):
                self.at += len(word)
                return ScalarNode(self.source, line, col, meaning, "plain", *self._place())
        match = _NUMBER.match(self.text, self.at)
        if match is None:
            raise self._wrong("expected a value: an object, list, text in double quotes, number, true, false or null")
        self.at = match.end()
        value, usable = self.report.scalar(match[0], line, col)
        return ScalarNode(self.source, line, col, value, "plain", *self._place(), broken=not usable)
