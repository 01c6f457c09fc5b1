"""What a person's retry changes in a run that has ended: pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from server.flows import paths
from server.flows.flow import Block
from server.kernel.errors import Conflict, NotFound
from server.kernel.lifecycle import WRONG_STATE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server.flows.advancing import Course
    from server.flows.flow import Flow
    from server.flows.rows import Row


def reopen(course: Course, from_step: str | None = None) -> None:
    """Let a run go on where it broke, or go on undoing; with `from_step`, undo what that step and those behind it did, and do it again.

    What failed for certain begins anew, under keys of a new round, since the refusal is kept under the old ones. What may have been
    done keeps its key.

    Raises:
        NotFound: the flow itself has no such step.
        Conflict: WRONG_STATE, what is left to be undone comes before anything that could be done again.

    """
    run = course.run
    if run.state == "compensation_failed" and from_step is not None:
        message = "all that the run did is being undone: it goes on undoing, and cannot be done again from a step"
        raise Conflict(message, code=WRONG_STATE, state=run.state)
    run.round += 1
    if run.state == "compensation_failed":
        _undo_again(course)
        return
    if from_step is not None:
        if from_step not in {step.id for step in course.flow.steps}:
            raise NotFound(f"the flow has no step {from_step[:100]} of its own")
        run.resume_from = from_step
        course.move("compensating")
        return
    for row in sorted(course.rows.values(), key=lambda row: row.path.count("/")):
        if row.state == "failed" and row.path in course.rows and not _passed_over(course, row):
            _begin_again(course, row)
    run.error, run.deadline = None, None
    course.move("running")


def _undo_again(course: Course) -> None:
    for row in course.rows.values():
        if row.state != "undo_failed":
            continue
        row.move("undoing")
        row.undo_tries = 0
        row.note.pop("undo_until", None)
        if row.undo_error is not None and not row.undo_error.get("retryable"):
            row.note["undo_round"] = course.run.round
            row.note.pop("undo", None)
        row.note.pop("asked", None)
        course.changed(row)
    cancelled = course.run.error is None
    course.move("cancelling" if cancelled else "compensating")


def _passed_over(course: Course, row: Row) -> bool:
    """Say whether the run went on without it: it, or what it lies in, said `on_error: continue`."""
    for path in (row.path, *above(course.flow, row.path)):
        found = course.rows.get(path)
        if found is not None and found.state == "failed" and course.step_at(path).on_error == "continue":
            return True
    return False


def above(flow: Flow, path: str) -> Iterator[str]:
    """Yield the paths of all that a step lies in, the nearest first."""
    prefix, slash, last = path.rpartition("/")
    prefix += slash
    if last.endswith("]"):
        yield prefix + last.partition("[")[0]
    id_ = paths.step_of(path)
    while (parent := flow.parents.get(id_)) is not None:
        if isinstance(flow.by_id[parent].work, Block):
            yield prefix.removesuffix("/").rpartition("[")[0]
            prefix = prefix.removesuffix("/").rpartition("/")[0]
            prefix += "/" if prefix else ""
        else:
            yield prefix + parent
        id_ = parent


def _begin_again(course: Course, row: Row) -> None:
    step = course.step_at(row.path)
    row.note.pop("fallback", None)
    if step.container and not row.path.endswith("]") and "unbegun" not in row.note:
        row.note.pop("how", None)
        row.note.pop("until", None)
        row.move("running")
        row.error, row.ended_at = None, None
        course.changed(row)
    elif "unknown" in row.note or "effect" in row.note:
        row.note.pop("unknown", None)
        row.note["sent"] = True
        row.move("running")
        row.tries, row.ended_at = 0, None
        course.changed(row)
    elif "child" in row.note:  # the run that it started stands as it failed: it is that one which goes on
        row.note.pop("until", None)
        row.move("running")
        row.error, row.ended_at = None, None
        course.changed(row)
    else:
        course.remove(row.path)
