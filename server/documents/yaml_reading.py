"""YAML 1.2 (core schema) on PyYAML's parser: our own composer, so that nothing is resolved that was not written.

No dates, no `1_000`, no `yes`/`on`, no merge keys; aliases, anchors and tags are findings; keys are texts as written.
PyYAML's parser yields events one by one, so depth and size are stopped before anything recurses.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml

from server.documents.limits import CUT, DUPLICATE_KEY, ENCODING, SYNTAX, Report, Stop
from server.documents.nodes import ListNode, MappingNode, Node, ScalarNode, Source
from server.documents.yaml_repair import SPLIT, SPLITS, hint_for, join_split_items, join_split_values, split_call
from server.kernel.errors import code

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server.documents.nodes import Plain, Style

ALIAS = code("ALIAS", "YAML aliases and anchors are not taken: a definition must read the same to everyone.")
TAG = code("TAG", "YAML tags are not taken; a value is what it looks like.")
KEY = code("KEY", "A key of a mapping must be a text.")
_STYLES: dict[str | None, Style] = {None: "plain", "'": "single", '"': "double", "|": "literal", ">": "folded"}
# YAML 1.2 took these three out of the line breaks; PyYAML still folds lines at them.
_OLD_BREAKS = re.compile("[\x85\u2028\u2029]")
# One space and a digit: `Order #5` is rarely meant as `Order` with the comment 5.
_CUT = re.compile(r" #\d")
_MOST_ERRORS = 20  # each begins a new pass over the rest of the file
_NEXT_DOCUMENT = re.compile(r"^---(?=\s|$)", re.MULTILINE)


def read_yaml(report: Report) -> list[Node]:
    """Return the documents of a file; what is wrong is in `report`. After a syntax error the next `---` is read."""
    source = report.source
    old = _OLD_BREAKS.search(source.text)
    if old:
        line, col = _position(source.text, old.start())
        report.add(ENCODING, f"write this character as \\u{ord(old[0]):04x} in double quotes", line, col)
        return []
    documents: list[Node] = []
    start = 0
    for _ in range(_MOST_ERRORS):
        composer = _Composer(report, start)
        try:
            documents.extend(composer.documents())
            break
        except Stop as stop:
            report.findings.append(stop.finding)
            break
        except yaml.MarkedYAMLError as error:
            index = composer.syntax_error(error)
        except yaml.reader.ReaderError as error:
            line, col = _position(source.text, start + error.position)
            report.add(ENCODING, f"the character U+{error.character:04X} is not allowed in YAML", line, col)
            break
        except (ValueError, OverflowError):  # `\U` with a number past Unicode, or a version with a thousand digits
            report.add(SYNTAX, "an escape or directive with an impossible number", *composer.position)
            break
        following = _NEXT_DOCUMENT.search(source.text, max(index, start + 1))
        if following is None:
            break
        start = following.start()
    return [each for each in documents if each.broken or not isinstance(each, ScalarNode) or each.value is not None]


def _position(text: str, index: int) -> tuple[int, int]:
    before = re.split(r"\r\n|\r|\n", text[:index])
    return len(before), len(before[-1]) + 1


class _Composer:
    """Builds nodes from the events of the text that begins at `start`."""

    def __init__(self, report: Report, start: int) -> None:
        self.report = report
        self.source: Source = report.source
        self.start = start
        self.first_line = _position(self.source.text, start)[0]
        self.position = (self.first_line, 1)
        self.depth = 0
        self.flow = 0

    def documents(self) -> Iterator[Node]:
        """Yield the root of each document.

        Raises:
            Stop: a limit was reached.
            yaml.YAMLError: not YAML.

        """
        events = yaml.parse(self.source.text[self.start :], Loader=yaml.SafeLoader)
        for event in events:
            if isinstance(event, yaml.NodeEvent):
                yield self._node(event, events)

    def syntax_error(self, error: yaml.MarkedYAMLError) -> int:
        """Note a syntax error with a hint where one is known; return its index in the text."""
        mark = error.problem_mark or error.context_mark
        line, col = self._at(mark) if mark else self.position
        problem = " ".join(str(part) for part in (error.problem, error.context) if part)
        hint = hint_for(problem, self.source.line(line), col)
        call = split_call(problem, self.source.line(line), col)
        if call:
            self.report.add(SPLIT, SPLITS, line, *call)
        else:
            self.report.add(SYNTAX, f"{problem}{f'; {hint}' if hint else ''}", line, col)
        return self.start + (mark.index if mark else 0)

    def _at(self, mark: Any) -> tuple[int, int]:
        return self.first_line + mark.line, mark.column + 1

    def _node(self, event: yaml.NodeEvent, events: Iterator[yaml.Event]) -> Node:
        line, col = self.position = self._at(event.start_mark)
        self.report.count(self.depth, line, col)
        if isinstance(event, yaml.AliasEvent):
            hint = "an expression that begins with * needs quotes" if event.anchor else ""
            self.report.add(ALIAS, f"the alias *{event.anchor} is not taken; {hint}", line, col)
            return ScalarNode(self.source, line, col, None, "plain", *self._at(event.end_mark), broken=True)
        if event.anchor:
            self.report.add(ALIAS, f"the anchor &{event.anchor} is not taken", line, col)
        tag = getattr(event, "tag", None)
        if tag is not None:
            self.report.add(
                TAG, f"the tag {tag} is not taken; an expression that begins with ! needs quotes", line, col
            )
        node = self._content(event, events, line, col)
        node.broken = node.broken or tag is not None
        return node

    def _content(self, event: yaml.NodeEvent, events: Iterator[yaml.Event], line: int, col: int) -> Node:
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, line, col)
        self.depth += 1
        flow = bool(getattr(event, "flow_style", False))
        node: Node = (
            self._list(events, line, col, flow=flow)
            if isinstance(event, yaml.SequenceStartEvent)
            else self._mapping(events, line, col, flow=flow)
        )
        self.depth -= 1
        return node

    def _scalar(self, event: yaml.ScalarEvent, line: int, col: int) -> ScalarNode:
        style = _STYLES.get(event.style, "plain")
        value: Plain = event.value
        usable = True
        if style == "plain" and event.tag is None:
            value, usable = self.report.scalar(event.value, line, col)
        if usable and isinstance(value, str):
            value = self.report.text(value, line, col)
            usable = value is not None
        node = ScalarNode(self.source, line, col, value, style, *self._at(event.end_mark), broken=not usable)
        if isinstance(value, str) and _CUT.match(self.source.line(node.end_line), node.end_col - 1):
            place = (node.end_line, node.end_col + 1)
            self.report.warn(
                CUT, "what follows # is a comment; write the whole text in quotes if it belongs to it", *place
            )
        return node

    def _list(self, events: Iterator[yaml.Event], line: int, col: int, *, flow: bool) -> ListNode:
        items: list[Node] = []
        for event in events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            items.append(self._node(event, events))  # type: ignore[arg-type]  # only node events stand in a sequence
        return ListNode(self.source, line, col, join_split_items(self.report, items) if flow else items)

    def _mapping(self, events: Iterator[yaml.Event], line: int, col: int, *, flow: bool) -> MappingNode:
        entries: list[tuple[ScalarNode, Node]] = []
        broken = False
        for event in events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            key = self._key(event, events)
            value = self._node(next(events), events)  # type: ignore[arg-type]  # a value follows every key
            if key is None or key.broken:
                broken = True
            else:
                entries.append((key, value))
        if flow:
            entries = join_split_values(self.report, entries)
        return MappingNode(self.source, line, col, self._unique(entries), broken=broken)

    def _key(self, event: yaml.Event, events: Iterator[yaml.Event]) -> ScalarNode | None:
        node = self._node(event, events)  # type: ignore[arg-type]  # only node events stand in a mapping
        if not isinstance(node, ScalarNode):
            template = isinstance(node, MappingNode)
            hint = "; a text with {{ … }} needs quotes" if template else ""
            self.report.add(
                KEY, f"a key must be a text, not a {'mapping' if template else 'list'}{hint}", node.line, node.col
            )
            return None
        if isinstance(event, yaml.ScalarEvent) and not isinstance(node.value, str) and not node.broken:
            node.value = event.value
        return node

    def _unique(self, entries: list[tuple[ScalarNode, Node]]) -> list[tuple[ScalarNode, Node]]:
        first: dict[str, tuple[ScalarNode, Node]] = {}
        for key, value in entries:
            name = str(key.value)
            if name in first:
                report_duplicate(self.report, key, first[name][0])
            else:
                first[name] = (key, value)
        return list(first.values())


def report_duplicate(report: Report, key: ScalarNode, first: ScalarNode) -> None:
    """Note that `key` stands a second time."""
    name = str(key.value)[:60]
    report.add(DUPLICATE_KEY, f'the key "{name}" stands already in line {first.line}', key.line, key.col)
