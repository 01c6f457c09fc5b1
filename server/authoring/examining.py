"""Checks one body that came over the API, or an older version, against the workspace as it is now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from server.authoring import queries
from server.authoring.check import check
from server.authoring.planning import missing_secrets, name_of
from server.documents.catalog import FixedCatalog
from server.documents.nodes import ListNode, MappingNode
from server.documents.reading import File, read_file
from server.events.compatibility import broken_promises
from server.kernel.errors import INVALID, Invalid
from server.store.values import write_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from server.documents.catalog import PluginFacts
    from server.documents.findings import Finding
    from server.documents.kinds import Definition
    from server.documents.nodes import Node
    from server.store import Tx
    from server.transport.addresses import AddressPolicy

_MOST_ERRORS = 100


@dataclass(frozen=True, slots=True)
class World:
    """What a check knows besides the database: the installed plugins, which addresses a workspace may reach, and how often jobs run."""

    plugins: Callable[[], Mapping[str, PluginFacts]]
    addresses: Callable[[Tx], AddressPolicy]
    min_interval: float = 0.0


def catalog(tx: Tx, world: World, *, without: str | None = None) -> FixedCatalog:
    """Return what the workspace knows; `without` leaves out what an origin owns, since a prune may remove it."""
    definitions: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for each in queries.held(tx).values():
        if each.live and each.origin != without:
            definitions.setdefault((each.kind, str(each.body["name"])), []).append(each.body)
    return FixedCatalog(world.plugins(), definitions, world.addresses(tx), world.min_interval)


def examine(tx: Tx, world: World, kind: str, body: Mapping[str, Any]) -> Definition:
    """Check one body as a file of its own would be checked, its secrets too.

    Raises:
        Invalid: `details["errors"]` has a JSON pointer into the body for each.

    """
    file = File("body.json", write_json({**body, "kind": kind}).encode())
    result = check([file], catalog(tx, world))
    errors = [*result.errors, *missing_secrets(tx, result.documents), *_broken_promises(tx, result.documents)]
    if errors or not result.documents:
        raise _refusal(file, errors)
    return result.documents[0]


def _broken_promises(tx: Tx, documents: Sequence[Definition]) -> Iterator[Finding]:
    for each in documents:
        held = queries.find(tx, each.kind, name_of(each))
        yield from broken_promises(each, held.body if held else None)


def _refusal(file: File, errors: Sequence[Finding]) -> Invalid:
    places = list(_places(file))
    shown = [
        {
            "pointer": _pointer(places, each.line, each.col),
            "code": each.code,
            "message": each.message + (f" (did you mean {each.suggestion}?)" if each.suggestion else ""),
        }
        for each in errors[:_MOST_ERRORS]
    ]
    first = f"{shown[0]['pointer'] or 'the whole'}: {shown[0]['message']}" if shown else "the definition is wrong"
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    codes = {each.code for each in errors}
    name = next(iter(codes)) if len(codes) == 1 else INVALID
    return Invalid(first + more, code=name, source="authoring", errors=shown)


def _places(file: File) -> Iterator[tuple[int, int, str]]:
    for root in read_file(file).documents:
        yield from _walk(root, "")


def _walk(node: Node, pointer: str) -> Iterator[tuple[int, int, str]]:
    yield node.line, node.col, pointer
    if isinstance(node, MappingNode):
        for key, value in node.entries:
            below = f"{pointer}/{str(key.value).replace('~', '~0').replace('/', '~1')}"
            yield key.line, key.col, below
            yield from _walk(value, below)
    elif isinstance(node, ListNode):
        for number, each in enumerate(node.items):
            yield from _walk(each, f"{pointer}/{number}")


def _pointer(places: Sequence[tuple[int, int, str]], line: int, col: int) -> str:
    """Return the pointer of the last node that begins at or before a place: the one that the place lies in."""
    before = [(each[:2], number) for number, each in enumerate(places) if each[:2] <= (line, col)]
    return places[max(before)[1]][2] if before else ""
