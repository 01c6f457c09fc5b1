"""A sync job as its engine sees it: the typed view of a checked definition."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from server.integrations.fallback import split_call
from server.kernel.policies import Growing, RetrySchedule, parse_duration
from server.mapping import PLACES, CompiledMap, Expression, compile_expression, compile_map
from server.queue.claims import PRIORITIES
from server.syncs.references import Reference, split
from server.syncs.schedule import Schedule, schedule_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from server.sdk.targets import Action

PLACE = "sync_job"
EVENT_PLACE = "sync_job_on_event"
Kind = Literal["datetime", "integer", "string", "token", "file_time"]
Missing = Literal["skip", "read", "fail"]
Mode = Literal["append", "insert_only", "update_only", "upsert", "replace", "mirror"]
Detect = Literal["flag", "tombstone", "key_snapshot"]
OnError = Literal["fail", "skip", "dead_letter"]
Drifts = Literal["evolve", "freeze", "dead_letter", "ignore"]
KINDS: tuple[Kind, ...] = ("datetime", "integer", "string", "token", "file_time")
MISSINGS: tuple[Missing, ...] = ("skip", "read", "fail")
MODES: tuple[Mode, ...] = ("append", "insert_only", "update_only", "upsert", "replace", "mirror")
DETECTS: tuple[Detect, ...] = ("flag", "tombstone", "key_snapshot")
ON_ERRORS: tuple[OnError, ...] = ("fail", "skip", "dead_letter")
DRIFTS: tuple[Drifts, ...] = ("evolve", "freeze", "dead_letter", "ignore")
ACTIONS: tuple[Action, ...] = ("archive", "delete")

DEFAULT_MODE: Mode = "upsert"
DEFAULT_BATCH = 100
DEFAULT_ON_ERROR: OnError = "dead_letter"
DEFAULT_DRIFT: Drifts = "evolve"
DEFAULT_ACTION: Action = "archive"
DEFAULT_EVERY = "24h"
DEFAULT_MISSING: Missing = "skip"
DEFAULT_PRIORITY = "normal"
DEFAULT_KIND: Kind = "datetime"
DEFAULT_ERROR_PERCENT = Decimal(5)
DEFAULT_CHANGE_PERCENT = Decimal(100)
DEFAULT_DELETE_PERCENT = Decimal(10)
RETRY = Growing(attempts=6, initial="2s", max="60s")
"""The pauses after a batch that failed in a way that may pass."""

RUN_SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["id", "job", "cause", "started_at"],
    "properties": {
        "id": {"type": "string"},
        "job": {"type": "string"},
        "cause": {"type": "string"},
        "started_at": {"type": "string"},
        "nominal": {"type": ["string", "null"]},
    },
}
"""What an expression sees as `run`: its id, the job's name, schedule, event or person, and when; `nominal` by schedule."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """A checked `cursor`. Spans are seconds for times, else a count; `initial` and `until` have a value per field."""

    kind: Kind = DEFAULT_KIND
    fields: tuple[str, ...] = ()
    initial: tuple[Any, ...] | None = None
    until: tuple[Any, ...] | None = None
    lookback: float = 0
    settle: float = 0
    step: float | None = None
    missing: Missing = DEFAULT_MISSING


@dataclass(frozen=True, slots=True)
class From:
    """A checked `source`: the integration and operation, the operation's options, and how its rows are told apart.

    Without a cursor every run reads all rows, and what has changed is told by the hash of each.
    """

    integration: str
    operation: str
    options: Mapping[str, Any]
    primary_key: tuple[str, ...] = ()
    cursor: Cursor | None = None
    partitions: int = 1


@dataclass(frozen=True, slots=True)
class Deletes:
    """A checked `delete`: how what is gone is found, how often (seconds, key snapshots only), and what is done."""

    detect: Detect
    action: Action = DEFAULT_ACTION
    every: float = parse_duration(DEFAULT_EVERY)
    when: str | None = None
    max_percent: Decimal = DEFAULT_DELETE_PERCENT


@dataclass(frozen=True, slots=True)
class To:
    """A checked `target`. `revertible` is how long what was there before is kept, in seconds; None where nothing is said.

    One that fills an inbound webhook has no integration: `webhook` names it.
    """

    integration: str
    operation: str
    options: Mapping[str, Any]
    mode: Mode = DEFAULT_MODE
    match_on: tuple[str, ...] = ()
    skip_unchanged: bool = True
    delete: Deletes | None = None
    revertible: float | None = None
    webhook: str | None = None


@dataclass(frozen=True, slots=True)
class Guards:
    """Shares of the records known, in percent, above which a run stops before it does damage."""

    max_error_percent: Decimal = DEFAULT_ERROR_PERCENT
    max_change_percent: Decimal = DEFAULT_CHANGE_PERCENT


@dataclass(frozen=True)
class Job:
    """A sync job. `one` is the expression that gives the key of the one record an event syncs; None runs the whole job."""

    name: str
    source: From
    target: To
    map: Any = None
    schedule: Schedule | None = None
    events: tuple[str, ...] = ()
    one: str | None = None
    batch: int = DEFAULT_BATCH
    on_record_error: OnError = DEFAULT_ON_ERROR
    schema_drift: Drifts = DEFAULT_DRIFT
    guards: Guards = field(default_factory=Guards)
    retry: RetrySchedule = field(default_factory=RetrySchedule)
    priority: int = PRIORITIES[DEFAULT_PRIORITY]
    two_way: Mapping[str, Any] | None = None

    @cached_property
    def compiled(self) -> CompiledMap | None:
        """The map, compiled once; without one a row is the record.

        Raises:
            ExpressionError: the body was never checked.

        """
        return None if self.map is None else compile_map(split(self.map)[0], PLACES[PLACE])

    @cached_property
    def references(self) -> tuple[Reference, ...]:
        """The places of a record that stand for records of other jobs."""
        return () if self.map is None else split(self.map)[1]

    @cached_property
    def gone(self) -> Expression | None:
        """The flag by which a row says that it is deleted."""
        flag = self.target.delete.when if self.target.delete else None
        return None if flag is None else compile_expression(flag, PLACES[PLACE])

    @cached_property
    def one_key(self) -> Expression | None:
        """The expression of `on_event.one`."""
        return None if self.one is None else compile_expression(self.one, PLACES[EVENT_PLACE])


def job_of(body: Mapping[str, Any]) -> Job:
    """Return the typed view of a checked body, with defaults filled in."""
    batch, guards = body.get("batch", {}), body.get("guards", {})
    return Job(
        name=body["name"],
        source=_from(body["source"]),
        target=_to(body["target"]),
        map=body.get("map"),
        schedule=schedule_of(body.get("schedule")),
        events=tuple(body.get("events", ())),
        one=body.get("on_event", {}).get("one"),
        batch=int(batch.get("size", DEFAULT_BATCH)),
        on_record_error=body.get("on_record_error", DEFAULT_ON_ERROR),
        schema_drift=body.get("schema_drift", DEFAULT_DRIFT),
        guards=Guards(
            Decimal(guards.get("max_error_percent", DEFAULT_ERROR_PERCENT)),
            Decimal(guards.get("max_change_percent", DEFAULT_CHANGE_PERCENT)),
        ),
        retry=RETRY.schedule(body.get("retry", {})),
        priority=PRIORITIES[body.get("priority", DEFAULT_PRIORITY)],
        two_way=body.get("two_way"),
    )


OF_SOURCE = ("call", "primary_key", "cursor", "partitions")
OF_TARGET = ("call", "webhook", "mode", "match_on", "skip_unchanged", "delete", "revertible")
"""What of a source and a target is ours; all else that stands there is an option of the operation."""


def _from(body: Mapping[str, Any]) -> From:
    cursor = body.get("cursor")
    return From(
        *_ends(body["call"]),
        {key: value for key, value in body.items() if key not in OF_SOURCE},
        tuple(body.get("primary_key", ())),
        None if cursor is None else _cursor(cursor),
        int(body.get("partitions", 1)),
    )


def _cursor(body: Mapping[str, Any]) -> Cursor:
    return Cursor(
        body.get("kind", DEFAULT_KIND),
        tuple(body.get("fields", ())),
        _values(body.get("initial")),
        _values(body.get("until")),
        _span(body.get("lookback", 0)),
        _span(body.get("settle", 0)),
        _span(body["step"]) if "step" in body else None,
        body.get("missing", DEFAULT_MISSING),
    )


def _values(written: Any) -> tuple[Any, ...] | None:
    if written is None:
        return None
    return tuple(written) if isinstance(written, list) else (written,)


def _span(written: Any) -> float:
    return parse_duration(written) if isinstance(written, str) else float(written)


def _to(body: Mapping[str, Any]) -> To:
    if "webhook" in body:
        skip = body.get("skip_unchanged", True)
        return To("", "", {}, mode="insert_only", skip_unchanged=skip, webhook=body["webhook"])
    delete = body.get("delete")
    return To(
        *_ends(body["call"]),
        {key: value for key, value in body.items() if key not in OF_TARGET},
        body.get("mode", DEFAULT_MODE),
        tuple(body.get("match_on", ())),
        body.get("skip_unchanged", True),
        None if delete is None else _deletes(delete),
        parse_duration(body["revertible"]) if "revertible" in body else None,
    )


def _deletes(body: Mapping[str, Any]) -> Deletes:
    return Deletes(
        body["detect"],
        body.get("action", DEFAULT_ACTION),
        parse_duration(body.get("every", DEFAULT_EVERY)),
        body.get("when"),
        Decimal(body.get("max_percent", DEFAULT_DELETE_PERCENT)),
    )


def _ends(call: str) -> tuple[str, str]:
    parts = split_call(call)
    return parts if parts is not None else ("", "")
