"""Choosing: tables, defaults, conditions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from server.mapping.errors import TYPE, Refused
from server.mapping.values import kind_of, truthy

from .base import Library, Run
from .text import as_text

if TYPE_CHECKING:
    from server.mapping.budget import Budget

LOOKUP = Library()
_EMPTY: tuple[Any, ...] = ("", [], {})


@LOOKUP.add(
    "lookup(value: any, table: object, default?: any) -> any",
    "What the table has under the value; else the default, or null.",
    ('lookup(c, `{"KZT": "398"}`)', {"c": "KZT"}, "398"),
    ('lookup(c, `{"KZT": "398"}`, \'000\')', {"c": "EUR"}, "000"),
    nulls="given",
)
def _lookup(_: Budget, value: Any, table: dict[str, Any], default: Any = None) -> Any:
    if value is None:
        return default
    if type(value) in (list, dict):
        raise Refused(f"a {kind_of(value)} cannot be looked up", code=TYPE, value=value)
    return table.get(as_text(value), default)


@LOOKUP.add(
    "coalesce(value: any, more…: any) -> any",
    "The first value that is neither null nor empty (text, list or object).",
    ("coalesce(a, b)", {"a": "", "b": "x"}, "x"),
    nulls="given",
)
def _coalesce(_: Budget, *values: Any) -> Any:
    return next((value for value in values if value is not None and value not in _EMPTY), None)


@LOOKUP.add(
    "if(test: any, then: any, else?: any) -> any",
    "`then` when the test is true, else `else` or null; only the chosen one is evaluated.",
    ("if(n > 10, 'many', 'few')", {"n": 3}, "few"),
    nulls="given",
    lazy=True,
)
def _if(budget: Budget, current: Any, test: Run, then: Run, otherwise: Run | None = None) -> Any:
    if truthy(test(current, budget)):
        return then(current, budget)
    return otherwise(current, budget) if otherwise else None


@LOOKUP.add(
    "is_empty(value: any) -> boolean",
    "Whether the value is null, or an empty text, list or object.",
    ("is_empty(a)", {"a": []}, True),
    nulls="given",
)
def _is_empty(_: Budget, value: Any) -> bool:
    return value is None or value in _EMPTY


@LOOKUP.add(
    "is_null(value: any) -> boolean", "Whether the value is null.", ("is_null(a)", {"a": 0}, False), nulls="given"
)
def _is_null(_: Budget, value: Any) -> bool:
    return value is None
