"""The catalogue of event types: which schema an event must keep. Definitions of kind EventType are its only source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jsonschema_rs

from server.events.envelope import from_json
from server.events.routes import routes_version
from server.kernel.errors import Invalid, code

if TYPE_CHECKING:
    from collections.abc import Sequence

    from server.events.envelope import NewEvent
    from server.store import Tx

SCHEMA_VIOLATION = code("SCHEMA_VIOLATION", "The event breaks its type's JSON Schema; `errors` has a pointer each.")
_ERRORS_SHOWN = 20


def no_references(uri: str) -> Any:
    """Refuse remote and file `$ref`: a schema is complete in itself.

    Raises:
        ValueError: always.

    """
    raise ValueError(f"a schema may not refer to {uri}")


def compile_schema(schema: Any) -> jsonschema_rs.Validator:
    """Compile a draft 2020-12 schema; patterns run in linear time, references outside are refused.

    Raises:
        jsonschema_rs.ValidationError: not a schema.
        ValueError: a reference outside.

    """
    return jsonschema_rs.Draft202012Validator(
        schema, retriever=no_references, pattern_options=jsonschema_rs.RegexOptions(), validate_formats=True
    )


class Catalogue:
    """Compiled validators per workspace and type, dropped when the workspace's routes change."""

    def __init__(self) -> None:
        self._cache: dict[int, tuple[int, dict[str, dict[int, jsonschema_rs.Validator]]]] = {}

    def check(self, tx: Tx, news: Sequence[NewEvent]) -> None:
        """Check each event against its type's schema: the version named, else the newest.

        Raises:
            Invalid: SCHEMA_VIOLATION with all violations (20 at most).

        """
        types = self._types(tx)
        errors: list[dict[str, Any]] = []
        for number, new in enumerate(news):
            versions = types.get(new.type)
            if not versions:
                continue
            validator = versions.get(new.schema_version or max(versions))
            if validator is None:
                raise Invalid(
                    f"{new.type} has no version {new.schema_version}",
                    code=SCHEMA_VIOLATION,
                    errors=[{"pointer": f"/{number}", "message": f"known versions: {sorted(versions)}"}],
                )
            data = from_json(new.data)
            if not validator.is_valid(data):
                errors.extend(_violations(validator, data, number))
            if len(errors) >= _ERRORS_SHOWN:
                break
        if errors:
            raise Invalid(
                f"{len(errors)} violation(s) of the event type's schema", code=SCHEMA_VIOLATION, errors=errors
            )

    def _types(self, tx: Tx) -> dict[str, dict[int, jsonschema_rs.Validator]]:
        version = routes_version(tx)
        cached = self._cache.get(tx.scope.workspace_id)
        if cached is None or cached[0] != version:
            rows = tx.all(
                """SELECT body FROM definitions
                   WHERE workspace_id = :workspace_id AND kind = 'EventType' AND removed_at IS NULL"""
            )
            types: dict[str, dict[int, jsonschema_rs.Validator]] = {}
            for each in rows:
                if "schema" in each.body:
                    validator = compile_schema(each.body["schema"])
                    types.setdefault(each.body["name"], {})[each.body.get("version", 1)] = validator
            cached = (version, types)
            self._cache[tx.scope.workspace_id] = cached
        return cached[1]


def _violations(validator: jsonschema_rs.Validator, data: Any, number: int) -> list[dict[str, Any]]:
    found = []
    for error in validator.iter_errors(data):
        pointer = "".join(f"/{step}" for step in error.instance_path)
        found.append({"pointer": f"/{number}/data{pointer}", "code": SCHEMA_VIOLATION, "message": error.message[:300]})
        if len(found) >= _ERRORS_SHOWN:
            break
    return found
