"""Texts that YAML splits at a comma, and syntax errors of expressions without quotes: say what was meant."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING

from server.documents.nodes import Node, ScalarNode
from server.kernel.errors import code

if TYPE_CHECKING:
    from collections.abc import Sequence

    from server.documents.limits import Report

SPLIT = code("SPLIT", "YAML split a text at its comma inside { } or [ ]; the whole text needs quotes.")
_QUOTED = re.compile(r"(?<!\w)'[^']*'|`[^`]*`|\"[^\"]*\"")
_OPEN_QUOTE = re.compile(r"(?<!\w)'|`")  # not the apostrophe of a word
_CALL = re.compile(r"[A-Za-z_]\w*\((?:[^()]|\([^()]*\))*\)")
SPLITS = "YAML splits this text at the comma; write it in quotes"
_MOST_PARTS = 16
_LONGEST = 400
_OPEN = "([{"
_CLOSE = ")]}"
_HINTS = (
    (re.compile(r"found character '[@`]'"), "an expression that begins with @ or ` needs quotes"),
    (re.compile(r"found character '\\t'"), "indent with spaces"),
    (re.compile(r"found character '%'"), "a text that begins with % needs quotes"),
    (re.compile(r"mapping values are not allowed here"), 'a text with ": " inside needs quotes'),
    (re.compile(r"expected ',' or '[]}]', but got"), "inside { } and [ ] an expression needs quotes"),
    (re.compile(r"expected the node content, but found"), "a text that begins with a sign of YAML needs quotes"),
)
_QUOTED_START = re.compile(r"""[:\-?]\s+(['"]).*\1\s*[=!<>&|.\[+*/-]""")


def hint_for(problem: str, line: str, col: int) -> str | None:
    """Return what probably mends a syntax error of PyYAML at column `col` of `line`, or None."""
    if _QUOTED_START.search(line[:4000]) and "expected <block end>" in problem:
        return "an expression that begins with a quoted text needs quotes round the whole: \"'a' == data.b\""
    if "expected <block end>" in problem and line[: col - 1].strip() == "":
        return "the indentation does not match the lines above"
    return next((hint for pattern, hint in _HINTS if pattern.search(problem)), None)


def split_call(problem: str, line: str, col: int) -> tuple[int, str] | None:
    """Return the column and the quoted text of a call with quoted arguments that a flow mapping or list has split."""
    if "expected ',' or" not in problem or len(line) > _LONGEST * 10:
        return None
    found = next((match for match in _CALL.finditer(line) if match.start() < col <= match.end()), None)
    if found is None:
        return None
    quote = "'" if '"' in found[0] else '"'
    return found.start() + 1, f"{quote}{found[0]}{quote}"


def balance(text: str) -> int:
    """Return how many brackets and quotes stay open; an apostrophe inside a word is no quote."""
    bare = _QUOTED.sub("", text)
    opened = sum(bare.count(each) for each in _OPEN) - sum(bare.count(each) for each in _CLOSE)
    return opened + bool(_OPEN_QUOTE.search(bare))


def join_split_items(report: Report, items: list[Node]) -> list[Node]:
    """Join the items of a flow list that one text was split into: `[mul(q, p)]`."""
    joined: list[Node] = []
    at = 0
    while at < len(items):
        count = _parts(items[at : at + _MOST_PARTS])
        joined.append(_joined(report, items[at], items[at + count - 1]) if count > 1 else items[at])
        at += count
    return joined


def join_split_values(report: Report, entries: list[tuple[ScalarNode, Node]]) -> list[tuple[ScalarNode, Node]]:
    """Join the value of a flow mapping with the valueless keys that follow it: `{a: mul(q, p)}`."""
    joined: list[tuple[ScalarNode, Node]] = []
    at = 0
    while at < len(entries):
        key, value = entries[at]
        following = itertools.takewhile(_valueless, entries[at + 1 : at + _MOST_PARTS])
        parts = [value, *(name for name, _ in following)]
        count = _parts(parts)
        joined.append((key, _joined(report, value, parts[count - 1]) if count > 1 else value))
        at += count
    return joined


def _parts(nodes: Sequence[Node]) -> int:
    """Return how many of the nodes, from the first on, one text was split into; 1 when the first is whole."""
    first = nodes[0]
    if not _is_plain_text(first) or balance(_between(first, first)) <= 0:
        return 1
    for count in range(2, len(nodes) + 1):
        if not isinstance(nodes[count - 1], ScalarNode):
            break
        if balance(_between(first, nodes[count - 1])) == 0:
            return count
    return 1


def _is_plain_text(node: Node) -> bool:
    return isinstance(node, ScalarNode) and node.style == "plain" and isinstance(node.value, str)


def _valueless(entry: tuple[ScalarNode, Node]) -> bool:
    """Say whether YAML made up the null of this entry: nothing was written for it."""
    _, value = entry
    written = isinstance(value, ScalarNode) and (value.line, value.col) != (value.end_line, value.end_col)
    return isinstance(value, ScalarNode) and value.value is None and not written


def _between(first: Node, last: Node) -> str:
    """Return what is written from the first node to the end of the last, when that is one short piece of a line."""
    if not isinstance(last, ScalarNode) or first.line != last.end_line or last.end_col - first.col > _LONGEST:
        return ""
    return first.source.line(first.line)[first.col - 1 : last.end_col - 1]


def _joined(report: Report, first: Node, last: Node) -> Node:
    text = _between(first, last)
    quote = "'" if '"' in text else '"'
    report.add(SPLIT, SPLITS, first.line, first.col, f"{quote}{text}{quote}")
    end = (last.end_line, last.end_col) if isinstance(last, ScalarNode) else (last.line, last.col)
    return ScalarNode(first.source, first.line, first.col, text, "plain", *end, broken=True)
