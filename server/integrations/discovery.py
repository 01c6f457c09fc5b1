"""What can be read from or written to the system behind an integration: asked of its plugin, as data sets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from server.integrations.guards import LONGEST_BY_HAND
from server.integrations.repository import INTEGRATIONS
from server.kernel.errors import Conflict, code
from server.transport.redaction import hide

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from server.integrations.calls import Caller
    from server.integrations.making import Making
    from server.sdk.adapter import Adapter
    from server.sdk.context import Context
    from server.sdk.sources import Dataset, Source
    from server.sdk.targets import Target
    from server.store import Cause, Scope, Store

CANNOT_DISCOVER = code("CANNOT_DISCOVER", "The integration's plugin has no source or target of that name to be asked.")
_MOST = 1_000


@dataclass(frozen=True, slots=True)
class Discovered:
    """What an operation found. Each data set has a name, options for a definition, the schema of its rows, and guesses."""

    integration: str
    plugin: str
    operation: str
    datasets: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Discovery:
    """Asks plugins. The transaction ends before the other system is asked."""

    store: Store
    making: Making
    caller: Caller

    def ask(
        self, scope: Scope, cause: Cause, name: str, operation: str | None, options: Mapping[str, Any]
    ) -> Discovered:
        """Return what an operation of an integration can read or write; without one, what its first source can read.

        Raises:
            NotFound: no such integration. Conflict: CANNOT_DISCOVER; the plugin or a secret is missing.
            Retryable, Postponed, Permanent: the system cannot be asked, or refuses.

        """
        with self.store.begin(scope, cause) as tx:
            call = self.making.ready(tx, INTEGRATIONS.get(tx, name), operation or "", {})
        call = call.within(LONGEST_BY_HAND)

        def ask(adapter: Adapter, context: Context) -> tuple[str, Sequence[Dataset]] | None:
            asked = (adapter.source(operation), adapter.target(operation)) if operation else adapter.sources[:1]
            ends: list[Source | Target] = [each for each in asked if each is not None]
            end = ends[0] if ends else None
            return None if end is None else (end.operation.name, end.discover(options, context))

        found = self.caller.piece(call, ask)
        if found is None:
            message = f"{call.plugin.name} has no source or target {operation or ''}".rstrip()
            raise Conflict(message, code=CANNOT_DISCOVER, source=call.source)
        shown = [_shown(each) for each in found[1][:_MOST]]
        return Discovered(name, call.plugin.name, found[0], hide(shown, call.secrets))


def _shown(found: Dataset) -> dict[str, Any]:
    return {
        "name": found.name,
        "options": dict(found.options),
        "schema": dict(found.schema),
        "primary_key": list(found.primary_key),
        "cursor": list(found.cursor),
        "about": found.about,
    }
