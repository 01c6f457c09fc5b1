"""Expected and actual JSON of a definition's own test, compared: where they differ, in sentences."""

from __future__ import annotations

import itertools
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from server.documents.kinds import canonical

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_MOST = 20
_LONGEST = 200
_NUMBERS = (int, float, Decimal)


def differences(place: str, expected: Any, actual: Any) -> list[str]:
    """Return up to 20 sentences, each with the place; empty when equal. 3 and 3.0 are equal, 3 and "3" are not."""
    return list(itertools.islice(_differences(place, expected, actual), _MOST))


def _differences(place: str, expected: Any, actual: Any) -> Iterator[str]:
    if isinstance(expected, dict) and isinstance(actual, dict):
        for key in dict.fromkeys([*expected, *actual]):
            yield from _entry(f"{place}.{key}", expected, actual, key)
    elif isinstance(expected, list) and isinstance(actual, list):
        yield from _items(place, expected, actual)
    elif not _same(expected, actual):
        yield f"{place}: expected {shown_json(expected)}, got {shown_json(actual)}"


def _entry(place: str, expected: dict[str, Any], actual: dict[str, Any], key: str) -> Iterator[str]:
    if key not in actual:
        yield f"{place}: expected {shown_json(expected[key])}, got nothing"
    elif key not in expected:
        yield f"{place}: expected nothing, got {shown_json(actual[key])}"
    else:
        yield from _differences(place, expected[key], actual[key])


def _items(place: str, expected: Sequence[Any], actual: Sequence[Any]) -> Iterator[str]:
    for number, (one, other) in enumerate(zip(expected, actual, strict=False)):
        yield from _differences(f"{place}[{number}]", one, other)
    for number, one in enumerate(expected[len(actual) :], len(actual)):
        yield f"{place}[{number}]: expected {shown_json(one)}, got nothing"
    for number, other in enumerate(actual[len(expected) :], len(expected)):
        yield f"{place}[{number}]: expected nothing, got {shown_json(other)}"


def _same(expected: Any, actual: Any) -> bool:
    if isinstance(expected, bool) or isinstance(actual, bool):
        return expected is actual
    if isinstance(expected, _NUMBERS) and isinstance(actual, _NUMBERS):
        return expected == actual
    return type(expected) is type(actual) and bool(expected == actual)


def shown_json(value: Any) -> str:
    """Write a value for a person, cut after 200 characters."""
    text = canonical(value).decode()
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"
