"""A flow as a graph: the text of Mermaid, each step in the colour of its state."""

from __future__ import annotations

from typing import TYPE_CHECKING

from server.flows import paths
from server.flows.flow import Approve, Atomic, Block, Call, Child, Choose, Emit, Parallel, Put, Sleep, Wait

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from server.flows.flow import Flow, Step

WORST = ("undo_failed", "failed", "undoing", "running", "waiting", "undone", "done", "skipped")
"""Of the states of the items of one step the first of these is shown."""
COLOURS = {
    "done": "fill:#d3f0dc,stroke:#1b7f3b,color:#10331c",
    "running": "fill:#d6e6fb,stroke:#1f5fae,color:#0f2a4d",
    "waiting": "fill:#fdf1cf,stroke:#a87a00,color:#463400",
    "skipped": "fill:#eeeeee,stroke:#8a8a8a,color:#555555",
    "failed": "fill:#fbd9d6,stroke:#b3261e,color:#4a0f0b",
    "undoing": "fill:#e9dcf9,stroke:#6b3fa0,color:#2c1748",
    "undone": "fill:#e6e0ee,stroke:#6b3fa0,color:#2c1748",
    "undo_failed": "fill:#b3261e,stroke:#5f0f0a,color:#ffffff",
}
_LONGEST = 80
_START, _END = "begin", "finish"


def colours(states: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the state to show of each step, from those of all its items by path."""
    found: dict[str, str] = {}
    for path, state in states:
        step = paths.step_of(path)
        if step not in found or WORST.index(state) < WORST.index(found[step]):
            found[step] = state
    return found


def mermaid(flow: Flow, states: Mapping[str, str] | None = None) -> str:
    """Return a flow as Mermaid; `states` by the id of the step."""
    drawn = _Drawn()
    drawn.add(f"{_START}([{_text(', '.join(flow.events) or 'by call')}])")
    ends = drawn.steps(flow.steps, [(_START, "")])
    drawn.add(f"{_END}([end])")
    drawn.join(ends, _END)
    used = {state for state in (states or {}).values() if state in COLOURS}
    for state in sorted(used):
        drawn.lines.append(f"  classDef {state} {COLOURS[state]}")
    for step, state in (states or {}).items():
        if step in flow.by_id and state in COLOURS:
            drawn.lines.append(f"  class {_node(step)} {state}")
    return "\n".join(["flowchart TD", *drawn.lines, ""])


class _Drawn:
    """The lines so far. An end is a node from which the next step is reached, with what stands at that arrow."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._deep = 1

    def add(self, line: str) -> None:
        self.lines.append("  " * self._deep + line)

    def join(self, ends: Sequence[tuple[str, str]], node: str) -> None:
        for end, said in ends:
            self.add(f"{end} -->|{_text(said)}| {node}" if said else f"{end} --> {node}")

    def steps(self, steps: Sequence[Step], ends: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        found = list(ends)
        for step in steps:
            found = self._step(step, found)
        return found

    def _step(self, step: Step, ends: list[tuple[str, str]]) -> list[tuple[str, str]]:
        node = _node(step.id)
        match step.work:
            case Block(steps=steps):
                return self._inside(step, steps, ends)
            case Atomic(steps=steps):
                return self._inside(step, steps, ends)
            case Parallel(branches=branches):
                self.add(f"{node}{{{{{_label(step)}}}}}")
                self.join(ends, node)
                return [end for each in branches for end in self.steps(each.steps, [(node, each.name)])]
            case Choose(branches=branches):
                self.add(f"{node}{{{_label(step)}}}")
                self.join(ends, node)
                named = [(each, each.when.text if each.when else "else") for each in branches]
                found = [end for each, name in named for end in self.steps(each.steps, [(node, name)])]
                return found if branches[-1].when is None else [*found, (node, "none of them")]
            case _:
                self.add(f"{node}[{_label(step)}]")
                self.join(ends, node)
                return [(node, "")]

    def _inside(self, step: Step, steps: Sequence[Step], ends: list[tuple[str, str]]) -> list[tuple[str, str]]:
        """Draw a frame around steps; the arrow to it goes to the first of them."""
        node = _node(step.id)
        self.add(f"subgraph {node}[{_label(step)}]")
        self._deep += 1
        found = self.steps(steps, ends)
        self._deep -= 1
        self.add("end")
        return found


def about(step: Step) -> str:  # noqa: PLR0911 - one per kind of step
    """Return what a step does, in a few words."""
    match step.work:
        case Call(calling=calling, each=each):
            return calling.call + (f" for each {each.text}" if each else "")
        case Block(each=each):
            return f"for each {each.text}"
        case Emit(type=type_):
            return f"emit {type_}"
        case Wait(event=event):
            return f"wait for {event}"
        case Sleep(seconds=seconds, until=until):
            return f"sleep until {until.text}" if until else f"sleep {seconds:g} s"
        case Put():
            return "set"
        case Child(flow=name):
            return f"flow/{name}"
        case Approve():
            return "a person approves"
        case Parallel():
            return "parallel"
        case Choose():
            return "choose"
        case Atomic():
            return "in one transaction"


def _label(step: Step) -> str:
    said = about(step) + (f" when {step.when.text}" if step.when else "")
    return _text(f"{step.id}: {said}")


def _node(step: str) -> str:
    return f"s_{step}"


def _text(text: str) -> str:
    """Return a text as Mermaid takes it, whatever signs are in it."""
    cut = text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
    safe = "".join(each if each.isalnum() or each in " .,:_-/()[]'=+*|&!?…" else f"#{ord(each)};" for each in cut)
    return f'"{safe}"'
