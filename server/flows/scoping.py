"""What the expressions of a step see: the roots, and as `steps` the results of all that is done, from where it stands. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from server.flows import paths
from server.flows.flow import Atomic, Block, Call, Choose, Parallel
from server.flows.rows import HAS_RESULT
from server.kernel.clock import rfc3339
from server.mapping.places import ITEM

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from server.flows.flow import Flow, Step
    from server.flows.rows import Row, Run

NO_ITEM = object()


@dataclass(frozen=True, slots=True)
class Place:
    """Where steps stand: in the flow itself, or in an item. `prefix` stands before their paths."""

    steps: tuple[Step, ...]
    prefix: str = ""
    item: Any = NO_ITEM
    above: Place | None = None


class Scoping:
    """Makes scopes of a run's rows."""

    def __init__(self, flow: Flow, run: Run, rows: Mapping[str, Row]) -> None:
        self._flow, self._run, self._rows = flow, run, rows
        self._kept: dict[str, Any] = {}
        self.root = Place(flow.steps)

    def forget(self) -> None:
        """Forget what was worked out of rows that are gone."""
        self._kept.clear()

    def of(self, place: Place, **more: Any) -> dict[str, Any]:
        """Return the scope of the steps at a place."""
        scope: dict[str, Any] = {"event": self._run.event, "data": self._run.data, "run": self._run_view(), **more}
        levels: list[Place] = []
        at: Place | None = place
        while at is not None:
            levels.append(at)
            at = at.above
        steps: dict[str, Any] = {}
        for level in reversed(levels):
            steps |= self._visible(level.steps, level.prefix)
            if level.item is not NO_ITEM:
                scope[ITEM] = level.item
        scope["steps"] = steps
        return scope

    def place_of(self, path: str) -> Place:
        """Return where the step with that path stands; of an item of a call, with its item."""
        place, steps = self.root, self._flow.by_id
        for name, index in paths.parts(path):
            if index is None:
                continue
            own = place.prefix + name
            value, work = self._rows[own].input[index], steps[name].work
            inner = isinstance(work, Block)
            place = Place(
                work.steps if isinstance(work, Block) else (),
                paths.inside(paths.item(own, index)) if inner else place.prefix,
                value,
                place,
            )
        return place

    def result(self, step: Step, path: str) -> Any:
        """Return what a step gave; None where it gave nothing. What it holds gives what a container gives."""
        row = self._rows.get(path)
        if row is None or row.state not in HAS_RESULT:
            return None
        if not step.container and not isinstance(step.work, Atomic):
            return row.result
        if row.note.get("fallback") is not None:
            return row.result
        if path not in self._kept:
            self._kept[path] = self._gathered(step, path, row)
        return self._kept[path]

    def _gathered(self, step: Step, path: str, row: Row) -> Any:
        prefix = path.removesuffix(step.id)
        match step.work:
            case Call():
                return [self.result(step.one, paths.item(path, index)) for index in range(len(row.input))]
            case Block(steps=steps):
                return [self._visible(steps, paths.inside(paths.item(path, index))) for index in range(len(row.input))]
            case Parallel(branches=branches):
                return {each.name: self._visible(each.steps, prefix) for each in branches}
            case Choose(branches=branches):
                taken = row.note.get("taken")
                return {} if taken is None else self._visible(branches[taken].steps, prefix)
            case Atomic(steps=steps):
                return self._visible(steps, prefix)
        return None

    def _visible(self, steps: Sequence[Step], prefix: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for step in steps:
            path = prefix + step.id
            if path in self._rows:
                found[step.id] = self.result(step, path)
            if isinstance(step.work, Parallel | Choose | Atomic):
                found |= self._visible(step.inner, prefix)
        return found

    def _run_view(self) -> dict[str, Any]:
        run = self._run
        return {
            "id": run.id,
            "flow": run.flow,
            "started_at": rfc3339(run.started_at) if run.started_at else None,
            "correlation_id": run.correlation_id,
            "key": run.key,
            "round": run.round,
        }
