"""One run at work: what the core asks for is done, and each thing that came of it is stored before the next is begun."""

from __future__ import annotations

import threading
import time
from concurrent.futures import FIRST_COMPLETED, Future, wait
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog

from server.flows import acting, announcing, looking, metrics, progress, undoing, waits
from server.flows.advancing import Course
from server.flows.calling import tell
from server.flows.children import begin_child
from server.flows.flow import Approve, Child, Emit, Wait
from server.flows.looking import STEP_TIMEOUT
from server.flows.progress import Record, TakenOver
from server.flows.rows import Ended
from server.flows.states import ENDED
from server.flows.tasks import Next, moment
from server.flows.waits import NewWait
from server.kernel.errors import CrossdockError, Unavailable
from server.kernel.ids import read, show
from server.store import Cause
from server.store.values import read_json

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from sqlalchemy.engine import Connection

    from server.flows.calling import Came
    from server.flows.drain import Flows
    from server.flows.flow import Flow, Step
    from server.flows.progress import Loaded
    from server.flows.rows import Row
    from server.flows.tasks import Task
    from server.kernel.errors import Failure
    from server.store import Scope, Tx

log = structlog.get_logger("crossdock.flows")
SHORT = timedelta(milliseconds=50)
"""A pause that is waited out, instead of giving the run back and claiming it again."""
_LONGEST_WAIT = timedelta(days=1)
_LOOK_SECONDS = 1.0
_NOTE = "SELECT note::text AS note FROM flow_steps WHERE workspace_id = %s AND run_id = %s AND path = %s"
_CHILD = """
SELECT id, state, output::text AS output, error::text AS error FROM flow_runs WHERE workspace_id = %s AND id = %s
"""


class AtWork:
    """A run that this process has claimed, from now until it waits or has ended."""

    def __init__(self, parts: Flows, run: Loaded, flow: Flow, scope: Scope) -> None:
        self.parts, self.run, self.flow, self.scope = parts, run, flow, scope
        self.course = Course.of(flow, run.run, run.rows)
        self.cause = Cause(run.principal, run.correlation_id, run.run.id)
        self._under_way: dict[Future[Came], Task] = {}
        self._stored = _image(run)
        self._waits = {row.path for row in run.rows if row.state == "waiting" and self._kind(row) is Wait}
        self._watched = {row.path for row in run.rows if self._waits_for(row)}
        self._look_at = parts.clock.now() if self._watched else None

    def work(self) -> None:
        """Go on as far as it goes.

        Raises:
            TakenOver: another has the run; what is not stored is lost, and done again there under the same keys.
            Unavailable: the database is away.

        """
        while self._turn():
            pass

    def _turn(self) -> bool:
        now = self.parts.clock.now()
        if self._under_way and self.course.stops(now):
            return self._collect(_LOOK_SECONDS)
        if not self._under_way and (self.parts.stopped or self.parts.rests(self.run)):
            self.parts.recorder.record(self._record(until=now if self.parts.stopped else "infinity"))
            return False
        if self._must_look(now):
            return self._alone(now, None)
        following = self.course.next(now)
        if self._needs_alone(following):
            return self._alone(now, following)
        record = self._recorded(following, now)
        if record.rows or record.removed or record.run or record.until is not None or record.over:
            self.parts.recorder.record(record)
        self._take_notice(record)
        return record.until is None and not record.over and self._go(following, now)

    def abandon(self, failure: Failure) -> None:
        """End the run as it is: it cannot go on.

        Raises:
            TakenOver, Unavailable: as `work`.

        """
        self.course.run.error = failure.as_dict()
        undoes = self.course.run.state in undoing.STATES
        self.course.move("compensation_failed" if undoes else "failed")
        self._alone(self.parts.clock.now(), Next(ended=self.course.run.state))

    # ── doing ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _go(self, following: Next, now: datetime) -> bool:
        """Do what is to be done; one call alone in this thread, several side by side."""
        busy = {task.path for task in self._under_way.values()}
        new = [task for task in following.tasks if task.path not in busy]
        if not busy and len(new) == 1:
            tell(self.course, self._make(new[0]), self.parts.clock.now())
            return True
        for task in new:
            self._under_way[_beside(self._make, task)] = task
        if self._under_way:
            seconds = (following.until - now).total_seconds() if following.until is not None else _LOOK_SECONDS
            return self._collect(min(max(seconds, 0.005), _LOOK_SECONDS))
        wanted = min(filter(None, (following.until, self._look_at)), default=now)
        time.sleep(min(max((wanted - now).total_seconds(), 0.0), SHORT.total_seconds()))
        return True

    def _make(self, task: Task) -> Came:
        inputs = self.course.scoping.of(self.course.scoping.place_of(task.path)) if task.step.kind == "atomic" else None
        return self.parts.calls.make(self.run, self.scope, task, inputs)

    def _collect(self, seconds: float) -> bool:
        """Wait for calls that are under way, and tell what came of them."""
        done, _ = wait(self._under_way, seconds, FIRST_COMPLETED)
        for future in done:
            del self._under_way[future]
            tell(self.course, future.result(), self.parts.clock.now())
        return True

    # ── recording ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _record(self, *, until: datetime | str | None = None) -> Record:
        rows = self.course.take()
        record = Record(self.run.claim, rows, list(self.course.removed), until=until)
        self.course.removed.clear()
        for row in rows:
            (self._watched.add if self._waits_for(row) else self._watched.discard)(row.path)
            step = self.course.step_at(row.path)
            if not isinstance(step.work, Wait):
                continue
            if row.state == "waiting" and row.path not in self._waits:
                record.waits.append(self._wait_of(row, step.work))
            elif row.state != "waiting" and row.path in self._waits:
                record.waited.append(row.path)
        image = _image(self.run)
        if image != self._stored:
            record.run = self.run.run
        return record

    def _recorded(self, following: Next, now: datetime) -> Record:
        """Return what is to be stored before anything of `following` is done."""
        until = None
        if following.ended is None and not following.tasks and not self._under_way and not self._new_waits():
            wanted = min(filter(None, (following.until, self._look_at)), default=now + _LONGEST_WAIT)
            if wanted - now > SHORT:
                until = wanted
                if self.course.run.state == "running":
                    self.course.move("waiting")
        record = self._record(until=until)
        if following.ended is not None:
            record.run, record.over, record.ended_at = self.run.run, True, now
        return record

    def _take_notice(self, record: Record) -> None:
        """Remember what is stored by now, and count it."""
        began = self._stored[1] is None and self.run.run.started_at is not None
        metrics.count(str(self.scope), self.run.flow_name, record, self.course, began=began)
        if record.advances:
            self.run.claim.claims = 1  # as it is stored
        self._stored = _image(self.run)
        self._waits |= {each.path for each in record.waits}
        self._waits -= set(record.waited)
        if record.waits:
            self._look_at = self.parts.clock.now()

    def _new_waits(self) -> bool:
        return any(
            row.state == "waiting" and row.path not in self._waits and self._kind(row) is Wait
            for row in self.course.pending()
        )

    def _wait_of(self, row: Row, work: Wait) -> NewWait:
        return NewWait(
            workspace_id=self.run.workspace_id,
            run_id=self.run.id,
            path=row.path,
            type=work.event,
            needed=row.note["needed"],
            field=work.match[0] if work.match else None,
            value=row.note.get("value"),
        )

    # ── what needs a transaction of its own ─────────────────────────────────────────────────────────────────────────

    def _needs_alone(self, following: Next) -> bool:
        if following.ended is not None and (following.ended != "completed" or self.run.parent_id or self._waits):
            return True
        if self._left():
            return True
        return any(_local(task) for task in following.tasks) or any(
            row.state == "waiting" and self._kind(row) is Approve for row in self.course.pending()
        )

    def _alone(self, now: datetime, following: Next | None) -> bool:
        with self.parts.store.begin(self.scope, self.cause) as tx:
            if self.run.claim.ref not in progress.fence(tx.conn, [self.run.claim]):
                raise TakenOver
            if following is None:
                self._look(tx.conn, now)
                following = self.course.next(now)
            while here := [task for task in following.tasks if _local(task)]:
                for task in here:
                    self._do_here(tx, task, now)
                following = self.course.next(now)
            for row in self._left():
                acting.stop(tx, read("run", row.note["child"]), self.parts.hint)
            announcing.approvals(tx, self.parts.publisher, self.run, self._asked())
            record = self._recorded(following, now)
            if following.ended is not None:
                announcing.ended(tx, self.parts.publisher, self.parts.hint, self.run, self.course)
            progress.write(tx.conn, [record])
        self._take_notice(record)
        return record.until is None and not record.over and self._go(following, now)

    def _left(self) -> list[Row]:
        """Return the steps that wait no more for runs of their own which are still under way: these are stopped."""
        codes = {STEP_TIMEOUT} if self.course.run.state in undoing.STATES else {STEP_TIMEOUT, undoing.STEP_STOPPED}
        return [
            row
            for row in self.course.pending()
            if "child" in row.note
            and "joined" not in row.note
            and row.state in ("failed", "running")
            and row.error is not None
            and row.error["code"] in codes
        ]

    def _asked(self) -> list[Row]:
        return [
            row
            for row in self.course.pending()
            if row.state == "waiting" and self._kind(row) is Approve and "decision" not in row.note
        ]

    def _do_here(self, tx: Tx, task: Task, now: datetime) -> None:
        """Do what is only written in the database, in the transaction that stores it."""
        work = task.step.work
        try:
            with tx.conn.begin_nested():
                if isinstance(work, Emit):
                    self.course.done(
                        task.path, announcing.emit(tx, self.parts.publisher, self.run, task.row.input), now
                    )
                elif task.what == "undo":
                    acting.take_back(tx, read("run", task.row.note["child"]))
                    tx.after_commit("hint", self.parts.hint)
                elif isinstance(work, Child):
                    before = read("run", task.row.note["child"]) if "child" in task.row.note else None
                    if before is not None and acting.go_on(tx, before, self.parts.hint):
                        child, joined, there = before, "joined" in task.row.note, True
                    else:
                        child, joined = begin_child(tx, self.run, task.path, work.flow, task.row.input)
                        there = joined
                    if there:
                        self._look_at = now  # it may have ended
                    tx.after_commit("hint", self.parts.hint)
                    self.course.started(task.path, show("run", child), joined=joined)
        except Unavailable:
            raise
        except CrossdockError as error:
            refuse = partial(undoing.refused, self.course) if task.what == "undo" else self.course.refused
            refuse(task.path, error.failure, now)
            return
        if task.what == "undo":
            undoing.asked(self.course, task.path)
            self._look_at = now

    # ── looking at what it waits for ────────────────────────────────────────────────────────────────────────────────

    def _kind(self, row: Row) -> type[Any]:
        return type(self._step(row).work)

    def _step(self, row: Row) -> Step:
        return self.flow.by_id[row.path.rpartition("/")[2].partition("[")[0]]

    def _outside(self) -> list[Row]:
        """Return the stored rows that wait for events, for a person, or for a run of another flow."""
        return [
            row for path in self._watched if (row := self.course.rows.get(path)) is not None and self._waits_for(row)
        ]

    def _waits_for(self, row: Row) -> bool:
        if row.state == "waiting":
            return "child" in row.note or self._kind(row) in (Wait, Approve)
        return row.state == "undoing" and "asked" in row.note

    def _must_look(self, now: datetime) -> bool:
        if self._look_at is not None and self._look_at <= now:
            return True
        # what came at the last moment counts: it is looked for under the fence before a wait is given up
        return self._last_look(now)

    def _last_look(self, now: datetime) -> bool:
        untils = (moment(row.note.get("until")) for row in self._outside())
        return any(until is not None and until <= now for until in untils)

    def _look(self, conn: Connection, now: datetime) -> None:
        """See what has come, in the transaction that stores what follows from it."""
        self._look_at = None
        whose = (self.run.workspace_id, self.run.id)
        for row in self._outside():
            if "child" in row.note:
                child = conn.exec_driver_sql(_CHILD, (whose[0], read("run", row.note["child"]))).first()
                self.course.children.pop(row.path, None)
                if child is not None and child.state in ENDED:
                    self.course.children[row.path] = Ended(
                        child.id, child.state, _read(child.output), _read(child.error)
                    )
            elif self._kind(row) is Approve:
                found = conn.exec_driver_sql(_NOTE, (*whose, row.path)).first()
                row.note = _read(found.note) if found is not None else row.note
            elif row.path in self._waits:
                self._look_for_events(conn, row, now)

    def _look_for_events(self, conn: Connection, row: Row, now: datetime) -> None:
        whose = (self.run.workspace_id, self.run.id, row.path)
        again = waits.look_back(conn, *whose, self.run.correlation_id)
        if again is not None:
            wanted = now + again
            self._look_at = wanted if self._look_at is None else min(self._look_at, wanted)
        events = waits.arrivals(conn, *whose)
        fit = looking.judge(self.course, row.path, [waits.arrived(each) for each in events], now)
        waits.drop(conn, *whose, [event for event, good in zip(events, fit, strict=True) if not good])


def _beside(work: Callable[[Task], Came], task: Task) -> Future[Came]:
    """Make a call in a thread of its own, which ends with the process, whatever it waits for."""
    future: Future[Came] = Future()

    def run() -> None:
        try:
            future.set_result(work(task))
        except BaseException as error:  # noqa: BLE001 - it is raised where its run waits for it
            future.set_exception(error)

    threading.Thread(target=run, daemon=True, name="flow-call").start()
    return future


def _local(task: Task) -> bool:
    """Say whether a task is only written in the database."""
    return task.what in ("do", "undo") and isinstance(task.step.work, Emit | Child)


def _image(run: Loaded) -> tuple[Any, ...]:
    kept = run.run
    return (kept.state, kept.started_at, kept.deadline, kept.resume_from, kept.output is None, kept.error is None)


def _read(text: str | None) -> Any:
    return None if text is None else read_json(text)
