"""What an apply would do: create, change, remove, each with its field diff. A plan touches nothing."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import orjson

from server.authoring import queries
from server.authoring.differences import Difference, differences
from server.authoring.queries import content_hash
from server.authoring.references import plain, still_referred
from server.documents.findings import Finding, in_order
from server.documents.nodes import ListNode, MappingNode, ScalarNode
from server.documents.values import SECRET_MISSING
from server.events.compatibility import broken_promises
from server.kernel.clock import rfc3339
from server.kernel.errors import code

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from server.authoring.queries import Held
    from server.authoring.references import Key
    from server.documents.kinds import Definition
    from server.documents.nodes import Node
    from server.store import Tx

Action = Literal["create", "change", "remove"]

OWNED_ELSEWHERE = code("OWNED_ELSEWHERE", "Another origin owns the definition; the message says how to move it.")
STILL_REFERRED = code("STILL_REFERRED", "Another definition refers to it; change or remove that one first.")
API = "api"
_NOT_OURS = frozenset({"map", "upcast", "tests", "schema", "example", "metadata", "request"})
"""Fields of a definition in which `secret` is a name of the user's data, not a reference to a secret."""
ORDER = {"EventType": 0, "Integration": 1, "Webhook": 2, "SyncJob": 3, "Flow": 4}
"""What is referred to comes first, and goes last."""


@dataclass(frozen=True, slots=True)
class Change:
    """One step of a plan. `drift` says who changed, rolled back or removed it by another way than its origin."""

    action: Action
    kind: str
    name: str
    diff: tuple[Difference, ...]
    drift: str | None = None
    held: Held | None = field(default=None, repr=False)
    definition: Definition | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Plan:
    """What an apply of these definitions would do now.

    `base` stands for what the origin has in the workspace; `kept` are its definitions that no file has and that only
    `prune` removes; with an error among the `findings` an apply refuses.
    """

    base: str
    changes: tuple[Change, ...]
    unchanged: int
    findings: tuple[Finding, ...] = ()
    kept: tuple[Key, ...] = ()

    @property
    def errors(self) -> list[Finding]:
        """The findings that an apply refuses for."""
        return [each for each in self.findings if each.severity == "error"]


def name_of(definition: Definition) -> str:
    """Return the name under which a definition is kept: of an EventType `type@version`."""
    return definition.name if definition.version is None else f"{definition.name}@{definition.version}"


def plan(tx: Tx, definitions: Sequence[Definition], origin: str, *, prune: bool = False) -> Plan:
    """Compare checked definitions with what the workspace holds.

    With `prune`, what `origin` owns and no definition declares is removed; what others own never is.
    """
    held, states = queries.held(tx), queries.states(tx)
    wanted = {(each.kind, name_of(each)): each for each in definitions}
    owned = {key for key, each in held.items() if each.live and each.origin == origin}
    extra = sorted(owned - wanted.keys())
    changes = [
        *(change for key, each in wanted.items() if (change := _step(each, held.get(key), states.get(key), origin))),
        *(_removal(held[key], origin) for key in extra if prune),
    ]
    findings = [
        *(_not_ours(each, held[key]) for key, each in wanted.items() if key in held and _foreign(held[key], origin)),
        *missing_secrets(tx, definitions),
        *(each for key, wants in wanted.items() if key in held for each in broken_promises(wants, held[key].body)),
        *_still_referred(held, wanted, extra if prune else (), origin),
    ]
    return Plan(
        base_of(held.values(), origin),
        tuple(sorted(changes, key=_order)),
        sum(key not in {(each.kind, each.name) for each in changes} for key in wanted),
        tuple(in_order(findings)),
        () if prune else tuple(extra),
    )


def base_of(held: Collection[Held], origin: str) -> str:
    """Hash what an origin has in the workspace: it moves with each of its versions and removals, and with no other's."""
    state = sorted((each.kind, each.name, each.version, each.live) for each in held if each.origin == origin)
    return hashlib.sha256(orjson.dumps([origin, state])).hexdigest()


def missing_secrets(tx: Tx, definitions: Sequence[Definition]) -> Iterator[Finding]:
    """Yield an error at every reference to a secret that the workspace lacks."""
    known = queries.secret_names(tx)
    for definition in definitions:
        for node in secrets_of(definition):
            if node.value not in known:
                yield Finding(
                    code=SECRET_MISSING,
                    message=f"the workspace has no secret {node.value}; set it with `crossdock secret set {node.value}`",
                    file=node.source.file,
                    line=node.line,
                    col=node.col,
                )


def secrets_of(definition: Definition) -> Iterator[ScalarNode]:
    """Yield the name in every `{secret: NAME}` of a definition."""
    for key, value in definition.node.entries:
        if key.value not in _NOT_OURS:
            yield from _secrets_in(value)


def _secrets_in(node: Node) -> Iterator[ScalarNode]:
    if isinstance(node, ListNode):
        for each in node.items:
            yield from _secrets_in(each)
    elif isinstance(node, MappingNode):
        only = node.get("secret") if len(node.entries) == 1 else None
        if isinstance(only, ScalarNode) and isinstance(only.value, str):
            yield only
        else:
            for _, value in node.entries:
                yield from _secrets_in(value)


def _step(definition: Definition, held: Held | None, state: str | None, origin: str) -> Change | None:
    """Return what one definition needs, or None when nothing."""
    kind, name, body = definition.kind, name_of(definition), dict(definition.body)
    if held is None or not held.live:
        return Change("create", kind, name, _whole(body, after=True), _drift(held, origin), held, definition)
    if held.hash != content_hash(body):
        found = differences(held.body, body)
        return Change("change", kind, name, found, _drift(held, origin), held, definition)
    wants = body.get("active", True)
    if state is not None and wants != (state != "draft"):
        # `active` is the one state that a file sets: a draft that it wants active is changed although the text is not.
        found = (Difference("/active", not wants, wants),)
        return Change("change", kind, name, found, f"the state was changed by hand to {state}", held, definition)
    return None


def _removal(held: Held, origin: str) -> Change:
    return Change("remove", held.kind, held.name, _whole(dict(held.body), after=False), _drift(held, origin), held)


def _whole(body: Mapping[str, Any], *, after: bool) -> tuple[Difference, ...]:
    empty: dict[str, Any] = {}
    shown = {key: value for key, value in body.items() if key not in ("kind", "name")}
    return differences(empty, shown) if after else differences(shown, empty)


def _drift(held: Held | None, origin: str) -> str | None:
    if held is None or held.origin != origin or held.last_origin == origin:
        return None
    done = {"rollback": "rolled back", "remove": "removed", "restore": "restored"}.get(held.last_action, "changed")
    return f"{done} over {held.last_origin} by {held.updated_by} at {rfc3339(held.updated_at)}"


def _foreign(held: Held, origin: str) -> bool:
    return held.live and held.origin != origin


def _not_ours(definition: Definition, held: Held) -> Finding:
    way = (
        "delete it over the API first, then apply: it comes back with its history"
        if held.origin == API
        else f"take it out of {held.origin} first and apply that with --prune"
    )
    message = f"{definition.label} belongs to {held.origin}; {way}"
    return _at(definition, OWNED_ELSEWHERE, message)


def _still_referred(
    held: Mapping[Key, Held], wanted: Mapping[Key, Definition], removed: Collection[Key], origin: str
) -> Iterator[Finding]:
    bodies = {key: each.body for key, each in held.items() if each.live and key not in removed}
    bodies.update({key: each.body for key, each in wanted.items()})
    for reference, key in still_referred(removed, bodies):
        owner = f" of {held[key].origin}" if key not in wanted else ""
        message = f"{label(*reference)} cannot be removed: {label(*plain(key))}{owner} refers to it"
        if key in wanted:
            yield _at(wanted[key], STILL_REFERRED, message)
        else:
            yield Finding(code=STILL_REFERRED, message=message, file=origin, line=1, col=1)


def label(kind: str, name: str) -> str:
    """Return how people write a definition: `event-type/order.created@1`."""
    return f"{slug(kind)}/{name}"


def slug(kind: str) -> str:
    """Return a kind as paths and people write it: EventType is event-type."""
    return "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in kind).lstrip("-")


def _at(definition: Definition, code_: str, message: str) -> Finding:
    return Finding(code=code_, message=message, file=definition.file, line=definition.line, col=definition.col)


def _order(change: Change) -> tuple[bool, int, str]:
    rank = ORDER.get(change.kind, len(ORDER))
    return change.action == "remove", -rank if change.action == "remove" else rank, change.name
