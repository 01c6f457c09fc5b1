"""What people do about runs: cancel them, let them be tried again, have them undone, and decide what they wait for.

Each takes the run from whoever works on it: what that worker has not stored is done again, under the same keys.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from server.flows import again, metrics, progress, undoing, waits, waking
from server.flows.advancing import Course
from server.flows.flow import Approve, flow_of
from server.flows.progress import Record
from server.flows.starting import KIND, LANE_LIMIT
from server.flows.states import ENDED, UNDER_WAY, moved
from server.integrations.pinned import body_of
from server.kernel.clock import rfc3339
from server.kernel.errors import Conflict, Forbidden, NotFound, code
from server.kernel.ids import show
from server.kernel.lifecycle import HELD_STATES, WRONG_STATE
from server.queue import claims, dead_letters
from server.queue.claims import Claim, Due
from server.store.values import read_json, write_json

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

    from server.flows.progress import Loaded
    from server.flows.states import State
    from server.store import Tx

STEP_NOT_ASKING = code(
    "STEP_NOT_ASKING", "The step waits for nobody's decision: it was decided before, or its time is over."
)
_RUN = """
SELECT r.id, r.flow_id, r.state, r.priority, r.parent_id, r.definition_version, f.state AS flow_state, f.name AS flow
FROM flow_runs r JOIN flows f ON f.id = r.flow_id WHERE r.workspace_id = :workspace_id AND r.id = :run FOR UPDATE OF r
"""
_CHILDREN = """
SELECT id FROM flow_runs WHERE workspace_id = :workspace_id AND parent_id = :run AND state IN ('queued', 'running', 'waiting')
ORDER BY id
"""
_MOVE = """
UPDATE flow_runs SET state = :state, ended_at = CASE WHEN :over THEN now() END,
  cancelled_at = CASE WHEN :cancels THEN now() ELSE cancelled_at END,
  cancelled_by = CASE WHEN :cancels THEN :by ELSE cancelled_by END
WHERE workspace_id = :workspace_id AND id = :run
"""
_STEP = """
SELECT note::text AS note, state, (note ->> 'until')::timestamptz > now() AS open, now() AS now FROM flow_steps
WHERE workspace_id = :workspace_id AND run_id = :run AND path = :path
"""


def cancel(tx: Tx, run: UUID, hint: Callable[[], None], *, undo: bool = True) -> State:
    """End a run that is under way: what it did is undone first, unless that is not wanted. Return its state.

    Raises:
        NotFound.
        Conflict: WRONG_STATE, it has ended, or is being undone.

    """
    row = _locked(tx, run)
    if row.state not in UNDER_WAY:
        raise Conflict(f"the run is {row.state}: it cannot be cancelled", code=WRONG_STATE, state=row.state)
    after = moved(row.state, "cancelling")
    if not undo or row.state == "queued":
        after = moved(after, "cancelled")
    _move(tx, row, after, cancels=True)
    for child in tx.all(_CHILDREN, run=run) if after == "cancelled" else ():
        with suppress(Conflict):  # it has just ended; with an undo, theirs is a part of it
            cancel(tx, child.id, hint, undo=False)
    tx.after_commit("hint", hint)
    return after


def compensate(tx: Tx, run: UUID, hint: Callable[[], None]) -> State:
    """Have what a failed run did undone; return its state.

    Raises:
        NotFound.
        Conflict: WRONG_STATE.

    """
    row = _locked(tx, run)
    if row.state != "failed":
        raise Conflict(f"the run is {row.state}: only one that failed can be undone", code=WRONG_STATE, state=row.state)
    _move(tx, row, "compensating")
    dead_letters.resolve_refs(tx, [run], "replayed")
    tx.after_commit("hint", hint)
    return "compensating"


def take_back(tx: Tx, run: UUID) -> None:
    """Have the run of a `flow` step undone with the run that started it: whatever state it is in."""
    row = _locked(tx, run)
    if row.state in ("completed", "failed"):
        _move(tx, row, "compensating")
        if row.state == "failed":
            dead_letters.resolve_refs(tx, [run], "replayed")
    elif row.state in ("queued", "running", "waiting"):
        _move(tx, row, moved(row.state, "cancelling"))
    elif row.state == "compensating":  # perhaps only to be done again from a step
        tx.run("UPDATE flow_runs SET resume_from = NULL WHERE workspace_id = :workspace_id AND id = :run", run=run)
        _due(tx, row)


def retry(tx: Tx, run: UUID, hint: Callable[[], None], *, from_step: str | None = None) -> State:
    """Let a run that failed go on where it broke, or go on undoing one whose undo failed; return its state.

    With `from_step` it is done again from that step on: what it and those behind it did is undone first.

    Raises:
        NotFound: the run, or a step of the flow itself with that name.
        Conflict: WRONG_STATE; also for a step of a run that is to be undone.

    """
    row = _locked(tx, run)
    if row.state not in ("failed", "compensation_failed"):
        message = (
            f"the run is {row.state}: only one that failed can be tried again; `crossdock flow start` begins a new one"
        )
        raise Conflict(message, code=WRONG_STATE, state=row.state)
    loaded = _loaded(tx, run)
    body = body_of(tx.conn, tx.scope.workspace_id, "flow", row.flow_id, row.definition_version)
    if body is None:
        raise NotFound("the definition that the run began with is not kept")
    course = Course.of(flow_of(body), loaded.run, loaded.rows)
    again.reopen(course, from_step)
    record = Record(loaded.claim, course.take(), list(course.removed), loaded.run)
    progress.write(tx.conn, [record])
    tx.run(
        "UPDATE flow_runs SET round = :round, ended_at = NULL, deadline = NULL WHERE workspace_id = :workspace_id AND id = :run",
        round=course.run.round,
        run=run,
    )
    _due(tx, row)
    dead_letters.resolve_refs(tx, [run], "replayed")
    tx.after_commit("hint", hint)
    return course.run.state


def go_on(tx: Tx, run: UUID, hint: Callable[[], None]) -> bool:
    """Let the run of a `flow` step go on if it failed; False when nothing of it is left to go on with: it was undone, or forgotten."""
    try:
        row = _locked(tx, run)
    except NotFound:
        return False
    if row.state == "failed":
        retry(tx, run, hint)
    return row.state not in (*undoing.STATES, "compensated", "cancelled", "compensation_failed")


def stop(tx: Tx, run: UUID, hint: Callable[[], None]) -> None:
    """End the run of a `flow` step that is not waited for any more, if it is under way: what it did is undone."""
    with suppress(Conflict, NotFound):
        cancel(tx, run, hint)


def decide(
    tx: Tx,
    run: UUID,
    path: str,
    hint: Callable[[], None],
    *,
    approved: bool,
    roles: Sequence[str] = (),
    comment: str | None = None,
) -> None:
    """Approve or reject what a step asks for. `roles` are those of whoever decides.

    Raises:
        NotFound: there is no such step, or it asks for nothing.
        Forbidden: the step asks for another role.
        Conflict: STEP_NOT_ASKING.

    """
    row = _locked(tx, run)
    step = _asking(tx, row, path)
    if step.roles and not set(step.roles) & set(roles):
        raise Forbidden(f"this is for {' or '.join(step.roles)} to decide")
    found = tx.one(_STEP, run=run, path=path)
    if found is None:
        raise NotFound(f"the run has no step {path[:200]}")
    note = read_json(found.note) if found.note else {}
    if found.state != "waiting" or not found.open or "decision" in note or row.state in ENDED:
        raise Conflict("the step waits for no decision", code=STEP_NOT_ASKING, state=found.state)
    note["decision"] = {
        "approved": approved,
        "by": tx.cause.principal,
        "comment": comment,
        "at": rfc3339(found.now),
    }
    tx.run(
        "UPDATE flow_steps SET note = :note WHERE workspace_id = :workspace_id AND run_id = :run AND path = :path",
        note=write_json(note),
        run=run,
        path=path,
    )
    waking.wake(tx.conn, tx.scope.workspace_id, [run])
    tx.after_commit("hint", hint)


def _asking(tx: Tx, row: Any, path: str) -> Approve:
    body = body_of(tx.conn, tx.scope.workspace_id, "flow", row.flow_id, row.definition_version)
    step = flow_of(body).by_id.get(path.rpartition("/")[2]) if body is not None else None
    if step is None or not isinstance(step.work, Approve):
        raise NotFound(f"the run has no step {path[:200]} that asks a person")
    return step.work


def _locked(tx: Tx, run: UUID) -> Any:
    """Return a run of the workspace, which nobody else changes until this transaction ends.

    Raises:
        NotFound.

    """
    progress.lock(tx.conn, [run])  # first, as whoever records does
    row = tx.one(_RUN, run=run)
    if row is None:
        raise NotFound(f"there is no run {show('run', run)}")
    return row


def _move(tx: Tx, row: Any, state: State, *, cancels: bool = False) -> None:
    over = state in ENDED
    tx.run(_MOVE, state=state, over=over, cancels=cancels, by=tx.cause.principal, run=row.id)
    if not over:
        _due(tx, row)
        return
    tx.run("DELETE FROM due WHERE workspace_id = :workspace_id AND kind = 'flow' AND ref = :run", run=row.id)
    ended = partial(metrics.ENDED.add, workspace=str(tx.scope), flow=row.flow, state=state)
    tx.after_commit(f"ended {row.id}", ended)
    waits.end(tx.conn, [row.id])
    if row.parent_id is not None:
        waking.wake(tx.conn, tx.scope.workspace_id, [row.parent_id])
    waking.wake(
        tx.conn, tx.scope.workspace_id, [run for _, run in waits.joined(tx.conn, [(tx.scope.workspace_id, row.id)])]
    )


def _due(tx: Tx, row: Any) -> None:
    """Make a run due now, and take it from whoever works on it; held while its flow rests."""
    at: Literal["infinity"] | None = "infinity" if row.flow_state in HELD_STATES else None
    claims.add(tx.conn, KIND, [Due(row.id, tx.scope.workspace_id, row.flow_id, at, LANE_LIMIT, row.priority)])


def _loaded(tx: Tx, run: UUID) -> Loaded:
    nobody = Claim(run, tx.scope.workspace_id, run, 0, 0)
    (loaded,) = progress.load(tx.conn, [nobody])
    return loaded
