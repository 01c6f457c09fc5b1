"""The typed view of `two_way`: the job back, what both sides share, and how conflicts are decided."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from server.mapping import PLACES, Expression, compile_expression
from server.sdk.positions import as_json
from server.syncs import windows
from server.syncs.job import PLACE, Job, job_of
from server.syncs.merging import DEFAULT_POLICY, Rules

if TYPE_CHECKING:
    from collections.abc import Mapping

    from server.sdk.sources import Row

Side = Literal["source", "target"]


@dataclass(frozen=True, slots=True)
class Pair:
    """Both directions of a job. `fields` are those of the target's records that are compared, without the key's."""

    there: Job
    back: Job
    fields: tuple[str, ...]
    rules: Rules
    updated: Mapping[Side, Expression]

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
        updated={side: compile_expression(text, PLACES[PLACE]) for side, text in body.get("updated", {}).items()},
    )


def readable(row: Row) -> dict[str, Any]:
    """Return a row as expressions know it: a moment is a text in UTC with `Z`."""
    return {name: _text(value) for name, value in row.items()}


def _text(value: Any) -> Any:
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else as_json(value)
