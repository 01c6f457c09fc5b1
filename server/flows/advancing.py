"""What comes next in a run: the pure core, without any I/O. The engine and `crossdock test` drive it in the same way.

    course = Course(flow, run, rows)
    following = course.next(now)     what the rows allow is settled; `following` says what is to be done, or until when nothing is
    course.done(path, result, now)   and the other outcomes, for each of its tasks
    course.take()                    rows that have changed: stored before anything of `following` is done

A course that is made of stored rows goes on just where the one before it was stored: that is all there is to a crash.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from server.flows import looking, paths, undoing
from server.flows.beginning import begin
from server.flows.flow import Approve, Block, Call, Calling, Choose, Parallel, Sleep, Wait
from server.flows.lanes import Broken, Lanes, lanes_of
from server.flows.rows import Row
from server.flows.scoping import Place, Scoping
from server.flows.states import moved
from server.flows.tasks import Next, Task, moment
from server.flows.undoing import STEP_STOPPED
from server.kernel.clock import rfc3339
from server.kernel.errors import CrossdockError, Failure, code

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from server.flows.flow import Flow, Step
    from server.flows.rows import Ended, Run
    from server.flows.states import State
    from server.flows.tasks import What

RUN_TIMEOUT = code("RUN_TIMEOUT", "The run did not end within the `timeout` of its flow.")
FLOW_ROWS = code("FLOW_ROWS", "A run has 20,000 steps at most, each item of a list counted.")
MOST_ROWS = 20_000
THROUGH, OPEN, HALTED = "through", "open", "halted"
Outcome = str | Broken


@dataclass
class Course:
    """A run under way. Whoever changes a row by it stores what `take` returns."""

    flow: Flow
    run: Run
    rows: dict[str, Row] = field(default_factory=dict)
    arrived: dict[str, list[Mapping[str, Any]]] = field(default_factory=dict)
    children: dict[str, Ended] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._dirty: dict[str, Row] = {}
        self._lanes: dict[str, Lanes] = {}
        self._tasks: dict[str, Task] = {}
        self._until: datetime | None = None
        self._number = max((row.number for row in self.rows.values()), default=0)
        self.scoping = Scoping(self.flow, self.run, self.rows)
        self.to_undo: list[str] | None = None
        for row in self.rows.values():
            if row.state == "running":
                row.note["sent"] = True  # by whoever began it, perhaps

    @classmethod
    def of(cls, flow: Flow, run: Run, rows: Iterable[Row] = ()) -> Course:
        """Return the course of a run with these rows."""
        return cls(flow, run, {row.path: row for row in rows})

    # ── what comes next ─────────────────────────────────────────────────────────────────────────────────────────────

    def stops(self, now: datetime) -> bool:
        """Say whether nothing more is begun: what is under way is to be waited for before `next` is asked."""
        late = self.run.deadline is not None and now >= self.run.deadline
        return late and self.run.state not in undoing.STATES

    def next(self, now: datetime) -> Next:
        """Settle what can be settled, and return what comes next."""
        self._tasks, self._until = {}, None
        if self.run.state in undoing.STATES:
            return undoing.following(self, now)
        if self.run.state != "running":
            self.move("running")
        if self.run.started_at is None:
            self.run.started_at = now
        if self.stops(now):
            message = f"the run did not end within {self.flow.timeout:g} s"
            return self._give_up(Broken(Failure(RUN_TIMEOUT, message, "flow").as_dict()), now)
        outcome = self._walk(self.flow.steps, self.scoping.root, now)
        if isinstance(outcome, Broken):
            return self._give_up(outcome, now)
        if outcome == THROUGH:
            return self._complete(now)
        self.due(self.run.deadline)
        return Next(tuple(self._tasks.values()), self._until)

    def move(self, after: State) -> None:
        """Bring the run into another state."""
        self.run.state = moved(self.run.state, after)

    def take(self) -> list[Row]:
        """Return the rows that changed since this was asked before."""
        changed = [row for path, row in self._dirty.items() if path in self.rows]
        self._dirty.clear()
        return changed

    def pending(self) -> Iterable[Row]:
        """Return the rows that `take` would return, and leave them to it."""
        return self._dirty.values()

    def changed(self, row: Row) -> None:
        """Note that a row is to be stored."""
        self._dirty[row.path] = row

    def remove(self, path: str) -> None:
        """Take a row away, as if its step had never begun."""
        if self.rows.pop(path, None) is not None:
            self.removed.append(path)
        self._lanes.clear()
        self.scoping.forget()

    def step_at(self, path: str) -> Step:
        """Return the step that a row is of; for an item of a call, the plain call."""
        step = self.flow.by_id[paths.step_of(path)]
        return step.one if path.endswith("]") else step

    def _complete(self, now: datetime) -> Next:
        try:
            self.run.output = self.flow.output.run(self.scoping.of(self.scoping.root)) if self.flow.output else None
        except CrossdockError as error:
            return self._give_up(Broken(error.failure.as_dict()), now)
        self.move("completed")
        return Next(ended="completed")

    def _give_up(self, broken: Broken, now: datetime) -> Next:
        self.run.error = broken.error
        if broken.how == "fail":
            self.move("failed")
            return Next(ended="failed")
        self.move("compensating")
        return undoing.following(self, now)

    # ── going through the steps ─────────────────────────────────────────────────────────────────────────────────────

    def _walk(self, steps: Sequence[Step], place: Place, now: datetime, *, stopping: bool = False) -> Outcome:
        for step in steps:
            outcome = self._visit(step, place.prefix + step.id, place, now, stopping=stopping)
            if outcome != THROUGH:
                return outcome
        return THROUGH

    def _visit(self, step: Step, path: str, place: Place, now: datetime, *, stopping: bool) -> Outcome:
        row = self.rows.get(path)
        if row is None:
            if stopping:
                return HALTED
            row = self._begin(step, path, place, now)
        if row.state in ("running", "waiting"):
            if "fallback" in row.note:
                self._try(step, row, "fallback", now)
            elif step.container:
                self._inside(step, row, place, now, stopping=stopping)
            elif row.state == "running" or self._held(step, row):
                self._try(step, row, "do", now)
            else:
                looking.look(self, step, row, now, stopping=stopping)
        if row.state == "running" and "fallback" in row.note:
            self._try(step, row, "fallback", now)
        return self._outcome(step, row)

    def _outcome(self, step: Step, row: Row) -> Outcome:
        if row.state in ("running", "waiting"):
            return OPEN
        if row.state != "failed" or step.on_error == "continue":
            return THROUGH
        said = step.on_error if isinstance(step.on_error, str) else None
        return Broken(row.error or {}, row.note.get("how") or said)

    def _begin(self, step: Step, path: str, place: Place, now: datetime) -> Row:
        row = self.rows[path] = Row(path, round=self.run.round, began_at=now)
        self.changed(row)
        try:
            if len(self.rows) > MOST_ROWS:
                raise CrossdockError(f"more than {MOST_ROWS} steps", code=FLOW_ROWS, source="flow")  # noqa: TRY301
            begin(step, row, self.scoping.of(place), now)
        except CrossdockError as error:
            row.note["unbegun"] = True
            self.fail(step, row, error.failure.as_dict(), now)
        if row.state == "done":
            self._number += 1
            row.number = self._number
        return row

    def _held(self, step: Step, row: Row) -> bool:
        """Say whether it is a try that waits, and no wait of the step's own."""
        return not isinstance(step.work, Wait | Sleep | Approve) and "child" not in row.note

    def _try(self, step: Step, row: Row, what: What, now: datetime) -> None:
        if row.state == "waiting":
            until = moment(row.note.get("until"))
            if until is not None and now < until:
                self.due(until)
                return
            row.note.pop("until", None)
            row.move("running")
            self.changed(row)
        self._tasks[row.path] = Task(row.path, step, row, what)

    # ── items and branches ──────────────────────────────────────────────────────────────────────────────────────────

    def _inside(self, step: Step, row: Row, place: Place, now: datetime, *, stopping: bool) -> None:
        lanes = self._lanes.get(row.path)
        if lanes is None:
            lanes = self._lanes[row.path] = lanes_of(step, row, place.prefix, self.rows)
        until = moment(row.note.get("until"))
        if until is not None and now >= until and lanes.broken is None:
            lanes.broken = Broken(looking.late(step).as_dict())
        stop = stopping or lanes.broken is not None
        for index in sorted(lanes.open):
            self._enter(step, row, place, lanes, index, now, stop)
        while lanes.begun < lanes.count and len(lanes.open) < lanes.limit and not stopping and lanes.broken is None:
            lanes.begun += 1
            lanes.open.add(lanes.begun - 1)
            self._enter(step, row, place, lanes, lanes.begun - 1, now, stop=False)
        if lanes.broken is not None and not stop:
            for index in sorted(lanes.open):  # what broke just now stops those before it, too
                self._enter(step, row, place, lanes, index, now, stop=True)
        if lanes.open:
            self.due(until)
        elif lanes.broken is not None:
            row.note["how"] = lanes.broken.how
            self.fail(step, row, lanes.broken.error, now)
        elif stopping and lanes.begun < lanes.count:
            self.fail(step, row, looking.stopped(step).as_dict(), now)
        else:
            row.move("done")
            row.ended_at = now
            self.changed(row)

    def _enter(
        self,
        step: Step,
        row: Row,
        place: Place,
        lanes: Lanes,
        index: int,
        now: datetime,
        stop: bool,  # noqa: FBT001
    ) -> None:
        outcome = self._lane(step, row, place, index, now, stopping=stop)
        if outcome != OPEN:
            lanes.left(index, outcome if isinstance(outcome, Broken) else None)

    def _lane(self, step: Step, row: Row, place: Place, index: int, now: datetime, *, stopping: bool) -> Outcome:
        match step.work:
            case Call():
                own = Place((), place.prefix, row.input[index], place)
                return self._visit(step.one, paths.item(row.path, index), own, now, stopping=stopping)
            case Block(steps=steps):
                own = Place(steps, paths.inside(paths.item(row.path, index)), row.input[index], place)
                return self._walk(steps, own, now, stopping=stopping)
            case Parallel(branches=branches):
                return self._walk(branches[index].steps, place, now, stopping=stopping)
            case Choose(branches=branches):
                return self._walk(branches[row.note["taken"]].steps, place, now, stopping=stopping)
        return THROUGH

    # ── outcomes ────────────────────────────────────────────────────────────────────────────────────────────────────

    def done(self, path: str, result: Any, now: datetime) -> None:
        """Take the result of a step, or of what was done instead of it."""
        row = self.rows[path]
        row.result = result
        row.move("done")
        self._number += 1
        row.number, row.ended_at = self._number, now
        if "fallback" not in row.note:
            row.error = None
        self.changed(row)

    def started(self, path: str, child: str, *, joined: bool = False) -> None:
        """Take that the run of another flow has been started for a step, which waits for it from now on.

        `joined`: others had started it, so it is not for this run to stop or undo it.
        """
        row = self.rows[path]
        row.note["child"] = child
        if joined:
            row.note["joined"] = True
        else:
            row.note.pop("joined", None)
        row.move("waiting")
        self.changed(row)

    def atomic_done(self, path: str, made: Mapping[str, tuple[Any, Any]], now: datetime) -> None:
        """Take input and result of each of the calls in one transaction, by the id of its step."""
        row, step = self.rows[path], self.step_at(path)
        prefix = path.removesuffix(step.id)
        for id_, (given, result) in made.items():
            self.rows[prefix + id_] = Row(prefix + id_, round=row.round, input=given, began_at=now)
            self.done(prefix + id_, result, now)
        if row.state == "undoing":
            undoing.atomic_resolved(self, path, now)
        else:
            self.done(path, None, now)

    def again(self, path: str, failure: Failure, until: datetime, *, counted: bool) -> None:
        """Let a step be tried again at a moment; `counted` when it was tried at all."""
        row = self.rows[path]
        row.tries += counted
        if "fallback" not in row.note:
            row.error = failure.as_dict()
        row.note["until"] = rfc3339(until)
        row.move("waiting")
        self.changed(row)

    def refused(self, path: str, failure: Failure, now: datetime, *, unknown: bool = False, result: Any = None) -> None:
        """Take the failure of a step. `unknown`: it may have been done all the same. With `result` it was, and failed after it."""
        row = self.rows[path]
        row.tries += 1
        if unknown and "fallback" not in row.note:
            row.note["unknown"] = rfc3339(now)
        if result is not None:
            row.note["effect"], row.result = True, result
        self.fail(self.step_at(path), row, failure.as_dict(), now)

    def fail(self, step: Step, row: Row, error: dict[str, Any], now: datetime) -> None:
        self.changed(row)
        each = isinstance(step.work, Call) and step.work.each is not None  # its items have called something instead
        if (
            error.get("code") != STEP_STOPPED
            and isinstance(step.on_error, Calling)
            and "fallback" not in row.note
            and not each
        ):
            row.error = error
            if self._instead(step.on_error, row):
                return
        row.error = error
        row.move("failed")
        row.ended_at = now

    def _instead(self, calling: Calling, row: Row) -> bool:
        """Let something be called instead; False when its input cannot be made."""
        try:
            scope = self.scoping.of(self.scoping.place_of(row.path), error=row.error)
            row.note["fallback"] = calling.with_.run(scope)
        except CrossdockError as error:
            row.note["fallback_error"] = error.failure.as_dict()
            return False
        row.note.pop("until", None)
        row.tries = 0
        if row.state == "waiting":
            row.move("running")
        return True

    def due(self, until: datetime | None) -> None:
        if until is not None and (self._until is None or until < self._until):
            self._until = until
