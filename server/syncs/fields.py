"""Field types that only sync jobs have: cron expressions, time zones, spans of a cursor, and the two ends with their options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from server.documents.explaining import explain
from server.documents.fields import WRONG_VALUE, Field, FieldType, Object, wrong_type
from server.documents.findings import nearest
from server.documents.nodes import MappingNode, Node, ScalarNode, at, plain, whole
from server.documents.scalars import Duration, text_of
from server.documents.values import Config
from server.integrations.fallback import split_call
from server.kernel.errors import code
from server.sdk.sources import Source
from server.syncs.cron import LONGEST, CronError, read, zone
from server.syncs.job import DEFAULT_MODE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from server.documents.catalog import OperationFacts
    from server.documents.checking import Checker
    from server.sdk.schemas import FieldError
    from server.sdk.targets import Target

NO_SOURCE = code("NO_SOURCE", "A sync job cannot read by this operation; the message lists those by which it can.")
NO_TARGET = code("NO_TARGET", "A sync job cannot write by this operation; the message lists those by which it can.")
OPTION = code("OPTION", "What stands beside `call` is not what the operation takes.")
_MOST_WHOLE = 10**15


@dataclass(frozen=True)
class CronText(FieldType):
    """A cron expression of five fields."""

    def check(self, node: Node, checker: Checker) -> None:
        """Check that it can be read, and that it comes."""
        text = text_of(node, checker, 'a cron expression like "0 */6 * * *"')
        try:
            read(text) if text is not None else None
        except CronError as error:
            checker.error(error.code, node, str(error), error.suggestion)

    def schema(self) -> dict[str, Any]:
        """Return the schema of the text."""
        return {"type": "string", "minLength": 9, "maxLength": LONGEST}

    def label(self) -> str:
        """Return `cron`."""
        return "cron"


@dataclass(frozen=True)
class ZoneName(FieldType):
    """The name of a time zone of the IANA database."""

    def check(self, node: Node, checker: Checker) -> None:
        """Check that there is one."""
        text = text_of(node, checker, "a time zone like Europe/Paris")
        try:
            zone(text) if text is not None else None
        except CronError as error:
            checker.error(error.code, node, str(error), error.suggestion)

    def schema(self) -> dict[str, Any]:
        """Return the schema of the name."""
        return {"type": "string"}

    def label(self) -> str:
        """Return `time zone`."""
        return "time zone"


@dataclass(frozen=True)
class Yes(FieldType):
    """The one word `true`."""

    def check(self, node: Node, checker: Checker) -> None:
        """Check that it is true."""
        if not isinstance(node, ScalarNode) or node.value is not True:
            checker.error(WRONG_VALUE, node, "true is needed here", "true")

    def schema(self) -> dict[str, Any]:
        """Return the schema: the constant."""
        return {"const": True}

    def label(self) -> str:
        """Return `true`."""
        return "`true`"


@dataclass(frozen=True)
class Span(FieldType):
    """How far along a cursor: a duration where it holds times, a whole number where it counts."""

    def check(self, node: Node, checker: Checker) -> None:
        """Check it as the one or the other."""
        value = node.value if isinstance(node, ScalarNode) else None
        if isinstance(value, int) and not isinstance(value, bool):
            if not 0 <= value <= _MOST_WHOLE:
                checker.error(WRONG_VALUE, node, f"0 to {_MOST_WHOLE} is taken, found {value}")
        elif isinstance(value, str):
            Duration("0s", "3650d").check(node, checker)
        else:
            wrong_type(node, "a duration like 5m, or a whole number", checker)

    def schema(self) -> dict[str, Any]:
        """Return the schema: a duration or a number."""
        return {"anyOf": [Duration("0s", "3650d").schema(), {"type": "integer", "minimum": 0}]}

    def label(self) -> str:
        """Return `duration or integer`."""
        return "duration or integer"


@dataclass(frozen=True)
class CursorValue(FieldType):
    """Where a cursor begins or ends: one value, or one for each of its fields."""

    def check(self, node: Node, checker: Checker) -> None:
        """Check that it is a text, a number, or a list of such."""
        value = plain(node)
        values = value if isinstance(value, list) else [value]
        good = [isinstance(each, str) or (isinstance(each, int) and not isinstance(each, bool)) for each in values]
        if not good or not all(good):
            wrong_type(node, "a text or a whole number (a list of them for several fields)", checker)

    def schema(self) -> dict[str, Any]:
        """Return the schema of the value or the values."""
        one = {"type": ["string", "integer"]}
        return {"anyOf": [one, {"type": "array", "items": one, "minItems": 1}]}

    def label(self) -> str:
        """Return `text or integer`."""
        return "text or integer, or a list of them"

    def accepts(self, node: Node) -> bool:
        """Take anything, and say what is wrong with it."""
        return isinstance(node, Node)


@dataclass(frozen=True)
class End(FieldType):
    """`source` or `target`: fields of ours, and beside them the options of the operation that `call` names."""

    side: Literal["source", "target"]
    own: Object

    def check(self, node: Node, checker: Checker) -> None:
        """Check our fields by their declaration and the rest by the operation's schema of options."""
        if not isinstance(node, MappingNode):
            wrong_type(node, f"a mapping with call and the options of the {self.side}", checker)
            return
        names = {each.name for each in self.own.fields}
        facts = operation_of(node.text("call"), checker)
        mine: list[tuple[ScalarNode, Node]] = []
        rest: list[tuple[ScalarNode, Node]] = []
        for entry in node.entries:
            (mine if entry[0].value in names else rest).append(entry)
        self.own.check(MappingNode(node.source, node.line, node.col, mine, broken=node.broken), checker)
        options = MappingNode(node.source, node.line, node.col, rest)
        Config().check(options, checker)
        if facts is not None:
            self._check_options(node, options, facts, checker)

    def _check_options(self, node: MappingNode, options: MappingNode, facts: OperationFacts, checker: Checker) -> None:
        found: Source | Target | None = facts.source if self.side == "source" else facts.target
        call = node.get("call") or node
        if found is None:
            refusal = NO_SOURCE if self.side == "source" else NO_TARGET
            able = [
                name for name, each in operations_of(node.text("call"), checker).items() if getattr(each, self.side)
            ]
            message = f"no sync job {'reads' if self.side == 'source' else 'writes'} by this operation"
            checker.error(refusal, call, f"{message}; by {', '.join(sorted(able)) or 'no other of this plugin either'}")
        elif whole(options):
            wrong = list(explain(found.options_schema, plain(options)))
            if not wrong and whole(node):
                self._check_by_plugin(node, plain(options), found, checker)
            for each in wrong:
                place = at(options, each.pointer)
                key = place.key(each.key) if each.key is not None and isinstance(place, MappingNode) else None
                near = each.suggestion or (
                    nearest(each.key or "", {field.name for field in self.own.fields}) if key else None
                )
                checker.error(OPTION, key or place, f"{node.text('call')}: {each.message}", near)

    def _check_by_plugin(
        self, node: MappingNode, options: dict[str, Any], found: Source | Target, checker: Checker
    ) -> None:
        """Let the plugin say what no schema can: that the SQL is none, or that a mode lacks a request."""
        try:
            problems = list(_problems(node, options, found))
        except Exception as error:  # noqa: BLE001 - the border to a plugin: what breaks in it is told, the rest still checked
            message = f"{node.text('call')} broke while it checked its options: {type(error).__name__}"
            checker.error(OPTION, node.get("call") or node, message)
            return
        for pointer, message in problems:
            steps = [each.replace("~1", "/").replace("~0", "~") for each in pointer.split("/")[1:]]
            if steps and steps[0] in {each.name for each in self.own.fields} and node.get(steps[0]) is None:
                continue  # ours, and missing: that has its own finding
            place = at(node, steps)
            key = place.key(steps[-1]) if steps and isinstance(place, MappingNode) else None
            checker.error(OPTION, key or place, f"{node.text('call')}: {message}")

    def schema(self) -> dict[str, Any]:
        """Return the schema: our fields, and whatever the operation takes."""
        return {**self.own.schema(), "additionalProperties": True}

    def label(self) -> str:
        """Return `object with the operation's options`."""
        return "object with the operation's options"

    def accepts(self, node: Node) -> bool:
        """Say whether it is a mapping."""
        return isinstance(node, MappingNode)

    def below(self) -> Iterator[tuple[str, Field]]:
        """Yield our fields."""
        return self.own.below()


def _problems(node: MappingNode, options: dict[str, Any], found: Source | Target) -> Sequence[FieldError]:
    if isinstance(found, Source):
        return found.problems(options)
    mode: Any = node.text("mode") or DEFAULT_MODE
    match_on = node.get("match_on")
    return found.problems(options, [] if match_on is None else plain(match_on), "upsert" if mode == "mirror" else mode)


def operations_of(call: str | None, checker: Checker) -> Mapping[str, OperationFacts]:
    """Return what the plugin of a call's integration can do; nothing when that is not known."""
    parts = split_call(call or "")
    bodies = list(checker.catalog.bodies("Integration", parts[0])) if parts else []
    plugin = bodies[0].get("plugin") if bodies else None
    facts = checker.catalog.plugins.get(plugin) if isinstance(plugin, str) else None
    return facts.operations if facts is not None else {}


def operation_of(call: str | None, checker: Checker) -> OperationFacts | None:
    """Return what is known of the operation that a call names."""
    parts = split_call(call or "")
    return operations_of(call, checker).get(parts[1]) if parts else None
