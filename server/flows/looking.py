"""Steps that wait for the world: events, a moment, a person, a run of another flow. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from server.flows.flow import Approve, Child, Sleep, Wait
from server.flows.tasks import moment
from server.flows.undoing import STEP_STOPPED
from server.kernel.errors import CrossdockError, Failure, code
from server.mapping.values import truthy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from server.flows.advancing import Course
    from server.flows.flow import Step
    from server.flows.rows import Ended, Row

STEP_TIMEOUT = code("STEP_TIMEOUT", "The step did not end within its `timeout`.")
WAIT_TIMEOUT = code("WAIT_TIMEOUT", "What a step waited for did not come within its `timeout`.")
REJECTED = code("REJECTED", "A person rejected what an `approve` step asked for.")
CHILD_FAILED = code(
    "CHILD_FAILED", "The run of another flow that a step had started did not complete; `details` has its id."
)
SHOWN_EVENTS = 100
_SHOWN = ("id", "type", "subject", "time", "data")


def look(course: Course, step: Step, row: Row, now: datetime, *, stopping: bool) -> None:
    """See whether a wait is over: what it is for has come, its time is up, or it is not needed any more."""
    until = moment(row.note.get("until"))
    over = until is not None and now >= until
    match step.work:
        case Wait():
            events = course.arrived.get(row.path, ())
            if len(events) >= row.note["needed"]:
                course.done(row.path, _seen(events[: row.note["needed"]]), now)
                return
        case Sleep() if over:
            course.done(row.path, None, now)
            return
        case Approve() if (decision := row.note.get("decision")) is not None:
            _decide(course, step, row, decision, now)
            return
        case Child() if (ended := course.children.get(row.path)) is not None:
            _answer(course, step, row, ended, now)
            return
    if stopping:
        course.fail(step, row, stopped(step).as_dict(), now)
    elif over:
        course.fail(step, row, late(step).as_dict(), now)
    else:
        course.due(until)


def _decide(course: Course, step: Step, row: Row, decision: Mapping[str, Any], now: datetime) -> None:
    if decision["approved"]:
        course.done(row.path, dict(decision), now)
        return
    message = f"{decision.get('by')} rejected it: {decision.get('comment') or 'no comment'}"
    course.fail(step, row, Failure(REJECTED, message, "flow", dict(decision)).as_dict(), now)


def _answer(course: Course, step: Step, row: Row, ended: Ended, now: datetime) -> None:
    if ended.state == "completed":
        course.done(row.path, ended.output, now)
        return
    details = {"run": row.note["child"], "state": ended.state, "error": ended.error}
    message = f"the run of {step.id} ended {ended.state}"
    course.fail(step, row, Failure(CHILD_FAILED, message, "flow", details).as_dict(), now)


def judge(course: Course, path: str, views: Sequence[Mapping[str, Any]], now: datetime) -> list[bool]:
    """Say which of the events that arrived for a step it waits for, and keep them; these are all that have arrived so far."""
    row, step = course.rows[path], course.step_at(path)
    work = step.work
    where = work.where if isinstance(work, Wait) else None
    scope = course.scoping.of(course.scoping.place_of(path)) if where is not None else {}
    try:
        fit = [where is None or truthy(where.run({**scope, "arrived": view})) for view in views]
    except CrossdockError as error:
        course.fail(step, row, error.failure.as_dict(), now)
        return [True] * len(views)
    course.arrived[path] = [view for view, good in zip(views, fit, strict=True) if good]
    return fit


def late(step: Step) -> Failure:
    """Return the failure of a step whose time is over."""
    waits = isinstance(step.work, Wait | Approve)
    return Failure(WAIT_TIMEOUT if waits else STEP_TIMEOUT, f"the time of {step.id} is over", "flow")


def stopped(step: Step) -> Failure:
    """Return the failure of a step that is not needed any more."""
    return Failure(STEP_STOPPED, f"{step.id} was stopped", "flow")


def _seen(events: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    views = [{name: each.get(name) for name in _SHOWN} for each in events]
    return {**(views[0] if views else {}), "count": len(views), "events": views[:SHOWN_EVENTS]}
