"""What a check may ask of the world outside its file: plugins, and definitions of the folder and the workspace."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from server.transport.addresses import AddressPolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from server.sdk.sources import Source
    from server.sdk.targets import Target


@dataclass(frozen=True, slots=True)
class OperationFacts:
    """What a definition may know of an operation: its JSON Schemas, and whether a sync job can read or write by it.

    One that is not `supported` is of a port whose other ERPs have it: it refuses every call with NOT_SUPPORTED_HERE.
    """

    input_schema: Mapping[str, Any] = field(default_factory=dict)
    output_schema: Mapping[str, Any] = field(default_factory=dict)
    source: Source | None = None
    target: Target | None = None
    supported: bool = True


def _no_endpoint(_config: Mapping[str, Any]) -> None:
    return None


@dataclass(frozen=True, slots=True)
class PluginFacts:
    """What a definition may know of a plugin: the JSON Schema of its `config`, its operations by `noun.verb`.

    `endpoint(config)` returns the base URL to which webhooks of an integration with this config go, or None when the
    plugin takes none; it is called with a config that fits the schema. `transactions` says whether several calls can be made in
    one; None where nobody knows.
    """

    name: str
    config_schema: Mapping[str, Any] = field(default_factory=dict)
    operations: Mapping[str, OperationFacts] = field(default_factory=dict)
    endpoint: Callable[[Mapping[str, Any]], str | None] = _no_endpoint
    transactions: bool | None = None


class Catalog(Protocol):
    """The known world. `check` lays the folder's own documents over what the workspace has."""

    @property
    def plugins(self) -> Mapping[str, PluginFacts]:
        """The installed plugins by name."""
        ...

    @property
    def addresses(self) -> AddressPolicy:
        """Which addresses the workspace may reach."""
        ...

    @property
    def min_interval(self) -> float:
        """The shortest pause between two times of a schedule, in seconds."""
        ...

    def names(self, kind: str) -> Collection[str]:
        """Return the names of the definitions of a kind."""
        ...

    def bodies(self, kind: str, name: str) -> Collection[Mapping[str, Any]]:
        """Return the definition of that name as plain JSON; of an EventType each version, else one or none."""
        ...


@dataclass
class FixedCatalog:
    """A catalog of given facts: what a plain `check` of a folder knows, and every test."""

    plugins: Mapping[str, PluginFacts] = field(default_factory=dict)
    definitions: Mapping[tuple[str, str], Collection[Mapping[str, Any]]] = field(default_factory=dict)
    addresses: AddressPolicy = field(default_factory=AddressPolicy)
    min_interval: float = 0.0

    def names(self, kind: str) -> Collection[str]:
        """Return the names of the definitions of a kind."""
        return [name for each, name in self.definitions if each == kind]

    def bodies(self, kind: str, name: str) -> Collection[Mapping[str, Any]]:
        """Return the bodies under that name."""
        return self.definitions.get((kind, name), ())
