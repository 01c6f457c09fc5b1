"""Which event types a subscription means: `*` is one segment, `**` one or more; ours (`crossdock.…`) only by name."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

OURS = "crossdock"
_PIN = "@"


def is_ours(type_: str) -> bool:
    """Tell whether it is the type of an event of our own."""
    return type_.partition(".")[0] == OURS


def unpinned(pattern: str) -> tuple[str, int | None]:
    """Part `order.created@1` into the type and the version that is asked for, if one is."""
    type_, _, version = pattern.partition(_PIN)
    return type_, int(version) if version.isdecimal() else None


def pins_of(patterns: Iterable[str]) -> dict[str, int]:
    """Return the versions that are asked for, by type; a type that also a pattern means keeps its own."""
    parted = (unpinned(each) for each in patterns)
    return {type_: version for type_, version in parted if version is not None}


def matches(pattern: str, type_: str) -> bool:
    """Tell whether a pattern means an event type, of whatever version.

    Patterns that begin with a wildcard leave out our own events, so that nobody subscribes to the plumbing by accident.
    """
    pattern = pattern.partition(_PIN)[0]
    if is_ours(type_) and pattern.partition(".")[0] != OURS:
        return False
    return _match(tuple(pattern.split(".")), tuple(type_.split(".")))


@lru_cache(maxsize=65536)
def _match(pattern: tuple[str, ...], segments: tuple[str, ...]) -> bool:
    if not pattern:
        return not segments
    head, rest = pattern[0], pattern[1:]
    if head == "**":
        return any(_match(rest, segments[taken:]) for taken in range(1, len(segments) + 1))
    return bool(segments) and head in ("*", segments[0]) and _match(rest, segments[1:])
