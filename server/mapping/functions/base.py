"""What a function is, and how it is declared: its signature as text, which is the reference, the check and the types.

`round(value: number, places?: number) -> number` · `?` is optional · `more…` takes any number of arguments · types are `number`,
`text`, `boolean`, `list`, `object`, `null`, `any`, `expression` (written `&name`) and unions of them with `|`. A result may
also be `same` (as the first argument) or `item` (one of the first argument's).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

from server.mapping.budget import Budget

Run = Callable[[Any, Budget], Any]
Nulls = Literal["null", "error", "given"]


@dataclass(frozen=True, slots=True)
class Body:
    """An argument of the form `&expression`: run it on an item with a budget; `cost` in steps per item."""

    run: Run
    cost: int

    def over(self, items: list[Any], budget: Budget) -> list[Any]:
        """Return what it gives for each item.

        Raises:
            Refused: EXPR_BUDGET.

        """
        budget.spend(len(items) * (self.cost + 2))
        run = self.run
        return [run(item, budget) for item in items]


_TYPES: dict[str, frozenset[type]] = {
    "number": frozenset((int, float, Decimal)),
    "text": frozenset((str,)),
    "boolean": frozenset((bool,)),
    "list": frozenset((list,)),
    "object": frozenset((dict,)),
    "null": frozenset((type(None),)),
    "expression": frozenset((Body,)),
    "any": frozenset((int, float, Decimal, str, bool, list, dict)),
}


@dataclass(frozen=True, slots=True)
class Param:
    """One parameter; `kinds` as in the signature, `types` the Python types that it takes."""

    name: str
    kinds: tuple[str, ...]
    optional: bool = False
    many: bool = False
    types: frozenset[type] = frozenset()


@dataclass(frozen=True, slots=True)
class Function:
    """A function of the language: pure, and versioned, since a definition pins what it was checked with.

    `run(budget, *arguments)`; a `lazy` one gets `(budget, current value, *compiled arguments)`. `nulls`: `null` answers null for
    a null argument, `error` refuses it, `given` hands it over. `cost` in steps (tenths of a microsecond) without its loops.
    """

    name: str
    signature: str
    params: tuple[Param, ...]
    result: str
    about: str
    examples: tuple[tuple[str, Any, Any], ...]
    run: Callable[..., Any] = field(repr=False, compare=False)
    version: int = 1
    standard: bool = False
    nulls: Nulls = "null"
    cost: int = 5
    lazy: bool = False

    @property
    def least(self) -> int:
        """The least number of arguments."""
        return sum(not param.optional for param in self.params)

    @property
    def most(self) -> int | None:
        """The largest number of arguments; None is any number."""
        return None if self.params and self.params[-1].many else len(self.params)

    def param(self, index: int) -> Param:
        """Return the parameter that takes the argument at `index`."""
        return self.params[min(index, len(self.params) - 1)]


class Library(dict[str, Function]):
    """The functions of one theme, declared by decorating their code."""

    def __init__(self, *, standard: bool = False) -> None:
        super().__init__()
        self._standard = standard

    def add(
        self,
        signature: str,
        about: str,
        *examples: tuple[str, Any, Any],
        nulls: Nulls | None = None,
        cost: int = 5,
        lazy: bool = False,
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Declare a function: its signature, one sentence, and examples of (expression, scope, result)."""
        mode: Nulls = nulls or ("error" if self._standard else "null")

        def declare(run: Callable[..., Any]) -> Callable[..., Any]:
            head, _, result = signature.partition(" -> ")
            name, _, inside = head.rstrip(")").partition("(")
            params = tuple(_param(text, mode) for text in inside.split(", "))
            self[name] = Function(
                name, signature, params, result, about, examples, run, 1, self._standard, mode, cost, lazy
            )
            return run

        return declare


def _param(text: str, nulls: Nulls) -> Param:
    name, _, kinds_text = text.partition(": ")
    kinds = tuple(kinds_text.split("|"))
    types = frozenset[type]().union(*(_TYPES[kind] for kind in kinds))
    if "any" in kinds and nulls != "null":
        types |= _TYPES["null"]
    return Param(name.rstrip("?…"), kinds, name[-1] in "?…", name[-1] == "…", types)
