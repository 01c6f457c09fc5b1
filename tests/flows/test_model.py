"""The core of flows against every trick of the world: random flows, failures, kills and duplicates, checked by what was done outside."""

from __future__ import annotations

import copy
from datetime import UTC, datetime, timedelta
from random import Random
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st

from server.flows import looking, paths, undoing
from server.flows.advancing import Course
from server.flows.flow import flow_of
from server.flows.rows import Ended, Row, Run
from server.flows.states import ENDED
from server.kernel.errors import Failure
from server.kernel.ids import new_uuid

if TYPE_CHECKING:
    from server.flows.tasks import Task

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PASSING = Failure("UPSTREAM_FAILED", "it may pass", "integration/erp", {}, retryable=True)
REFUSED = Failure("UPSTREAM_REFUSED", "no", "integration/erp")
TRIES = 2
MOST_TURNS = 4_000
DATA = {"items": ["a", "b", "c"], "none": [], "yes": True, "no": False}


class Flows:
    """Makes random flows."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.number = 0

    def body(self) -> dict[str, Any]:
        steps = self.steps(2, self.random.randint(1, 4))
        return {"name": "any", "steps": steps, "timeout": "10d", "output": {"all": "steps"}}

    def steps(self, depth: int, count: int) -> list[dict[str, Any]]:
        return [self.step(depth) for _ in range(count)]

    def step(self, depth: int) -> dict[str, Any]:
        kinds = ["call"] * 5 + ["each", "set", "emit", "wait", "sleep", "flow", "approve", "atomic"]
        kind = self.random.choice([*kinds, "block", "parallel", "choose"] if depth else kinds)
        self.number += 1
        step: dict[str, Any] = {"id": f"s{self.number}", **getattr(self, f"_{kind}")(depth)}
        if self.random.random() < 0.15:
            step["when"] = self.random.choice(["data.yes", "data.no"])
        fate = self.random.random()
        if fate < 0.1:
            step["on_error"] = "continue"
        elif fate < 0.15:
            step["on_error"] = "fail"
        elif fate < 0.2:
            step["on_error"] = "compensate"
        elif fate < 0.3:
            step["on_error"] = {"call": "erp.thing.instead", "with": {"why": "error.code"}}
        return step

    def _call(self, _: int) -> dict[str, Any]:
        undo = {"undo": {"call": "erp.thing.undo", "with": {"of": "result.of"}}} if self.random.random() < 0.8 else {}
        return {"call": "erp.thing.do", "with": {"of": "data.yes"}, **undo}

    def _each(self, _: int) -> dict[str, Any]:
        call = self._call(0)
        call["with"] = {"of": "item"}
        return {**call, "for_each": "data.items", "limit": self.random.randint(1, 3)}

    def _block(self, depth: int) -> dict[str, Any]:
        over = self.random.choice(["data.items", "data.items", "data.none"])
        return {"for_each": over, "limit": self.random.randint(1, 3), "steps": self.steps(depth - 1, 2)}

    def _parallel(self, depth: int) -> dict[str, Any]:
        return {"parallel": {name: self.steps(depth - 1, self.random.randint(1, 2)) for name in "xyz"}}

    def _choose(self, depth: int) -> dict[str, Any]:
        when = self.random.choice(["data.yes", "data.no"])
        return {"choose": [{"when": when, "steps": self.steps(depth - 1, 1)}, {"steps": self.steps(depth - 1, 1)}]}

    def _atomic(self, _: int) -> dict[str, Any]:
        inner = []
        for _number in range(2):
            self.number += 1
            inner.append({"id": f"s{self.number}", **self._call(0)})
        return {"atomic": inner}

    def _set(self, _: int) -> dict[str, Any]:
        return {"set": {"x": "length(data.items)"}}

    def _emit(self, _: int) -> dict[str, Any]:
        return {"emit": {"type": "thing.done", "data": {"x": "data.yes"}}}

    def _wait(self, _: int) -> dict[str, Any]:
        count = self.random.randint(0, 2)
        return {"wait_for": {"event": "thing.done", "where": "arrived.data.fits == data.yes", "count": count}}

    def _sleep(self, _: int) -> dict[str, Any]:
        return {"sleep": "1h"}

    def _flow(self, _: int) -> dict[str, Any]:
        return {"flow": "other", **({"undo": "none"} if self.random.random() < 0.2 else {})}

    def _approve(self, _: int) -> dict[str, Any]:
        return {"approve": {"message": "yes or {{ data.no }}?"}}


class World:
    """What happens outside. Each key is worked once, as the results of calls are kept; `trouble` is how often anything fails."""

    def __init__(self, random: Random, trouble: float) -> None:
        self.random = random
        self.trouble = trouble
        self.inputs: dict[str, Any] = {}
        self.done: dict[str, str] = {}
        self.refused: set[str] = set()
        self.undone: list[str] = []
        self.children: dict[str, str] = {}

    def call(self, key: str, value: Any, path: str, *, refuses: bool = True) -> str:
        """Make a call; say what came of it: `done`, `refused`, `passing`, or `postponed`."""
        assert self.inputs.setdefault(key, value) == value, "the same key, with another input"
        if self.random.random() < self.trouble / 3:
            return "postponed"
        if key in self.refused:
            return "refused"
        if key not in self.done and self.random.random() < self.trouble:
            fate = self.random.choice(["lost", "broken", "refused"])
            if fate == "refused" and refuses:
                self.refused.add(key)
                return "refused"
            if fate == "lost":
                self.done[key] = path
            return "passing"
        self.done.setdefault(key, path)
        return "done"


class Engine:
    """What the engine does, with a store that is a dictionary; it may be killed at any moment."""

    def __init__(self, random: Random, trouble: float, kills: float) -> None:
        self.random, self.kills = random, kills
        self.flow = flow_of(Flows(random).body())
        self.world = World(random, trouble)
        self.run = Run(id="run_1", flow="any", data=DATA, deadline=NOW + timedelta(days=10))
        self.stored: dict[str, Row] = {}
        self.now = NOW
        self.sent: set[str] = set()
        self.first_undone: list[str] = []
        self.course = self.load()

    def load(self) -> Course:
        self.loaded = copy.deepcopy(self.run)
        return Course.of(self.flow, self.loaded, copy.deepcopy(list(self.stored.values())))

    def store(self) -> None:
        for path in self.course.removed:
            self.stored.pop(path, None)
        self.course.removed.clear()
        for row in self.course.take():
            self.stored[row.path] = copy.deepcopy(row)
        self.run = copy.deepcopy(self.loaded)

    def killed(self) -> bool:
        if self.random.random() < self.kills:
            self.course = self.load()
            return True
        return False

    def work(self) -> str:
        """Run to the end."""
        for turn in range(MOST_TURNS):
            if turn == 300:
                self.world.trouble = 0.05  # what never stops failing never ends
            following = self.course.next(self.now)
            if self.killed():
                continue
            self.store()
            if following.ended is not None:
                return following.ended
            self.now += timedelta(seconds=1)
            self.happen()
            if self.killed():
                continue
            tasks = list(following.tasks)
            self.random.shuffle(tasks)
            for task in tasks[: self.random.randint(1, 3)]:
                self.do(task)
                if self.killed():
                    break
            if not tasks and following.until is not None and self.random.random() < 0.5:
                self.now = max(self.now, following.until)
        raise AssertionError("it never ends")

    def happen(self) -> None:
        """Let events come, people decide, and other runs end."""
        for row in list(self.course.rows.values()):
            step = self.course.step_at(row.path)
            if "child" in row.note and row.state in ("undoing", "waiting"):
                self.course.children.pop(row.path, None)
                state = self.world.children[row.note["child"]]
                if state in ENDED and ("asked" in row.note or row.state == "waiting"):
                    self.course.children[row.path] = Ended(new_uuid(), state, {"x": 1})
            if row.state != "waiting" or self.random.random() < 0.5:
                continue
            if step.kind == "wait_for":
                some = [{"id": str(n), "data": {"fits": n != 1}} for n in range(self.random.randint(0, 4))]
                looking.judge(self.course, row.path, some, self.now)
            if step.kind == "approve" and "decision" not in row.note:
                row.note["decision"] = {"approved": self.random.random() < 0.7, "by": "me"}
                self.stored[row.path].note["decision"] = row.note["decision"]
        for child, state in self.world.children.items():
            if state == "running":
                self.world.children[child] = self.random.choice(["running", "completed", "compensated"])
            if state == "compensating":
                self.world.children[child] = "compensated"

    def do(self, task: Task) -> None:
        if task.what == "undo":
            self.undo(task)
        elif task.step.kind == "flow" and task.what == "do":
            child = f"child-{len(self.world.children)}"
            self.course.started(task.path, child)
            stored = dict(self.world.children)
            self.course.next(self.now)
            self.world.children = {**stored, child: "running"}
            self.store()  # in the transaction that starts it
        elif task.step.kind == "emit" and task.what == "do":
            self.course.done(task.path, {"id": "evt_1"}, self.now)
        elif task.step.kind == "atomic" and task.what != "fallback":
            self.atomic(task)
        else:
            self.call(task)

    def call(self, task: Task) -> None:
        end = "fallback" if task.what == "fallback" else ""
        key = paths.key("run_1", task.path, task.row.round, end=end)
        value = task.row.note["fallback"] if end else task.row.input
        came = self.world.call(key, value, task.path)
        if came == "done" and task.what == "resolve":
            undoing.resolved(self.course, task.path, {"of": task.path})
        elif came == "done":
            self.course.done(task.path, {"of": task.path}, self.now)
        else:
            self.failed(task, came)

    def atomic(self, task: Task) -> None:
        prefix = task.path.removesuffix(task.step.id)
        came = self.world.call(paths.key("run_1", task.path, task.row.round), None, task.path)
        if came != "done":
            self.failed(task, came)
            return
        for each in task.step.inner:
            self.world.done[paths.key("run_1", prefix + each.id, task.row.round)] = prefix + each.id
        made = {each.id: ({"of": True}, {"of": prefix + each.id}) for each in task.step.inner}
        self.course.atomic_done(task.path, made, self.now)

    def failed(self, task: Task, came: str) -> None:
        course, path, soon = self.course, task.path, self.now + timedelta(seconds=5)
        if task.what == "resolve":
            if came == "refused":
                undoing.no_effect(course, path, self.now)
            elif came == "postponed":
                undoing.again(course, path, PASSING, soon, counted=False)
            else:
                undoing.unresolved(course, path, PASSING, self.now)
        elif came == "refused":
            course.refused(path, REFUSED, self.now)
        elif came == "postponed":
            course.again(path, PASSING, soon, counted=False)
        elif task.row.tries + 1 >= TRIES:
            course.refused(path, PASSING, self.now, unknown=True)
        else:
            course.again(path, PASSING, soon, counted=True)

    def undo(self, task: Task) -> None:
        course, path, row = self.course, task.path, task.row
        if task.step.kind == "flow":
            child = row.note["child"]
            known = self.world.children[child]
            self.world.children[child] = known if known == "compensated" else "compensating"
            undoing.asked(course, path)
            self.store()
            return
        key = paths.key("run_1", path, row.note.get("undo_round", row.round), end="undo")
        if path not in self.first_undone:
            self.first_undone.append(path)
        came = self.world.call(key, row.note["undo"], path, refuses=False)
        if came == "done":
            undoing.done(course, path, self.now)
        else:
            undoing.again(course, path, PASSING, self.now + timedelta(seconds=5), counted=came == "passing")


def check(engine: Engine, ended: str) -> None:
    """Hold what was done outside against what the run says of itself."""
    done = engine.world.done
    rows = engine.stored
    effects = {key: path for key, path in done.items() if not key.endswith((":undo", ":fallback"))}
    for path in effects.values():
        step = engine.course.step_at(path)
        if (
            path not in rows
        ):  # of an `atomic` that was broken off, of which nothing can be undone: nobody asks what it did
            around = engine.course.flow.by_id[engine.course.flow.parents[step.id]]
            assert around.kind == "atomic"
            assert all(each.work.undo is None for each in around.inner)
            continue
        row = rows[path]
        if step.kind == "atomic":
            continue
        undo = paths.key("run_1", path, row.note.get("undo_round", row.round), end="undo")
        has_undo = step.work.undo is not None
        if ended in ("compensated", "cancelled") and has_undo:
            assert undo in done, f"{path} was done and is not undone: {row}"
            assert row.state == "undone"
        if ended == "completed":
            assert undo not in done
            told = row.state == "done" or (row.state == "failed" and "unknown" in row.note)
            assert told, f"{path} was done: {row}"
    for path, row in rows.items():
        step = engine.course.step_at(path)
        real = step.kind == "call" and not step.container and "fallback" not in row.note
        key = paths.key("run_1", path, row.round)
        if real and row.state == "done":
            assert key in done, f"{path} says that it was done"
        if real and row.state == "undone" and key not in done:
            assert paths.key("run_1", path, row.round, end="undo") not in done, "undone, and never done"
        assert row.state not in ("running", "undoing") or ended == "failed", (ended, row)


@given(st.integers(0, 2**40).map(Random), st.sampled_from([0.0, 0.2, 0.6]), st.sampled_from([0.0, 0.15]))
@settings(max_examples=150, deadline=None)
def test_effects_are_those_of_steps_done_exactly_once_or_all_are_undone(
    random: Random, trouble: float, kills: float
) -> None:
    engine = Engine(random, trouble, kills)
    ended = engine.work()
    assert ended in ENDED
    check(engine, ended)


@given(st.integers(0, 2**40).map(Random), st.integers(1, 15), st.sampled_from([0.0, 0.3]))
@settings(max_examples=100, deadline=None)
def test_a_run_that_is_cancelled_at_any_moment_undoes_what_it_did(random: Random, at: int, kills: float) -> None:
    engine = Engine(random, 0.3, kills)
    turns = iter(range(MOST_TURNS))
    happen = engine.happen

    def cancelled() -> None:
        happen()
        if next(turns) == at and engine.run.state in ("running", "waiting"):
            engine.run.state = "cancelling"
            engine.course = engine.load()  # a person's change takes the claim from whoever has it
            engine.kills = max(kills, 0.01)

    engine.happen = cancelled  # type: ignore[method-assign]
    work = engine.do

    def once(task: Task) -> None:
        stale = engine.run.state == "cancelling" and engine.loaded.state != "cancelling"
        if not stale and task.row is engine.course.rows.get(task.path):
            work(task)

    engine.do = once  # type: ignore[method-assign]
    ended = engine.work()
    assert ended in ENDED
    check(engine, ended)


def test_undo_goes_from_the_newest_to_the_oldest() -> None:
    undo = {"call": "erp.thing.undo", "with": {"of": "result.of"}}
    steps = [{"id": name, "call": "erp.thing.do", "undo": undo} for name in ("a", "b", "c")]
    flow = flow_of({"name": "any", "steps": [*steps, {"id": "d", "call": "erp.thing.do"}]})
    course = Course.of(flow, Run(id="run_1", flow="any"))
    for name in ("a", "b", "c"):
        (task,) = course.next(NOW).tasks
        assert task.path == name
        course.done(name, {"of": name}, NOW)
    course.next(NOW)
    course.refused("d", REFUSED, NOW)
    order = []
    while (following := course.next(NOW)).ended is None:
        (task,) = following.tasks
        assert task.what == "undo"
        assert task.row.note["undo"] == {"of": task.path}
        order.append(task.path)
        undoing.done(course, task.path, NOW)
    assert order == ["c", "b", "a"]
    assert following.ended == "compensated"
