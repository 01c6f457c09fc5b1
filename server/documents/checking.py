"""The hand that every check writes with: findings at nodes, and what the folder and the workspace know."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from server.documents.findings import Finding, Severity
from server.documents.nodes import ListNode, MappingNode, Node, ScalarNode

if TYPE_CHECKING:
    from server.documents.catalog import Catalog


@dataclass
class Checker:
    """Collects the findings of one document. A broken value gets no second finding."""

    catalog: Catalog
    findings: list[Finding] = field(default_factory=list)

    @property
    def errors(self) -> bool:
        """Whether an error was found so far."""
        return any(finding.severity == "error" for finding in self.findings)

    def error(
        self, code: str, node: Node, message: str, suggestion: str | None = None, *, index: int | None = None
    ) -> None:
        """Note an error at a node, or at character `index` of its text."""
        self._add("error", (code, message, suggestion), node, index)

    def warning(
        self, code: str, node: Node, message: str, suggestion: str | None = None, *, index: int | None = None
    ) -> None:
        """Note a doubt at a node, or at character `index` of its text."""
        self._add("warning", (code, message, suggestion), node, index)

    def _add(self, severity: Severity, said: tuple[str, str, str | None], node: Node, index: int | None) -> None:
        code, message, suggestion = said
        line, col = node.line, node.col
        if index is not None and isinstance(node, ScalarNode):
            line, col = node.place(index)
        self.findings.append(
            Finding(
                code=code,
                message=message,
                file=node.source.file,
                line=line,
                col=col,
                severity=severity,
                suggestion=suggestion,
            )
        )


def describe(node: Node) -> str:
    """Say what stands at a node, for a message about its type; no value is shown, since it may be a secret."""
    if isinstance(node, MappingNode):
        return "a mapping"
    if isinstance(node, ListNode):
        return "a list"
    value: Any = node.value if isinstance(node, ScalarNode) else None
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true or false"
    return "a text" if isinstance(value, str) else "a number"
