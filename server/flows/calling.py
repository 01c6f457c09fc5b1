"""Calls of steps: made ready from what is declared, made, and what came of them told to the core."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from server.flows import paths, undoing
from server.flows.flow import Atomic, Call, Calling
from server.integrations.calls import INPUT_INVALID
from server.integrations.outputs import OUTPUT_INVALID, own_json
from server.integrations.policies import PRESETS
from server.kernel.errors import (
    NOT_FOUND,
    Conflict,
    CrossdockError,
    Failure,
    NotFound,
    Permanent,
    Postponed,
    Retryable,
    Skipped,
    Unavailable,
    code,
)
from server.sdk.adapter import CallRequest
from server.store import Cause
from server.store.values import write_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from server.flows.advancing import Course
    from server.flows.flow import Step
    from server.flows.progress import Loaded
    from server.flows.tasks import Task
    from server.integrations.calls import Caller
    from server.integrations.guards import Call as Ready
    from server.integrations.making import Making
    from server.kernel.policies import RetrySchedule
    from server.sdk.adapter import Adapter, Transaction
    from server.sdk.context import Context
    from server.store import Scope, Store, Tx

FLOW_RESULT_LIMIT = code("FLOW_RESULT_LIMIT", "The result of a step is larger than 256 KiB.")
ATOMIC_NOT_OFFERED = code(
    "ATOMIC_NOT_OFFERED", "The integration's plugin offers no transactions, so `atomic` cannot be done with it."
)
INTEGRATION_GONE = code(
    "INTEGRATION_GONE",
    "The integration that a step calls is archived, or there is none of its name: restore it, then retry the run.",
)
RESULT_LIMIT = 262_144
_KNOWN_SECONDS = 1.0
_KNOWN = 2_000
_RESTS_SECONDS = 60.0
_LEAST_PAUSE = 0.02


@dataclass(slots=True)
class Came:
    """What came of a task: `result`, or `error`; of calls in one transaction input and result of each, by step."""

    task: Task
    result: Any = None
    error: CrossdockError | None = None
    writes: bool = True
    policy: RetrySchedule | None = None
    together: dict[str, tuple[Any, Any]] | None = None


class Calls:
    """Makes the calls of the runs of one process. What is declared is read anew once a second."""

    def __init__(self, store: Store, making: Making, caller: Caller) -> None:
        self._store = store
        self._making = making
        self._caller = caller
        self._known: dict[tuple[int, str, str], tuple[float, Ready]] = {}

    def make(self, run: Loaded, scope: Scope, task: Task, inputs: Mapping[str, Any] | None = None) -> Came:
        """Make the call of a task; `inputs` is the scope of the steps of an `atomic`.

        Raises:
            Unavailable: the database is away; whether the call was made is not known.

        """
        came = Came(task)
        try:
            if isinstance(task.step.work, Atomic) and task.what != "fallback":
                self._together(run, scope, task, inputs or {}, came)
            else:
                self._one(run, scope, task, came)
        except Unavailable:
            raise
        except Skipped:
            came.result = {}
        except CrossdockError as error:
            came.error = error
        return came

    def _one(self, run: Loaded, scope: Scope, task: Task, came: Came) -> None:
        calling, value, key = _what(task, run.run.id)
        call = self._call(run, scope, calling, value, key)
        timeout = _timeout(task)
        call = replace(call, timeout=timeout or call.timeout, retry_count=task.row.tries)
        came.policy = call.link.policy.retry if call.link else None
        came.writes = self._caller.writes(call)
        came.result = self._caller.call(call)

    def _call(self, run: Loaded, scope: Scope, calling: Calling, value: Any, key: str) -> Ready:
        place = (scope.workspace_id, calling.integration, calling.operation)
        known = self._known.get(place)
        if known is None or known[0] < time.monotonic():
            with self._store.begin(scope, Cause(run.principal, run.correlation_id)) as tx:
                ready = self._ready(tx, calling)
            if len(self._known) >= _KNOWN:
                self._known.clear()
            known = self._known[place] = (time.monotonic() + _KNOWN_SECONDS, ready)
        return replace(
            known[1],
            input=value,
            idempotency_key=key,
            correlation_id=run.correlation_id,
            user=run.principal,
            patience=0.0,
        )

    def _ready(self, tx: Tx, calling: Calling) -> Ready:
        try:
            return self._making.named(tx, calling.integration, calling.operation, {})
        except NotFound as error:
            if error.code != NOT_FOUND:
                raise
            message = f"the integration {calling.integration} is archived, or was never there"
            source = f"integration/{calling.integration}"
            raise NotFound(message, code=INTEGRATION_GONE, source=source, call=calling.call) from error

    def _together(self, run: Loaded, scope: Scope, task: Task, inputs: Mapping[str, Any], came: Came) -> None:
        """Make calls in one transaction of their system; the input of each is made of the results of those before it."""
        prefix = task.path.removesuffix(task.step.id)
        made: dict[str, tuple[Any, Any]] = {}
        inner = [(each, each.work) for each in task.step.inner if isinstance(each.work, Call)]
        key = paths.key(run.run.id, task.path, task.row.round)
        calls = [self._call(run, scope, one.calling, {}, key) for _, one in inner]
        first = next(
            (each for each in calls if self._caller.writes(each)), calls[0]
        )  # whose outbox is looked into then
        call = replace(first, timeout=task.step.timeout or first.timeout)
        came.policy = call.link.policy.retry if call.link else None

        def work(adapter: Adapter, context: Context) -> None:
            transaction = adapter.transaction(context)
            if transaction is None:
                raise Permanent("the plugin offers no transactions", code=ATOMIC_NOT_OFFERED, source=call.source)
            steps = dict(inputs["steps"])
            with transaction as begun:
                for step, one in inner:
                    value = one.calling.with_.run({**inputs, "steps": steps})
                    key = paths.key(run.run.id, prefix + step.id, task.row.round)
                    result = _within(adapter, begun, one.calling, value, key, call.source)
                    steps[step.id] = result
                    made[step.id] = (value, result)

        self._caller.piece(call, work)
        came.together = made


def _within(adapter: Adapter, begun: Transaction, calling: Calling, value: Any, key: str, source: str) -> Any:
    request = CallRequest(calling.operation, value)
    checked = adapter.validate(request)
    if not checked.is_valid:
        first = checked.errors[0]
        message = f"the input is invalid at {first.pointer or '/'}: {first.message}"
        errors = [{"pointer": each.pointer, "message": each.message} for each in checked.errors]
        raise Permanent(message, code=INPUT_INVALID, source=source, errors=errors)
    return own_json(begun.call(request, key), source)


def _what(task: Task, run: str) -> tuple[Calling, Any, str]:
    """Return what a task calls, with what, and under which key."""
    row, work = task.row, task.step.work
    if task.what == "fallback" and isinstance(task.step.on_error, Calling):
        return task.step.on_error, row.note["fallback"], paths.key(run, task.path, row.round, end="fallback")
    if not isinstance(work, Call):
        raise TypeError(f"{task.step.id} is no call")
    if task.what == "undo" and work.undo is not None:
        round_ = max(row.round, row.note.get("undo_round", 1))
        return work.undo.calling, row.note["undo"], paths.key(run, task.path, round_, end="undo")
    return work.calling, row.input, paths.key(run, task.path, row.round)


def _timeout(task: Task) -> float | None:
    work = task.step.work
    if task.what == "undo" and isinstance(work, Call) and work.undo is not None:
        return work.undo.timeout
    return task.step.timeout if isinstance(work, Call) else None


def tell(course: Course, came: Came, now: datetime) -> None:
    """Tell the core what came of a task."""
    match came.task.what:
        case "undo":
            _undone(course, came, now)
        case "resolve":
            _resolved(course, came, now)
        case _:
            _done(course, came, now)


def _done(course: Course, came: Came, now: datetime) -> None:
    path, error = came.task.path, came.error
    if came.together is not None:
        course.atomic_done(path, came.together, now)
    elif error is None:
        if len(write_json(came.result)) > RESULT_LIMIT:
            large = Failure(FLOW_RESULT_LIMIT, "the result is larger than 256 KiB", "flow")
            course.refused(path, large, now, result=came.result)
        else:
            course.done(path, came.result, now)
    elif isinstance(error, Postponed | Conflict):
        course.again(path, error.failure, _after(now, error), counted=False)
    elif isinstance(error, Retryable):
        planned = _pause(came.task.step.retry, came, came.task.row.tries + 1)
        if planned is None:
            course.refused(path, error.failure, now, unknown=came.writes)
        else:
            course.again(path, error.failure, now + max(planned, timedelta(seconds=error.after or 0.0)), counted=True)
    elif isinstance(error, Permanent):
        # it was done, but what was answered cannot be used: it is undone all the same, or a person is told that it cannot be
        done = error.code == OUTPUT_INVALID and came.writes
        course.refused(path, error.failure, now, result={} if done else None)
    else:  # it was not asked at all, but may have been before
        sent = came.task.row.tries > 0 or "sent" in came.task.row.note
        course.refused(path, error.failure, now, unknown=sent and came.writes)


def _undone(course: Course, came: Came, now: datetime) -> None:
    path, error = came.task.path, came.error
    if error is None:
        undoing.done(course, path, now)
    elif isinstance(error, Postponed | Conflict):
        undoing.again(course, path, error.failure, _after(now, error), counted=False)
    elif isinstance(error, Retryable) or error.code == INTEGRATION_GONE:
        _undo_later(course, came, error, now)
    else:
        undoing.refused(course, path, error.failure, now)


def _undo_later(course: Course, came: Came, error: CrossdockError, now: datetime) -> None:
    """Try an undo again as its `retry` says; one whose integration is gone has no policy but the usual one."""
    schedule = _undo_retry(came.task.step) or came.policy or PRESETS["default"].retry
    planned = schedule.pause(came.task.row.undo_tries + 1, random.random())  # noqa: S311 - spreads tries
    if planned is None:
        undoing.refused(course, came.task.path, error.failure, now)
    else:
        until = now + max(planned, timedelta(seconds=error.after or 0.0))
        undoing.again(course, came.task.path, error.failure, until, counted=True)


def _resolved(course: Course, came: Came, now: datetime) -> None:
    path, error = came.task.path, came.error
    if came.together is not None:
        course.atomic_done(path, came.together, now)
    elif error is None:
        undoing.resolved(course, path, came.result)
    elif isinstance(error, Postponed | Conflict):
        undoing.again(course, path, error.failure, _after(now, error), counted=False)
    elif error.code == INTEGRATION_GONE:  # whatever it did, it cannot be undone: no need to ask for a day
        _undo_later(course, came, error, now)
    elif isinstance(error, Retryable) or not isinstance(error, Permanent):  # or nobody was asked
        undoing.unresolved(course, path, error.failure, now)
    elif error.code == OUTPUT_INVALID:
        undoing.resolved(course, path, {})
    else:
        undoing.no_effect(course, path, now)


def _undo_retry(step: Step) -> RetrySchedule | None:
    return step.work.undo.retry if isinstance(step.work, Call) and step.work.undo is not None else None


def _pause(own: RetrySchedule | None, came: Came, tries: int) -> timedelta | None:
    schedule = own or came.policy
    return None if schedule is None else schedule.pause(tries, random.random())  # noqa: S311 - spreads tries


def _after(now: datetime, error: CrossdockError) -> datetime:
    seconds = error.after if error.after is not None else _RESTS_SECONDS
    return now + timedelta(seconds=max(seconds, _LEAST_PAUSE))
