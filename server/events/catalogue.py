"""The catalogue of event types: which schema an event must keep. Definitions of kind EventType are its only source."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from server.events.envelope import from_json
from server.events.routes import routes_version
from server.events.upcasting import STANDING, Ladder, ladders_of
from server.kernel.errors import Invalid, Permanent, code
from server.mapping import EvaluationError
from server.sdk.schemas import MOST_ERRORS, Schema

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from server.events.envelope import Event, NewEvent
    from server.store import Tx

SCHEMA_VIOLATION = code("SCHEMA_VIOLATION", "The event breaks its type's JSON Schema; `errors` has a pointer each.")


@dataclass(frozen=True, slots=True)
class _Types:
    """The event types of a workspace at one version of its routes."""

    routes: int
    schemas: dict[str, dict[int, Schema]]
    ladders: dict[str, Ladder]


class Catalogue:
    """Compiled schemas and up-casters per workspace, dropped when the workspace's routes change."""

    def __init__(self) -> None:
        self._cache: dict[int, _Types] = {}

    def check(self, tx: Tx, news: Sequence[NewEvent]) -> list[int | None]:
        """Check each event against its type's schema: the version named, else the newest; return the versions, None without one.

        Raises:
            Invalid: SCHEMA_VIOLATION with all violations (20 at most); no value is shown.

        """
        return _checked(self._types(tx).schemas, news)

    def version_of(self, workspace_id: int) -> int | None:
        """Return the version of the routes that this knows the types of, without looking whether it still holds."""
        cached = self._cache.get(workspace_id)
        return None if cached is None else cached.routes

    def plainly(self, workspace_id: int, version: int, news: Sequence[NewEvent]) -> list[int | None] | None:
        """Check by the types of a version that is known; None where that is another, or where they would be refused."""
        cached = self._cache.get(workspace_id)
        try:
            return None if cached is None or cached.routes != version else _checked(cached.schemas, news)
        except Invalid:
            return None

    def newest(self, tx: Tx, event: Event) -> Event:
        """Return an event as the newest version of its type has it; one whose up-caster fails as it was published."""
        if event.schema_version is None:
            return event
        try:
            return self._types(tx).ladders.get(event.type, STANDING).lift(event)
        except (EvaluationError, Permanent):
            return event

    def _types(self, tx: Tx) -> _Types:
        version = routes_version(tx)
        cached = self._cache.get(tx.scope.workspace_id)
        if cached is None or cached.routes != version:
            rows = tx.all(
                """SELECT body FROM definitions
                   WHERE workspace_id = :workspace_id AND kind = 'EventType' AND removed_at IS NULL"""
            )
            schemas: defaultdict[str, dict[int, Schema]] = defaultdict(dict)
            for each in rows:
                if "schema" in each.body:
                    schemas[each.body["name"]][each.body.get("version", 1)] = Schema(each.body["schema"])
            cached = _Types(version, dict(schemas), ladders_of(each.body for each in rows))
            self._cache[tx.scope.workspace_id] = cached
        return cached


def _checked(types: Mapping[str, Mapping[int, Schema]], news: Sequence[NewEvent]) -> list[int | None]:
    checked: list[int | None] = []
    errors: list[dict[str, Any]] = []
    for number, new in enumerate(news):
        versions = types.get(new.type)
        if not versions:
            checked.append(new.schema_version)
            continue
        version = new.schema_version or max(versions)
        if version not in versions:
            raise Invalid(
                f"{new.type} has no version {version}",
                code=SCHEMA_VIOLATION,
                errors=[{"pointer": f"/{number}", "message": f"known versions: {sorted(versions)}"}],
            )
        checked.append(version)
        data = from_json(new.data)
        if not versions[version].accepts(data):
            errors += [_violation(number, *error) for error in versions[version].errors(data)]
        if len(errors) >= MOST_ERRORS:
            break
    if errors:
        errors = errors[:MOST_ERRORS]
        raise Invalid(f"{len(errors)} violation(s) of the event type's schema", code=SCHEMA_VIOLATION, errors=errors)
    return checked


def _violation(number: int, pointer: str, message: str) -> dict[str, str]:
    return {"pointer": f"/{number}/data{pointer}", "code": SCHEMA_VIOLATION, "message": message[:300]}
