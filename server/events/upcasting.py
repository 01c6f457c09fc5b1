"""Up-casters: an event that was published under an older version of its type, as a newer version would have it.

The store keeps what was published. An EventType's `upcast` makes its data of that of the version before; who reads the newest
gets an event through all of them, one after the other, and `event.schema_version` says which version it has then.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from server.events.envelope import from_json, to_json
from server.kernel.errors import Permanent, code
from server.mapping import PLACES, EvaluationError, ExpressionError, compile_map

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy.engine import Connection

    from server.events.envelope import Event

PLACE = "event_type"
UPCAST_FAILED = code("UPCAST_FAILED", "An up-caster made what JSON cannot hold of this event.")
_BODIES = """
SELECT body FROM definitions WHERE workspace_id = %(workspace)s AND kind = 'EventType' AND removed_at IS NULL
"""
_MOST_WORKSPACES = 10_000


class Step(Protocol):
    """A compiled map, or what stands for one that cannot be compiled any more."""

    def run(self, scope: Mapping[str, Any], /) -> Any:
        """Return the data that it makes."""
        ...


@dataclass(frozen=True, slots=True)
class _Broken:
    """An up-caster that older rules took: it fails for its events only."""

    error: ExpressionError

    def run(self, _: Mapping[str, Any], /) -> Any:
        raise EvaluationError(self.error.message, code=self.error.code)


@dataclass(frozen=True, slots=True)
class Ladder:
    """The up-casters of one event type, by the version that they make."""

    steps: Mapping[int, Step]

    def lift(self, event: Event, to: int | None = None) -> Event:
        """Return the event as the newest version has it, or `to`: as far as the up-casters reach, without a gap.

        An event without a version was published when its type had none: it stays as it is.

        Raises:
            EvaluationError: a map failed on this event.
            Permanent: UPCAST_FAILED.

        """
        version = event.schema_version
        while version is not None and (to is None or version < to) and version + 1 in self.steps:
            step = self.steps[version + 1]
            version += 1
            event = _stepped(event, step, version)
        return event


def _stepped(event: Event, step: Step, version: int) -> Event:
    made = step.run({"event": event.view(), "data": from_json(event.data)})
    try:
        return replace(event, data=to_json(made), schema_version=version)
    except TypeError as error:  # orjson: a number past 64 bits, or half of a surrogate pair
        raise Permanent(
            f"version {version} cannot hold this event: {error}", code=UPCAST_FAILED, source="mapping"
        ) from error


STANDING = Ladder({})
"""The ladder of a type that has no up-casters."""


def ladders_of(bodies: Iterable[Mapping[str, Any]]) -> dict[str, Ladder]:
    """Return the ladders of event types by name; those without an up-caster have none."""
    steps: defaultdict[str, dict[int, Step]] = defaultdict(dict)
    for body in bodies:
        if "upcast" in body:
            steps[body["name"]][int(body.get("version", 1))] = _compiled(body["upcast"])
    return {name: Ladder(each) for name, each in steps.items()}


def _compiled(upcast: Any) -> Step:
    try:
        return compile_map(upcast, PLACES[PLACE])
    except ExpressionError as error:
        return _Broken(error)


class Ladders:
    """The ladders of all workspaces, for the engine; those of one are read anew when its routes have changed."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[int, dict[str, Ladder]]] = {}

    def of(self, conn: Connection, workspace_id: int, routes_version: int, type_: str) -> Ladder:
        """Return the ladder of a type; a statement only when the workspace's routes have changed."""
        known = self._known.get(workspace_id)
        if known is None or known[0] != routes_version:
            rows = conn.exec_driver_sql(_BODIES, {"workspace": workspace_id})
            known = (routes_version, ladders_of(row.body for row in rows))
            if len(self._known) >= _MOST_WORKSPACES:
                self._known.clear()
            self._known[workspace_id] = known
        return known[1].get(type_, STANDING)
