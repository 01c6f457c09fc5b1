"""What is called when an integration cannot be: another integration's operation, or a constant. Declared, checked, evaluated.

A fallback is not followed by the fallback of what it calls: the loop ends there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from server.documents.expressions import MapValue
from server.documents.fields import MISSING_KEY, UNKNOWN_KEY, WRONG_VALUE, Field, FieldType, Keyed, Object, OneOf
from server.documents.findings import nearest, shown
from server.documents.nodes import MappingNode, at, plain, whole
from server.documents.scalars import text_of
from server.documents.schemas import compiled, violations
from server.documents.values import UNKNOWN_REFERENCE, FreeJson
from server.integrations.guards import UNKNOWN_OPERATION
from server.mapping import PLACES, CompiledMap, compile_map

if TYPE_CHECKING:
    from collections.abc import Mapping

    from server.documents.catalog import OperationFacts
    from server.documents.checking import Checker
    from server.documents.nodes import Node

PLACE = "integration_fallback"
_CALL = re.compile(r"([a-z][a-z0-9-]{0,62})\.([a-z][a-z0-9_]*\.[a-z][a-z0-9_]*)")
_OPTIONS = frozenset(("from", "each", "value"))


def split_call(text: str) -> tuple[str, str] | None:
    """Return integration and operation of `integration.noun.verb`; None when it is none."""
    match = _CALL.fullmatch(text)
    return (match[1], match[2]) if match else None


@dataclass(frozen=True)
class CallName(FieldType):
    """An operation of an integration: `integration.noun.verb`."""

    def check(self, node: Node, checker: Checker) -> None:
        """Check the form, that there is such an integration, and that its plugin has the operation."""
        text = text_of(node, checker, "a call like `integration.noun.verb`")
        if text is None:
            return
        parts = split_call(text)
        if parts is None:
            checker.error(WRONG_VALUE, node, f"{shown(text)} is no call: write `integration.noun.verb`")
            return
        integration, operation = parts
        if not checker.catalog.bodies("Integration", integration):
            names = sorted(checker.catalog.names("Integration"))
            message = f"there is no Integration {shown(integration)} in the folder or the workspace"
            near = nearest(integration, names)
            checker.error(UNKNOWN_REFERENCE, node, message, near and f"{near}.{operation}")
            return
        known = _operations(text, checker)
        if known is not None and operation not in known:
            near = nearest(operation, sorted(known))
            message = f"the plugin of {integration} has no operation {shown(operation)}"
            checker.error(UNKNOWN_OPERATION, node, message, near and f"{integration}.{near}")

    def schema(self) -> dict[str, Any]:
        """Return the schema of the text."""
        return {"type": "string", "pattern": f"^{_CALL.pattern}$"}

    def label(self) -> str:
        """Return `integration.noun.verb`."""
        return "`integration.noun.verb`"


def _operations(call: str | None, checker: Checker) -> Mapping[str, OperationFacts] | None:
    """Return what the plugin of a call's integration can do; None when that is not known."""
    parts = split_call(call or "")
    bodies = list(checker.catalog.bodies("Integration", parts[0])) if parts else []
    plugin = bodies[0].get("plugin") if bodies else None
    facts = checker.catalog.plugins.get(plugin) if isinstance(plugin, str) else None
    return facts.operations if facts is not None else None


def check_input(root: MappingNode, checker: Checker) -> None:
    """Check what `with` makes against the input of what `call` names, as far as its fields and its constants tell."""
    given, call = root.get("with"), root.text("call")
    parts, known = split_call(call or ""), _operations(call, checker)
    operation = known.get(parts[1]) if parts and known else None
    if operation is None or not isinstance(given, MappingNode) or given.broken or not whole(given):
        return
    schema = dict(operation.input_schema)
    if set(given.keys()) == {"value"}:
        _check_constant(given, schema, checker)
    elif not _OPTIONS & set(given.keys()):
        _check_fields(given, schema, checker)


def _check_fields(given: MappingNode, schema: Mapping[str, Any], checker: Checker) -> None:
    listed = schema.get("properties", {})
    closed = schema.get("additionalProperties") is False
    for key, _ in given.entries:
        if closed and key.value not in listed:
            near = nearest(str(key.value), sorted(listed))
            checker.error(UNKNOWN_KEY, key, f"{shown(key.value)} is no field of the operation's input", near)
    for name in schema.get("required", []):
        if given.key(name) is None:
            checker.error(MISSING_KEY, given, f'"{name}" is missing in the operation\'s input')


def _check_constant(given: MappingNode, schema: Mapping[str, Any], checker: Checker) -> None:
    value, validator = given.get("value"), compiled(dict(schema))
    for each in violations(validator, plain(value)) if value is not None and validator is not None else ():
        checker.error(WRONG_VALUE, at(given, ("value", *each.pointer)), f"the operation's input: {each.message}")


def call_form(place: str, about: str, *, required: bool) -> Object:
    """Return the form `{call: …, with: …}` whose `with` reads what there is at a place."""
    return Object(
        (
            Field("call", CallName(), "What is called instead.", required=True),
            Field("with", MapValue(place), about, required=required),
        ),
        rules=(check_input,),
        name="fallback",
    )


FALLBACK = OneOf(
    (
        Keyed(
            ("call",),
            call_form(
                PLACE, "Its input, made of `input`, `operation` and `error`; without it the same.", required=False
            ),
        ),
        Object((Field("value", FreeJson(), "The constant that is given instead.", required=True),), name="fallback"),
    )
)


@dataclass(frozen=True)
class Fallback:
    """What happens instead: a call of `operation` of `integration` with what `with_` makes, or else `value`."""

    integration: str | None = None
    operation: str = ""
    with_: Any = None
    value: Any = None
    place: str = PLACE

    @cached_property
    def compiled(self) -> CompiledMap | None:
        """The map behind `with`."""
        return None if self.with_ is None else compile_map(self.with_, PLACES[self.place])

    @property
    def call(self) -> str:
        """As it was written: `integration.noun.verb`."""
        return f"{self.integration}.{self.operation}"


def fallback_of(written: Mapping[str, Any] | None, place: str = PLACE) -> Fallback | None:
    """Return the typed view of a checked `fallback`."""
    if written is None:
        return None
    parts = split_call(written.get("call", ""))
    if parts is None:
        return Fallback(value=written.get("value"), place=place)
    return Fallback(*parts, with_=written.get("with"), place=place)
