"""A version of an event type is a promise: its schema may grow, and what breaks it needs another version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from server.documents.findings import Finding
from server.documents.nodes import at
from server.documents.schemas import problems_of
from server.events.containment import breaks
from server.kernel.errors import code

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from server.documents.kinds import Definition

KIND = "EventType"
SCHEMA_BREAKING = code(
    "SCHEMA_BREAKING",
    "The schema refuses, or no longer declares, what this version of the event type took before: raise the `version`.",
)
_MOST = 50


def broken_promises(definition: Definition, before: Mapping[str, Any] | None) -> Iterator[Finding]:
    """Yield an error at every place where an event type's schema breaks what the same version promised `before`.

    What was removed has promised too: its events are stored.
    """
    if definition.kind != KIND or before is None:
        return
    node = definition.node.get("schema")
    if node is None or problems_of(before.get("schema")):  # what was taken by older rules, and can hold no event now
        return
    for each in breaks(before["schema"], definition.body["schema"])[:_MOST]:
        place = at(node, each.pointer)
        message = f"{each.message}: events of {definition.name}@{definition.version} are stored; raise the version"
        yield Finding(code=SCHEMA_BREAKING, message=message, file=place.source.file, line=place.line, col=place.col)
