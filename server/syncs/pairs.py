"""The typed view of `two_way`: the job back, what both sides share, and how conflicts are decided."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from server.kernel.policies import parse_duration
from server.mapping import PLACES, Expression, compile_expression
from server.sdk.positions import as_json
from server.syncs import windows
from server.syncs.job import DEFAULT_ACTION, DEFAULT_DELETE_PERCENT, DEFAULT_EVERY, PLACE, Job, job_of
from server.syncs.merging import DEFAULT_POLICY, Rules

if TYPE_CHECKING:
    from collections.abc import Mapping

    from server.sdk.sources import Row
    from server.sdk.targets import Action

Side = Literal["source", "target"]
SIDES: tuple[Side, ...] = ("source", "target")
DEFAULT_OF = "both"


@dataclass(frozen=True, slots=True)
class Crossing:
    """How deletes cross over: of which sides, how often they are looked for (seconds), and what is done on the other."""

    of: tuple[Side, ...]
    every: float
    action: Action
    max_percent: Decimal


@dataclass(frozen=True, slots=True)
class Pair:
    """Both directions of a job. `fields` are those of the target's records that are compared, without the key's."""

    there: Job
    back: Job
    fields: tuple[str, ...]
    rules: Rules
    updated: Mapping[Side, Expression]
    deletes: Crossing | None = None

    def later(self, source: Row | None, target: Row | None) -> Side:
        """Return the side whose row was changed last; the source where that is not known, or both at once."""
        mine, theirs = self._time("source", source), self._time("target", target)
        return "target" if theirs is not None and (mine is None or theirs > mine) else "source"

    def _time(self, side: Side, row: Row | None) -> datetime | None:
        expression = self.updated.get(side)
        if expression is None or row is None:
            return None
        return windows.moment(expression.run({"row": readable(row), "run": {}}))


def pair_of(job: Job) -> Pair | None:
    """Return both directions of a job; None where it goes one way."""
    body = job.two_way
    if body is None:
        return None
    back = job_of({"name": job.name, "source": body["source"], "map": body["map"], "target": body["target"]})
    conflicts = body.get("conflicts", {})
    return Pair(
        there=job,
        back=replace(back, batch=job.batch, guards=job.guards, on_record_error=job.on_record_error),
        fields=tuple(each for each in job.map if each not in job.target.match_on),
        rules=Rules(conflicts.get("default", DEFAULT_POLICY), conflicts.get("fields", {})),
        deletes=_crossing(body.get("deletes")),
        updated={side: compile_expression(text, PLACES[PLACE]) for side, text in body.get("updated", {}).items()},
    )


def _crossing(body: Mapping[str, Any] | None) -> Crossing | None:
    if body is None:
        return None
    of = body.get("of", DEFAULT_OF)
    return Crossing(
        SIDES if of == DEFAULT_OF else (of,),
        parse_duration(body.get("every", DEFAULT_EVERY)),
        body.get("action", DEFAULT_ACTION),
        Decimal(body.get("max_percent", DEFAULT_DELETE_PERCENT)),
    )


def readable(row: Row) -> dict[str, Any]:
    """Return a row as expressions know it: a moment is a text in UTC with `Z`."""
    return {name: _text(value) for name, value in row.items()}


def _text(value: Any) -> Any:
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else as_json(value)
