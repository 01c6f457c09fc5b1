"""A run on a line of time: when each step was at work, as shares of the whole. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from server.flows.graph import about
from server.flows.paths import step_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from server.flows.flow import Flow

_LEAST = 0.5


@dataclass(frozen=True, slots=True)
class Bar:
    """One step on the line: `left` and `wide` in percent of the whole. `depth` is how many lists it lies in."""

    path: str
    about: str
    depth: int
    left: float
    wide: float
    seconds: float | None
    step: Mapping[str, Any]


def in_order(flow: Flow, steps: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return steps as they began; what began at the same moment stands as in the file."""
    order = {each["path"]: (each["began_at"], flow.order.get(step_of(each["path"]), 0), each["path"]) for each in steps}
    return sorted(steps, key=lambda one: order[one["path"]])


def bars(flow: Flow, run: Mapping[str, Any], steps: Sequence[Mapping[str, Any]], now: datetime) -> list[Bar]:
    """Return the steps of a run, as the API shows both, on one line of time; what is under way reaches to now."""
    start = min((each["began_at"] for each in steps), default=run["created_at"])
    ends = [each[name] for each in steps for name in ("ended_at", "undone_at") if each[name] is not None]
    end = run["ended_at"] or (max(ends) if run["state"] == "waiting" and ends else now)
    whole = max((end - start).total_seconds(), 0.001)
    found = []
    for each in in_order(flow, steps):
        left = (each["began_at"] - start).total_seconds()
        right = ((each["ended_at"] or end) - start).total_seconds()
        known = flow.by_id.get(step_of(each["path"]))
        said = "" if known is None else about(known.one if each["path"].endswith("]") else known)
        found.append(
            Bar(
                each["path"],
                said,
                each["path"].count("[") + each["path"].count("/"),
                _percent(left, whole),
                max(_percent(right - left, whole), _LEAST),
                each["seconds"],
                each,
            )
        )
    return found


def _percent(seconds: float, whole: float) -> float:
    return round(min(max(100.0 * seconds / whole, 0.0), 100.0), 2)
