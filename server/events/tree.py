"""What came of what: an event's causes up to where its chain began, and everything below it, as a tree.

Events know their cause by `causation_id`: another event, or a thing of an upper room such as an inbound request. What else comes of
events (deliveries, runs, steps, records) the upper rooms tell through a port. Other events of the same correlation whose cause
nobody told stand beside it. The tree is bounded; what was left out is said.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol
from uuid import UUID

from server.events import queries, searching
from server.kernel.clock import rfc3339

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from server.events.envelope import Event
    from server.store import Tx

MOST_DEEP = 32
MOST_NODES = 1000
Cut = Literal["depth", "nodes"]


@dataclass(slots=True, eq=False)
class Node:
    """One thing of a tree. `parent` is the `key` of what it came of; `details` is JSON that its kind has more."""

    kind: str
    id: str
    name: str
    at: datetime
    state: str | None = None
    parent: str | None = None
    details: dict[str, Any] = field(default_factory=dict)
    key: str = ""
    children: list[Node] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Be known by the id where nothing else was said."""
        self.key = self.key or self.id

    def view(self) -> dict[str, Any]:
        """Return it as JSON, with all below it."""
        return {
            "kind": self.kind,
            "id": self.id,
            "name": self.name,
            "at": rfc3339(self.at),
            "state": self.state,
            "details": self.details,
            "children": [each.view() for each in self.children],
        }


class Branch(Protocol):
    """What an upper room adds to trees, in the workspace of the transaction."""

    def causes(self, tx: Tx, ids: Sequence[str]) -> Sequence[Node]:
        """Return those things of the room's that have these ids, which events name as their cause.

        `parent` is `key_of` the event that such a thing came of itself, or None.
        """
        ...

    def effects(self, tx: Tx, events: Sequence[Event], most: int) -> Sequence[Node]:
        """Return what came of events, `parent` being `key_of` the event, or the id of another node returned with it."""
        ...


@dataclass(frozen=True, slots=True)
class Tree:
    """The chain that an event is in, first; then others of its correlation. `cut` tells why something was left out."""

    roots: list[Node]
    nodes: int
    cut: Cut | None

    def view(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {"trees": [each.view() for each in self.roots], "nodes": self.nodes, "cut": self.cut}


def tree_of(tx: Tx, branches: Sequence[Branch], event: Event) -> Tree:
    """Return the tree of an event."""
    builder = _Builder(tx, branches)
    root = builder.top(event)
    builder.grow([root])
    beside = [builder.add(node_of(each)) for each in builder.beside(event)]
    builder.grow(beside)
    return Tree([root, *beside], len(builder.nodes), builder.cut)


def key_of(event: Event) -> str:
    """Return the key of an event's node: its id is unique within its source only."""
    return str(event.uid)


def node_of(event: Event, parent: str | None = None) -> Node:
    """Make the node of an event."""
    details = {"source": event.source, "subject": event.subject, "correlation_id": event.correlation_id}
    return Node("event", event.id, event.type, event.recorded_at, None, parent, details, key_of(event))


class _Builder:
    """Grows a tree level by level: one statement a level and room."""

    def __init__(self, tx: Tx, branches: Sequence[Branch]) -> None:
        self.tx = tx
        self.branches = branches
        self.nodes: dict[str, Node] = {}
        self.events: dict[str, Event] = {}
        self.cut: Cut | None = None

    @property
    def room(self) -> int:
        """How many nodes may still be added."""
        return MOST_NODES - len(self.nodes)

    def add(self, node: Node) -> Node:
        self.nodes[node.key] = node
        return node

    def top(self, event: Event) -> Node:
        """Return the first cause of an event that is known."""
        self.events[key_of(event)] = event
        root, seen = self.add(node_of(event)), {key_of(event)}
        above: Event | None = event
        for _ in range(MOST_DEEP - 1):
            found = self._cause(above, seen) if above is not None else self._parent(root, seen)
            if found is None:
                return root
            root.parent = found.key
            found.children.append(root)
            root = self.add(found)
            seen.add(found.key)
            above = self.events.get(found.key)
        self.cut = "depth"
        return root

    def _parent(self, node: Node, seen: set[str]) -> Node | None:
        """Return the event that something of another room came of."""
        event = queries.by_uid(self.tx, UUID(node.parent)) if node.parent and node.parent not in seen else None
        if event is None:
            return None
        self.events[key_of(event)] = event
        return node_of(event)

    def _cause(self, event: Event, seen: set[str]) -> Node | None:
        if event.causation_id is None:
            return None
        for cause in queries.by_id(self.tx, event.causation_id, None):
            if key_of(cause) not in seen:
                self.events[key_of(cause)] = cause
                return node_of(cause)
        for branch in self.branches:
            for node in branch.causes(self.tx, [event.causation_id]):
                return node
        return None

    def beside(self, event: Event) -> list[Event]:
        """Return the events of the same correlation that name no cause and are in no tree yet."""
        search = searching.Search(correlation_id=event.correlation_id, oldest_first=True)
        found = searching.page(self.tx, search, MOST_NODES)
        rest = [each for each in found if each.causation_id is None and key_of(each) not in self.nodes]
        for each in rest[: self.room]:
            self.events[key_of(each)] = each
        if len(rest) > self.room or len(found) == MOST_NODES:
            self.cut = "nodes"
        return rest[: self.room]

    def grow(self, level: list[Node]) -> None:
        """Add what came of a level's nodes, and of that, until nothing does or it is enough."""
        for _ in range(MOST_DEEP - 1):
            if not level:
                return
            if self.room <= 0:
                self.cut = "nodes"
                return
            level = self._below(level)
        if searching.caused_by(self.tx, [node.id for node in level], 1):
            self.cut = "depth"

    def _below(self, level: list[Node]) -> list[Node]:
        """Add the children of a level, and return the next level, with those that stood there already."""
        known = [child for node in level for child in node.children]
        mine = [self.events[node.key] for node in level if node.key in self.events]
        found: list[Node] = []
        for branch in self.branches if mine else ():
            found += branch.effects(self.tx, mine, self.room + 1)
        by_id = {node.id: node for node in reversed(level)}
        caused = searching.caused_by(self.tx, list(by_id), self.room + 1)
        for event in caused:
            self.events.setdefault(key_of(event), event)
            found.append(node_of(event, by_id[event.causation_id or ""].key))
        fresh = [node for node in found if node.key not in self.nodes]
        if len(fresh) > self.room:
            self.cut = "nodes"
        added = [self.add(node) for node in fresh[: self.room]]
        for node in added:
            if node.parent in self.nodes:
                self.nodes[node.parent].children.append(node)
        for node in (*level, *added):
            node.children.sort(key=lambda each: (each.at, each.key))
        return [*known, *added]
