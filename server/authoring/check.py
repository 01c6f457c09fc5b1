"""`check`: every error of a set of files at once, and the definitions that are free of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from server.authoring.kinds import default_kinds
from server.documents.checking import Checker
from server.documents.fields import MISSING_KEY, WRONG_VALUE, wrong_type
from server.documents.findings import Finding, in_order, nearest, shown
from server.documents.kinds import Definition, Kind, hash_of
from server.documents.nodes import ListNode, MappingNode, Node, ScalarNode, plain, whole
from server.documents.reading import File, Gathered, gather, read
from server.events.matching import matches
from server.kernel.errors import code

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from server.documents.catalog import Catalog, PluginFacts
    from server.transport.addresses import AddressPolicy

UNKNOWN_KIND = code("UNKNOWN_KIND", "There is no such kind of definition.")
DUPLICATE_NAME = code("DUPLICATE_NAME", "Two documents of one kind have the same name (and version).")
MANY_SUBSCRIBERS = code("MANY_SUBSCRIBERS", "More than 20 webhooks take the same event type; perhaps one is too wide.")
_MOST_SUBSCRIBERS = 20


@dataclass(frozen=True, slots=True)
class CheckResult:
    """Findings in the order of files and lines; the definitions without an error, in the order of the files."""

    findings: tuple[Finding, ...]
    documents: tuple[Definition, ...]

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that forbid to apply."""
        return tuple(finding for finding in self.findings if finding.severity == "error")

    @property
    def ok(self) -> bool:
        """Whether there is no error; warnings do not count."""
        return not self.errors


def check_path(path: Path, catalog: Catalog, kinds: Sequence[Kind] | None = None) -> CheckResult:
    """Check the files under a folder, or one file."""
    return check(gather(path), catalog, kinds)


def check(sources: Gathered | Iterable[File], catalog: Catalog, kinds: Sequence[Kind] | None = None) -> CheckResult:
    """Check files together: references reach over all of them, and over what the catalog has."""
    kinds = default_kinds() if kinds is None else kinds
    gathered = sources if isinstance(sources, Gathered) else Gathered(list(sources))
    reading = read(gathered.files)
    checkers: list[Checker] = []
    headed: list[tuple[Kind, MappingNode, Checker]] = []
    for root in reading.documents:
        checker = Checker(catalog)
        checkers.append(checker)
        kind = kind_of(root, kinds, checker)
        if kind is not None and isinstance(root, MappingNode):
            headed.append((kind, root, checker))
    folder = Folder(catalog, [(kind, root) for kind, root, _ in headed])
    _refuse_duplicates(headed)
    for kind, root, checker in headed:
        checker.catalog = folder
        kind.object.check(root, checker)
        kind.check(root, checker)
    _warn_of_many_subscribers([(root, checker) for kind, root, checker in headed if kind.name == "Webhook"], folder)
    findings = [*gathered.findings, *reading.findings, *(each for checker in checkers for each in checker.findings)]
    broken_files = {f.file for f in (*gathered.findings, *reading.findings) if f.severity == "error"}
    documents = [
        _definition(kind, root)
        for kind, root, checker in headed
        if not checker.errors and whole(root) and root.source.file not in broken_files
    ]
    return CheckResult(tuple(_tidy(findings)), tuple(documents))


def _tidy(findings: Iterable[Finding]) -> list[Finding]:
    """Sort, and leave out a warning where an error of the same code stands."""
    ordered = in_order(findings)
    errors = {(f.file, f.line, f.col, f.code) for f in ordered if f.severity == "error"}
    return [f for f in ordered if f.severity == "error" or (f.file, f.line, f.col, f.code) not in errors]


def kind_of(root: Node, kinds: Sequence[Kind], checker: Checker) -> Kind | None:
    """Return the kind that a document says it is, or None with a finding."""
    if not isinstance(root, MappingNode):
        wrong_type(root, "a definition (a mapping with kind and name)", checker)
        return None
    word = root.get("kind")
    if word is None:
        names = dict.fromkeys(kind.name for kind in kinds)
        near = nearest("kind", root.keys())
        key = root.key(near) if near else None
        checker.error(MISSING_KEY, key or root, f'"kind" is missing: one of {", ".join(names)}')
        return None
    named = [kind for kind in kinds if isinstance(word, ScalarNode) and kind.name == word.value]
    if not named:
        _unknown_kind(word, kinds, checker)
        return None
    return _variant(root, word, named, checker)


def _unknown_kind(word: Node, kinds: Sequence[Kind], checker: Checker) -> None:
    names = list(dict.fromkeys(kind.name for kind in kinds))
    text = word.value if isinstance(word, ScalarNode) and isinstance(word.value, str) else None
    if text is None:
        wrong_type(word, f"one of {', '.join(names)}", checker)
    else:
        checker.error(UNKNOWN_KIND, word, f"{shown(text)} is no kind of definition", nearest(text, names))


def _variant(root: MappingNode, word: Node, named: list[Kind], checker: Checker) -> Kind | None:
    """Choose among the variants of a kind by the field that tells them apart."""
    key = named[0].variant[0] if named[0].variant else None
    place = word if key is None else root.get(key)
    if key is not None and place is None:
        choices = " or ".join(kind.variant[1] for kind in named if kind.variant)
        checker.error(MISSING_KEY, root, f'"{key}" is missing: {choices}')
        return None
    value = place.value if isinstance(place, ScalarNode) else None
    chosen = next((kind for kind in named if kind.variant is None or kind.variant[1] == value), None)
    if chosen is None and place is not None:
        choices_of = [kind.variant[1] for kind in named if kind.variant]
        near = nearest(str(value), choices_of)
        checker.error(WRONG_VALUE, place, f"one of {', '.join(choices_of)} is needed here", near)
    return chosen


@dataclass
class Folder:
    """The catalog of a check: the folder's documents over what the workspace has."""

    below: Catalog
    documents: Sequence[tuple[Kind, MappingNode]]

    def __post_init__(self) -> None:
        self._bodies: dict[str, dict[str, list[Any]]] = {}
        self._versioned = {kind.name for kind, _ in self.documents if kind.versioned}
        for kind, root in self.documents:
            name = root.text("name")
            if name is not None:
                self._bodies.setdefault(kind.name, {}).setdefault(name, []).append(plain(root))

    @property
    def plugins(self) -> Mapping[str, PluginFacts]:
        """The installed plugins."""
        return self.below.plugins

    @property
    def addresses(self) -> AddressPolicy:
        """Which addresses the workspace may reach."""
        return self.below.addresses

    @property
    def min_interval(self) -> float:
        """The shortest pause between two times of a schedule, in seconds."""
        return self.below.min_interval

    def names(self, kind: str) -> Collection[str]:
        """Return the names in the folder and in the workspace."""
        return {*self._bodies.get(kind, {}), *self.below.names(kind)}

    def bodies(self, kind: str, name: str) -> Collection[Mapping[str, Any]]:
        """Return the folder's definition of that name, else the workspace's; of an EventType each version, by the same rule."""
        own, below = self._bodies.get(kind, {}).get(name, []), self.below.bodies(kind, name)
        if not own or kind not in self._versioned:
            return own or below
        versions = [body.get("version", 1) for body in own]  # of unchecked documents: anything
        return [*own, *(body for body in below if body.get("version", 1) not in versions)]


def _refuse_duplicates(headed: Sequence[tuple[Kind, MappingNode, Checker]]) -> None:
    first: dict[tuple[str, str, Any], MappingNode] = {}
    for kind, root, checker in headed:
        name = root.text("name")
        if name is None:
            continue
        identity = (kind.name, name, _version(kind, root))
        if identity in first:
            other = first[identity]
            place = f"{other.source.file}:{other.line}"
            checker.error(
                DUPLICATE_NAME, root.get("name") or root, f"{kind.name} {shown(name)} stands already in {place}"
            )
        else:
            first[identity] = root


def _version(kind: Kind, root: MappingNode) -> int | None:
    node = root.get("version")
    value = node.value if isinstance(node, ScalarNode) else None
    return (value if isinstance(value, int) else 1) if kind.versioned else None


def _warn_of_many_subscribers(webhooks: Sequence[tuple[MappingNode, Checker]], folder: Folder) -> None:
    """Warn at the event type's entry when more than 20 webhooks of the folder take one type."""
    taken: dict[str, list[tuple[ScalarNode, Checker]]] = {}
    known = set(folder.names("EventType"))
    for root, checker in webhooks:
        events = root.get("events")
        items = events.items if isinstance(events, ListNode) else []
        patterns = [(str(item.value).partition("@")[0], item) for item in items if isinstance(item, ScalarNode)]
        for type_ in {*known, *(text for text, _ in patterns if "*" not in text)}:
            entry = next((item for text, item in patterns if matches(text, type_)), None)
            if entry is not None:
                taken.setdefault(type_, []).append((entry, checker))
    for type_, places in taken.items():
        if len(places) > _MOST_SUBSCRIBERS:
            entry, checker = places[_MOST_SUBSCRIBERS]
            checker.warning(MANY_SUBSCRIBERS, entry, f"{len(places)} webhooks take {type_}")


def _definition(kind: Kind, root: MappingNode) -> Definition:
    body = plain(root)
    return Definition(
        kind=kind.name,
        name=body["name"],
        version=_version(kind, root),
        body=body,
        file=root.source.file,
        line=root.line,
        col=root.col,
        hash=hash_of(body),
        node=root,
    )
