"""A flow as a picture: SVG without any script or style of its own, each step with a class for its state. Sizes in its own units."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from server.flows.flow import Atomic, Block, Choose, Parallel
from server.flows.graph import about

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from server.flows.flow import Branch, Flow, Step

WIDE, HIGH, GAP, ASIDE, PAD, TITLE = 200.0, 44.0, 26.0, 24.0, 12.0, 22.0
_MARGIN = 8.0
_LONGEST = 30
Size = tuple[float, float]


def svg(flow: Flow, states: Mapping[str, str] | None = None) -> str:
    """Return a flow as SVG; `states` by the id of the step."""
    drawn = _Drawn(states or {})
    wide, high = _of_all(flow.steps)
    middle = wide / 2 + _MARGIN
    drawn.sequence(flow.steps, middle, _MARGIN)
    width, height = f"{wide + 2 * _MARGIN:g}", f"{high + 2 * _MARGIN:g}"
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    label = escape(f"The steps of {flow.name}")
    return f'<svg class="flow" role="img" aria-label="{label}" {size}>{"".join(drawn.parts)}</svg>'


def _of_all(steps: Sequence[Step]) -> Size:
    """Return the size of steps below each other."""
    sizes = [_size(each) for each in steps]
    return max(wide for wide, _ in sizes), sum(high for _, high in sizes) + GAP * (len(sizes) - 1)


def _size(step: Step) -> Size:
    match step.work:
        case Block(steps=steps) | Atomic(steps=steps):
            wide, high = _of_all(steps)
            return wide + 2 * PAD, high + TITLE + 2 * PAD
        case Parallel(branches=branches) | Choose(branches=branches):
            sizes = [_of_all(each.steps) for each in branches]
            wide = sum(each for each, _ in sizes) + ASIDE * (len(sizes) - 1)
            return max(wide, WIDE), HIGH + GAP + TITLE + max(each for _, each in sizes) + GAP
        case _:
            return WIDE, HIGH


class _Drawn:
    """The parts so far."""

    def __init__(self, states: Mapping[str, str]) -> None:
        self.parts: list[str] = []
        self._states = states

    def sequence(self, steps: Sequence[Step], middle: float, top: float) -> float:
        """Draw steps below each other; return where the last one ends."""
        for number, step in enumerate(steps):
            if number:
                self._line(middle, top, middle, top + GAP)
                top += GAP
            top = self._step(step, middle, top)
        return top

    def _step(self, step: Step, middle: float, top: float) -> float:
        wide, high = _size(step)
        match step.work:
            case Block(steps=steps) | Atomic(steps=steps):
                self._box(step, middle - wide / 2, top, wide, high, "frame")
                self._text(middle, top + PAD + 4, f"{step.id}: {about(step)}", "small")
                self.sequence(steps, middle, top + TITLE + PAD)
            case Parallel(branches=branches) | Choose(branches=branches):
                self._node(step, middle, top)
                self._branches(branches, middle - wide / 2, middle, top, high)
            case _:
                self._node(step, middle, top)
        return top + high

    def _branches(self, branches: Sequence[Branch], left: float, middle: float, top: float, high: float) -> None:
        below, bottom = top + HIGH + GAP + TITLE, top + high
        sizes = [_of_all(each.steps)[0] for each in branches]
        left = middle - (sum(sizes) + ASIDE * (len(sizes) - 1)) / 2
        for branch, wide in zip(branches, sizes, strict=True):
            at = left + wide / 2
            self._line(middle, top + HIGH, at, below - TITLE)
            self._text(at, below - TITLE / 2, branch.name or (branch.when.text if branch.when else "else"), "small")
            end = self.sequence(branch.steps, at, below)
            self._line(at, end, middle, bottom)
            left += wide + ASIDE

    def _node(self, step: Step, middle: float, top: float) -> None:
        self._box(step, middle - WIDE / 2, top, WIDE, HIGH, "node")
        self._text(middle, top + 18, step.id, "name")
        self._text(middle, top + 34, about(step), "small")

    def _box(self, step: Step, left: float, top: float, wide: float, high: float, kind: str) -> None:
        state = self._states.get(step.id)
        told = escape(f"{step.id}: {about(step)}" + (f", {state}" if state else ""))
        self.parts.append(
            f'<rect class="{kind}{f" is-{state}" if state else ""}" x="{left:g}" y="{top:g}" width="{wide:g}" height="{high:g}" rx="6">'
            f"<title>{told}</title></rect>"
        )

    def _text(self, x: float, y: float, text: str, kind: str) -> None:
        cut = text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
        self.parts.append(f'<text class="{kind}" x="{x:g}" y="{y:g}" text-anchor="middle">{escape(cut)}</text>')

    def _line(self, x: float, y: float, to_x: float, to_y: float) -> None:
        self.parts.append(f'<line x1="{x:g}" y1="{y:g}" x2="{to_x:g}" y2="{to_y:g}"/>')
