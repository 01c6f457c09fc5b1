"""Which steps are undone next: newest first, one at a time, whatever of the run is known. Pure.

What a call whose outcome nobody knows has done is found out first: it is made again with its key, until it was done, and is then
undone like any other, or was refused, and then there is nothing to undo.
"""

from __future__ import annotations

import math
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from server.flows.flow import Atomic, Call, Child
from server.flows.tasks import Next, Task, moment
from server.kernel.clock import rfc3339
from server.kernel.errors import CrossdockError, Failure, code

if TYPE_CHECKING:
    from datetime import datetime

    from server.flows.advancing import Course
    from server.flows.flow import Step
    from server.flows.rows import Row
    from server.flows.states import State

STEP_STOPPED = code("STEP_STOPPED", "The step was stopped, because another one had failed or the run was ended.")
CHILD_NOT_UNDONE = code("CHILD_NOT_UNDONE", "The run of another flow that a step had started could not be undone.")
STATES: frozenset[State] = frozenset(("compensating", "cancelling"))
UNKNOWN_FOR = timedelta(hours=24)
"""How long an outcome is asked for: as long as the results of calls are kept under their keys."""
_LONGEST = 300.0
_MOST_DOUBLINGS = 10


def following(course: Course, now: datetime) -> Next:
    """Return what is undone next, until when nothing is, or the state in which the run has ended."""
    if course.to_undo is None:
        course.to_undo = _found(course, now)
    while course.to_undo:
        row = course.rows[course.to_undo[-1]]
        found = _look(course, course.step_at(row.path), row, now)
        if found is not None:
            return found
        course.to_undo.pop()
    return _over(course, now)


def _found(course: Course, now: datetime) -> list[str]:
    """End what is under way, and return what is to be undone, the newest last."""
    for row in list(course.rows.values()):
        if row.state in ("running", "waiting"):
            _stop(course, row, now)
    order = course.flow.order
    since = order[course.run.resume_from] if course.run.resume_from else 0
    steps = {path: course.step_at(path) for path in course.rows}
    found = [row for row in course.rows.values() if order[steps[row.path].id] >= since]
    return [row.path for row in sorted(found, key=_age) if _undoable(steps[row.path], row)]


def _age(row: Row) -> float:
    return math.inf if "unknown" in row.note else row.number


def _stop(course: Course, row: Row, now: datetime) -> None:
    step = course.step_at(row.path)
    sent = row.state == "running" or row.tries > 0 or "sent" in row.note
    if sent and _has_undo(step) and not step.container and "fallback" not in row.note:
        row.note["unknown"] = rfc3339(now)
    row.error = Failure(STEP_STOPPED, f"{step.id} was stopped", "flow").as_dict()
    row.move("failed")
    row.ended_at = now
    course.changed(row)


def _has_undo(step: Step) -> bool:
    match step.work:
        case Call(undo=undo):
            return undo is not None
        case Atomic(steps=steps):
            return any(_has_undo(each) for each in steps)
        case _:
            return False


def _undoable(step: Step, row: Row) -> bool:
    match step.work:
        case Child(undone=undone):
            own = undone and "child" in row.note and "joined" not in row.note
            return own and row.state in ("done", "failed", "undoing")
        case Call(undo=undo) if undo is not None and not step.container:
            if row.state == "done":
                return "fallback" not in row.note or "unknown" in row.note
            return row.state == "undoing" or (row.state == "failed" and ("unknown" in row.note or "effect" in row.note))
        case Atomic():
            return _has_undo(step) and (row.state == "undoing" or (row.state == "failed" and "unknown" in row.note))
        case _:
            return False


def _look(course: Course, step: Step, row: Row, now: datetime) -> Next | None:
    """Return what is to be done about a step that is undone, or None when that is over."""
    if row.state in ("done", "failed"):
        row.move("undoing")
        row.undo_tries = 0
        course.changed(row)
    if row.state != "undoing":
        return None
    until = moment(row.note.get("undo_until"))
    if until is not None and now < until:
        return Next(until=until)
    row.note.pop("undo_until", None)
    if "unknown" in row.note:
        return Next((Task(row.path, step, row, "resolve"),))
    if isinstance(step.work, Child):
        return _child(course, step, row, now)
    if "undo" not in row.note and not _made(course, step, row, now):
        return None
    return Next((Task(row.path, step, row, "undo"),))


def _made(course: Course, step: Step, row: Row, now: datetime) -> bool:
    """Work out the input of an undo, once; False when it cannot be."""
    if not isinstance(step.work, Call) or step.work.undo is None:
        raise TypeError("only a call has an undo of its own")
    result = row.note.get("late", row.result)
    try:
        scope = course.scoping.of(course.scoping.place_of(row.path), result=result)
        row.note["undo"] = step.work.undo.calling.with_.run(scope)
    except CrossdockError as error:
        refused(course, row.path, error.failure, now)
        return False
    course.changed(row)
    return True


def _child(course: Course, step: Step, row: Row, now: datetime) -> Next | None:
    if "asked" not in row.note:
        return Next((Task(row.path, step, row, "undo"),))
    ended = course.children.get(row.path)
    if ended is None:
        return Next()
    if ended.state == "compensation_failed":
        details: dict[str, Any] = {"run": row.note["child"]}
        failure = Failure(CHILD_NOT_UNDONE, f"the run of {step.id} could not be undone", "flow", details)
        refused(course, row.path, failure, now)
    else:
        done(course, row.path, now)
    return None


def _over(course: Course, now: datetime) -> Next:
    run = course.run
    if any(row.state == "undo_failed" for row in course.rows.values()):
        course.move("compensation_failed")
    elif run.resume_from is not None:
        since = course.flow.order[run.resume_from]
        for path in list(course.rows):
            if course.flow.order[course.step_at(path).id] >= since:
                course.remove(path)
        run.resume_from, run.error, course.to_undo = None, None, None
        course.move("running")
        return course.next(now)
    else:
        course.move("cancelled" if run.state == "cancelling" else "compensated")
    return Next(ended=run.state)


# ── outcomes ────────────────────────────────────────────────────────────────────────────────────────────────────────


def done(course: Course, path: str, now: datetime) -> None:
    """Take that a step was undone."""
    row = course.rows[path]
    row.move("undone")
    row.undone_at, row.undo_error = now, None
    course.changed(row)


def again(course: Course, path: str, failure: Failure, until: datetime, *, counted: bool) -> None:
    """Let an undo be tried again at a moment; `counted` when it was tried at all."""
    row = course.rows[path]
    row.undo_tries += counted
    row.undo_error = failure.as_dict()
    row.note["undo_until"] = rfc3339(until)
    course.changed(row)


def refused(course: Course, path: str, failure: Failure, now: datetime) -> None:
    """Take that a step cannot be undone; the others still are."""
    row = course.rows[path]
    row.move("undo_failed")
    row.undo_tries += 1
    row.undo_error, row.undone_at = failure.as_dict(), now
    course.changed(row)


def resolved(course: Course, path: str, result: Any) -> None:
    """Take that a call whose outcome nobody knew has been done, with this result: now it can be undone."""
    row = course.rows[path]
    del row.note["unknown"]
    row.note["late"] = result
    row.undo_tries = 0
    course.changed(row)


def unresolved(course: Course, path: str, failure: Failure, now: datetime) -> None:
    """Ask again later for an outcome, for a day; then nobody will ever know."""
    row = course.rows[path]
    since = moment(row.note["unknown"])
    if since is not None and now - since > UNKNOWN_FOR:
        refused(course, path, failure, now)
        return
    pause = min(2.0 ** min(row.undo_tries, _MOST_DOUBLINGS), _LONGEST)
    again(course, path, failure, now + timedelta(seconds=pause), counted=True)


def no_effect(course: Course, path: str, now: datetime) -> None:
    """Take that a call whose outcome nobody knew was never done, and never will be."""
    del course.rows[path].note["unknown"]
    done(course, path, now)


def asked(course: Course, path: str) -> None:
    """Note that the run of a `flow` step was told to undo itself."""
    row = course.rows[path]
    row.note["asked"] = True
    course.children.pop(path, None)
    course.changed(row)


def atomic_resolved(course: Course, path: str, now: datetime) -> None:
    """Take that calls in one transaction have been done after all: each is undone now."""
    row = course.rows[path]
    del row.note["unknown"]
    done(course, path, now)
    if course.to_undo is not None:
        inner = [each for each in course.step_at(path).inner if _has_undo(each)]
        prefix = path.removesuffix(course.step_at(path).id)
        course.to_undo[-1:] = [prefix + each.id for each in inner]
