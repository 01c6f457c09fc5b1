"""Two budgets of one run: steps bound its time, size bounds what it makes. Both are counts, so a run is repeatable.

A step is about a tenth of a microsecond. Straight code cannot run away, since an expression's length is bounded; so
steps are taken where work multiplies: a loop takes items × the cost of its body before it starts, a function takes what its
arguments weigh. Size is taken where something can grow beyond its parts: texts, flattened lists, and every result, whose
parts may be shared many times over (`[@,@]|[@,@]|…` is small in memory and endless on paper).
"""

from __future__ import annotations

from typing import Any

from .errors import BUDGET, Refused

STEPS = 200_000
SIZE = 400_000
DEPTH = 100
TEXT_UNIT = 3  # 2**3 characters of a text weigh as much as one item
_CONTAINER = 8  # a list or object weighs this beside its items: what making one costs


class Budget:
    """What is left of one run, or of many that share it: `left` steps and `room` for items (8 characters are one)."""

    __slots__ = ("left", "room")

    def __init__(self, steps: int = STEPS, size: int = SIZE) -> None:
        self.left = steps
        self.room = size

    def spend(self, steps: int) -> None:
        """Take steps.

        Raises:
            Refused: EXPR_BUDGET, none are left.

        """
        self.left -= steps
        if self.left < 0:
            raise Refused("the expression takes too many steps", code=BUDGET)

    def grow(self, items: int) -> None:
        """Take room for items about to be made.

        Raises:
            Refused: EXPR_BUDGET, there is none left.

        """
        self.room -= items
        if self.room < 0:
            raise Refused("the expression makes something too large", code=BUDGET)

    def descend(self, items: int, depth: int) -> None:
        """Take the steps of going through `items` parts, with `depth` more levels allowed.

        Raises:
            Refused: EXPR_BUDGET.

        """
        if depth <= 0:
            raise _too_deep()
        self.spend(items * 3 + 1)

    def grow_text(self, characters: int) -> None:
        """Take room and time for a text about to be made."""
        units = characters >> TEXT_UNIT
        self.spend(units >> 2)
        self.grow(units)


def _too_deep() -> Refused:
    return Refused(f"the value is nested more than {DEPTH} deep", code=BUDGET)


def measure(value: Any, budget: Budget) -> None:
    """Take room for all of a value, shared parts counted each time they occur.

    Raises:
        Refused: EXPR_BUDGET, too large or nested too deeply.

    """
    budget.grow(weight(value))


def weight(value: Any) -> int:
    """Return what a value weighs, shared parts counted each time they occur: about its items, and an eighth of its characters.

    Raises:
        Refused: EXPR_BUDGET, nested too deeply.

    """
    kind = type(value)
    if kind is list or kind is dict:
        return _weight(value, {}, DEPTH)[0]
    return len(value) >> TEXT_UNIT if kind is str else 0


def _weight(value: Any, known: dict[int, tuple[int, int]], depth: int) -> tuple[int, int]:
    """Return the weight and height of a list or object; each is gone through once, however often it is shared."""
    if not depth:
        raise _too_deep()
    total, height = len(value) + _CONTAINER, 0
    for part in value.values() if type(value) is dict else value:
        kind = type(part)
        if kind is str:
            total += len(part) >> TEXT_UNIT
        elif kind is list or kind is dict:
            below = known.get(id(part)) or _weight(part, known, depth - 1)
            total += below[0]
            height = max(height, below[1])
    if height >= DEPTH:
        raise _too_deep()
    known[id(value)] = result = total, height + 1
    return result
