"""`test`: the definitions' own tests, with no network, secret or server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from server.authoring.check import Folder
from server.authoring.kinds import default_kinds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from server.documents.catalog import Catalog
    from server.documents.kinds import Definition, Kind, Outcome


@dataclass(frozen=True, slots=True)
class TestReport:
    """How every test ended, in the order of the files."""

    __test__ = False  # pytest would collect it by its name

    outcomes: tuple[Outcome, ...]

    @property
    def failed(self) -> tuple[Outcome, ...]:
        """The tests that found a difference."""
        return tuple(outcome for outcome in self.outcomes if not outcome.passed)

    @property
    def ok(self) -> bool:
        """Whether every test passed."""
        return not self.failed


def test(documents: Sequence[Definition], catalog: Catalog, kinds: Sequence[Kind] | None = None) -> TestReport:  # noqa: PT028 - no test of pytest
    """Run the tests of checked definitions; references reach over all of them, and over what the catalog has."""
    by_identity = {(kind.name, kind.variant): kind for kind in (default_kinds() if kinds is None else kinds)}
    found: list[tuple[Kind, Definition]] = []
    for each in documents:
        variants = [kind for (name, _), kind in by_identity.items() if name == each.kind and _is(kind, each)]
        found.extend((kind, each) for kind in variants)
    folder = Folder(catalog, [(kind, each.node) for kind, each in found])
    return TestReport(tuple(outcome for kind, each in found for outcome in kind.test(each, folder)))


test.__test__ = False  # type: ignore[attr-defined]


def _is(kind: Kind, definition: Definition) -> bool:
    return kind.variant is None or definition.body.get(kind.variant[0]) == kind.variant[1]
