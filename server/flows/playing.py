"""A run that is played with made-up answers and a clock of its own, on the core that real runs go by. No network, no database."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from server.flows import paths, undoing
from server.flows.advancing import Course
from server.flows.calling import Came, tell
from server.flows.flow import Approve, Atomic, Call, Calling, Child, Emit, Wait
from server.flows.looking import judge
from server.flows.rows import Ended, Run
from server.kernel.clock import parse_rfc3339, rfc3339
from server.kernel.errors import CrossdockError, Permanent, Retryable
from server.kernel.policies import RetrySchedule, parse_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from server.flows.flow import Flow
    from server.flows.tasks import Next, Task

RUN_ID = "run_test"
STARTED = "2026-01-01T00:00:00Z"
_POLICY = RetrySchedule((1.0, 2.0), 0.0)
_MOST_TURNS = 100_000
_CHILD = UUID(int=1)

UNANSWERED = "UNANSWERED"
"""The code of a call to which the test has no answer; never seen but in a test's own differences."""


@dataclass(frozen=True, slots=True)
class Made:
    """A call that was made; repeated ones stand once. That of a child's run is named `flow/NAME`."""

    call: str
    input: Any
    step: str


@dataclass
class Given:
    """What a test says of the world: answers by step, events that arrive (each with `after` in seconds), and decisions."""

    event: Mapping[str, Any] | None = None
    data: Any = None
    answers: Mapping[str, Any] = field(default_factory=dict)
    arrives: tuple[tuple[float, Mapping[str, Any]], ...] = ()
    approvals: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass
class Played:
    """How it went. `steps` is what `steps` holds at the end; `events` are what was emitted."""

    status: str
    calls: list[Made]
    events: list[dict[str, Any]]
    output: Any
    error: Mapping[str, Any] | None
    steps: Mapping[str, Any]
    problems: list[str]
    failures: Mapping[str, Mapping[str, Any]]


class Play:
    """Plays one run. `judged(call, input)` says what is wrong with the input of a call."""

    def __init__(self, flow: Flow, given: Given, judged: Callable[[str, Any], list[str]]) -> None:
        self.flow, self.given, self._judged = flow, given, judged
        self.start = self.now = parse_rfc3339(STARTED)
        key = flow.idempotency_key.run(self._start_scope()) if flow.idempotency_key is not None else None
        run = Run(RUN_ID, flow.name, event=dict(given.event) if given.event else None, data=given.data, key=key)
        run.correlation_id = (given.event or {}).get("correlation_id", "cor_test")
        run.deadline = self.start + timedelta(seconds=flow.timeout)
        self.course = Course.of(flow, run)
        self.calls: list[Made] = []
        self.events: list[dict[str, Any]] = []
        self.problems: list[str] = []
        self._tries: dict[str, int] = {}
        self._known: set[str] = set()
        self._at_rest = False

    def _start_scope(self) -> dict[str, Any]:
        return {"event": self.given.event, "data": self.given.data}

    def starts(self) -> bool:
        """Say whether the event starts a run at all."""
        return self.flow.when is None or bool(self.flow.when.run(self._start_scope()))

    def play(self, *, waits: bool) -> Played:
        """Go on to the end; with `waits` until nothing goes on without the world."""
        for _ in range(_MOST_TURNS):
            following = self.course.next(self.now)
            if following.ended is not None:
                return self._played(following.ended)
            if not self._turn(following, waits=waits):
                return self._played("waiting")
        self.problems.append(f"the run has not ended after {_MOST_TURNS} turns")
        return self._played("running")

    def _turn(self, following: Next, *, waits: bool) -> bool:
        for task in following.tasks:
            self._do(task)
        if following.tasks or self._outside():
            return True
        upcoming = [self.start + timedelta(seconds=after) for after, _ in self.given.arrives]
        held = waits and any(isinstance(self._work(path), Wait | Approve) for path in self._waiting())
        later = [each for each in upcoming if each > self.now] + (
            [following.until] if following.until and not held else []
        )
        if not later:
            return False
        self.now = max(min(later), self.now + timedelta(milliseconds=1))
        return True

    # ── what comes from outside ─────────────────────────────────────────────────────────────────────────────────────

    def _waiting(self) -> list[str]:
        return [row.path for row in self.course.rows.values() if row.state == "waiting"]

    def _work(self, path: str) -> Any:
        return self.course.step_at(path).work

    def _outside(self) -> bool:
        """Let events and decisions come; say whether anything did."""
        came = False
        for path in self._waiting():
            work, row = self._work(path), self.course.rows[path]
            if isinstance(work, Wait):
                here = [
                    event
                    for after, event in self.given.arrives
                    if self._has_come(after) and event["type"] == work.event
                ]
                before = len(self.course.arrived.get(path, ()))
                judge(self.course, path, here, self.now)
                came = came or row.state != "waiting" or len(self.course.arrived[path]) > before
            elif isinstance(work, Approve) and "decision" not in row.note:
                decision = self.given.approvals.get(paths.step_of(path))
                if decision is not None:
                    row.note["decision"] = {"by": "test", "comment": None, "at": rfc3339(self.now), **decision}
                    came = True
        return came

    def _has_come(self, after: float) -> bool:
        return self.start + timedelta(seconds=after) <= self.now

    # ── tasks ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _do(self, task: Task) -> None:
        work = task.step.work
        if isinstance(work, Child) and task.what == "undo":
            undoing.asked(self.course, task.path)
            self.course.children[task.path] = Ended(_CHILD, "compensated")
        elif isinstance(work, Child) and task.what == "do":
            self._child(task, work)
        elif isinstance(work, Emit) and task.what == "do":
            self._emit(task)
        elif isinstance(work, Atomic) and task.what != "fallback":
            self._atomic(task, work)
        else:
            self._call(task)

    def _call(self, task: Task) -> None:
        calling, value, name = _what(task)
        came = Came(task, policy=_POLICY)
        self._note(calling.call, value, task, name)
        came.result, came.error = self._answer(name, task.path, undo=task.what == "undo")
        tell(self.course, came, self.now)

    def _atomic(self, task: Task, work: Atomic) -> None:
        scope = self.course.scoping.of(self.course.scoping.place_of(task.path))
        steps = dict(scope["steps"])
        made: dict[str, tuple[Any, Any]] = {}
        prefix = task.path.removesuffix(task.step.id)
        came = Came(task, policy=_POLICY)
        try:
            for inner in work.steps:
                if not isinstance(inner.work, Call):
                    continue
                value = inner.work.calling.with_.run({**scope, "steps": steps})
                self._note(inner.work.calling.call, value, task, inner.id)
                result, came.error = self._answer(inner.id, prefix + inner.id, undo=False)
                if came.error is not None:
                    break
                steps[inner.id] = result
                made[inner.id] = (value, result)
        except CrossdockError as error:
            came.error = error
        if came.error is None:
            came.together = made
        tell(self.course, came, self.now)

    def _child(self, task: Task, work: Child) -> None:
        self._note(f"flow/{work.flow}", task.row.input, task, task.step.id)
        result, error = self._answer(task.step.id, task.path, undo=False)
        self.course.started(task.path, "run_child")
        failed = None if error is None else error.failure.as_dict()
        self.course.children[task.path] = Ended(_CHILD, "compensated" if failed else "completed", result, failed)

    def _emit(self, task: Task) -> None:
        made = task.row.input
        answer = self.given.answers.get(task.step.id)
        if isinstance(answer, dict) and set(answer) == {"error"}:
            self.course.refused(task.path, _error(answer["error"]).failure, self.now)
            return
        self.problems += [
            f"the event {made['type']}: {each}" for each in self._judged(f"@{made['type']}", made["data"])
        ]
        self.events.append({key: made[key] for key in ("type", "subject", "data")})
        self.course.done(task.path, {"id": f"evt_test_{len(self.events)}"}, self.now)

    def _note(self, call: str, value: Any, task: Task, name: str) -> None:
        """Note a call; one that is repeated under its key is the same call."""
        key = f"{task.path}:{name}"
        if key in self._known:
            return
        self._known.add(key)
        self.calls.append(Made(call, value, name))
        self.problems += [f"the input of {call} ({task.path}): {each}" for each in self._judged(call, value)]

    # ── answers ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _answer(self, name: str, path: str, *, undo: bool) -> tuple[Any, CrossdockError | None]:
        """Return what the test answers to a call: a result or an error. Lists are by item, then by try."""
        if name not in self.given.answers:
            if undo:
                return {}, None
            self.problems.append(f"answers: there is none for {name}, which is called")
            return None, Permanent("the test has no answer", code=UNANSWERED, source="test")
        found = self.given.answers[name]
        for index in paths.indexes(path):
            if not isinstance(found, list):
                break
            if index >= len(found):
                self.problems.append(f"answers.{name}: there is none for item {index}")
                return None, Permanent("the test has no answer", code=UNANSWERED, source="test")
            found = found[index]
        if isinstance(found, list):
            tried = self._tries[path + name] = self._tries.get(path + name, 0) + 1
            found = found[min(tried, len(found)) - 1] if found else None
        if isinstance(found, dict) and set(found) == {"error"}:
            return None, _error(found["error"])
        if isinstance(found, dict) and set(found) == {"value"}:
            return found["value"], None
        return found, None

    def _played(self, status: str) -> Played:
        run, scope = self.course.run, self.course.scoping.of(self.course.scoping.root)
        failures = {row.path: row.error for row in self.course.rows.values() if row.state == "failed" and row.error}
        return Played(status, self.calls, self.events, run.output, run.error, scope["steps"], self.problems, failures)


def _what(task: Task) -> tuple[Calling, Any, str]:
    """Return what a task calls, with what, and the name of its answer: the step's, with `.undo` or `.on_error` behind it."""
    row, work, name = task.row, task.step.work, task.step.id
    if task.what == "fallback" and isinstance(task.step.on_error, Calling):
        return task.step.on_error, row.note["fallback"], f"{name}.on_error"
    if not isinstance(work, Call):
        raise TypeError(f"{name} is no call")
    if task.what == "undo" and work.undo is not None:
        return work.undo.calling, row.note["undo"], f"{name}.undo"
    return work.calling, row.input, name


def _error(written: Mapping[str, Any]) -> CrossdockError:
    code, message = written.get("code", "FAILED"), written.get("message", "the test says so")
    if written.get("retryable", False):
        return Retryable(message, code=code, source="test")
    return Permanent(message, code=code, source="test")


def seconds_after(event: Mapping[str, Any]) -> float:
    """Return how long after its start a run sees an event of a test."""
    return parse_duration(event["after"]) if "after" in event else 0.0


def moment_of(after: float) -> datetime:
    """Return when an event of a test happens."""
    return parse_rfc3339(STARTED) + timedelta(seconds=after)
