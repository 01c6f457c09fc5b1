"""From a request to the events that it emits: pure, and the very same for the worker, `sync: true`, reconcile and `test`.

scope = {request, headers, params, body} ─▶ when ─▶ each emit: (each) ─▶ (when) ─▶ type, subject, data, id, … ─▶ NewEvent
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

from server.events.envelope import BATCH_LIMIT, NewEvent, to_json
from server.events.intake import CORRELATION, ID, LINE
from server.events.loops import Trail
from server.events.matching import OURS
from server.kernel.clock import parse_rfc3339
from server.kernel.errors import Permanent, code
from server.kernel.ids import show
from server.mapping import PLACES, Budget, EvaluationError, compile_expression, compile_map
from server.mapping.errors import Refused
from server.mapping.functions.text import as_text
from server.mapping.places import ITEM
from server.mapping.values import kind_of, truthy
from server.webhooks.inbound.guard import Version, version_of

if TYPE_CHECKING:
    import re
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from server.mapping import CompiledMap, Expression

PLACE = "inbound_webhook"
EMIT_REFUSED = code(
    "EMIT_REFUSED", "What the mapping made of the request cannot be an event; `details.place` says where."
)
EMIT_MANY = code("EMIT_MANY", f"One request would emit more than {BATCH_LIMIT} events.")
_MANY_STEPS, _MANY_SIZE = 2_000_000, 4_000_000  # of a request that emits one event for each of a list
_NUMBERS = (int, float, Decimal)


@dataclass(frozen=True, slots=True)
class Emit:
    """One entry of `emit`, compiled. `place` is where it stands in the definition: `("emit",)` or `("emit", 1)`."""

    place: tuple[str | int, ...]
    type: str
    schema_version: int | None
    data: CompiledMap
    each: Expression | None
    when: Expression | None
    attributes: Mapping[str, Expression]


@dataclass(frozen=True, slots=True)
class Mapped:
    """What a request becomes: its events in order, and its version for those of them that have a subject."""

    events: tuple[NewEvent, ...]
    version: Version | None = None


@dataclass(frozen=True, slots=True)
class Skipped:
    """Nothing is emitted: `when` did not hold, or there was nothing to emit."""

    reason: str


class Mapper:
    """The mapping half of a checked inbound definition, compiled once per version.

    Raises:
        ExpressionError: the body was never checked.

    """

    def __init__(self, body: Mapping[str, Any]) -> None:
        roots = PLACES[PLACE]
        self.source = f"webhook/{body['name']}"
        self.extensions = Trail((self.source,)).extensions()
        self.when = compile_expression(body["when"], roots) if "when" in body else None
        self.version = compile_expression(body["version"], roots) if "version" in body else None
        written = body["emit"]
        many = isinstance(written, list)
        self.emits = tuple(
            _emit(each, ("emit", number) if many else ("emit",))
            for number, each in enumerate(written if many else [written])
        )
        self._loops = any(each.each is not None for each in self.emits)

    def run(self, scope: Mapping[str, Any], request: UUID, round_: int, correlation_id: str) -> Mapped | Skipped:
        """Map one request; ids of its events follow from the request, the round and their place, so none is emitted twice.

        Raises:
            EvaluationError: an expression failed; `details.pointer` is its place in the definition.
            Permanent: EMIT_REFUSED, EMIT_MANY, or VERSION_UNUSABLE.

        """
        budget = Budget(_MANY_STEPS, _MANY_SIZE) if self._loops else Budget()
        if self.when is not None and not truthy(_at(self.when, scope, budget, ("when",))):
            return Skipped("when")
        events = []
        for number, (emit, inner) in enumerate(self._wanted(scope, budget)):
            if number >= BATCH_LIMIT:
                raise Permanent(
                    f"more than {BATCH_LIMIT} events", code=EMIT_MANY, source="mapping", pointer=list(emit.place)
                )
            events.append(self._event(emit, inner, budget, event_id(request, round_, number), correlation_id))
        if not events:
            return Skipped("empty")
        version = None
        if self.version is not None:
            version = version_of(_at(self.version, scope, budget, ("version",)))
            for each in events:
                if each.subject is None:
                    raise _refused(("version",), "there is no subject whose version this could be")
        return Mapped(tuple(events), version)

    def _wanted(self, scope: Mapping[str, Any], budget: Budget) -> Iterator[tuple[Emit, Mapping[str, Any]]]:
        """Yield each event that is to be made with its scope."""
        for emit in self.emits:
            for inner in _scopes(emit, scope, budget):
                if emit.when is None or truthy(_at(emit.when, inner, budget, (*emit.place, "when"))):
                    yield emit, inner

    def _event(self, emit: Emit, scope: Mapping[str, Any], budget: Budget, id_: str, correlation_id: str) -> NewEvent:
        try:
            data = emit.data.run(scope, budget)
        except EvaluationError as error:
            raise error.within(*emit.place, "data") from error.__cause__
        said = {
            name: _at(expression, scope, budget, (*emit.place, name)) for name, expression in emit.attributes.items()
        }
        place = emit.place
        return NewEvent(
            type=emit.type,
            data=_json(data, (*place, "data")),
            id=_text(said.get("id"), ID, (*place, "id"), "1 to 256 visible ASCII characters") or id_,
            source=_source(said.get("source"), (*place, "source")) or self.source,
            subject=_text(said.get("subject"), LINE, (*place, "subject"), "a line of 1 to 512 characters"),
            time=_time(said.get("time"), (*place, "time")),
            correlation_id=_text(
                said.get("correlation"), CORRELATION, (*place, "correlation"), "letters, digits and _.:-"
            )
            or correlation_id,
            causation_id=scope["request"]["id"],
            schema_version=emit.schema_version,
            extensions=self.extensions,
        )


def event_id(request: UUID, round_: int, number: int) -> str:
    """Return the id of one event of a request: the same whoever maps it, and of each round another."""
    raw = hashlib.sha256(b"%b:%d:%d" % (request.bytes, round_, number)).digest()
    return show("evt", UUID(bytes=request.bytes[:6] + raw[:10]))


def _emit(written: Mapping[str, Any], place: tuple[str | int, ...]) -> Emit:
    roots = PLACES[PLACE]
    inner = roots | {ITEM} if "each" in written else roots
    return Emit(
        place,
        written["type"],
        written.get("schema_version"),
        compile_map(written["data"], inner),
        compile_expression(written["each"], roots) if "each" in written else None,
        compile_expression(written["when"], inner) if "when" in written else None,
        {
            name: compile_expression(written[name], inner)
            for name in ("subject", "id", "time", "source", "correlation")
            if name in written
        },
    )


def _scopes(emit: Emit, scope: Mapping[str, Any], budget: Budget) -> Iterator[Mapping[str, Any]]:
    if emit.each is None:
        yield scope
        return
    place = (*emit.place, "each")
    items = _at(emit.each, scope, budget, place)
    if items is None:
        return
    if not isinstance(items, list):
        raise _refused(place, f"each goes through a list, not a {kind_of(items)}")
    for item in items:
        yield {**scope, ITEM: item}


def _at(expression: Expression, scope: Mapping[str, Any], budget: Budget, place: tuple[str | int, ...]) -> Any:
    try:
        return expression.run(scope, budget)
    except EvaluationError as error:
        raise error.within(*place) from error.__cause__


def _text(value: Any, pattern: re.Pattern[str], place: tuple[str | int, ...], what: str) -> str | None:
    """Return an attribute as text; numbers are written out, nothing and an empty text are none."""
    if value is None or value == "":
        return None
    try:
        text = value if isinstance(value, str) else as_text(value) if _is_number(value) else ""
    except Refused as refused:
        raise _refused(place, refused.message) from None
    if not pattern.fullmatch(text):
        raise _refused(place, f"{what} is needed here, and this is a {kind_of(value)} of another form")
    return text


def _is_number(value: Any) -> bool:
    return isinstance(value, _NUMBERS) and not isinstance(value, bool)


def _source(value: Any, place: tuple[str | int, ...]) -> str | None:
    source = _text(value, LINE, place, "a line of 1 to 512 characters")
    if source is not None and source.split("/")[0] == OURS:
        raise _refused(place, "sources that begin with crossdock are ours")
    return source


def _time(value: Any, place: tuple[str | int, ...]) -> datetime | None:
    if value is None:
        return None
    try:
        return parse_rfc3339(value)
    except (ValueError, TypeError):
        raise _refused(place, "an RFC 3339 time with an offset is needed here") from None


def _json(data: Any, place: tuple[str | int, ...]) -> str:
    try:
        return to_json(data)
    except TypeError as error:  # orjson: a number past 64 bits, or half of a surrogate pair
        raise _refused(place, f"the map made what JSON cannot hold: {error}") from error


def _refused(place: tuple[str | int, ...], message: str) -> Permanent:
    return Permanent(message, code=EMIT_REFUSED, source="mapping", pointer=list(place))
