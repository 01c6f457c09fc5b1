"""A flow as its engine sees it: the typed view of a checked definition, everything in it compiled."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from server.integrations.fallback import split_call
from server.kernel.policies import Growing, RetrySchedule, parse_duration
from server.mapping import (
    PLACES,
    CompiledMap,
    Expression,
    Template,
    compile_expression,
    compile_map,
    compile_template,
)
from server.mapping.equalities import Side, equality
from server.mapping.places import ITEM
from server.queue.claims import PRIORITIES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Kind = Literal[
    "call", "for_each", "emit", "wait_for", "sleep", "parallel", "choose", "set", "flow", "approve", "atomic"
]
OnError = Literal["compensate", "fail", "continue"]

PLACE = "flow"
UNDO_PLACE = "flow_undo"
WAIT_PLACE = "flow_wait_for"
START = frozenset(("event", "data"))
"""What `when` and `idempotency_key` of a flow may start with: there is no run yet."""
DEFAULT_TIMEOUT = "30d"
DEFAULT_WAIT = "30d"
DEFAULT_PRIORITY = "normal"
DEFAULT_LIMIT = 4
RETRY = Growing(attempts=3, initial="1s", max="60s")
ARRIVED = "arrived"
_CONTAINERS = frozenset(("for_each", "parallel", "choose"))


@dataclass(frozen=True, slots=True)
class Calling:
    """A call of an operation of an integration, with what `with` makes."""

    integration: str
    operation: str
    with_: CompiledMap

    @property
    def call(self) -> str:
        """As it was written: `integration.noun.verb`."""
        return f"{self.integration}.{self.operation}"


@dataclass(frozen=True, slots=True)
class Undo:
    """What takes the effect of a call back; times in seconds, None where the integration's policy says them."""

    calling: Calling
    retry: RetrySchedule | None = None
    timeout: float | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """`call`; with `each` once per item, `limit` at once."""

    calling: Calling
    undo: Undo | None = None
    each: Expression | None = None
    limit: int = 1


@dataclass(frozen=True, slots=True)
class Block:
    """`for_each` with `steps`: all of them per item, `limit` items at once."""

    each: Expression
    steps: tuple[Step, ...]
    limit: int = DEFAULT_LIMIT


@dataclass(frozen=True, slots=True)
class Branch:
    """A branch of `parallel` (with a name) or of `choose` (with a condition; None is else)."""

    steps: tuple[Step, ...]
    name: str = ""
    when: Expression | None = None


@dataclass(frozen=True, slots=True)
class Parallel:
    """All branches at the same time."""

    branches: tuple[Branch, ...]


@dataclass(frozen=True, slots=True)
class Choose:
    """The first branch whose condition is true."""

    branches: tuple[Branch, ...]


@dataclass(frozen=True, slots=True)
class Atomic:
    """Calls of one integration in one transaction of its own: all or none."""

    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Emit:
    """`emit`: a map of `type`, `subject` and `data`; `version` of its schema, None for the newest."""

    made: CompiledMap
    type: str
    version: int | None = None


@dataclass(frozen=True, slots=True)
class Wait:
    """`wait_for`. With `match` only events are looked at whose field (a path in `arrived`) equals what the other side gives."""

    event: str
    where: Expression | None
    match: tuple[str, Side] | None
    count: CompiledMap
    timeout: float


@dataclass(frozen=True, slots=True)
class Sleep:
    """`sleep`: so many seconds, or until a moment."""

    seconds: float | None = None
    until: Expression | None = None


@dataclass(frozen=True, slots=True)
class Put:
    """`set`: values by name."""

    made: CompiledMap


@dataclass(frozen=True, slots=True)
class Child:
    """`flow`: a run of another flow; `undone` says whether it is undone with this run."""

    flow: str
    with_: CompiledMap
    undone: bool = True


@dataclass(frozen=True, slots=True)
class Approve:
    """`approve`: a person decides. Without `roles` whoever may run flows does."""

    message: Template
    timeout: float
    roles: tuple[str, ...] = ()


Work = Call | Block | Emit | Wait | Sleep | Parallel | Choose | Put | Child | Approve | Atomic


@dataclass(frozen=True)
class Step:
    """One step. `on_error` is None where nothing is said; a Calling is called instead. `timeout` in seconds."""

    id: str
    kind: Kind
    work: Work
    when: Expression | None = None
    timeout: float | None = None
    retry: RetrySchedule | None = None
    on_error: OnError | Calling | None = None

    @property
    def container(self) -> bool:
        """Whether it only holds others: what it does is what they do."""
        return self.kind in _CONTAINERS or (isinstance(self.work, Call) and self.work.each is not None)

    @cached_property
    def one(self) -> Step:
        """The step of one item of a `call` with `for_each`: a plain call."""
        work = self.work
        if not isinstance(work, Call):
            raise TypeError("only a call has items of its own kind")
        return replace(self, when=None, work=replace(work, each=None))

    @property
    def inner(self) -> tuple[Step, ...]:
        """The steps that stand in it, of all branches."""
        match self.work:
            case Block(steps=steps) | Atomic(steps=steps):
                return steps
            case Parallel(branches=branches) | Choose(branches=branches):
                return tuple(step for branch in branches for step in branch.steps)
            case _:
                return ()


@dataclass(frozen=True)
class Flow:
    """A flow. Times in seconds."""

    name: str
    steps: tuple[Step, ...]
    events: tuple[str, ...] = ()
    when: Expression | None = None
    idempotency_key: Expression | None = None
    input: Mapping[str, Any] | None = None
    timeout: float = parse_duration(DEFAULT_TIMEOUT)
    priority: int = PRIORITIES[DEFAULT_PRIORITY]
    output: CompiledMap | None = None
    by_id: Mapping[str, Step] = field(default_factory=dict)
    order: Mapping[str, int] = field(default_factory=dict)
    """Where each step stands in the file, nested ones too, from 0."""
    parents: Mapping[str, str] = field(default_factory=dict)
    """By the id of each nested step that of the step in which it stands."""


def flow_of(body: Mapping[str, Any]) -> Flow:
    """Return the typed view of a checked body, with defaults filled in.

    Raises:
        ExpressionError: the body was never checked.

    """
    roots = PLACES[PLACE]
    steps = _steps(body["steps"], roots)
    every = list(walk(steps))
    return Flow(
        name=body["name"],
        steps=steps,
        events=tuple(body.get("events", ())),
        when=_expression(body.get("when"), START),
        idempotency_key=_expression(body.get("idempotency_key"), START),
        input=body.get("input"),
        timeout=parse_duration(body.get("timeout", DEFAULT_TIMEOUT)),
        priority=PRIORITIES[body.get("priority", DEFAULT_PRIORITY)],
        output=compile_map(body["output"], roots) if "output" in body else None,
        by_id={step.id: step for step in every},
        order={step.id: number for number, step in enumerate(every)},
        parents={inner.id: step.id for step in every for inner in step.inner},
    )


def walk(steps: Sequence[Step]) -> Iterator[Step]:
    """Yield steps and all that stand in them, in the order of the file."""
    for step in steps:
        yield step
        yield from walk(step.inner)


def _steps(bodies: Sequence[Mapping[str, Any]], roots: frozenset[str]) -> tuple[Step, ...]:
    return tuple(_step(each, roots) for each in bodies)


def _step(body: Mapping[str, Any], roots: frozenset[str]) -> Step:
    kind, work = _work(body, roots)
    within = roots | {ITEM} if isinstance(work, Call) and work.each is not None else roots
    return Step(
        id=body["id"],
        kind=kind,
        work=work,
        when=_expression(body.get("when"), roots),
        timeout=parse_duration(body["timeout"]) if "timeout" in body else None,
        retry=retry_of(body.get("retry")),
        on_error=_on_error(body.get("on_error"), within | {"error"}),
    )


def _work(body: Mapping[str, Any], roots: frozenset[str]) -> tuple[Kind, Work]:  # noqa: PLR0911 - one per kind of step
    inside = roots | {ITEM}
    if "call" in body:
        each = _expression(body.get("for_each"), roots)
        within = inside if each else roots
        undo = _undo(body.get("undo"), within | PLACES[UNDO_PLACE])
        return "call", Call(_calling(body, within), undo, each, int(body.get("limit", DEFAULT_LIMIT)) if each else 1)
    if "for_each" in body:
        each = compile_expression(body["for_each"], roots)
        return "for_each", Block(each, _steps(body["steps"], inside), int(body.get("limit", DEFAULT_LIMIT)))
    if "emit" in body:
        return "emit", _emit(body["emit"], roots)
    if "wait_for" in body:
        return "wait_for", _wait(body["wait_for"], roots)
    if "sleep" in body:
        return "sleep", _sleep(body["sleep"], roots)
    if "parallel" in body:
        named = body["parallel"].items()
        return "parallel", Parallel(tuple(Branch(_steps(steps, roots), name) for name, steps in named))
    if "choose" in body:
        some = body["choose"]
        return "choose", Choose(
            tuple(Branch(_steps(each["steps"], roots), when=_expression(each.get("when"), roots)) for each in some)
        )
    if "set" in body:
        return "set", Put(compile_map(body["set"], roots))
    if "flow" in body:
        return "flow", Child(body["flow"], compile_map(body.get("with", {}), roots), body.get("undo") != "none")
    if "approve" in body:
        return "approve", _approve(body["approve"], roots)
    return "atomic", Atomic(_steps(body["atomic"], roots))


def _calling(body: Mapping[str, Any], roots: frozenset[str]) -> Calling:
    integration, operation = split_call(body["call"]) or ("", "")
    return Calling(integration, operation, compile_map(body.get("with", {}), roots))


def _undo(body: Mapping[str, Any] | None, roots: frozenset[str]) -> Undo | None:
    if body is None:
        return None
    timeout = parse_duration(body["timeout"]) if "timeout" in body else None
    return Undo(_calling(body, roots), retry_of(body.get("retry")), timeout)


def _on_error(written: Any, roots: frozenset[str]) -> OnError | Calling | None:
    return _calling(written, roots) if isinstance(written, dict) else written


def _emit(body: Mapping[str, Any], roots: frozenset[str]) -> Emit:
    made = {key: body[key] for key in ("subject", "data") if key in body}
    version = body.get("version")
    return Emit(compile_map(made, roots), body["type"], None if version is None else int(version))


def _wait(body: Mapping[str, Any], roots: frozenset[str]) -> Wait:
    where = _expression(body.get("where"), roots | PLACES[WAIT_PLACE])
    return Wait(
        event=body["event"],
        where=where,
        match=None if where is None else equality(where, ARRIVED),
        count=compile_map(body.get("count", 1), roots),
        timeout=parse_duration(body.get("timeout", DEFAULT_WAIT)),
    )


def _sleep(written: Any, roots: frozenset[str]) -> Sleep:
    if isinstance(written, dict):
        return Sleep(until=compile_expression(written["until"], roots))
    return Sleep(seconds=parse_duration(written))


def _approve(body: Mapping[str, Any], roots: frozenset[str]) -> Approve:
    timeout = parse_duration(body.get("timeout", DEFAULT_WAIT))
    return Approve(compile_template(body["message"], roots), timeout, tuple(body.get("roles", ())))


def _expression(text: str | None, roots: frozenset[str]) -> Expression | None:
    return None if text is None else compile_expression(text, roots)


def retry_of(retry: Mapping[str, Any] | None) -> RetrySchedule | None:
    """Return the pauses between tries; None where the integration's policy says them."""
    return None if retry is None else RETRY.schedule(retry)
