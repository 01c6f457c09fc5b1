"""What runs tell: the events that their steps emit, and our own, of runs that did not end well or wait for a person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from server.events.envelope import NewEvent, to_json
from server.flows import waits, waking
from server.flows.starting import KIND
from server.kernel.errors import Failure
from server.kernel.ids import show
from server.queue import dead_letters
from server.queue.dead_letters import DeadLetter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from server.events.publishing import Publisher
    from server.flows.advancing import Course
    from server.flows.progress import Loaded
    from server.flows.rows import Row
    from server.store import Tx

FAILED = "crossdock.flow_run.failed"
COMPENSATED = "crossdock.flow_run.compensated"
COMPENSATION_FAILED = "crossdock.flow_run.compensation_failed"
APPROVAL_REQUESTED = "crossdock.flow_run.approval_requested"
TYPES = {
    FAILED: "A run failed, and what it did stays.",
    COMPENSATED: "A run failed or was cancelled, and all that it did is undone.",
    COMPENSATION_FAILED: "A run failed, and something of what it did could not be undone: a person is needed.",
    APPROVAL_REQUESTED: "A run waits for a person to approve.",
}
_TOLD = {
    "failed": FAILED,
    "compensated": COMPENSATED,
    "cancelled": COMPENSATED,
    "compensation_failed": COMPENSATION_FAILED,
}


def emit(tx: Tx, publisher: Publisher, run: Loaded, made: Mapping[str, Any]) -> dict[str, Any]:
    """Publish the event of an `emit` step, and return its result.

    Raises:
        Permanent: LOOP_DETECTED.
        Invalid: SCHEMA_VIOLATION.

    """
    trail = run.trail.through(f"flow/{run.flow_name}")
    new = NewEvent(
        type=made["type"],
        source=f"flow/{run.flow_name}",
        subject=made["subject"],
        data=to_json(made["data"]),
        schema_version=made["version"],
        extensions=trail.extensions() or None,
    )
    (published,) = publisher.publish(tx, [new])
    return {"id": published.id}


def approvals(tx: Tx, publisher: Publisher, run: Loaded, rows: Sequence[Row]) -> None:
    """Tell that steps wait for a person."""
    if rows:
        publisher.publish_ours(
            tx, [_event(run, APPROVAL_REQUESTED, step=row.path, message=row.note["message"]) for row in rows]
        )


def ended(tx: Tx, publisher: Publisher, hint: Callable[[], None], run: Loaded, course: Course) -> None:
    """Do what the end of a run brings with it: a dead letter, our event, and the run that waits for it goes on."""
    state = course.run.state
    waits.end(tx.conn, [run.id])
    if run.parent_id is not None:
        waking.wake(tx.conn, run.workspace_id, [run.parent_id])
    if state in ("failed", "compensation_failed"):
        dead_letters.add(tx.conn, [_letter(run, course)])
    if state in _TOLD:
        publisher.publish_ours(tx, [_event(run, _TOLD[state], state=state, error=course.run.error)])
    tx.after_commit("hint", hint)


def _letter(run: Loaded, course: Course) -> DeadLetter:
    known = course.run.error or {}
    broken = [row for row in course.rows.values() if row.state == "undo_failed"]
    error = (broken[-1].undo_error if broken else None) or known
    source = str(error.get("source", "flow"))
    return DeadLetter(
        workspace_id=run.workspace_id,
        kind=KIND,
        ref=run.id,
        owner=f"flow/{run.flow_name}",
        owner_id=run.flow_id,
        reason=_reason(course, error),
        error=Failure(**error) if error else Failure("INTERNAL", "unknown", "flow"),
        correlation_id=run.correlation_id,
        attempts=max((row.tries for row in course.rows.values()), default=0),
        first_attempt_at=course.run.started_at,
        adapter=source.removeprefix("integration/") if source.startswith("integration/") else None,
    )


def _reason(course: Course, error: Mapping[str, Any]) -> str:
    if course.run.state == "compensation_failed":
        return "compensation_failed"
    if error.get("retryable"):
        return "exhausted"
    return "mapping" if error.get("source") == "mapping" else "refused"


def _event(run: Loaded, type_: str, **more: Any) -> NewEvent:
    data = {"run_id": run.run.id, "flow": run.flow_name, "correlation_id": run.correlation_id, **more}
    return NewEvent(
        type=type_,
        source="crossdock",
        subject=f"flow/{run.flow_name}",
        data=to_json(data),
        correlation_id=run.correlation_id,
        causation_id=show("run", run.id),
    )
