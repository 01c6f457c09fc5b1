"""What the `events` of a definition mean: types and patterns, and the versions that types are asked for in (`order.created@1`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from server.documents.fields import CONTRADICTION
from server.documents.nodes import ListNode, ScalarNode
from server.documents.values import UNKNOWN_REFERENCE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from server.documents.checking import Checker
    from server.documents.nodes import MappingNode


def patterns_of(root: MappingNode) -> list[tuple[str, ScalarNode]]:
    """Return the types and patterns without the versions that are asked for."""
    events = root.get("events")
    items = events.items if isinstance(events, ListNode) else []
    return [
        (item.value.partition("@")[0], item)
        for item in items
        if isinstance(item, ScalarNode) and isinstance(item.value, str) and not item.broken
    ]


def check_pins(root: MappingNode, checker: Checker) -> dict[str, int]:
    """Return the versions that types are asked for in; one that nobody knows is an error."""
    pins: dict[str, int] = {}
    for type_, node in patterns_of(root):
        version = str(node.value).partition("@")[2]
        if not version.isdecimal() or version.startswith("0") or "*" in type_:
            continue  # none, or one whose form is wrong
        known = sorted(_version_of(body) for body in checker.catalog.bodies("EventType", type_))
        if pins.setdefault(type_, int(version)) != int(version):
            checker.error(CONTRADICTION, node, f"{type_} is asked for in version {pins[type_]} already")
        elif int(version) not in known:
            shown_ = f"its versions are {', '.join(map(str, known))}" if known else "there is no EventType of this name"
            checker.error(UNKNOWN_REFERENCE, node, f"{type_} has no version {version}: {shown_}")
    return pins


def body_of(type_: str, pins: Mapping[str, int], checker: Checker) -> Any:
    """Return the version of an event type that a subscriber gets: the one that it asks for, else the newest."""
    bodies = checker.catalog.bodies("EventType", type_)
    wanted = pins.get(type_)
    return max(
        (each for each in bodies if wanted is None or _version_of(each) == wanted), key=_version_of, default=None
    )


def _version_of(body: Any) -> int:
    version = body.get("version", 1)
    return version if isinstance(version, int) else 1
