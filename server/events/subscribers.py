"""Who takes which events, read once for each version of a workspace's definitions: by type, since types repeat."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from server.events.matching import matches
from server.events.routes import routes_version

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from server.store import Tx

T = TypeVar("T")
_WORKSPACES = 10_000
_TYPES = 10_000


class PerWorkspace(Generic[T]):
    """What is read of a workspace's definitions, kept until these change."""

    def __init__(self, read: Callable[[Tx], T]) -> None:
        self._read = read
        self._known: dict[int, tuple[int, T]] = {}

    def of(self, tx: Tx) -> T:
        """Return it as the definitions are now."""
        version = routes_version(tx)
        cached = self._known.get(tx.scope.workspace_id)
        if cached is None or cached[0] != version:
            if len(self._known) >= _WORKSPACES:
                self._known.clear()
            cached = self._known[tx.scope.workspace_id] = (version, self._read(tx))
        return cached[1]

    def at(self, workspace_id: int, version: int) -> T | None:
        """Return it as the definitions were at a version, if it was read then."""
        cached = self._known.get(workspace_id)
        return None if cached is None or cached[0] != version else cached[1]


class Subscribers(Generic[T]):
    """Those that take events; `patterns` says which types each of them means."""

    def __init__(self, every: Sequence[T], patterns: Callable[[T], Iterable[str]]) -> None:
        self._every = every
        self._patterns = patterns
        self._by_type: dict[str, tuple[T, ...]] = {}

    def __len__(self) -> int:
        return len(self._every)

    def of(self, type_: str) -> tuple[T, ...]:
        """Return those that take an event type."""
        found = self._by_type.get(type_)
        if found is None:
            found = tuple(each for each in self._every if any(matches(one, type_) for one in self._patterns(each)))
            if len(self._by_type) < _TYPES:
                self._by_type[type_] = found
        return found
